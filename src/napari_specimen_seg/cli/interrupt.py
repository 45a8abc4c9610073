"""Stopping at once when the person presses Ctrl-C, whatever is being computed."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from ..core.errors import CancelledError
from ..core.progress import Progress, Report
from . import INTERRUPTED, STOPPED

Item = TypeVar("Item")

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 0.8
"""How long the work has to stop by itself; more would break the promise of two seconds."""


def interruptible(
    work: Callable[[Report], Iterator[Item]], report: Report, *, patience: float = PATIENCE_SECONDS
) -> Iterator[Item]:
    """Run `work` in a thread and hand on what it yields, so that Ctrl-C never waits for a computation.

    Python answers a signal in the main thread only, and there only between two of its own steps: inside
    a network that may be seconds.

    Parameters
    ----------
    work : callable
        Takes a report, which raises `CancelledError` once the work is to stop, and yields items.
    report : callable
        Gets the progress of the work, in the calling thread.
    patience : float
        Seconds that the work may go on after Ctrl-C. If it still does then, the whole process ends,
        with exit code 130; half-written files are removed first.

    Yields
    ------
    object
        What `work` yields.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C (or being told to end), when the work has stopped.
    Exception
        Whatever `work` raises.
    """
    runner = _Runner(work)
    with _told_to_end_is_ctrl_c():
        thread = threading.Thread(target=runner.run, name="work", daemon=True)
        thread.start()
        try:
            yield from _received(runner, report)
        except KeyboardInterrupt:
            runner.stopping.set()
            with suppress(KeyboardInterrupt):  # pressed once more: now
                thread.join(patience)
            if thread.is_alive():
                _leave_now()
            raise
        finally:
            runner.stopping.set()


class _Runner:
    """What happens in the thread; talks through a queue."""

    def __init__(self, work: Callable[[Report], Iterator[object]]) -> None:
        self.work = work
        self.stopping = threading.Event()
        self.messages: queue.Queue[tuple[str, object]] = queue.Queue()

    def run(self) -> None:
        try:
            for item in self.work(self.report):
                self.messages.put(("item", item))
            self.messages.put(("end", None))
        except BaseException as error:
            self.messages.put(("end", error))

    def report(self, progress: Progress) -> None:
        if self.stopping.is_set():
            raise CancelledError
        self.messages.put(("progress", progress))


def _received(runner: _Runner, report: Report) -> Iterator[Item]:
    while True:
        try:
            kind, content = runner.messages.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
        if kind == "item":
            yield content  # type: ignore[misc]
        elif isinstance(content, Progress):
            report(content)
        elif isinstance(content, BaseException):
            raise content
        else:
            return


@contextmanager
def _told_to_end_is_ctrl_c() -> Iterator[None]:
    """Answer the polite signal to end (``kill``, ``timeout``, a queueing system) like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave_now() -> None:
    from ..batch.workers import end_all
    from ..core.files.atomic import remove_unfinished

    end_all()
    remove_unfinished()
    sys.stderr.write(f"{STOPPED}\n")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(INTERRUPTED)
