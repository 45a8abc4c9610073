"""Long work off the GUI thread: with progress, cancel, and an end that is always told.

The core reports by calling a function and stops when that function raises (`core.progress`). A `Job`
supplies that function, runs the work in one of napari's workers and tells the GUI thread by signals.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from qtpy.QtCore import QObject, QTimer, Signal

from ..core.errors import CancelledError, SpecimenWarning
from ..core.progress import Progress, Report
from .torch_guard import before_torch

Work: TypeAlias = Callable[[Report], Any]

PATIENCE_MS = 1500
"""How long a cancelled job may take to stop before the dock goes on without it (imports cannot stop)."""

REPORT_EVERY_S = 0.04
"""Reports that follow faster than this are dropped: the GUI thread has better things to do."""

NICE = 5
"""How much threads that compute yield to the one that draws, on Linux: 0 not at all, 19 always."""

_log = logging.getLogger(__name__)
_running: set[Job] = set()


@dataclass(frozen=True, slots=True)
class _Outcome:
    value: Any = None
    error: BaseException | None = None
    warnings: tuple[str, ...] = ()


class _Call:
    """What napari's worker calls. It returns errors instead of raising them, and lets go of its work.

    napari keeps every worker that ever ran in a list of tasks; what the work holds, such as a
    picture, must not be kept with it. Its text is what napari shows when the window is closed.
    """

    def __init__(self, title: str, work: Work, report: Report) -> None:
        self.title = title
        self._work: Work | None = work
        self._report: Report | None = report

    def __repr__(self) -> str:
        return self.title

    def __call__(self) -> _Outcome:
        work, report = self._work, self._report
        self._work = self._report = None
        assert work is not None
        assert report is not None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                before_torch()
                value, error = work(report), None
            # SystemExit too: whatever is not told here leaves the dock waiting for ever.
            except BaseException as raised:
                value, error = None, raised
        return _Outcome(value, error, _for_people(caught))


def _for_people(caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    """Return the messages meant for the person, each once; log the others."""
    told: dict[str, None] = {}
    for entry in caught:
        if issubclass(entry.category, SpecimenWarning):
            told[str(entry.message)] = None
        else:
            _log.debug("%s: %s", entry.category.__name__, entry.message)
    return tuple(told)


def behind_the_window(work: Work) -> Work:
    """Return the same work for a thread of its own that yields to the window.

    On Linux a thread has a priority of its own, which threads that it starts take over, and which cannot be
    raised again; so napari's threads, which others use after us, are left alone.

    Parameters
    ----------
    work : callable
        Takes a report function; computes on many cores for long.

    Returns
    -------
    callable
    """

    def run(report: Report) -> Any:
        outcome: list[_Outcome] = []

        def inner() -> None:
            _yield_to_others()
            try:
                outcome.append(_Outcome(work(report)))
            except BaseException as error:
                outcome.append(_Outcome(error=error))

        thread = threading.Thread(target=inner, name="behind the window", daemon=True)
        thread.start()
        thread.join()
        if outcome[0].error is not None:
            raise outcome[0].error
        return outcome[0].value

    return run


def _yield_to_others() -> None:
    """Lower the priority of this thread, where a thread has one."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class Job(QObject):
    """One piece of work in another thread. All signals arrive in the GUI thread.

    Parameters
    ----------
    title : str
        Shown in napari's activity dock, and when the window is closed meanwhile.
    work : callable
        Takes a report function, which it must call between steps; returns the result.
    shown : bool
        Whether napari's activity dock shows it; False for what takes a moment.
    """

    progressed = Signal(object)  # Progress
    succeeded = Signal(object, object)  # result, warnings (tuple of str)
    failed = Signal(object)  # BaseException
    cancelled = Signal()
    finished = Signal()  # after any of the three above
    _reported = Signal(object)

    def __init__(self, title: str, work: Work, *, shown: bool = True) -> None:
        super().__init__()
        self.title = title
        self._shown = shown
        self._stop = threading.Event()
        self._call = _Call(title, work, self._report)
        self._worker: Any = None
        self._activity: Any = None
        self._ended = False
        self._last = (0.0, "")
        self._reported.connect(self._on_report)

    @property
    def is_running(self) -> bool:
        """Whether the end has not been told yet."""
        return not self._ended

    def start(self) -> Job:
        """Start the work and return at once."""
        from napari.qt.threading import create_worker

        _running.add(self)
        self._worker = create_worker(self._call, _start_thread=False)
        self._worker.returned.connect(self._end)
        self._worker.finished.connect(self._on_worker_finished)
        if self._shown:
            self._activity = _open_activity(self.title, self.cancel)
        self._worker.start()
        return self

    def cancel(self) -> None:
        """Ask the work to stop. `cancelled` follows, at the latest after `PATIENCE_MS`."""
        if self._stop.is_set() or self._ended:
            return
        self._stop.set()
        QTimer.singleShot(PATIENCE_MS, self._give_up)

    def _report(self, progress: Progress) -> None:
        """Take a report of the work; runs in the other thread."""
        if self._stop.is_set() or (self._worker is not None and self._worker.abort_requested):
            raise CancelledError
        now = time.monotonic()
        told_at, stage = self._last
        due = now - told_at >= REPORT_EVERY_S or progress.stage != stage or progress.done == progress.total
        if due:
            self._last = (now, progress.stage)
            self._reported.emit(progress)

    def _on_report(self, progress: Progress) -> None:
        if self._ended or self._stop.is_set():
            return
        self.progressed.emit(progress)
        if self._activity is not None:  # last, because napari's bar lets other events in
            _update_activity(self._activity, progress)

    def _give_up(self) -> None:
        self._end(_Outcome(error=CancelledError()))

    def _on_worker_finished(self) -> None:
        _running.discard(self)
        # napari's own way to end a worker suppresses its result
        self._end(_Outcome(error=CancelledError()))

    def _end(self, outcome: _Outcome) -> None:
        if self._ended:
            return
        self._ended = True
        if self._activity is not None:
            self._activity.close()
            self._activity = None
        if self._stop.is_set() or isinstance(outcome.error, CancelledError):
            self.cancelled.emit()
        elif outcome.error is not None:
            self.failed.emit(outcome.error)
        else:
            self.succeeded.emit(outcome.value, outcome.warnings)
        self.finished.emit()


def _open_activity(title: str, cancel: Callable[[], None]) -> Any:
    """Make a bar with a Cancel button in napari's activity dock."""
    from napari.utils.progress import cancelable_progress

    class _Activity(cancelable_progress):
        def cancel(self) -> None:
            super().cancel()
            cancel()

    return _Activity(total=0, desc=title)


def _update_activity(activity: Any, progress: Progress) -> None:
    if progress.total != activity.total or progress.done < activity.n:
        activity.reset(progress.total)
        activity.set_description(progress.stage)
    if progress.done > activity.n:
        activity.update(progress.done - activity.n)
