"""What is evaluated on: folders of labels and pictures, or labels that are open in the viewer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QFileDialog, QLineEdit, QRadioButton, QVBoxLayout, QWidget

from ..core.image import SpecimenLabels
from .dock import Dock, button, heading, row
from .evaluate_run import Competitor, OpenPicture
from .family import labels_of, picture_below, picture_for
from .layer_picker import LayerPicker
from .pictures import picture_of

if TYPE_CHECKING:
    from napari.layers import Labels, Layer


class FolderLine(QWidget):
    """A line for a folder, and a button to choose it.

    Signals
    -------
    changed
        Another folder.
    """

    changed = Signal()

    def __init__(self, name: str, tip: str, near: Callable[[], Path | None] = lambda: None) -> None:
        super().__init__()
        self._near = near
        self._tip = tip
        self._stands_for: tuple[str, Path] | None = None  # what the line shows instead of a path
        self.line = QLineEdit()
        self.line.setToolTip(tip)
        self.line.setPlaceholderText(tip)
        self.line.setAccessibleName(name)
        self.line.editingFinished.connect(self.changed)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addLayout(row(heading(name), self.line, button("…", self.ask, tip), stretch=1))

    @property
    def path(self) -> Path | None:
        """The folder, or None."""
        text = self.line.text().strip()
        if self._stands_for is not None and text == self._stands_for[0]:
            return self._stands_for[1]
        return Path(text).expanduser() if text else None

    def choose(self, path: Path | str | None, name: str = "") -> None:
        """Choose a folder.

        Parameters
        ----------
        path : path-like or None
        name : str
            What the line shows for a folder whose path tells people nothing.
        """
        text = "" if path is None else str(path)
        self._stands_for = (name, Path(text)) if name and text else None
        self.line.setText(name if self._stands_for else text)
        self.line.setToolTip(f"{self._tip}\n{text}" if self._stands_for else self._tip)
        self.changed.emit()

    def ask(self) -> None:
        """Ask for a folder."""
        near = self.path or self._near()
        found = QFileDialog.getExistingDirectory(self, self._tip, str(near or ""))
        if found:
            self.choose(found)


class EvaluateData(QWidget):
    """Folders, or an open Labels layer with its picture.

    Parameters
    ----------
    dock : Dock
        Whose viewer has the layers.

    Signals
    -------
    changed
        Something else is chosen.
    """

    changed = Signal()

    def __init__(self, dock: Dock) -> None:
        super().__init__()
        self._viewer = dock.viewer
        self.from_folders = QRadioButton("folders")
        self.from_layer = QRadioButton("open labels")
        self.from_folders.setChecked(True)
        group = QButtonGroup(self)
        group.addButton(self.from_folders)
        group.addButton(self.from_layer)
        self.labels = FolderLine("Truth", "Folder of the true labels")
        self.images = FolderLine("Pictures", "Folder of the pictures", lambda: self._beside("images"))
        self.picker = LayerPicker(dock, is_labels, "truth")
        self._layer_row = QWidget()
        box = QVBoxLayout(self._layer_row)
        box.setContentsMargins(0, 0, 0, 0)
        box.addLayout(row(heading("Truth"), self.picker, stretch=1))
        self._arrange()
        group.buttonToggled.connect(lambda _, on: self._on_source() if on else None)
        self.labels.changed.connect(self._on_labels)
        self.images.changed.connect(self.changed)
        self.picker.layer_changed.connect(lambda _: self.changed.emit())
        self._on_source()

    def _arrange(self) -> None:
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addLayout(row(heading("On"), self.from_folders, self.from_layer, stretch=2))
        for part in (self.labels, self.images, self._layer_row):
            box.addWidget(part)

    def _on_source(self) -> None:
        folders = self.from_folders.isChecked()
        for part, shown in ((self.labels, folders), (self.images, folders), (self._layer_row, not folders)):
            part.setVisible(shown)
        self.changed.emit()

    def _on_labels(self) -> None:
        """Propose the folder ``images`` beside ``labels``, as data sets have it."""
        beside = self._beside("images")
        if self.images.path is None and beside is not None:
            self.images.choose(beside)
            return
        self.changed.emit()

    def _beside(self, name: str) -> Path | None:
        labels = self.labels.path
        found = None if labels is None else labels.parent / name
        return found if found is not None and found.is_dir() and found != labels else None

    @property
    def is_empty(self) -> bool:
        """Whether no truth is chosen."""
        return self.labels.path is None if self.from_folders.isChecked() else self.picker.layer is None

    def take_layers(self) -> None:
        """Choose labels that are open, if no folder is chosen."""
        if self.is_empty and self.picker.layer is not None:
            self.from_layer.setChecked(True)

    def open_picture(self) -> OpenPicture | None:
        """Return the open truth with its picture; None where folders or nothing are chosen."""
        layer = self.picker.layer
        if self.from_folders.isChecked() or layer is None:
            return None
        truth = labels_of(layer, self._viewer)
        picture = picture_for(self._viewer, layer) or picture_below(self._viewer, layer)
        return OpenPicture(truth.name, truth, None if picture is None else picture_of(picture))

    def other_labels(self) -> list[Labels]:
        """Return the open labels that may be evaluated against the chosen ones."""
        if self.from_folders.isChecked():
            return []
        return [layer for layer in self.picker.layers if layer is not self.picker.layer]

    def take(self, layer: Labels) -> Competitor:
        """Return open labels as something to evaluate."""
        labels: SpecimenLabels = labels_of(layer, self._viewer)
        return Competitor(layer.name, labels=labels)


def is_labels(layer: Layer) -> bool:
    """Tell whether a layer is a Labels layer."""
    from napari.layers import Labels

    return isinstance(layer, Labels)
