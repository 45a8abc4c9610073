"""Instant learning in a process of its own, so that a window stays smooth and can end the work at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..core.classes import ClassMap
from ..core.errors import CancelledError, DeviceError
from ..core.image import Prediction, SpecimenImage
from ..core.processes import FreshContext
from ..core.progress import Progress, Report, silent
from ..models.card import ModelCard
from .lesson import Lesson

POLL_SECONDS = 0.05
STOP_SECONDS = 15.0
"""How long the process may take to stop before it is ended, and with it all that was learned.

It listens between tiles and steps, of which one may take seconds. Who called it off need not wait for it.
"""

NICENESS = 5
"""So that windows come first."""


_Sent: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
"""What a method is called with in the process."""

_LOADING = Progress("loading model", 0, 1)


class InstantProcess:
    """An `InstantSession` in a process of its own; its methods wait for the answer.

    To be called from worker threads: `report` is called in that thread, about twenty times a second, and
    stops the call by raising. Calls wait for each other; one that was stopped counts until the process is
    free again. torch is not imported in this process.

    Parameters
    ----------
    model : str or Path
        Name or folder of the model to begin with. It is read while the caller goes on.
    seed : int
    rate : float, optional
        Highest learning rate, instead of the usual one.
    """

    def __init__(self, model: str | Path, *, seed: int = 0, rate: float | None = None) -> None:
        options = {"seed": seed} if rate is None else {"seed": seed, "rate": rate}
        context = FreshContext()
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, str(model), options), daemon=True)
        self._process.start()
        there.close()
        self._turn = threading.Lock()  # two threads on one pipe would take each other's answers
        self._is_closed = False

    @property
    def is_alive(self) -> bool:
        """Whether the process can be asked."""
        return bool(self._process.is_alive())

    def learn(
        self,
        lessons: Sequence[Lesson],
        *,
        seconds: float | None = None,
        steps: int | None = None,
        class_map: ClassMap | None = None,
        answer: Sequence[SpecimenImage] | None = None,
        report: Report = silent,
    ) -> list[Prediction]:
        """Learn from strokes; see `InstantSession.learn`.

        Raises
        ------
        SpecimenError
            As there, or if the process died.
        """

        def sent() -> _Sent:
            read = [Lesson(_in_memory(item.image), item.labels, item.known) for item in lessons]
            more: dict[str, Any] = {} if seconds is None else {"seconds": seconds}
            if answer is not None:
                more["answer"] = [_in_memory(image) for image in answer]
            return (read,), {"steps": steps, "class_map": class_map, **more}

        found: list[Prediction] = self._ask("learn", report, sent)
        return found

    def predict(self, image: SpecimenImage, report: Report = silent) -> Prediction:
        """Segment a picture; see `InstantSession.predict`."""
        answer: Prediction = self._ask("predict", report, lambda: ((_in_memory(image),), {}))
        return answer

    def undo(self, report: Report = silent) -> bool:
        """Forget the last round; tells whether there was one."""
        return bool(self._ask("undo", report))

    def card(self, report: Report = silent) -> ModelCard:
        """Return the model's card as it is now; waits until the model is read."""
        answer: ModelCard = self._ask("card", report)
        return answer

    def steps(self, report: Report = silent) -> int:
        """Return how many steps were learned, undone ones left out."""
        return int(self._ask("steps", report))

    def save(self, folder: Path, *, overwrite: bool = False, report: Report = silent) -> ModelCard:
        """Write the model as a folder; see `InstantSession.save`."""
        answer: ModelCard = self._ask("save", report, lambda: ((folder,), {"overwrite": overwrite}))
        return answer

    def close(self) -> None:
        """End the process at once, whoever waits for it; what was not saved is gone."""
        self._is_closed = True  # before who waits sees that the process has ended
        self._process.kill()
        self._process.join()
        # A thread that waits for an answer sees the pipe end, and closes it: were it closed here, its number
        # might be that of another file by then.
        if self._turn.acquire(blocking=False):
            self._pipe.close()
            self._turn.release()

    def _ask(self, name: str, report: Report, sent: Callable[[], _Sent] = lambda: ((), {})) -> Any:
        """Send a request and wait for its answer; `sent` reads what goes with it."""
        with self._my_turn(report):
            args, kwargs = sent()
            report(_LOADING)  # what was called off meanwhile is not begun
            try:
                self._pipe.send((name, args, kwargs))
                kind, value = self._wait(report)
            except (EOFError, OSError) as error:
                self._process.join(1)
                raise DeviceError(
                    "the process that learns has ended, probably because the memory was full",
                    advice="Close other programs or open smaller pictures, and begin anew.",
                ) from error
        if kind == "failed":
            raise value
        return value

    @contextmanager
    def _my_turn(self, report: Report) -> Iterator[None]:
        """Wait until no other thread asks, or stops what it asked for."""
        while not self._turn.acquire(timeout=POLL_SECONDS):
            report(Progress("finishing what was begun", 0, 0))
        try:
            yield
        finally:
            if self._is_closed:
                self._pipe.close()
            self._turn.release()

    def _wait(self, report: Report) -> tuple[str, Any]:
        """Hand on reports until the answer comes; end the call, or the process, if `report` raises."""
        last = _LOADING
        try:
            while True:
                report(last)
                if self._pipe.poll(POLL_SECONDS):
                    kind, value = self._pipe.recv()
                    if kind != "progress":
                        return kind, value
                    last = value
        except BaseException:
            self._call_off()
            raise

    def _call_off(self) -> None:
        """Stop the work that goes on; a process that does not listen is ended."""
        with suppress(EOFError, OSError):
            self._pipe.send(None)
            while self._pipe.poll(STOP_SECONDS):
                if self._pipe.recv()[0] != "progress":
                    return
        self._process.kill()
        self._process.join()


def _in_memory(image: SpecimenImage) -> SpecimenImage:
    return image.replace(data=np.asarray(image.data))


def _serve(pipe: Connection, model: str, options: dict[str, Any]) -> None:
    """Be the process: answer until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the window
    if hasattr(os, "nice"):
        with suppress(OSError):
            os.nice(NICENESS)
    from .buffers import keep_large_buffers

    keep_large_buffers()
    session: Any = None
    with suppress(EOFError, OSError):
        while True:
            request = pipe.recv()
            if request is None:  # called off when the answer was on its way already
                continue
            try:
                if session is None:
                    from .instant import InstantSession

                    session = InstantSession(model, **options)
                answer = "done", _answer(session, request, _Told(pipe))
            except Exception as error:
                answer = "failed", error
            pipe.send(answer)


def _answer(session: Any, request: tuple[str, tuple[Any, ...], dict[str, Any]], report: Report) -> Any:
    name, args, kwargs = request
    if name in ("card", "steps"):
        return getattr(session, name)
    if name in ("learn", "predict"):
        kwargs["report"] = report
    return getattr(session, name)(*args, **kwargs)


class _Told:
    """A report to the other end of the pipe, which stops the work when it is called off there."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def __call__(self, progress: Progress) -> None:
        if self._pipe.poll():
            self._pipe.recv()  # None, or EOFError if the other end is closed
            raise CancelledError
        self._pipe.send(("progress", progress))
