"""What a command says: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..batch.results import FileResult
from ..core.errors import one_line
from ..core.progress import COMPUTING, Progress

if TYPE_CHECKING:
    from tqdm import tqdm


class Console:
    """Shows progress while files are worked on: a bar on a terminal, else one line for each file.

    Parameters
    ----------
    total : int
        How many files there are; 0 where that is not known before.
    as_json : bool
        Whether stdout is for a machine: then results are kept for `finish`.
    """

    def __init__(self, total: int, *, as_json: bool) -> None:
        self.total = total
        self.as_json = as_json
        self.results: list[FileResult] = []
        self._bar: tqdm[Any] | None = None
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        if self.total and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self.total, unit="file", file=sys.stderr, leave=False, dynamic_ncols=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def report(self, progress: Progress) -> None:
        """Show a step of the file that is being worked on; which engine computes is said once."""
        from ..batch.workers import STAGE

        if progress.stage.startswith(COMPUTING) and progress.stage not in self._told:
            self._told.add(progress.stage)
            self.say(progress.stage)
        if self._bar is not None and progress.stage != STAGE and progress.total > 1:
            self._bar.set_postfix_str(f"{progress.stage} {progress.done} of {progress.total}")

    def show(self, result: FileResult) -> None:
        """Show what became of a file."""
        self.results.append(result)
        name = one_line(result.path)
        for warning in result.warnings:
            said = warning.removeprefix(f"{result.path.name}: ").removeprefix(f"{result.path.stem}: ")
            self.say(f"{name}: warning: {said}")
        if result.status == "failed":
            self.say(f"{name}: {in_terminal(result.message)}")
        else:
            if self._bar is None:
                place = f"[{len(self.results)}/{self.total}] " if self.total else ""
                self.say(place + name + (f": skipped, {result.message}" if result.message else ""))
            if not self.as_json:
                self._print_outputs(result)
        if self._bar is not None:
            self._bar.update()

    def _print_outputs(self, result: FileResult) -> None:
        for path in result.outputs[:1]:
            self.say(one_line(path, limit=5000), file=sys.stdout)

    def say(self, line: str, file: Any = None) -> None:
        """Print a line without breaking the bar; to stderr unless told otherwise."""
        file = file or sys.stderr
        if self._bar is None:
            print(line, file=file, flush=True)
        else:
            self._bar.write(line, file=file)

    def finish(self, **more: Any) -> int:
        """Say how many files there were of each kind.

        Parameters
        ----------
        **more
            For the JSON object, beside the results.

        Returns
        -------
        int
            The exit code: 1 if a file failed, else 0.
        """
        counts = Counter(result.status for result in self.results)
        if self.as_json:
            print_json({"results": [r.as_json() for r in self.results], "counts": dict(counts), **more})
        if len(self.results) > 1:
            self.say(
                ", ".join(f"{counts[kind]} {kind}" for kind in ("done", "skipped", "failed") if counts[kind])
            )
        return 1 if counts["failed"] else 0


def in_terminal(message: str) -> str:
    """Return a message with the option named that a window has a button for."""
    return message.replace("allow overwriting.", "allow overwriting with --overwrite.")


def print_json(content: Any) -> None:
    """Print one JSON document on stdout, in ASCII, so that no terminal and no pipe can garble it."""
    print(json.dumps(content, indent=1, default=_plain, allow_nan=False), flush=True)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else getattr(value, "item", lambda: str(value))()
