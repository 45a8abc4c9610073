"""Which model to use: bundled ones, own ones, or a folder; with its card."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QPushButton, QVBoxLayout, QWidget

from ..core.errors import SpecimenError
from ..models.bundle import is_bundle, read_card
from ..models.card import ModelCard
from ..models.library import find_model, list_models
from .card_view import CardView, summary
from .dock import quiet, row, slim
from .library_events import library_events

MORE = "Get more models…"
CHOOSE = "Choose folder…"


class ModelPicker(QWidget):
    """A combo box of models, a line about the chosen one, and its card to unfold.

    Signals
    -------
    model_changed
        Another model is chosen, or none that can be read.
    refused
        A model cannot be used; carries the error.
    more_asked
        The person wants models that are not here yet.
    """

    model_changed = Signal()
    refused = Signal(object)
    more_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.card: ModelCard | None = None
        self.problem: SpecimenError | None = None
        self._paths: list[Path] = []
        self._last = 0
        self.combo = slim(QComboBox())
        self.combo.setAccessibleName("Model")
        self.combo.setToolTip("The model that finds the classes")
        self.info = QPushButton("i")
        self.info.setCheckable(True)
        self.info.setFixedWidth(26)
        self.info.setToolTip("What this model finds, learned from and may be used for")
        self.info.setAccessibleName("About the model")
        self.about = quiet()
        self.view = CardView()
        self.view.setVisible(False)
        self.info.toggled.connect(self.view.setVisible)
        self.combo.activated.connect(self._on_activated)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addLayout(row(self.combo, self.info))
        box.addWidget(self.about)
        box.addWidget(self.view)
        for entry in list_models():
            self._add(entry.name, entry.path)
        self._finish_list()
        library_events().changed.connect(self.refresh)

    @property
    def path(self) -> Path | None:
        """The folder of the chosen model."""
        index = self.combo.currentIndex()
        return self._paths[index] if 0 <= index < len(self._paths) else None

    @property
    def name(self) -> str:
        """What the command line calls the chosen model: its name where it has one, else its folder."""
        path = self.path
        if path is None:
            return ""
        return next((entry.name for entry in list_models() if entry.path == path), str(path))

    def choose(self, model: str | Path) -> bool:
        """Choose a model by name or folder.

        Parameters
        ----------
        model : str or Path

        Returns
        -------
        bool
            Whether there is such a model; if not, `refused` tells why and nothing changes.
        """
        try:
            path = find_model(model)
            read_card(path)
        except SpecimenError as error:
            self.refused.emit(error)
            return False
        if path not in self._paths:
            with QSignalBlocker(self.combo):
                self._paths.append(path)
                self.combo.insertItem(len(self._paths) - 1, path.name)
                self.combo.setItemData(len(self._paths) - 1, str(path), 3)
        self.combo.setCurrentIndex(self._paths.index(path))
        self._show()
        return True

    def refresh(self) -> None:
        """Read the list of models anew; the chosen one stays chosen if it is still there."""
        before, listed = self.path, {entry.path: entry.name for entry in list_models()}
        kept = [path for path in self._paths if path not in listed and is_bundle(path)]
        with QSignalBlocker(self.combo):
            self.combo.clear()
            self._paths = []
            for path, name in (*listed.items(), *((path, path.name) for path in kept)):
                self._add(name, path)
            self.combo.addItems([MORE, CHOOSE])
            self.combo.setCurrentIndex(self._paths.index(before) if before in self._paths else 0)
        if not self._paths:
            self._show_none()
            self.model_changed.emit()
        elif before not in self._paths:  # or settings made for the chosen model would be lost
            self._show()
        self._last = self.combo.currentIndex()

    def _add(self, name: str, path: Path) -> None:
        self._paths.append(path)
        self.combo.addItem(name)
        self.combo.setItemData(len(self._paths) - 1, str(path), 3)

    def _finish_list(self) -> None:
        self.combo.addItems([MORE, CHOOSE])
        if self._paths:
            self._show()
        else:
            self._show_none()

    def _show_none(self) -> None:
        self.card, self.problem = None, None
        self.combo.setCurrentIndex(-1)
        self.combo.setPlaceholderText("no model yet")
        self.about.setText("No model is installed. Get one, or choose a model folder.")

    def _on_activated(self, index: int) -> None:
        if index < len(self._paths):
            self._show()
            return
        self.combo.setCurrentIndex(self._last if self._paths else -1)
        if index == len(self._paths):
            self.more_asked.emit()
            return
        folder = QFileDialog.getExistingDirectory(self, "Choose a model folder")
        if folder:
            self.choose(Path(folder))

    def _show(self) -> None:
        """Read the card of the chosen model, which takes milliseconds, and show it."""
        self._last = self.combo.currentIndex()
        path = self.path
        assert path is not None
        try:
            self.card, self.problem = read_card(path), None
        except SpecimenError as error:
            self.card, self.problem = None, error
            self.refused.emit(error)
        self.about.setText(summary(self.card) if self.card else "This model cannot be used.")
        self.info.setEnabled(self.card is not None)
        if self.card is not None:
            self.view.show_card(self.card)
        else:
            self.info.setChecked(False)
        self.model_changed.emit()
