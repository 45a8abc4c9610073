"""The Train dock: from labelled pictures to a model, watched while it learns."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QFileDialog, QMessageBox

from ..core.classes import ClassMap
from ..core.errors import SpecimenError
from ..core.progress import Progress, Report
from ..training.config import TrainConfig
from .dock import Dock, button, open_dock, primary, row
from .library_events import library_events
from .reproduce import Reproduce
from .status import duration
from .train_after import HeldOut, held_out_work
from .train_close import CloseGuard, ask_fate
from .train_curves import Curves
from .train_data import Looked, look_at
from .train_layers import write_snapshots
from .train_left import LeftBanner, forget_run, note_run
from .train_overlay import Overlay
from .train_rate import Found, rate_work
from .train_recipe import data_folder
from .train_setup import Setup
from .train_watch import Watcher

if TYPE_CHECKING:
    from napari.viewer import Viewer

HINT = "Choose labelled pictures, then press Train."
STOP = "Stop and keep"

LOOK_AFTER_MS = 500
"""How long after the last change the data are looked at again."""


class TrainDock(Dock):
    """Trains a model on labelled pictures, in a process of its own.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, HINT)
        self._epochs = 1
        self._looked: Looked | None = None
        self._model: Path | None = None
        self._make_controls()
        self._arrange()
        self._connect()
        self.left.refresh()

    # -- layout ------------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        self.setup = Setup(self.viewer)
        self.data, self.settings = self.setup.data, self.setup.settings
        self.go = primary("Train", self.train, "Learn from the pictures")
        self.stop = button(STOP, self.stop_and_keep, "Stop at once; the best model so far is kept")
        self.curves = Curves(self.viewer)
        self.overlay_on = QCheckBox("show the validation picture while training")
        self.overlay_on.setChecked(True)
        self.use = button("Use this model ▸", self.use_model, "Open the Segment dock with the new model")
        self.evaluate = button(
            "Evaluate ▸", self.open_evaluate, "Open the Evaluate dock with the pictures it did not learn from"
        )
        self.reproduce = Reproduce(self.setup.recipe_text, save_as="train.toml")
        self.left = LeftBanner()
        self.watcher = Watcher(self)
        self.overlay = Overlay(self.viewer)
        self._look_soon = QTimer(self)
        self._look_soon.setSingleShot(True)
        self._look_soon.setInterval(LOOK_AFTER_MS)
        self._look_soon.timeout.connect(self.look)

    def _arrange(self) -> None:
        self.body.addWidget(self.left)
        self.body.addWidget(self.setup)
        self.body.addLayout(row(self.go, self.stop))
        for part in (self.status, self.curves, self.overlay_on):
            self.body.addWidget(part)
        self.body.addLayout(row(self.use, self.evaluate, self.reproduce.toggle, stretch=2))
        self.body.addWidget(self.reproduce)
        self.body.addStretch(1)
        for part in (self.stop, self.use, self.evaluate, self.overlay_on):
            part.setVisible(False)

    def _connect(self) -> None:
        self.setup.data_changed.connect(self._look_soon.start)
        self.setup.changed.connect(self.reproduce.refresh)
        self.setup.refused.connect(self.show_error)
        self.setup.find_rate.clicked.connect(lambda *_: self.find_learning_rate())
        self.setup.attach.clicked.connect(lambda *_: self._ask_attach())
        self.overlay_on.toggled.connect(lambda on: self.overlay.update() if on else self.overlay.remove())
        self.left.watch_asked.connect(self.watch)
        self.left.use_asked.connect(self.take_up)
        self.left.resume_asked.connect(self.resume)
        self.watcher.told.connect(self.on_event)
        self.watcher.ended.connect(self.on_end)
        for emitter in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            self.follow(emitter, self._on_layers)
        self.follow(self.viewer.events.theme, self._on_theme)
        self._guard = CloseGuard(self, self.may_close)
        self._guard.watch_window(self.viewer.window._qt_window)

    def showEvent(self, event: Any) -> None:
        """Guard the cross of the dock widget that holds this by now; take open labels where there are any."""
        super().showEvent(event)
        holder = self.parent()
        while holder is not None and not hasattr(holder, "destroyOnClose"):
            holder = holder.parent()
        self._guard.watch_holder(holder)
        if self.data.images is None and not self.data.uses_layers and self.data.finds_layers():
            self.data.use_layers()

    def _on_layers(self, event: Any = None) -> None:
        del event
        if self.data.uses_layers:
            self.data.refresh()

    def _on_theme(self, event: Any = None) -> None:
        del event
        self.curves.refresh()
        self.setup.rate.plot.refresh()

    # -- before training ---------------------------------------------------------------------------

    def look(self) -> None:
        """Check the data off the GUI thread, and show what was found."""
        if not self.data.is_ready or self.watcher.is_running:
            return
        if self.job is not None:
            self._look_soon.start()
            return
        try:
            config, write = self.setup.prepared("look")
        except SpecimenError as error:
            self.show_error(error)
            return

        def work(report: Report) -> Looked:
            write()
            return look_at(config, report)

        self.run("Look at the data", work, self._on_looked, shown=False)

    def _on_looked(self, looked: Looked, warned: tuple[str, ...]) -> None:
        self._looked = looked
        self.data.show_found(looked)
        self.status.show_warnings(HINT, warned)

    def find_learning_rate(self) -> None:
        """Run the finder in a process of its own; its curve and suggestion are shown."""
        if self.job is not None or self.watcher.is_running:
            return
        try:
            config, write = self.setup.prepared("rate")
        except SpecimenError as error:
            self.show_error(error)
            return

        def done(found: Found, warned: tuple[str, ...]) -> None:
            self.setup.rate.show_found(found)
            self.status.show_warnings(f"A learning rate of {found.suggestion:g} is suggested.", warned)

        self.run("Find the learning rate", rate_work(config, write), done)

    # -- training ----------------------------------------------------------------------------------

    def train(self) -> None:
        """Start the training, or go on with the unfinished one in the model's folder after asking."""
        from ..models.bundle import is_bundle
        from ..training.checkpoints import SETTINGS

        if self.job is not None:
            self.cancel()  # a look at the data; the run looks itself
        out = self.setup.out_folder()
        resume = False
        if (out / SETTINGS).is_file() and not is_bundle(out):
            question = f"{out.name} holds an unfinished training. Go on with it?"
            resume = QMessageBox.question(self, "Train", question) == QMessageBox.StandardButton.Yes
        try:
            config, taken = self.setup.config(), self.data.take()
        except SpecimenError as error:
            self.show_error(error)
            return
        self.setup.remember()
        if not taken:
            self._start(config, out, resume=resume)
            return
        self.go.setEnabled(False)
        write = partial(write_snapshots, taken, data_folder(out))

        def work(report: Report) -> None:
            report(Progress("writing the open layers", 0, 0))
            write()

        self.run("Write the layers", work, lambda *_: self._start(config, out, resume=resume), shown=False)

    def on_finished(self) -> None:
        """Allow the next training, unless one goes on."""
        super().on_finished()
        self.go.setEnabled(not self.watcher.is_running)

    def _start(self, config: TrainConfig, out: Path, *, resume: bool) -> None:
        try:
            self.watcher.start(config, out, resume=resume)
        except SpecimenError as error:
            self.show_error(error)
            return
        note_run(out)
        self._show_running()

    def resume(self, folder: Path) -> None:
        """Go on with a run that was cut off."""
        from ..training.checkpoints import SETTINGS

        try:
            config = TrainConfig.from_toml(folder / SETTINGS)
        except SpecimenError as error:
            self.show_error(error)
            return
        self._start(config, folder, resume=True)

    def _show_running(self) -> None:
        self.left.setVisible(False)
        self.curves.clear_epochs()
        self.go.setEnabled(False)
        self.stop.setVisible(True)
        self.stop.setEnabled(True)
        self.stop.setText(STOP)
        for part in (self.use, self.evaluate):
            part.setVisible(False)
        self.overlay_on.setVisible(True)
        self._show_progress("starting", 0, 0)

    def _show_progress(self, text: str, done: int, total: int) -> None:
        self.status.show_progress(Progress(text, 0, 0))
        self.status.cancel.setVisible(False)  # Stop and keep stands for it
        self.status.bar.setRange(0, max(1, total))
        self.status.bar.setValue(done)
        self.status.bar.setFormat(text.replace("%", "%%"))

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
            self.left.refresh()
            return
        note_run(folder)
        self._show_running()

    def on_event(self, event: dict[str, Any]) -> None:
        """Show what the run tells."""
        match event["event"]:
            case "started":
                self._on_started(event)
            case "step":
                self._show_step(event)
                self.curves.add_step(event)
            case "epoch":
                self.curves.add_epoch(event)
                if self.overlay_on.isChecked():
                    self.overlay.update()
            case "note":
                self.status.bar.setToolTip(event["text"])
            case "finished":
                self._model = self.watcher.run.folder if self.watcher.run is not None else None
                library_events().changed.emit()  # a new model may lie in the person's model folder
            case "failed":
                self.overlay.remove()
                self.show_error(SpecimenError(event["text"]))

    def _on_started(self, event: dict[str, Any]) -> None:
        class_map = ClassMap.model_validate({"classes": event.get("classes", [])})
        self.curves.colors = {c.name: c.color for c in class_map}
        self._epochs = event["epochs"]
        shown = event.get("shown", "")
        if self.watcher.run is not None:
            self.overlay.begin(
                self.watcher.run.folder, shown, class_map, self.data.layer_of(Path(shown).stem)
            )
        self._show_progress(f"epoch 1 of {self._epochs}", 0, 0)

    def _show_step(self, event: dict[str, Any]) -> None:
        done = (event["epoch"] - 1) * event["steps"] + event["step"]
        left = event["seconds_left"]
        text = f"epoch {event['epoch']} of {self._epochs}"
        text += f" · {duration(left)} left" if math.isfinite(left) and left > 1 else ""
        self._show_progress(text, done, self._epochs * event["steps"])

    def on_end(self, problem: SpecimenError | None) -> None:
        """Tidy up after the run's end."""
        run = self.watcher.run
        if run is not None:
            forget_run(run.folder)
        self.go.setEnabled(True)
        self.stop.setVisible(False)
        self.setup.show_default_out()
        finished = self._model is not None and run is not None and self._model == run.folder
        for part in (self.use, self.evaluate):
            part.setVisible(finished)
        if problem is not None:
            self.overlay.remove()
            self.show_error(problem)
        elif finished:
            best = self.curves.best
            score = f" Mean IoU {best['mean_iou']:.3f} on validation." if best else ""
            self.status.show_hint(f"Done: {run.folder.name if run else ''}.{score}")
        elif not self.status.bar.isHidden():
            self.overlay.remove()
            self.status.show_hint("Stopped before there was a model to keep.")

    # -- after training ----------------------------------------------------------------------------

    def take_up(self, folder: Path) -> None:
        """Offer what can be done with a model that was finished while nobody looked."""
        self._model = folder
        for part in (self.use, self.evaluate):
            part.setVisible(True)
        self.use_model()

    def use_model(self) -> None:
        """Open the Segment dock with the new model."""
        from .segment import SegmentDock

        if self._model is not None:
            open_dock(self.viewer, SegmentDock, "Segment").models.choose(self._model)

    def open_evaluate(self) -> None:
        """Open the Evaluate dock with the new model and the pictures that it did not learn from."""
        if self._model is not None and self.job is None:
            model = self._model
            work = held_out_work(model)
            self.run("Gather the validation pictures", work, lambda found, _: self._evaluate(model, found))

    def _evaluate(self, model: Path, found: HeldOut) -> None:
        from .evaluate import EvaluateDock

        dock = open_dock(self.viewer, EvaluateDock, "Evaluate")
        dock.data.from_folders.setChecked(True)
        dock.data.images.choose(found.images)
        dock.data.labels.choose(found.labels)
        if found.ignore is not None:
            dock.ignore.setText(str(found.ignore))
        if str(model) not in [chosen.model for chosen in dock.competitors.chosen]:
            dock.competitors.add_model(str(model))
        self.status.show_hint(f"{found.count} pictures that it did not learn from wait in the Evaluate dock.")

    # -- the end -----------------------------------------------------------------------------------

    def may_close(self) -> bool:
        """Ask what is to become of a run before its window closes; return whether it may close."""
        if not self.is_open or not self.watcher.is_running:
            return True
        fate = ask_fate(self)
        if fate == "stop":
            self.watcher.stop_and_keep()
        elif fate == "discard" and self.watcher.run is not None:
            forget_run(self.watcher.run.folder)
            self.watcher.discard()
            self.overlay.remove()
        return fate != "stay"

    def shut_down(self) -> None:
        """Stop watching; the run goes on unless the person chose otherwise."""
        self.watcher.let_go()
        self._look_soon.stop()
        self._guard.let_go()
        self.overlay.shut_down()
        self.setup.shut_down()
        super().shut_down()
