"""The competitors of the Evaluate dock as chips: models, folders of masks, open labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton, QSizePolicy, QWidget
from superqt import QFlowLayout

from ..core.errors import SpecimenError, one_line
from ..evaluation.compare import names_for
from ..evaluation.plots import MODEL_COLORS
from ..models.bundle import read_card
from ..models.library import find_model, list_models
from .evaluate_run import Competitor
from .legend import swatch

if TYPE_CHECKING:
    from napari.layers import Labels


class Competitors(QWidget):
    """Chips with a cross to remove them, and a button to add one.

    Parameters
    ----------
    open_labels : callable
        Returns the Labels layers that may be evaluated.
    take : callable
        Turns a Labels layer into what is evaluated.

    Signals
    -------
    changed
        A competitor was added or removed.
    refused
        A model cannot be used; carries the error.
    """

    changed = Signal()
    refused = Signal(object)

    def __init__(self, open_labels: Callable[[], list[Labels]], take: Callable[[Labels], Competitor]) -> None:
        super().__init__()
        self._open_labels = open_labels
        self._take = take
        self.chosen: list[Competitor] = []
        self.chips: list[QPushButton] = []
        self._flow = QFlowLayout(self)
        self._flow.setContentsMargins(0, 0, 0, 0)
        self._flow.setHorizontalSpacing(3)
        self._flow.setVerticalSpacing(3)
        self.add = QPushButton("Add")
        self.add.setToolTip("A model, or masks, to evaluate; with several they are compared")
        self.menu = QMenu(self.add)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.add.setMenu(self.menu)
        self._flow.addWidget(self.add)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def _fill_menu(self) -> None:
        self.menu.clear()
        for entry in list_models():
            self._action(entry.name, partial(self.add_model, entry.name))
        self._action("Model folder…", self._ask_model)
        self.menu.addSeparator()
        self._action("Folder of masks…", self._ask_masks)
        for layer in self._open_labels():
            self._action(f"Layer: {one_line(layer.name, 40)}", partial(self.add_layer, layer))

    def _action(self, text: str, do: Callable[[], object]) -> None:
        self.menu.addAction(text.replace("&", "&&")).triggered.connect(lambda *_: do())

    def _ask_model(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Choose a model folder")
        if folder:
            self.add_model(folder)

    def _ask_masks(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Choose a folder of masks")
        if folder:
            self.add_masks(Path(folder))

    def add_model(self, model: str) -> bool:
        """Add a model by name or folder; return False, and tell why, if there is no such model."""
        try:
            read_card(find_model(model))
        except SpecimenError as error:
            self.refused.emit(error)
            return False
        self._add(Competitor(self._free_name(model), model=model))
        return True

    def add_masks(self, folder: Path) -> None:
        """Add a folder of masks."""
        self._add(Competitor(self._free_name(str(folder)), masks=folder))

    def add_layer(self, layer: Labels) -> None:
        """Add labels that are open in the viewer."""
        self._add(self._take(layer))

    def remove(self, name: str) -> None:
        """Remove a competitor by its name."""
        self.chosen = [competitor for competitor in self.chosen if competitor.name != name]
        self._show()

    def _free_name(self, model: str) -> str:
        wanted = names_for([model])[0]
        taken = {competitor.name for competitor in self.chosen}
        numbered = (f"{wanted} {number}" for number in range(2, len(taken) + 3))
        return next(name for name in (wanted, *numbered) if name not in taken)

    def _add(self, competitor: Competitor) -> None:
        if competitor.name in {other.name for other in self.chosen}:
            return
        self.chosen.append(competitor)
        self._show()

    def _show(self) -> None:
        for chip in self.chips:
            self._flow.removeWidget(chip)
            chip.hide()  # it is deleted only when Qt gets round to it
            chip.deleteLater()
        self._flow.removeWidget(self.add)
        self.chips = [self._chip(place, competitor) for place, competitor in enumerate(self.chosen)]
        for chip in self.chips:
            self._flow.addWidget(chip)
        self._flow.addWidget(self.add)
        self.updateGeometry()
        self.changed.emit()

    def _chip(self, place: int, competitor: Competitor) -> QPushButton:
        color = MODEL_COLORS[place % len(MODEL_COLORS)]
        chip = QPushButton(swatch(color), f"{one_line(competitor.name, 24)}  ✕".replace("&", "&&"))
        first = "; the others are compared with it" if place == 0 else ""
        chip.setToolTip(f"{competitor.model or competitor.masks or competitor.name}{first}. Click to remove.")
        chip.setAccessibleName(f"Remove {competitor.name}")
        chip.clicked.connect(lambda *_: self.remove(competitor.name))
        return chip
