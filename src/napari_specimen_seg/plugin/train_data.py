"""What is trained on: folders, or pictures and labels that are open in the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QFileDialog,
    QListWidget,
    QListWidgetItem,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from ..core.errors import SpecimenError
from ..core.progress import Progress, Report
from .dock import button, quiet, row
from .pictures import labels_array, picture_of, plane_shape

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from ..training.config import TrainConfig


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at the data found.

    Parameters
    ----------
    pairs, learn, validate : int
        Numbers of pictures.
    classes : tuple of str
    findings : tuple of (str, str, tuple of Path)
        Severity, text and files.
    """

    pairs: int
    learn: int
    validate: int
    classes: tuple[str, ...]
    findings: tuple[tuple[str, str, tuple[Path, ...]], ...]


def look_at(config: TrainConfig, report: Report) -> Looked:
    """Check the data that a training would use.

    Parameters
    ----------
    config : TrainConfig
    report : callable

    Returns
    -------
    Looked

    Raises
    ------
    SpecimenError
        If nothing can be paired or split.
    """
    from ..training.pairs import find_pairs
    from ..training.preflight import inspect
    from ..training.run import class_map_of
    from ..training.split import split_pairs

    report(Progress("looking at the data", 0, 0))
    found = find_pairs(config.data)
    class_map = config.data.class_map or class_map_of(config, found.pairs)
    learn, validate = split_pairs(found.pairs, config.data, config.run.seed)
    findings = inspect(found, learn, validate, config, class_map)
    return Looked(
        len(found.pairs),
        len(learn),
        len(validate),
        tuple(c.name for c in class_map.foreground),
        tuple((f.severity, f.what, f.files) for f in findings),
    )


def layer_pairs(viewer: Viewer) -> list[tuple[Image, Labels]]:
    """Return labels with the picture that they belong to: the nearest one below of the same size."""
    from napari.layers import Image, Labels

    pairs = []
    for index, labels in enumerate(viewer.layers):
        if not isinstance(labels, Labels):
            continue
        for below in reversed(viewer.layers[:index]):
            if isinstance(below, Image) and not plane_shape(below):
                picture = picture_of(below)
                if (picture.height, picture.width) == tuple(labels_array(labels).shape):
                    pairs.append((below, labels))
                    break
    return pairs


def save_layers(pairs: list[tuple[Image, Labels]], folder: Path) -> tuple[Path, Path]:
    """Write open pictures and labels as the files that a training reads.

    Parameters
    ----------
    pairs : list of (Image, Labels)
    folder : Path
        Made; files of an earlier training from layers are replaced.

    Returns
    -------
    images, labels : Path
        The two folders.
    """
    import tifffile

    from ..core.classes import ClassMap
    from ..core.files import write_labels
    from ..core.files.atomic import atomic

    images, masks = folder / "images", folder / "labels"
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    for number, (picture, labels) in enumerate(pairs):
        name = f"{number:03}-{''.join(c if c.isalnum() else '_' for c in picture.name)[:60]}.tif"
        image = picture_of(picture)
        with atomic(images / name, overwrite=True) as path:
            data = np.asarray(image.data)
            tifffile.imwrite(
                path, data, photometric="rgb" if data.ndim == 3 and data.shape[-1] in (3, 4) else None
            )
        stored = labels.metadata.get("class_map")
        class_map = stored if isinstance(stored, ClassMap) else None
        write_labels(masks / name, np.asarray(labels_array(labels)), class_map, overwrite=True)
    return images, masks


class DataPicker(QWidget):
    """Folders or layers, what was found in them, and the offenders one click away.

    Parameters
    ----------
    viewer : napari.Viewer

    Signals
    -------
    changed
        Other data are chosen.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.images: Path | None = None
        self.labels: Path | None = None
        self.from_folders = QRadioButton("folders")
        self.from_layers = QRadioButton("open layers")
        self.from_folders.setChecked(True)
        group = QButtonGroup(self)
        group.addButton(self.from_folders)
        group.addButton(self.from_layers)
        self.choose_images = button("Pictures…", self._ask_images, "Folder of the pictures")
        self.choose_labels = button(
            "Masks…", self._ask_labels, "Folder of the masks, named like the pictures"
        )
        self.about = quiet("Choose a folder of pictures and a folder of masks.")
        self.findings = QListWidget()
        self.findings.setMaximumHeight(88)
        self.findings.setWordWrap(True)
        self.findings.setVisible(False)
        self.findings.itemClicked.connect(self._open)
        self.from_folders.toggled.connect(self._on_source)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addLayout(row(self.from_folders, self.from_layers, stretch=2))
        box.addLayout(row(self.choose_images, self.choose_labels))
        box.addWidget(self.about)
        box.addWidget(self.findings)

    def use_folders(self, images: Path, labels: Path | None) -> None:
        """Choose folders."""
        self.images, self.labels = images, labels
        self.from_folders.setChecked(True)
        self._on_source()

    @property
    def is_ready(self) -> bool:
        """Whether there is something to look at."""
        if self.from_folders.isChecked():
            return self.images is not None
        return bool(layer_pairs(self._viewer))

    def settings(self, folder: Path) -> dict[str, Any]:
        """Return the data settings; open layers are written into `folder` first.

        Raises
        ------
        SpecimenError
            If nothing is chosen.
        """
        if self.from_folders.isChecked():
            if self.images is None:
                raise SpecimenError("no pictures are chosen", advice="Choose a folder of pictures.")
            return {"images": self.images, "labels": self.labels}
        pairs = layer_pairs(self._viewer)
        if len(pairs) < 2:
            raise SpecimenError(
                "training needs at least two pictures with a Labels layer each",
                advice="Open and label more pictures.",
            )
        images, labels = save_layers(pairs, folder)
        return {"images": images, "labels": labels}

    def show_found(self, looked: Looked) -> None:
        """Show what a look at the data found."""
        self.about.setText(
            f"{looked.pairs} pairs · {len(looked.classes)} classes · "
            f"{looked.learn} to learn from, {looked.validate} to validate on"
        )
        self.findings.clear()
        for severity, text, files in looked.findings:
            item = QListWidgetItem(("✖ " if severity == "error" else "▲ ") + text)
            item.setData(0x0100, [str(path) for path in files])
            item.setToolTip(text)
            self.findings.addItem(item)
        self.findings.setVisible(bool(looked.findings))

    def _open(self, item: QListWidgetItem) -> None:
        for path in item.data(0x0100) or []:
            if Path(path).is_file():
                self._viewer.open(path, plugin="napari-specimen-seg")

    def _on_source(self) -> None:
        folders = self.from_folders.isChecked()
        for widget in (self.choose_images, self.choose_labels):
            widget.setVisible(folders)
        self.findings.setVisible(False)
        if folders:
            names = [p.name for p in (self.images, self.labels) if p is not None]
            self.about.setText(" + ".join(names) or "Choose a folder of pictures and a folder of masks.")
        else:
            pairs = layer_pairs(self._viewer)
            self.about.setText(
                f"{len(pairs)} pairs of picture and labels are open."
                if pairs
                else "Open pictures, and above each a Labels layer of its size."
            )
        self.changed.emit()

    def _ask_images(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of pictures")
        if folder:
            guess = Path(folder).parent / "labels"
            self.use_folders(Path(folder), self.labels or (guess if guess.is_dir() else None))

    def _ask_labels(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of masks")
        if folder:
            self.labels = Path(folder)
            self._on_source()
