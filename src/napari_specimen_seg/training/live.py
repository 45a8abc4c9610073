"""A run as others see it: what it tells, whether it goes on, and how it is asked to stop.

All through files in the run's folder, so that a dock can watch a run that it did not start, on every
system, and a run outlives the window that started it.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.files.atomic import atomic
from .events import Event, Stepped

EVENTS, RUNNING, STOP = "events.jsonl", "running.json", "stop"

STEP_SECONDS = 0.2
"""How often steps are written at most; nobody reads faster."""


@dataclass
class LiveRun:
    """The files by which a run and its watchers talk.

    Parameters
    ----------
    folder : Path
        The model folder to be.
    """

    folder: Path
    _last_step: float = 0.0

    # -- the run's side ------------------------------------------------------------------------------

    def begin(self) -> None:
        """Note that this process works on the run, and forget an earlier wish to stop."""
        self.stop_file.unlink(missing_ok=True)
        with atomic(self.folder / RUNNING, overwrite=True) as path:
            path.write_text(json.dumps({"pid": os.getpid(), "born": _born(os.getpid())}))

    def end(self) -> None:
        """Note that nobody works on the run any more."""
        (self.folder / RUNNING).unlink(missing_ok=True)
        self.stop_file.unlink(missing_ok=True)

    def write(self, event: Event) -> None:
        """Append an event; of many steps in a row only some."""
        now = time.monotonic()
        if isinstance(event, Stepped):
            if now - self._last_step < STEP_SECONDS:
                return
            self._last_step = now
        with (self.folder / EVENTS).open("a", encoding="utf-8") as file:
            file.write(event.to_json() + "\n")

    @property
    def stop_file(self) -> Path:
        """The file whose existence asks the run to stop and keep its best model."""
        return self.folder / STOP

    # -- the watcher's side --------------------------------------------------------------------------

    def ask_to_stop(self) -> None:
        """Ask the run to stop after the current batch and keep the best model so far."""
        self.stop_file.touch()

    def pid(self) -> int | None:
        """Return the process that works on the run, or None if there is none."""
        try:
            noted = json.loads((self.folder / RUNNING).read_text())
            pid, born = int(noted["pid"]), noted["born"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return pid if _born(pid) == born else None  # another process may have got the number since

    def read(self, position: int) -> tuple[list[dict[str, Any]], int]:
        """Return the events after a position in the file, and the new position.

        Parameters
        ----------
        position : int
            0 for all of them; else what an earlier call returned.

        Returns
        -------
        (list of dict, int)
        """
        try:
            with (self.folder / EVENTS).open("rb") as file:
                file.seek(position)
                content = file.read()
        except OSError:
            return [], position
        whole = content[: content.rfind(b"\n") + 1]  # the last line may be half written
        events = []
        for line in whole.splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                continue
        return events, position + len(whole)


def _born(pid: int) -> float | None:
    """Return when a process began, or None if there is none with this number."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
