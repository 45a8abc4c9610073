"""The Train dock: from labelled pictures to a model, watched while it learns."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QFileDialog, QMessageBox

from ..core.classes import ClassMap
from ..core.errors import SpecimenError
from ..core.progress import Progress, Report
from ..training.config import TrainConfig
from .dock import Dock, button, primary, row
from .library_events import library_events
from .plot_canvas import ThemedPlot
from .reproduce import Recipe, Reproduce
from .train_after import AfterTraining
from .train_close import CloseGuard, ask_fate
from .train_curves import Curves
from .train_data import Looked, look_at
from .train_layers import TooFewError, write_open
from .train_left import LeftBanner, forget_run, note_run
from .train_overlay import Overlay
from .train_rate import Found, rate_work
from .train_recipe import SETTINGS_NAME, data_folder
from .train_setup import NothingYet, Setup
from .train_strokes import BEGIN, StrokesPanel
from .train_watch import Watcher, step_line

if TYPE_CHECKING:
    from napari.viewer import Viewer

HINT = "Choose what to start from, then press Train."
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
        self._finished: Path | None = None
        self._make_controls()
        self._arrange()
        self._connect()
        self.left.refresh()

    # -- layout ------------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        self.setup = Setup(self.viewer)
        self.empty = NothingYet(self, self.setup.data.ask_folders, self._ask_attach)
        self.data, self.settings = self.setup.data, self.setup.settings
        self.go = primary("Train", self.train, "Learn from the pictures")
        self.stop = button(STOP, self.stop_and_keep, "Stop at once; the best model so far is kept")
        self.curves = Curves(self.viewer)
        self.overlay_on = QCheckBox("show validation picture while training")
        self.overlay_on.setChecked(True)
        self.after = AfterTraining(self)
        self.reproduce = Reproduce(self._recipe, save_as=SETTINGS_NAME)
        self.left = LeftBanner()
        self.watcher = Watcher(self)
        self.overlay = Overlay(self.viewer)
        self.strokes = StrokesPanel(self)
        self.mode_whole = button("Train a model", lambda: self.show_mode(strokes=False), checkable=True)
        self.mode_strokes = button("Learn from strokes", lambda: self.show_mode(strokes=True), checkable=True)
        self._look_soon = QTimer(self)
        self._look_soon.setSingleShot(True)
        self._look_soon.setInterval(LOOK_AFTER_MS)
        self._look_soon.timeout.connect(self.look)

    def _arrange(self) -> None:
        self.body.addLayout(row(self.mode_whole, self.mode_strokes))
        self.body.addWidget(self.left)
        for part in (self.empty, self.setup, self.strokes):
            self.body.addWidget(part)
        self.body.addLayout(row(self.go, self.stop))
        for part in (self.status, self.curves, self.overlay_on):
            self.body.addWidget(part)
        for part in (self.after, self.reproduce.toggle, self.reproduce):
            self.body.addWidget(part)
        self.body.addStretch(1)
        for part in (self.stop, self.overlay_on):
            part.setVisible(False)
        self.show_mode(strokes=False)

    def show_mode(self, *, strokes: bool) -> None:
        """Show the controls of one of the two ways to learn; a training that goes on is shown in its own."""
        self.mode_whole.setChecked(not strokes)
        self.mode_strokes.setChecked(strokes)
        self.strokes.setVisible(strokes)
        self.reproduce.toggle.setChecked(False)
        running = self.watcher.is_running
        self._show_setup()
        for part in (self.stop, self.overlay_on):
            part.setVisible(running and not strokes)
        self.after.show_model(None if strokes or running else self._finished)
        self.curves.setVisible(not strokes and bool(self.curves.epochs or self.curves.steps))
        if self.job is None and not running:
            self.status.show_hint(BEGIN if strokes else "" if self.is_empty else HINT)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to learn from yet, and nothing to look at either."""
        return not (self.data.is_ready or self.watcher.is_running or self._finished or self.curves.epochs)

    def _show_setup(self) -> None:
        """Show the controls of a training where there is something to learn from, else what to do."""
        whole = not self.mode_strokes.isChecked()
        for part in (self.setup, self.go):
            part.setVisible(whole and not self.is_empty)
        self.empty.setVisible(whole and self.is_empty)
        self.reproduce.toggle.setVisible(not whole or not self.is_empty)

    def _recipe(self) -> Recipe:
        """Return the command line and the settings of what is shown."""
        return self.strokes.recipe() if self.mode_strokes.isChecked() else self.setup.recipe_text()

    def _connect(self) -> None:
        self.setup.data_changed.connect(self._on_data)
        self.setup.changed.connect(self.reproduce.refresh)
        self.setup.refused.connect(self.show_error)
        self.setup.find_rate.clicked.connect(lambda *_: self.find_learning_rate())
        self.setup.attach.clicked.connect(lambda *_: self._ask_attach())
        self.overlay_on.toggled.connect(lambda on: self.overlay.update() if on else self.overlay.remove())
        self.left.watch_asked.connect(self.watch)
        self.left.use_asked.connect(self.after.take_up)
        self.left.resume_asked.connect(self.resume)
        self.reproduce.saved.connect(self.strokes.on_recipe_saved)
        self.strokes.changed.connect(self.reproduce.refresh)
        self.strokes.saved.connect(lambda folder: self.after.show_model(folder, held_out=False))
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
        self._take_layers()

    def _on_data(self) -> None:
        if self.is_empty == self.empty.isHidden():
            self.show_mode(strokes=self.mode_strokes.isChecked())
        self._look_soon.start()

    def _on_layers(self, _event: Any) -> None:
        if self.data.uses_layers:
            self.data.refresh()
        elif self.isVisible() and self.is_empty:
            self._take_layers()

    def _take_layers(self) -> None:
        """Take up labelled pictures that are open, where no folder is chosen."""
        if self.data.images is None and not self.data.uses_layers and self.data.finds_layers():
            self.data.use_layers()

    def _on_theme(self, _event: Any) -> None:
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

        def work(report: Report) -> Looked | None:
            try:
                write()
            except TooFewError:  # nothing wrong yet: the person is still labelling
                return None
            return look_at(config, report)

        self.run("Look at the data", work, self._on_looked, shown=False)

    def _on_looked(self, looked: Looked | None, warned: tuple[str, ...]) -> None:
        self._looked = looked
        if looked is None:
            self.status.show_hint(TooFewError().advice or "")
            return
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
        write = partial(write_open, taken, data_folder(out))

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
        self._show_setup()
        self.curves.clear_epochs()
        self.go.setEnabled(False)
        self.stop.setVisible(True)
        self.stop.setEnabled(True)
        self.stop.setText(STOP)
        self.after.show_model(None)
        self._finished = None
        self.overlay_on.setVisible(True)
        self.status.show_share("starting", 0, 0)

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
                self.status.show_share(*step_line(event, self._epochs))
                self.curves.add_step(event)
            case "epoch":
                self.curves.add_epoch(event)
                if self.overlay_on.isChecked():
                    self.overlay.update()
            case "note":
                self.status.bar.setToolTip(event["text"])
            case "finished":
                self._finished = self.watcher.run.folder if self.watcher.run is not None else None
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
        self.status.show_share(f"epoch 1 of {self._epochs}", 0, 0)

    def on_end(self, problem: SpecimenError | None) -> None:
        """Tidy up after the run's end."""
        run = self.watcher.run
        if run is not None:
            forget_run(run.folder)
        self.go.setEnabled(True)
        self.stop.setVisible(False)
        self.setup.show_default_out()
        finished = self._finished is not None and run is not None and self._finished == run.folder
        self.after.show_model(self._finished if finished else None)
        if problem is not None:
            self.overlay.remove()
            self.show_error(problem)
        elif finished:
            best = self.curves.best
            score = f" Mean IoU {best['mean_iou']:.3f} on validation pictures; 1 is perfect." if best else ""
            self.status.show_hint(f"Done: {run.folder.name if run else ''}.{score}")
        elif not self.status.bar.isHidden():
            self.overlay.remove()
            self.status.show_hint("Stopped before there was a model to keep.")

    # -- the end -----------------------------------------------------------------------------------

    def may_close(self) -> bool:
        """Ask what is to become of a run before its window closes; return whether it may close."""
        for plot in self.findChildren(ThemedPlot):
            plot.let_go()  # drawn anew if the window stays after all
        if not self.is_open or not self.watcher.is_running:
            return True
        fate = ask_fate(self, None if self.watcher.run is None else self.watcher.run.folder)
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
        self.strokes.shut_down()
        super().shut_down()
