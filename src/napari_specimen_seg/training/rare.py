"""Rare classes, and how a pixel of one is picked without searching the whole picture every time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

_BAND = 1 << 20  # pixels that are looked at together, so that large pictures need little memory


class RarePixels:
    """The pixels of rare classes in pictures: where they are is noted by row, once for each picture.

    Parameters
    ----------
    counts : array
        (pictures, classes): labelled pixels. Classes with less than a tenth of the pixels of the commonest
        one beside background are rare; if there is none, all but background are.
    """

    def __init__(self, counts: NDArray[np.int64]) -> None:
        total = counts.sum(0)[1:]
        rare = np.flatnonzero((total > 0) & (total < 0.1 * total.max())) + 1
        self.classes = rare if len(rare) else np.flatnonzero(total > 0) + 1
        self._until: dict[int, NDArray[np.int64]] = {}

    def pick(
        self, number: int, target: NDArray[np.int32], generator: torch.Generator
    ) -> tuple[int, int] | None:
        """Pick a pixel, each equally likely.

        Parameters
        ----------
        number : int
            Of the picture.
        target : array
            (Y, X): its classes.
        generator : torch.Generator

        Returns
        -------
        (int, int) or None
            Row and column; None where the picture shows no rare class.
        """
        if number not in self._until:  # two threads may do this at once, with the same result
            self._until[number] = np.cumsum(self._by_row(target))
        until = self._until[number]
        if not until[-1]:
            return None
        chosen = int(torch.randint(int(until[-1]), (), generator=generator))
        row = int(np.searchsorted(until, chosen, side="right"))
        before = int(until[row - 1]) if row else 0
        return row, int(np.flatnonzero(np.isin(target[row], self.classes))[chosen - before])

    def _by_row(self, target: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return how many pixels of rare classes each row has."""
        rows = max(1, _BAND // target.shape[1])
        bands = (target[start : start + rows] for start in range(0, target.shape[0], rows))
        return np.concatenate([np.isin(band, self.classes).sum(1) for band in bands])
