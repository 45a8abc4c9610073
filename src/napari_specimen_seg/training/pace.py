"""How many steps a round of instant learning takes, and at which rates."""

from __future__ import annotations

import math
import time

TRIAL = 5
"""Of so many steps, one shows how fast they are."""


class Pace:
    """So many steps, or as many as fit into some seconds.

    How many fit is decided once, from the pace of the first steps, whose rates do not depend on it. So the
    number of steps alone tells which rates there were, and gives the same model again.

    Parameters
    ----------
    seconds : float
    steps : int, optional
        Instead of `seconds`.
    """

    def __init__(self, seconds: float, steps: int | None = None) -> None:
        self._seconds = seconds
        self.steps = steps
        self.done = 0
        self._trial = None if steps is None else 1 + (steps - 1) // TRIAL
        self._begin = time.monotonic()

    @property
    def goes_on(self) -> bool:
        """Whether there is a step to be taken."""
        return self.steps is None or self.done < self.steps

    @property
    def part(self) -> float:
        """How much is done, 0 to 1."""
        if self.steps is None:
            return min(1.0, (time.monotonic() - self._begin) / self._seconds)
        return self.done / self.steps

    @property
    def share(self) -> float:
        """The part of the highest learning rate at which the next step learns: rising, then falling."""
        if self._trial is None or self.done < self._trial:
            return min(1.0, 0.1 + 0.15 * self.done)
        return min(1.0, 0.1 + 6 * self.part) * (1 + math.cos(math.pi * self.part)) / 2

    def step(self) -> None:
        """Note that a step was taken."""
        self.done += 1
        passed = time.monotonic() - self._begin
        if self.steps is None and passed >= self._seconds / TRIAL:
            self._trial = self.done
            if self.done > 1:
                self.steps = 1 + TRIAL * (self.done - 1)
            else:
                self.steps = max(1, min(TRIAL, round(self._seconds / passed)))
        if self.done == 1:
            self._begin = time.monotonic()  # the first step takes longer than the others
