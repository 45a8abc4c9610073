"""How long work tells what it is doing, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of long work.

    Parameters
    ----------
    stage : str
        What is being done, as shown to people: ``"tile"``, ``"picture"``, ``"loading model"``.
    done, total : int
        Steps finished and steps in all; a total of 0 means unknown.
    """

    stage: str
    done: int
    total: int


COMPUTING = "computing with"
"""How the stage begins that tells which engine was chosen."""

Report: TypeAlias = Callable[[Progress], None]
"""Called between steps. To stop the work it raises `core.errors.CancelledError`, which passes through."""


def silent(progress: Progress) -> None:
    """Take a report and do nothing with it."""
    del progress
