"""What comes after a training: the pictures that it did not learn from, for evaluating it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QWidget

from ..core.errors import one_line
from ..core.progress import Progress, Report
from ..core.temporary import temporary_folder
from .dock import Dock, button, open_dock, row

if TYPE_CHECKING:
    from ..core.classes import ClassMap
    from ..training.config import TrainConfig
    from ..training.pair import Pair

NOBODY_LOOKED = 65535
"""Value of pixels that are not labelled, in the masks written here."""


class HeldOut:
    """Pictures that a model did not learn from, in folders that are removed when this is.

    Attributes
    ----------
    images, labels : Path
        Folders.
    count : int
        How many pictures.
    ignore : int or None
        Value of pixels that are not labelled.
    """

    def __init__(self) -> None:
        place = temporary_folder(self)
        self.images, self.labels = place / "images", place / "labels"
        for folder in (self.images, self.labels):
            folder.mkdir()
        self.count = 0
        self.ignore: int | None = None


class AfterTraining(QWidget):
    """Buttons that lead on with a new model.

    Parameters
    ----------
    dock : Dock
        Whose job gathers the pictures.
    """

    def __init__(self, dock: Dock) -> None:
        super().__init__()
        self._dock = dock
        self.model: Path | None = None
        self.use = button("Use this model ▸", self.open_segment, "Open the Segment dock with the new model")
        self.evaluate = button(
            "Evaluate ▸", self.open_evaluate, "Open the Evaluate dock with the pictures it did not learn from"
        )
        self.setLayout(row(self.use, self.evaluate))
        self.show_model(None)

    def show_model(self, model: Path | None, *, held_out: bool = True) -> None:
        """Offer what can be done with a model; None hides everything.

        Parameters
        ----------
        model : Path, optional
            Its folder.
        held_out : bool
            Whether it has pictures that it did not learn from.
        """
        self.model = model
        self.setVisible(model is not None)
        self.evaluate.setVisible(held_out)

    def take_up(self, model: Path) -> None:
        """Use a model that was finished while nobody looked."""
        self.show_model(model)
        self.open_segment()

    def open_segment(self) -> None:
        """Open the Segment dock with the model."""
        from .segment import SegmentDock

        if self.model is not None:
            open_dock(self._dock.viewer, SegmentDock, "Segment").models.choose(self.model)

    def open_evaluate(self) -> None:
        """Open the Evaluate dock with the model and the pictures that it did not learn from."""
        if self.model is not None and self._dock.job is None:
            model = self.model
            self._dock.run(
                "Gather the validation pictures",
                held_out_work(model),
                lambda found, _: self._evaluate(model, found),
            )

    def _evaluate(self, model: Path, found: HeldOut) -> None:
        from .evaluate import EvaluateDock

        dock = open_dock(self._dock.viewer, EvaluateDock, "Evaluate")
        dock.keep(found, found.images, found.labels)
        dock.data.from_folders.setChecked(True)
        dock.data.images.choose(found.images, f"validation pictures of {one_line(model.name, 60)}")
        dock.data.labels.choose(found.labels, f"validation labels of {one_line(model.name, 60)}")
        if found.ignore is not None:
            dock.ignore.setText(str(found.ignore))
        if str(model) not in [chosen.model for chosen in dock.competitors.chosen]:
            dock.competitors.add_model(str(model))
        self._dock.status.show_hint(
            f"{found.count} picture{'s' * (found.count != 1)} that it did not learn from "
            f"wait{'s' * (found.count == 1)} in the Evaluate dock."
        )


def held_out_work(model: Path) -> Callable[[Report], HeldOut]:
    """Return work that puts the validation pictures of a run, with their masks, into folders.

    Parameters
    ----------
    model : Path
        The folder of the run, which tells data and split.

    Returns
    -------
    callable
    """

    def work(report: Report) -> HeldOut:
        report(Progress("looking at the data", 0, 0))
        from ..models.bundle import read_card
        from ..training.config import TrainConfig
        from ..training.pairs import find_pairs
        from ..training.split import split_pairs

        config = TrainConfig.from_toml(model / "train.toml")
        card = read_card(model)
        _, validate = split_pairs(find_pairs(config.data).pairs, config.data, config.run.seed)
        found = HeldOut()
        for number, pair in enumerate(validate):
            report(Progress("picture", number, len(validate)))
            if _write_pair(pair, config, card.class_map, found.images, found.labels):
                found.ignore = NOBODY_LOOKED
        found.count = len(validate)
        return found

    return work


def _write_pair(pair: Pair, config: TrainConfig, class_map: ClassMap, images: Path, labels: Path) -> bool:
    """Write one picture and its mask as class ids; tell whether some of it is not labelled."""
    from ..core.files import read_image, write_labels
    from ..training.dataset import read_target
    from ..training.losses import IGNORE

    image = read_image(pair.picture)
    target = read_target(pair, config.data, class_map, (image.height, image.width))
    unknown = target == IGNORE
    ids = np.array(class_map.ids)[np.where(unknown, 0, target)]
    gaps = bool(unknown.any())
    if gaps:
        ids = np.where(unknown, NOBODY_LOOKED, ids)
    write_labels(
        labels / f"{pair.name}.tif", ids.astype(np.uint16 if gaps else class_map.label_dtype), class_map
    )
    _link(pair.picture, images / f"{pair.name}{pair.picture.suffix}")
    return gaps


def _link(source: Path, target: Path) -> None:
    """Let a file stand in another folder too, without a copy where the disk can do that."""
    try:
        os.link(source, target)
    except OSError:
        if source.is_dir():  # OME-Zarr
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
