"""Learning from strokes: draw a few, look at what the model makes of them, draw where it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QLineEdit, QMessageBox, QVBoxLayout, QWidget

from ..core.classes import ClassMap
from ..core.errors import SpecimenError
from ..core.image import Prediction
from ..core.progress import Progress, Report
from ..models.bundle import is_bundle, read_card
from ..models.library import find_model
from .dock import Dock, button, heading, primary, quiet, row
from .empty import EmptyState
from .layer_picker import LayerPicker
from .legend import Legend
from .library_events import library_events
from .reproduce import Recipe
from .stroke_answers import Answers
from .stroke_layers import (
    Target,
    may_be_drawn_on,
    no_picture,
    painted_map,
    stroke_pairs,
    strokes_in,
    strokes_layer,
    with_class,
)
from .stroke_teacher import Learned, Teacher
from .train_layers import OpenPair, hold, snapshots, write_snapshots
from .train_recipe import data_folder, default_out, named_folder, strokes_recipe
from .train_start import StartPicker

if TYPE_CHECKING:
    from napari.layers import Labels

AFTER_MS = 600
"""How long after the last stroke the model learns by itself."""

BEGIN = "Draw strokes of each class, on the background too; then press Learn."

LEARNED = "Learned. Draw more where it is still wrong, or save the model."


class StrokesPanel(QWidget):
    """The controls of learning from strokes.

    Parameters
    ----------
    dock : Dock
        Whose viewer, status line and job are used.

    Signals
    -------
    saved
        A model was written; carries its folder.
    changed
        The command line that does the same is another one.
    """

    saved = Signal(object)
    changed = Signal()

    def __init__(self, dock: Dock) -> None:
        super().__init__()
        self._dock = dock
        self._teacher = Teacher()
        self._model = ""
        self._class_map: ClassMap | None = None
        self._again = False
        self._then: Callable[[], object] | None = None  # what is done when an answer was broken off for it
        self._followed: Labels | None = None
        self._written: Path | None = None  # the model beside which strokes were written last
        self._make_controls()
        self._arrange()
        self._connect()
        self._on_picture()
        self._on_model()

    def _make_controls(self) -> None:
        self.picture = LayerPicker(self._dock, may_be_drawn_on, "picture")
        self.empty = EmptyState(self._dock, "Open a picture to teach a model with strokes on it.")
        self.start_from = StartPicker()
        self.legend = Legend()
        self.name = QLineEdit()
        self.name.setPlaceholderText("name of another class")
        self.name.setAccessibleName("Another class")
        self.add = button("Add class", self.add_class, "A class that the model does not know yet")
        self.go = primary("Learn", self.learn, "Learn from all strokes for some seconds, and segment again")
        self.by_itself = QCheckBox("after every stroke")
        self.by_itself.setToolTip("Learn by itself when a stroke is finished")
        self.undo = button("Undo round", self.undo_round, "Forget what was learned last; strokes stay")
        self.out = QLineEdit()
        self.out.setPlaceholderText("name of the model")
        self.out.setAccessibleName("Model")
        self.save = button("Save as model", self.save_model, "Write what was learned as a model of its own")
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(AFTER_MS)
        self.answers = Answers(self._dock, self.picture, self._teacher)

    def _arrange(self) -> None:
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.empty)
        self.main = QWidget()
        outer.addWidget(self.main)
        box = QVBoxLayout(self.main)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(quiet("Teach a model with a few strokes. What you draw is never changed."))
        box.addLayout(row(heading("Picture"), self.picture, stretch=1))
        box.addLayout(row(heading("Start"), self.start_from, stretch=1))
        box.addWidget(self.legend)
        box.addLayout(row(self.name, self.add))
        box.addLayout(row(self.go, self.by_itself))
        box.addLayout(row(self.out, self.save, self.undo))

    def _on_picture(self, _layer: object = None) -> None:
        is_empty = self.picture.layer is None
        self.empty.setVisible(is_empty)
        self.main.setVisible(not is_empty)

    def _connect(self) -> None:
        self.picture.layer_changed.connect(self._on_picture)
        self.start_from.model_changed.connect(self._on_model)
        self.start_from.refused.connect(self._dock.show_error)
        self.legend.class_chosen.connect(self.draw)
        self.name.returnPressed.connect(self.add_class)
        self._wait.timeout.connect(self.learn)
        self.answers.ended.connect(self._on_answered)
        self.out.textChanged.connect(lambda _: self.changed.emit())

    # -- model and classes ---------------------------------------------------------------------------

    def showEvent(self, event: Any) -> None:
        """Choose a model to begin with when the panel is looked at for the first time."""
        super().showEvent(event)
        if not self.start_from.model:
            first = next((model for model in self.start_from.models if model), "")
            self.start_from.choose(first)

    def _on_model(self) -> None:
        """Begin anew with another model; strokes stay."""
        if self.answers.is_running:
            self._dock.cancel()  # now, because its process ends: else that would be told as an error
        self._wait.stop()
        self._model = self.start_from.model
        self._teacher.begin(self._model)
        self.answers.forget()
        self._class_map = None
        if self._model:
            try:
                self._class_map = read_card(find_model(self._model)).class_map
            except SpecimenError as error:
                self._dock.show_error(error)
        self._show_classes()

    def _show_classes(self) -> None:
        self.legend.show_classes(painted_map(self._class_map) if self._class_map else None)
        for part in (self.name, self.add, self.go):
            part.setEnabled(self._class_map is not None)
        self.changed.emit()

    def add_class(self) -> None:
        """Add a class that the model does not know yet."""
        name = self.name.text().strip()
        if not name or self._class_map is None:
            return
        if any(item.name == name for item in self._class_map) or name == "background":
            self._dock.show_error(SpecimenError(f"there is a class {name!r} already"))
            return
        self._class_map = with_class(self._class_map, name)
        self.name.clear()
        self._show_classes()
        for strokes in strokes_in(self._dock.viewer):
            strokes.show_classes(self._class_map)
        self.draw(self._class_map.ids[-1])

    # -- drawing -------------------------------------------------------------------------------------

    def draw(self, class_id: int) -> None:
        """Take up a class for drawing on the chosen picture; its layer of strokes is made if need be."""
        picture = self.picture.layer
        if picture is None:
            self._dock.show_error(no_picture())
        if picture is None or self._class_map is None:
            return
        try:
            layer = strokes_layer(self._dock.viewer, picture, self._class_map)
        except SpecimenError as error:
            self._dock.show_error(error)
            return
        self._follow(layer)
        self._dock.viewer.layers.selection.active = layer
        self.picture.choose(picture)
        layer.visible = True
        layer.selected_label = class_id
        layer.mode = "paint"
        self.legend.show_selected(class_id)
        if self._dock.job is None:
            self._dock.status.show_hint(BEGIN)

    def _follow(self, layer: Labels) -> None:
        if layer is not self._followed:
            if self._followed is not None:
                self._dock.unfollow(self._followed.events.paint)
            self._followed = layer
            self._dock.follow(layer.events.paint, self._on_stroke)

    def _on_stroke(self, _event: Any) -> None:
        if not self.by_itself.isChecked():
            return
        if self._dock.job is not None and not self.answers.is_running:
            self._again = True
        else:
            self._wait.start()

    # -- learning ------------------------------------------------------------------------------------

    def learn(self) -> None:
        """Learn from all strokes and show the new answers; without strokes, only show the answer."""
        if self._class_map is None or self._must_wait(self.learn):
            return
        picture = self.picture.layer
        if picture is None:
            self._dock.show_error(no_picture())
            return
        shown = self.answers.shown(picture)
        pairs = stroke_pairs(self._dock.viewer)
        self._again = False
        self._run(
            "Learn from strokes",
            self._teacher.learn(hold(pairs), shown.image(), self._class_map),
            partial(self._on_learned, shown, pairs),
        )

    def _must_wait(self, action: Callable[[], object]) -> bool:
        """Tell whether something has to end first; an answer is broken off, and the action follows."""
        if self._dock.job is None:
            return False
        if self.answers.is_running:
            self._then = action
            self.answers.put_off()
        return True

    @property
    def _at_rest(self) -> tuple[QWidget, ...]:
        """What can be used only while nothing is learned: another model would end the process."""
        return self.go, self.undo, self.save, self.start_from

    def _run(
        self, title: str, work: Callable[[Report], Any], then: Callable[[Any, tuple[str, ...]], None]
    ) -> None:
        for part in self._at_rest:
            part.setEnabled(False)
        self._dock.run(title, work, then).finished.connect(self._on_end)

    def _on_end(self) -> None:
        for part in self._at_rest:
            part.setEnabled(True)
        again, self._again = self._again, False
        (self._wait if again else self.answers.soon).start()

    def _on_answered(self) -> None:
        action, self._then = self._then, None
        if action is not None:
            QTimer.singleShot(0, action)  # when the job that was broken off is gone

    def _on_learned(
        self, shown: Target, pairs: list[OpenPair], learned: Learned, told: tuple[str, ...]
    ) -> None:
        if learned.taught:
            self.answers.model_learned(pairs, learned.taught)
        self._tell(shown, learned.answer, LEARNED if learned.taught else BEGIN, told)

    def _tell(self, shown: Target, answer: Prediction, text: str, told: tuple[str, ...]) -> None:
        self.answers.said = text
        self.answers.show(shown, answer)
        self._dock.status.show_warnings(text, told)
        self.changed.emit()

    def undo_round(self) -> None:
        """Forget the last round and show what the model says then."""
        if self._must_wait(self.undo_round):
            return
        picture = self.picture.layer
        if not self._teacher.rounds or picture is None:
            self._dock.status.show_hint("There is no round to undo.")
            return
        shown = self.answers.shown(picture)

        def done(found: Prediction | None, told: tuple[str, ...]) -> None:
            if found is not None:
                self.answers.model_forgot()
                self._tell(shown, found, "The last round is forgotten.", told)

        self._run("Undo a round", self._teacher.undo(shown.image()), done)

    # -- what goes out -------------------------------------------------------------------------------

    def out_folder(self) -> Path:
        """Return the folder of the model to be made.

        Raises
        ------
        SpecimenError
            If what was typed is no name.
        """
        return named_folder(self.out.text(), default_out(None))

    def _recipe_out(self) -> Path:
        """Return the folder of the model that the command makes: strokes stay where they were written."""
        return named_folder(self.out.text(), self._written or default_out(None))

    def recipe(self) -> Recipe:
        """Return the command line and the settings that learn the same."""
        if self._class_map is None:
            return Recipe("", "", "Choose a model to start from.")
        try:
            return strokes_recipe(self._model, self._class_map, self._recipe_out(), self._teacher)
        except SpecimenError as error:
            return Recipe("", "", str(error))

    def on_recipe_saved(self) -> None:
        """Write what the settings name, if they were those of strokes."""
        if not self.isHidden():
            self.write_strokes()

    def write_strokes(self) -> None:
        """Write pictures and strokes as the files that the command line learns from."""
        if self._must_wait(self.write_strokes):
            if not self.answers.is_running:
                QTimer.singleShot(AFTER_MS, self.write_strokes)
            return
        try:
            out = self._recipe_out()
        except SpecimenError as error:
            self._dock.show_error(error)
            return
        held, folder = hold(stroke_pairs(self._dock.viewer)), data_folder(out)

        def work(report: Report) -> int:
            report(Progress("writing pictures and strokes", 0, 0))
            images, _ = write_snapshots(snapshots(held, blank=False), folder)
            return len(list(images.glob("*.tif")))

        def done(count: int, told: tuple[str, ...]) -> None:
            self._written = out
            self.changed.emit()
            text = f"Wrote {count} picture{'s' * (count != 1)} with strokes to {folder}."
            self._dock.status.show_warnings(text if count else "Nobody has drawn anything yet.", told)

        self._run("Write the strokes", work, done)

    def save_model(self) -> None:
        """Write what was learned as a model."""
        if self._must_wait(self.save_model):
            return
        if not self._teacher.rounds:
            self._dock.show_error(
                SpecimenError("nothing was learned yet", advice="Draw strokes, press Learn.")
            )
            return
        try:
            folder = self.out_folder()
        except SpecimenError as error:
            self._dock.show_error(error)
            return
        replace = is_bundle(folder)
        if replace and not self._may_replace(folder):
            return

        def done(path: Path, told: tuple[str, ...]) -> None:
            library_events().changed.emit()
            self._dock.status.show_warnings(f"Saved as {path.name}.", told)
            self.saved.emit(path)
            self.changed.emit()

        self._run("Save the model", self._teacher.save(folder, overwrite=replace), done)

    def _may_replace(self, folder: Path) -> bool:
        question = f"There is a model {folder.name} already. Replace it?"
        return bool(QMessageBox.question(self, "Save as model", question) == QMessageBox.StandardButton.Yes)

    # -- the end -------------------------------------------------------------------------------------

    def shut_down(self) -> None:
        """End the process that learns; what was not saved is gone."""
        for timer in (self._wait, self.answers.soon):
            timer.stop()
        self._teacher.close()
