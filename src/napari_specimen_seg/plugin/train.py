"""The Train dock: from labelled pictures to a model, watched while it learns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QLineEdit, QMessageBox, QVBoxLayout, QWidget

from ..core.classes import PRESETS, ClassMap
from ..core.errors import SpecimenError
from ..core.progress import Progress
from ..training.config import LearnSettings, TrainConfig
from ..training.recipes import RECIPES
from .dock import Dock, button, fold, heading, open_dock, primary, row, slim
from .forms import SettingsForm
from .library_events import library_events
from .reproduce import Recipe, Reproduce
from .status import duration
from .train_curves import Curves
from .train_data import DataPicker, Looked, look_at
from .train_watch import Watcher

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

HINT = "Choose labelled pictures, then press Train."
SCRATCH, GENERAL = "from scratch", "general"

LEARN_FIELDS = (
    "epochs", "lr", "batch_size", "frozen_epochs", "freeze_encoder", "optimizer", "schedule", "precision",
    "ema", "patience", "class_weights", "rare_patches",
)  # fmt: skip


class TrainDock(Dock):
    """Trains a model on labelled pictures, in a process of its own.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, HINT)
        self._shown_picture = ""
        self._class_map = PRESETS["specimen"]
        self._epochs = 1
        self._looked: Looked | None = None
        self._make_controls()
        self._arrange()
        self._connect()
        self._on_recipe()

    # -- layout ------------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        from ..models.library import list_models

        self.data = DataPicker(self.viewer)
        self.start_from = slim(QComboBox())
        self.start_from.addItems([SCRATCH, *(f"from {entry.name}" for entry in list_models())])
        self.start_from.setToolTip("A model that already knows similar pictures learns faster")
        self.recipe = slim(QComboBox())
        self.recipe.addItems([GENERAL, *RECIPES])
        self.recipe.setToolTip("Named settings: network, size, augmentation, losses")
        self.out = QLineEdit()
        self.out.setPlaceholderText("folder of the new model")
        self.choose_out = button("…", self._ask_out, "Choose the folder of the new model")
        self.preview = button("Preview…", self.preview_samples, "Twelve varied samples with their labels")
        self.find_rate = button("Find rate", self.find_learning_rate, "Find a good learning rate")
        self.form = SettingsForm(LearnSettings)
        self.form.show_fields(LEARN_FIELDS)
        self.form.controls["lr"].widget.setSingleStep(1e-4)
        self.go = primary("Train", self.train, "Learn from the pictures")
        self.stop = button("Stop and keep", self.stop_and_keep, "Stop after this batch; keep the best model")
        self.attach = button("Watch a run…", self._ask_attach, "Watch a training that goes on elsewhere")
        self.curves = Curves(self.viewer)
        self.overlay = QCheckBox("show the validation picture while training")
        self.overlay.setChecked(True)
        self.use = button("Use this model ▸", self.use_model, "Open the Segment dock with the new model")
        self.reproduce = Reproduce(self.recipe_text)
        self.watcher = Watcher(self)

    def _arrange(self) -> None:
        self.body.addLayout(row(heading("1 Data"), self.data, stretch=1))
        self.body.addLayout(row(heading("2 Start"), self.start_from, stretch=1))
        self.body.addLayout(row(heading("Recipe"), self.recipe, stretch=1))
        self.body.addLayout(row(heading("Model"), self.out, self.choose_out, stretch=1))
        self.body.addLayout(row(self.preview, self.find_rate, self.attach, stretch=2))
        more = QWidget()
        QVBoxLayout(more).addWidget(self.form)
        toggle, content = fold("More", more)
        self.body.addWidget(toggle)
        self.body.addWidget(content)
        self.body.addWidget(self.go)
        self.body.addWidget(self.stop)
        self.body.addWidget(self.status)
        self.body.addWidget(self.curves)
        self.body.addWidget(self.overlay)
        self.body.addLayout(row(self.use, self.reproduce.toggle))
        self.body.addWidget(self.reproduce)
        self.body.addStretch(1)
        self.stop.setVisible(False)
        self.use.setVisible(False)
        self.overlay.setVisible(False)

    def _connect(self) -> None:
        self.data.changed.connect(self.look)
        self.recipe.currentTextChanged.connect(lambda _: self._on_recipe())
        self.start_from.currentTextChanged.connect(lambda _: self.reproduce.refresh())
        self.form.changed.connect(self.reproduce.refresh)
        self.watcher.told.connect(self.on_event)
        self.watcher.ended.connect(self.on_end)
        self.follow(self.viewer.layers.events.inserted, self._on_layers)
        self.follow(self.viewer.layers.events.removed, self._on_layers)
        self._guard = _CloseGuard(self)
        self.viewer.window._qt_window.installEventFilter(self._guard)

    def _on_layers(self, event: Any = None) -> None:
        del event
        if self.data.from_layers.isChecked():
            self.data._on_source()

    # -- settings ----------------------------------------------------------------------------------

    def _on_recipe(self) -> None:
        self.form.set_values(self._base().learn.model_dump())
        self.reproduce.refresh()

    def _base(self) -> TrainConfig:
        return RECIPES.get(self.recipe.currentText(), TrainConfig())

    def config(self) -> TrainConfig:
        """Return the settings as they stand.

        Raises
        ------
        SpecimenError
            If nothing is chosen to learn from, or a value is not allowed.
        """
        from ..training.start import taken_over

        config = self._base()
        data = self.data.settings(self.out_folder().with_name(self.out_folder().name + "-data"))
        if self.recipe.currentText() == "herbarium":
            data["split"] = "random"  # by column only where a table says so
        config = config.changed({"data": data, "learn": self.form.values()})
        if self.start_from.currentText() != SCRATCH:
            config = taken_over(config, self.start_from.currentText().removeprefix("from "))
        return config

    def out_folder(self) -> Path:
        """Return the folder of the model to be made."""
        from ..models.library import own_folder

        text = self.out.text().strip()
        if not text:
            images = self.data.images
            text = f"{images.parent.name if images else 'my'}-model"
        path = Path(text)
        return path if path.is_absolute() else own_folder() / path

    def _ask_out(self) -> None:
        folder = QFileDialog.getSaveFileName(self, "Folder of the new model")[0]
        if folder:
            self.out.setText(folder)

    # -- before training ---------------------------------------------------------------------------

    def look(self) -> None:
        """Check the data off the GUI thread, and show what was found."""
        if self.job is not None or not self.data.is_ready or self.data.from_layers.isChecked():
            return
        try:
            config = self.config()
        except SpecimenError as error:
            self.show_error(error)
            return
        self.run("Look at the data", lambda report: look_at(config, report), self._on_looked, shown=False)

    def _on_looked(self, looked: Looked, warned: tuple[str, ...]) -> None:
        self._looked = looked
        self.data.show_found(looked)
        self.status.show_warnings(HINT, warned)

    def preview_samples(self) -> None:
        """Show twelve varied samples with their labels as two layers."""
        from .train_preview import samples_work, show_samples

        self._with_config("Preview", samples_work, lambda result, _: show_samples(self.viewer, result))

    def find_learning_rate(self) -> None:
        """Run the finder off the GUI thread; its suggestion goes into the form."""
        from .train_preview import rate_work

        def done(curve: Any, warned: tuple[str, ...]) -> None:
            self.form.set_values({"lr": curve.suggestion})
            self.status.show_warnings(f"Suggested learning rate {curve.suggestion:g} is set.", warned)

        self._with_config("Find the learning rate", rate_work, done)

    def _with_config(self, title: str, make: Any, then: Any) -> None:
        if self.job is not None:
            return
        try:
            config = self.config()
        except SpecimenError as error:
            self.show_error(error)
            return
        self.run(title, make(config), then)

    # -- training ----------------------------------------------------------------------------------

    def train(self) -> None:
        """Start the training, or go on with the unfinished one in the model's folder after asking."""
        from ..models.bundle import is_bundle
        from ..training.checkpoints import SETTINGS

        out = self.out_folder()
        resume = False
        if (out / SETTINGS).is_file() and not is_bundle(out):
            question = f"{out.name} holds an unfinished training. Go on with it?"
            resume = QMessageBox.question(self, "Train", question) == QMessageBox.StandardButton.Yes
        try:
            self.watcher.start(self.config(), out, resume=resume)
        except SpecimenError as error:
            self.show_error(error)
            return
        self._show_running()

    def _show_running(self) -> None:
        self.curves.clear_epochs()
        self.go.setEnabled(False)
        self.stop.setVisible(True)
        self.stop.setEnabled(True)
        self.stop.setText("Stop and keep")
        self.use.setVisible(False)
        self.overlay.setVisible(True)
        self.status.show_progress(Progress("starting", 0, 0))
        self.status.cancel.setVisible(False)  # Stop and keep stands for it

    def stop_and_keep(self) -> None:
        """Ask the run to stop and keep its best model."""
        self.stop.setText("Stopping…")
        self.stop.setEnabled(False)
        self.watcher.stop_and_keep()

    def _ask_attach(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of the run")
        if folder:
            self.watch(Path(folder))

    def watch(self, folder: Path) -> None:
        """Watch a run that goes on elsewhere."""
        try:
            self.watcher.attach(folder)
        except SpecimenError as error:
            self.show_error(error)
            return
        self.out.setText(str(folder))
        self._show_running()

    def on_event(self, event: dict[str, Any]) -> None:
        """Show what the run tells."""
        match event["event"]:
            case "started":
                self._shown_picture = event.get("shown", "")
                self._class_map = ClassMap.model_validate({"classes": event.get("classes", [])})
                self.curves.colors = {c.name: c.color for c in self._class_map}
                self._epochs = event["epochs"]
            case "step":
                self._show_step(event)
            case "epoch":
                self.curves.add_epoch(event)
                self._show_overlay()
            case "note":
                self.status.bar.setToolTip(event["text"])
            case "finished":
                self.use.setVisible(True)
                library_events().changed.emit()  # a new model may lie in the person's model folder
            case "failed":
                self.show_error(SpecimenError(event["text"]))

    def _show_step(self, event: dict[str, Any]) -> None:
        done = (event["epoch"] - 1) * event["steps"] + event["step"]
        total = self._epochs * event["steps"]
        bar = self.status.bar
        bar.setRange(0, total)
        bar.setValue(done)
        left = event["seconds_left"]
        text = f"epoch {event['epoch']} of {self._epochs}"
        bar.setFormat(text + (f" · {duration(left)} left" if math.isfinite(left) and left > 1 else ""))

    def _show_overlay(self) -> None:
        """Show the newest prediction of the validation picture over that picture."""
        run = self.watcher.run
        if run is None or not self.overlay.isChecked() or not self._shown_picture:
            return
        try:
            labels = np.load(run.folder / "checkpoints" / "shown.npy", allow_pickle=False)
        except (OSError, ValueError):
            return
        show_overlay(self.viewer, Path(self._shown_picture), labels, self._class_map)

    def on_end(self, problem: str) -> None:
        """Tidy up after the run's end."""
        self.go.setEnabled(True)
        self.stop.setVisible(False)
        if problem:
            self.show_error(SpecimenError(f"training ended early: {problem}"))
        elif not self.use.isHidden():
            best = next((e for e in reversed(self.curves.epochs) if e["best"]), None)
            score = f" Mean IoU {best['mean_iou']:.3f} on validation." if best else ""
            self.status.show_hint(f"Done.{score}")
        elif not self.status.bar.isHidden():
            self.status.show_hint("Stopped before there was a model to keep.")

    def use_model(self) -> None:
        """Open the Segment dock with the new model."""
        from .segment import SegmentDock

        run = self.watcher.run
        if run is not None:
            open_dock(self.viewer, SegmentDock, "Segment").models.choose(run.folder)

    # -- the end -----------------------------------------------------------------------------------

    def shut_down(self) -> None:
        """Stop watching; the run goes on unless the person chose otherwise."""
        self.watcher.let_go()
        self.viewer.window._qt_window.removeEventFilter(self._guard)
        super().shut_down()

    def ask_what_becomes_of_the_run(self) -> bool:
        """Ask before the window closes; return whether it may close."""
        box = QMessageBox(self)
        box.setWindowTitle("A training goes on")
        box.setText("What is to become of the training?")
        keep = box.addButton("Keep training", QMessageBox.ButtonRole.AcceptRole)
        stop = box.addButton("Stop and keep the best model", QMessageBox.ButtonRole.AcceptRole)
        discard = box.addButton("Discard", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.exec_() if hasattr(box, "exec_") else box.exec()
        chosen = box.clickedButton()
        if chosen is stop:
            self.watcher.stop_and_keep()
        elif chosen is discard:
            self.watcher.discard()
        return chosen in (keep, stop, discard)

    def recipe_text(self) -> Recipe:
        """Return the command line and the settings of what the dock would do now."""
        from ..batch.commands import quoted

        out = self.out_folder()
        try:
            settings = self.config().to_toml() if self.data.is_ready else self._base().to_toml()
        except SpecimenError as error:
            return Recipe("", "", str(error))
        command = quoted(["specimen-seg", "train", "--config", "train.toml", "-o", str(out)])
        return Recipe(command, settings, "Save the settings as train.toml first.")


class _CloseGuard(QObject):
    """Asks before napari is closed while a training goes on."""

    def __init__(self, dock: TrainDock) -> None:
        super().__init__(dock)
        self._dock = dock

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Refuse the close event if the person wants to stay."""
        del watched
        closing = event is not None and event.type() == QEvent.Type.Close
        asked = closing and self._dock.is_open and self._dock.watcher.is_running
        if event is None or not asked or self._dock.ask_what_becomes_of_the_run():
            return False
        event.ignore()
        return True


def show_overlay(
    viewer: Viewer, picture: Path, labels: np.ndarray[Any, Any], class_map: ClassMap
) -> Labels | None:
    """Show labels over the validation picture, which is opened once."""
    from ..core.files import read_image
    from .layers import class_colormap

    name = f"{picture.stem} (validation)"
    if name not in viewer.layers:
        if not picture.is_file():
            return None
        from .layers import image_layers

        data, options, kind = image_layers(read_image(picture))[0]
        options["name"] = name
        viewer._add_layer_from_data(data, options, kind)
    overlay = f"{name} while training"
    if overlay in viewer.layers:
        viewer.layers[overlay].data = labels
        return viewer.layers[overlay]
    layer = viewer.layers[name]
    return viewer.add_labels(
        labels,
        name=overlay,
        scale=layer.scale[:2],
        translate=layer.translate[:2],
        colormap=class_colormap(class_map),
    )
