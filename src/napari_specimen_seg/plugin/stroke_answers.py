"""What a model that learns says of pictures and planes: the one that is shown first, the others after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from ..core.image import Prediction
from .dock import Dock
from .layer_picker import LayerPicker
from .pictures import plane_in_view
from .stroke_layers import Target, answer_layer, show_answer
from .stroke_teacher import Teacher
from .train_layers import OpenPair

if TYPE_CHECKING:
    from napari.layers import Image

LOOK_AFTER_MS = 150
"""How long a plane has to be shown before the model answers on it."""


class Answers(QObject):
    """Keeps what is shown in line with what the model has learned.

    Parameters
    ----------
    dock : Dock
        Whose job answers, when it has nothing else to do.
    picker : LayerPicker
        The picture.
    teacher : Teacher

    Signals
    -------
    ended
        The model has answered, or the answer was broken off.
    """

    ended = Signal()

    def __init__(self, dock: Dock, picker: LayerPicker, teacher: Teacher) -> None:
        super().__init__(dock)
        self._dock, self._picker, self._teacher = dock, picker, teacher
        self._fresh: set[Target] = set()  # what the model has answered on as it is now
        self._waiting: list[Target] = []  # what has strokes, and an answer of an earlier round
        self.is_running = False
        self._is_put_off = False
        self.said = ""
        """What the status line says when the model has answered."""
        self.soon = QTimer(self)
        self.soon.setSingleShot(True)
        self.soon.setInterval(LOOK_AFTER_MS)
        self.soon.timeout.connect(self._answer_next)
        dock.follow(dock.viewer.dims.events.current_step, self._on_plane)

    def shown(self, picture: Image) -> Target:
        """Return the plane of a picture that the viewer shows."""
        return Target(picture, plane_in_view(self._dock.viewer, picture))

    def show(self, target: Target, prediction: Prediction) -> None:
        """Show an answer of the model as it is now."""
        if target.picture in self._dock.viewer.layers:
            show_answer(self._dock.viewer, target, prediction)
            self._fresh.add(target)

    def model_learned(self, pairs: list[OpenPair], taught: tuple[str, ...]) -> None:
        """Note that all answers are of yesterday; those on what was taught are to follow."""
        self._fresh.clear()
        found = [(pair.picture, pair.plane_called(stem)) for pair in pairs for stem in taught]
        self._waiting = [Target(picture, plane) for picture, plane in found if plane is not None]

    def model_forgot(self) -> None:
        """Note that all answers are of a round that is forgotten; all are to follow."""
        self._waiting = list(dict.fromkeys([*self._waiting, *self._fresh]))
        self._fresh.clear()

    def put_off(self) -> None:
        """Break off the answer for something else; it is given after that."""
        self._is_put_off = True
        self._dock.cancel()

    def forget(self, error: Any = None) -> None:
        """Let nothing follow."""
        del error
        self._fresh.clear()
        self._waiting.clear()

    def _on_plane(self, event: Any = None) -> None:
        del event
        if self._teacher.has_begun and self._picker.isVisible():
            self.soon.start()

    def _next(self) -> Target | None:
        """Return what is to be answered next: the plane that is shown, then what has strokes."""
        viewer, picture = self._dock.viewer, self._picker.layer
        if picture is not None and answer_layer(viewer, picture) is not None:
            shown = self.shown(picture)
            if shown not in self._fresh:
                return shown
        self._waiting = [
            target
            for target in self._waiting
            if target not in self._fresh and target.picture in viewer.layers
        ]
        return self._waiting[0] if self._waiting else None

    def _answer_next(self) -> None:
        target = self._next()
        if self._dock.job is not None or target is None or not self._teacher.has_begun:
            return

        def done(prediction: Prediction, told: tuple[str, ...]) -> None:
            self.show(target, prediction)
            self._dock.status.show_warnings(self.said, told)

        self.is_running = True
        job = self._dock.run("Answer", self._teacher.answer(target.image()), done, shown=False)
        job.failed.connect(self._on_broken_off)
        job.cancelled.connect(self._on_broken_off)
        job.finished.connect(self._on_end)

    def _on_broken_off(self, error: Any = None) -> None:
        """Do not begin at once with what the person has just cancelled, or what went wrong."""
        del error
        if self._is_put_off:
            return
        self._waiting.clear()
        shown = self._next()
        if shown is not None:
            self._fresh.add(shown)

    def _on_end(self) -> None:
        self.is_running = self._is_put_off = False
        self.ended.emit()
        self.soon.start()
