"""Learning from strokes: draw a few, look at what the model makes of them, draw where it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QLineEdit, QMessageBox, QVBoxLayout, QWidget

from ..core.classes import ClassMap
from ..core.errors import SpecimenError
from ..core.image import Prediction
from ..core.progress import Report
from ..models.bundle import is_bundle, read_card
from ..models.library import find_model
from .dock import Dock, button, heading, primary, quiet, row
from .layer_picker import LayerPicker
from .legend import Legend
from .library_events import library_events
from .pictures import labels_array, plane_shape
from .results import origin_of
from .stroke_layers import (
    Strokes,
    answer_layer,
    lessons_of,
    painted_map,
    show_answer,
    strokes_in,
    strokes_layer,
    with_class,
)
from .train_layers import HELPER
from .train_recipe import default_out
from .train_start import StartPicker

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

    from ..training.instant_process import InstantProcess

AFTER_MS = 600
"""How long after the last stroke the model learns by itself."""

BEGIN = "Draw strokes of each class, on the background too; then press Learn."


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
    """

    saved = Signal(object)

    def __init__(self, dock: Dock) -> None:
        super().__init__()
        self._dock = dock
        self._process: InstantProcess | None = None
        self._model = ""
        self._class_map: ClassMap | None = None
        self._again = False
        self._followed: Labels | None = None
        self._make_controls()
        self._arrange()
        self._connect()
        self._on_model()

    def _make_controls(self) -> None:
        self.picture = LayerPicker(self._dock, _may_be_drawn_on, "picture")
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

    def _arrange(self) -> None:
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(quiet("Teach a model with a few strokes. What you draw is never changed."))
        box.addLayout(row(heading("Picture"), self.picture, stretch=1))
        box.addLayout(row(heading("Start"), self.start_from, stretch=1))
        box.addWidget(self.legend)
        box.addLayout(row(self.name, self.add))
        box.addLayout(row(self.go, self.by_itself))
        box.addLayout(row(self.out, self.save, self.undo))

    def _connect(self) -> None:
        self.start_from.model_changed.connect(self._on_model)
        self.start_from.refused.connect(self._dock.show_error)
        self.legend.class_chosen.connect(self.draw)
        self.name.returnPressed.connect(self.add_class)
        self._wait.timeout.connect(self.learn)

    # -- model and classes ---------------------------------------------------------------------------

    def showEvent(self, event: Any) -> None:
        """Choose a model to begin with when the panel is looked at for the first time."""
        super().showEvent(event)
        if not self.start_from.model:
            first = next((model for model in self.start_from.models if model), "")
            self.start_from.choose(first)

    def _on_model(self) -> None:
        """Begin anew with another model; strokes stay."""
        self.close_process()
        self._model = self.start_from.model
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
            self._dock.show_error(_no_picture())
        if picture is None or self._class_map is None:
            return
        layer = strokes_layer(self._dock.viewer, picture, self._class_map)
        self._follow(layer)
        self._dock.viewer.layers.selection.active = layer
        self.picture.choose(picture)
        layer.visible = True
        layer.selected_label = class_id
        layer.mode = "paint"
        self.legend.show_selected(class_id)
        self._dock.status.show_hint(BEGIN)

    def _follow(self, layer: Labels) -> None:
        if layer is not self._followed:
            if self._followed is not None:
                self._dock.unfollow(self._followed.events.paint)
            self._followed = layer
            self._dock.follow(layer.events.paint, self._on_stroke)

    def _on_stroke(self, event: Any = None) -> None:
        del event
        if not self.by_itself.isChecked():
            return
        if self._dock.job is not None:
            self._again = True
        else:
            self._wait.start()

    # -- learning ------------------------------------------------------------------------------------

    def learn(self) -> None:
        """Learn from all strokes and show the new answers; without strokes, only show the answer."""
        if self._dock.job is not None or self._class_map is None:
            return
        if self.picture.layer is None:
            self._dock.show_error(_no_picture())
            return
        viewer, class_map = self._dock.viewer, self._class_map
        drawn = [strokes for strokes in strokes_in(viewer) if np.any(labels_array(strokes.layer))]
        picture = self.picture.layer
        pictures = [strokes.picture for strokes in drawn] or [picture]
        taught = lessons_of(drawn or [Strokes(picture, None)])
        ask = self._asker()

        def work(report: Report) -> list[Prediction]:
            process = ask()
            if not drawn:
                return [process.predict(taught[0].image, report)]
            return process.learn(taught, class_map=class_map, report=report)

        self._again = False
        self._run(
            "Learn from strokes",
            work,
            lambda found, told: self._show(pictures, found, told, taught=bool(drawn)),
        )

    def _asker(self) -> Callable[[], InstantProcess]:
        """Return what gives the process that learns, from the thread of the work."""
        model = self._model

        def ask() -> InstantProcess:
            from ..training.instant_process import InstantProcess

            if self._process is None or not self._process.is_alive:
                self._process = InstantProcess(model)
            return self._process

        return ask

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
        if self._again and self.by_itself.isChecked():
            self._again = False
            self._wait.start()

    def _show(
        self, pictures: list[Image], found: list[Prediction], told: tuple[str, ...], *, taught: bool
    ) -> None:
        viewer = self._dock.viewer
        for picture, prediction in zip(pictures, found, strict=True):
            if picture in viewer.layers:
                show_answer(viewer, picture, prediction)
        text = "Learned. Draw more where it is still wrong, or save the model." if taught else BEGIN
        self._dock.status.show_warnings(text, told)

    def undo_round(self) -> None:
        """Forget the last round and show what the model says then."""
        process = self._process
        if self._dock.job is not None or process is None:
            self._dock.status.show_hint("There is no round to undo.")
            return
        viewer = self._dock.viewer
        shown = [s.picture for s in strokes_in(viewer) if answer_layer(viewer, s.picture) is not None]
        images = [lesson.image for lesson in lessons_of([Strokes(p, None) for p in shown])]

        def work(report: Report) -> list[Prediction] | None:
            if not process.undo(report):
                return None
            return [process.predict(image, report) for image in images]

        def done(found: list[Prediction] | None, told: tuple[str, ...]) -> None:
            if found is None:
                self._dock.status.show_hint("There is no round to undo.")
            else:
                self._show(shown, found, told, taught=False)
                self._dock.status.show_hint("The last round is forgotten.")

        self._run("Undo a round", work, done)

    def save_model(self) -> None:
        """Write what was learned as a model."""
        process = self._process
        if self._dock.job is not None:
            return
        if process is None:
            self._dock.show_error(
                SpecimenError("nothing was learned yet", advice="Draw strokes, press Learn.")
            )
            return
        try:
            folder = default_out(None).with_name(self.out.text().strip() or default_out(None).name)
        except ValueError:  # slashes and the like
            self._dock.show_error(
                SpecimenError(f"{self.out.text()!r} is no name of a folder", advice="Use letters and digits.")
            )
            return
        replace = is_bundle(folder)
        if replace and not self._may_replace(folder):
            return

        def work(report: Report) -> Path:
            process.save(folder, overwrite=replace, report=report)
            return folder

        def done(path: Path, told: tuple[str, ...]) -> None:
            library_events().changed.emit()
            self._dock.status.show_warnings(f"Saved as {path.name}.", told)
            self.saved.emit(path)

        self._run("Save the model", work, done)

    def _may_replace(self, folder: Path) -> bool:
        question = f"There is a model {folder.name} already. Replace it?"
        return bool(QMessageBox.question(self, "Save as model", question) == QMessageBox.StandardButton.Yes)

    # -- the end -------------------------------------------------------------------------------------

    def close_process(self) -> None:
        """End the process that learns; what was not saved is gone."""
        self._wait.stop()
        if self._process is not None:
            self._process.close()
            self._process = None


def _no_picture() -> SpecimenError:
    return SpecimenError("no picture is open", advice="Open one that is no stack, then draw on it.")


def _may_be_drawn_on(layer: Layer) -> bool:
    """Tell whether a layer is a single picture, and no result or helper of a dock."""
    from napari.layers import Image as ImageLayer

    return (
        isinstance(layer, ImageLayer)
        and origin_of(layer) is None
        and HELPER not in layer.metadata
        and not plane_shape(layer)
    )
