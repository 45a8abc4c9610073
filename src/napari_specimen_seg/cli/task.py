"""One long piece of work on the command line: its progress, Ctrl-C, and what it leaves."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..core.progress import Progress, Report
from .interrupt import interruptible

if TYPE_CHECKING:
    from tqdm import tqdm

Result = TypeVar("Result")


class TaskBar:
    """Shows what is being done: a bar on a terminal, else one line for each stage."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._close()

    def report(self, progress: Progress) -> None:
        """Show a step."""
        if progress.stage != self._stage:
            self._stage = progress.stage
            self._begin(progress)
        if self._bar is not None:
            self._bar.total = progress.total or None
            self._bar.update(progress.done - self._bar.n)

    def _begin(self, progress: Progress) -> None:
        self._close()
        if not sys.stderr.isatty():
            print(progress.stage, file=sys.stderr, flush=True)
        elif progress.total != 1:
            from tqdm import tqdm

            self._bar = tqdm(
                desc=progress.stage, total=progress.total or None, leave=False, dynamic_ncols=True
            )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def run_task(work: Callable[[Report], Result]) -> Result:
    """Do a piece of work with progress on stderr; Ctrl-C ends it at once.

    Parameters
    ----------
    work : callable
        Takes a report and returns the result.

    Returns
    -------
    object
        What `work` returns.
    """

    def items(report: Report) -> Iterator[Result]:
        yield work(report)

    with TaskBar() as bar:
        return next(interruptible(items, bar.report))
