"""What comes after a training: the pictures that it did not learn from, for evaluating it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.progress import Progress, Report

if TYPE_CHECKING:
    from ..core.classes import ClassMap
    from ..training.config import TrainConfig
    from ..training.pairs import Pair

NOBODY_LOOKED = 65535
"""Value of pixels that are not labelled, in the masks written here."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Pictures that a model did not learn from.

    Parameters
    ----------
    images, labels : Path
        Folders.
    count : int
        How many pictures.
    ignore : int, optional
        Value of pixels that are not labelled.
    """

    images: Path
    labels: Path
    count: int
    ignore: int | None


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
        place = Path(tempfile.mkdtemp(prefix=f"{card.name}-validation-"))
        images, labels = place / "images", place / "labels"
        for folder in (images, labels):
            folder.mkdir()
        gaps = False
        for number, pair in enumerate(validate):
            report(Progress("picture", number, len(validate)))
            gaps |= _write_pair(pair, config, card.class_map, images, labels)
        return HeldOut(images, labels, len(validate), NOBODY_LOOKED if gaps else None)

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
