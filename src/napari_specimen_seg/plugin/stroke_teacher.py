"""The process that learns from strokes, and what is asked of it; without a window."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.classes import ClassMap
from ..core.errors import DeviceError
from ..core.image import Prediction, SpecimenImage
from ..core.progress import Progress, Report
from .stroke_layers import lessons_from
from .train_layers import Held

if TYPE_CHECKING:
    from ..training.instant_process import InstantProcess


@dataclass(frozen=True, slots=True)
class Learned:
    """What a round hands back to the GUI thread.

    Parameters
    ----------
    answer : Prediction
        On what was asked for first.
    taught : tuple of str
        What the files of the pictures and planes with strokes are called; empty if nobody drew.
    steps : int
        How many steps the model has learned in all its rounds.
    """

    answer: Prediction
    taught: tuple[str, ...]
    steps: int


class Teacher:
    """Asks a process that learns. What returns work is called in the GUI thread, the work in another."""

    def __init__(self) -> None:
        self._process: InstantProcess | None = None
        self._model = ""
        self._beginning = threading.Lock()  # two threads are not to begin a process each
        self.steps = self.rounds = 0

    @property
    def has_begun(self) -> bool:
        """Whether the model was asked for something, and what it has learned is not lost."""
        return self._process is not None

    def begin(self, model: str) -> None:
        """Begin anew with a model."""
        self.close()
        self._model = model

    def close(self) -> None:
        """End the process; what was not saved is gone."""
        with self._beginning:
            self.steps = self.rounds = 0
            if self._process is not None:
                self._process.close()
                self._process = None

    def _ask(self, *, anew: bool = False) -> InstantProcess:
        """Return the process; `anew` allows one that knows nothing instead of one that has learned."""
        from ..training.instant_process import InstantProcess

        with self._beginning:
            if self._process is not None and not self._process.is_alive:
                self._process.close()
                self._process = None
            if self._process is None:
                if self.rounds and not anew:
                    raise DeviceError(
                        "what was learned is lost: the process that learns has ended",
                        advice="Press Learn: the strokes are still there.",
                    )
                self.steps = self.rounds = 0
                self._process = InstantProcess(self._model)
            return self._process

    def learn(
        self, held: list[Held], asked: SpecimenImage, class_map: ClassMap
    ) -> Callable[[Report], Learned]:
        """Return the work of a round: learn from all strokes, then answer; without strokes only answer."""

        def work(report: Report) -> Learned:
            report(Progress("looking at the strokes", 0, 0))
            lessons = lessons_from(held)
            report(Progress("looking at the strokes", 1, 1))  # what was called off begins no process
            process = self._ask(anew=True)
            if not lessons:
                return Learned(process.predict(asked, report), (), self.steps)
            answers = process.learn(lessons, class_map=class_map, answer=[asked], report=report)
            self.steps, self.rounds = process.steps(report), self.rounds + 1
            return Learned(answers[0], tuple(lesson.image.name for lesson in lessons), self.steps)

        return work

    def answer(self, asked: SpecimenImage) -> Callable[[Report], Prediction]:
        """Return work that segments a picture with what was learned so far."""
        return lambda report: self._ask().predict(asked, report)

    def undo(self, asked: SpecimenImage) -> Callable[[Report], Prediction | None]:
        """Return work that forgets the last round and answers as before it; None if there is none."""

        def work(report: Report) -> Prediction | None:
            if not self.rounds:
                return None
            process = self._ask()
            if not process.undo(report):
                return None
            self.steps, self.rounds = process.steps(report), max(0, self.rounds - 1)
            return process.predict(asked, report)

        return work

    def save(self, folder: Path, *, overwrite: bool) -> Callable[[Report], Path]:
        """Return work that writes what was learned as a model."""

        def work(report: Report) -> Path:
            self._ask().save(folder, overwrite=overwrite, report=report)
            return folder

        return work
