"""The upper half of the Train dock: data, what to start from, settings, and what can be tried before."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QLineEdit, QVBoxLayout, QWidget

from ..core.errors import SpecimenError
from ..core.temporary import temporary_folder
from ..models.library import own_folder
from ..training.config import TrainConfig
from .dock import Dock, button, heading, row
from .empty import EmptyState
from .memory import recall, remember
from .reproduce import Recipe
from .train_data import DataPicker
from .train_layers import write_open
from .train_preview import PreviewWindow
from .train_rate import RatePanel
from .train_recipe import base_of, data_folder, default_out, remembered, train_recipe
from .train_settings import TrainSettings
from .train_start import RecipePicker, StartPicker

if TYPE_CHECKING:
    from napari.viewer import Viewer

NOWHERE = Path()

NOTHING = (
    "A model learns from pictures with labels: choose their folder, or open pictures and paint a Labels "
    "layer above each. For one picture and a few strokes, choose Learn from strokes."
)


class NothingYet(EmptyState):
    """What the Train dock shows while there is nothing to learn from.

    Parameters
    ----------
    dock : Dock
    choose, attach : callable
        Ask for a folder of pictures, and for that of a run.
    """

    def __init__(self, dock: Dock, choose: Callable[[], object], attach: Callable[[], object]) -> None:
        ways = (
            ("Choose folder…", "A folder of pictures; their masks may lie beside it", choose),
            ("Watch a run…", "Watch a training that goes on elsewhere", attach),
        )
        super().__init__(dock, NOTHING, ways=ways, labelled=True)


class Setup(QWidget):
    """Everything that is chosen before a training.

    Parameters
    ----------
    viewer : napari.Viewer

    Signals
    -------
    data_changed
        Other data are chosen, or they mean something else.
    changed
        A setting changed.
    refused
        Something cannot be used; carries the error.
    """

    data_changed = Signal()
    changed = Signal()
    refused = Signal(object)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._place: Path | None = NOWHERE
        self._scratch: Path | None = None
        self.settings = TrainSettings()
        self.data = DataPicker(viewer, self.settings.data)
        self.start_from = StartPicker()
        self.recipe = RecipePicker()
        self.out = QLineEdit()
        self.out.setToolTip("Name of the new model, or a folder")
        self.out.setAccessibleName("Model")
        self.choose_out = button("…", self._ask_out, "Choose the folder of the new model")
        self.preview = button("Preview…", self.open_preview, "Twelve varied samples with their labels")
        self.find_rate = button("Find rate", lambda: None, "Find a good learning rate")
        self.attach = button("Watch a run…", lambda: None, "Watch a training that goes on elsewhere")
        self.rate = RatePanel(viewer)
        self.samples = PreviewWindow(viewer, partial(self.prepared, "preview"), self)
        self._arrange()
        self._connect()
        self.show_base(keep=False)
        self.show_default_out()

    def _arrange(self) -> None:
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        box.addWidget(self.data)
        box.addLayout(row(heading("2 Start"), self.start_from, stretch=1))
        box.addLayout(row(heading("Recipe"), self.recipe, stretch=1))
        box.addLayout(row(heading("Model"), self.out, self.choose_out, stretch=1))
        box.addLayout(row(self.preview, self.find_rate, self.attach, stretch=2))
        for part in (self.rate, self.settings):
            box.addWidget(part)

    def _connect(self) -> None:
        self.data.changed.connect(self._on_data)
        for refused in (self.data.refused, self.start_from.refused):
            refused.connect(self.refused)
        self.recipe.currentTextChanged.connect(lambda _: self.show_base(keep=False))
        self.start_from.model_changed.connect(lambda: self.show_base(keep=True))
        self.settings.changed.connect(self._on_setting)
        self.out.textChanged.connect(lambda _: self.changed.emit())
        self.rate.rate_taken.connect(lambda rate: self.settings.set("learn", lr=rate))

    # -- what changed --------------------------------------------------------------------------------

    def _on_data(self) -> None:
        self.show_default_out()
        self.show_base(keep=True)
        if self.data.place != self._place:
            self._place = self.data.place
            self._recall()
        self.data_changed.emit()

    def show_base(self, *, keep: bool) -> None:
        """Show recipe and model; what the person changed stays unless another recipe is chosen."""
        try:
            base = base_of(
                self.recipe.recipe, self.start_from.model, self.data.class_map, layers=self.data.uses_layers
            )
        except SpecimenError as error:
            self.refused.emit(error)
            return
        if not keep or base != self.settings.base:  # else a text that is being typed would be set anew
            self.settings.show_base(base, keep=keep)

    def _on_setting(self) -> None:
        self.data.show_zero()
        self.samples.on_setting()
        self.changed.emit()

    def show_default_out(self) -> None:
        """Show what the model will be called if the person names it not."""
        self.out.setPlaceholderText(default_out(self.data.place).name)

    # -- what is chosen ------------------------------------------------------------------------------

    def config(self, folder: Path | None = None) -> TrainConfig:
        """Return the settings as they stand.

        Parameters
        ----------
        folder : Path, optional
            Where open layers are written to; beside the new model if None.

        Returns
        -------
        TrainConfig

        Raises
        ------
        SpecimenError
            If nothing is chosen to learn from, or a value is not allowed.
        """
        data = self.data.paths(folder or data_folder(self.out_folder()))
        return self.settings.base.changed(self.settings.values()).changed({"data": data})

    def prepared(self, what: str) -> tuple[TrainConfig, Callable[[], Any]]:
        """Return settings for work before training, and what writes open layers to where they point.

        Parameters
        ----------
        what : str
            Each kind of work has a folder of its own.
        """
        if self._scratch is None:
            self._scratch = temporary_folder(self)
        place = self._scratch / what
        config, taken = self.config(place), self.data.take()
        return config, partial(write_open, taken, place) if taken else lambda: None

    def out_folder(self) -> Path:
        """Return the folder of the model to be made."""
        text = self.out.text().strip()
        path = Path(text).expanduser() if text else default_out(self.data.place)
        return path if path.is_absolute() else own_folder() / path

    def _ask_out(self) -> None:
        options = QFileDialog.Option.ShowDirsOnly | QFileDialog.Option.DontConfirmOverwrite
        proposed = str(self.out_folder())
        folder, _ = QFileDialog.getSaveFileName(
            self, "Folder of the new model", proposed, "", options=options
        )
        if folder:
            self.out.setText(folder)

    def recipe_text(self) -> Recipe:
        """Return the command line and the settings of what the dock would do now."""
        out = self.out_folder()
        try:
            return train_recipe(
                self.config(), out, layers=data_folder(out) if self.data.uses_layers else None
            )
        except SpecimenError as error:
            return Recipe("", "", str(error))

    # -- before training -----------------------------------------------------------------------------

    def open_preview(self) -> None:
        """Show twelve varied samples with their labels."""
        try:
            self.prepared("preview")
        except SpecimenError as error:
            self.refused.emit(error)
            return
        self.samples.open()

    # -- what was chosen for this folder before --------------------------------------------------------

    def remember(self) -> None:
        """Remember everything for these pictures."""
        values = remembered(self.recipe.currentText(), self.start_from.model, self.settings)
        remember("train", self.data.place, values)

    def _recall(self) -> None:
        """Take up what was set for these pictures before."""
        before = recall("train", self.data.place)
        changes = before.get("changes")
        if not isinstance(changes, dict):
            return
        self.recipe.setCurrentText(str(before.get("recipe", "")))
        model = str(before.get("start_from", ""))
        if model in self.start_from.models:  # one that is gone by now is no error
            self.start_from.choose(model)
        try:
            values = self.settings.base.changed(changes)
        except SpecimenError:
            return  # settings of another version
        known = {group: fields for group, fields in changes.items() if isinstance(fields, dict)}
        self.settings.set_values(
            {g: {name: getattr(getattr(values, g), name) for name in fields} for g, fields in known.items()}
        )

    def shut_down(self) -> None:
        """Close what belongs to it."""
        self.samples.shut_down()
