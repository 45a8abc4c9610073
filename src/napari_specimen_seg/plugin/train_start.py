"""What a training starts from: a recipe, and a model that already knows something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog

from ..core.errors import SpecimenError
from ..core.input_settings import FixedResize, Tiles
from ..models.bundle import read_card
from ..models.library import find_model, list_models
from ..training.config import TrainConfig
from ..training.recipes import RECIPES
from .dock import slim
from .library_events import library_events

SCRATCH, GENERAL, FOLDER = "from scratch", "general", "Model folder…"
TOOLTIP = 3


class StartPicker(QComboBox):
    """From scratch, from a model of the library, or from a model folder.

    Signals
    -------
    model_changed
        Something else is chosen.
    refused
        A folder holds no model; carries the error.
    """

    model_changed = Signal()
    refused = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        slim(self)
        self.setToolTip("A model that already knows similar pictures learns faster, and from fewer of them")
        self.setAccessibleName("Start from")
        self._models: list[str] = []
        self._own: list[str] = []
        self._last = 0
        self.refresh()
        self.activated.connect(self._on_activated)
        library_events().changed.connect(self.refresh)

    @property
    def model(self) -> str:
        """Name or folder of the model; empty for none."""
        return self._models[self._last]

    @property
    def models(self) -> list[str]:
        """What can be chosen; "" stands for none."""
        return list(self._models)

    def refresh(self) -> None:
        """Read the list of models anew; the chosen one stays chosen if it is still there."""
        before = self.model if self._models else ""
        listed = [entry.name for entry in list_models()]
        self._models = ["", *listed, *(m for m in self._own if m not in listed)]
        with QSignalBlocker(self):
            self.clear()
            for model in self._models:
                self.addItem(f"from {Path(model).name}" if model else SCRATCH)
                self.setItemData(self.count() - 1, model or "Nothing is known before", TOOLTIP)
            self.addItem(FOLDER)
            self._last = self._models.index(before) if before in self._models else 0
            self.setCurrentIndex(self._last)
        if before and before != self.model:
            self.model_changed.emit()

    def choose(self, model: str) -> bool:
        """Choose a model by name or folder, "" for none; return False, and tell why, if there is none."""
        if model:
            try:
                read_card(find_model(model))
            except SpecimenError as error:
                self.refused.emit(error)
                return False
            if model not in self._models:
                self._own.append(model)
                self.refresh()
        changed = self._last != self._models.index(model)
        self._last = self._models.index(model)
        self.setCurrentIndex(self._last)
        if changed:
            self.model_changed.emit()
        return True

    def _on_activated(self, index: int) -> None:
        if index < len(self._models):
            self._last, before = index, self._last
            if before != index:
                self.model_changed.emit()
            return
        self.setCurrentIndex(self._last)
        folder = QFileDialog.getExistingDirectory(self, "Choose a model folder")
        if folder:
            self.choose(folder)


class RecipePicker(QComboBox):
    """The named settings, each with a line about what it is."""

    def __init__(self) -> None:
        super().__init__()
        slim(self)
        self.setAccessibleName("Recipe")
        self.setToolTip("Named settings: network, size, augmentation, losses")
        for name, recipe in {GENERAL: TrainConfig(), **RECIPES}.items():
            self.addItem(name)
            self.setItemData(self.count() - 1, recipe_line(recipe), TOOLTIP)

    @property
    def recipe(self) -> TrainConfig:
        """The chosen settings."""
        return RECIPES.get(self.currentText(), TrainConfig())


def recipe_line(recipe: TrainConfig) -> str:
    """Return in one line what a recipe is: network, channels, size, epochs."""
    geometry: Any = recipe.input.geometry
    if isinstance(geometry, Tiles):
        size = f"tiles of {geometry.size}"
    elif isinstance(geometry, FixedResize):
        size = f"stretched to {geometry.height} × {geometry.width}"
    else:
        size = f"padded to {geometry.size} × {geometry.size}"
    epochs = recipe.learn.epochs + recipe.learn.frozen_epochs
    network = f"{recipe.network.architecture} with {recipe.network.encoder}"
    return f"{network} · {recipe.input.channels} · {size} · {epochs} epochs"
