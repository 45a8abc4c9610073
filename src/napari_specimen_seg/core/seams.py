"""Regions that go on across the seams between blocks."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Line: TypeAlias = tuple[NDArray[Any], NDArray[np.int64]]


class Seams:
    """Finds out which connected parts of blocks are one; takes the blocks of a plane in reading order.

    Parameters
    ----------
    width : int
        Of the plane.
    corners : bool
        Whether pixels that touch only at a corner are connected.
    """

    def __init__(self, width: int, *, corners: bool = True) -> None:
        self._shifts = (-1, 0, 1) if corners else (0,)
        self.count = 0
        self._width = width
        self._above = self._empty_row()
        self._below = self._empty_row()
        self._before: Line | None = None
        self._pairs: list[NDArray[np.int64]] = []

    def _empty_row(self) -> Line:
        return np.zeros(self._width, np.int64), np.zeros(self._width, np.int64)

    def add(self, block: NDArray[Any], parts: NDArray[Any], count: int, left: int) -> None:
        """Take the next block.

        Parameters
        ----------
        block : array of int
            (Y, X) labels.
        parts : array of int
            (Y, X), from `regions.components`: 0 for background, 1 to `count`.
        count : int
        left : int
            Its first column; 0 begins a new row of blocks.
        """
        if left == 0:
            self._above, self._below, self._before = self._below, self._empty_row(), None
        span = slice(left, left + block.shape[1])
        self._join(self._above, self._line(block[0], parts[0]), left)
        if self._before is not None:
            self._join(self._before, self._line(block[:, 0], parts[:, 0]), 0)
        for row, line in zip(self._below, self._line(block[-1], parts[-1]), strict=True):
            row[span] = line
        self._before = self._line(block[:, -1], parts[:, -1])
        self.count += count

    def _line(self, values: NDArray[Any], parts: NDArray[Any]) -> Line:
        """Return labels along an edge, and the numbers that the parts have among those of all blocks."""
        return values.astype(np.int64), parts.astype(np.int64) + (self.count - 1)

    def _join(self, old: Line, new: Line, offset: int) -> None:
        """Note what touches, straight or at a corner; `new` begins at `offset` of `old`."""
        for shift in self._shifts:
            start = max(0, offset + shift)
            end = min(old[0].size, offset + shift + new[0].size)
            here = slice(start - offset - shift, end - offset - shift)
            same = (old[0][start:end] == new[0][here]) & (new[0][here] != 0)
            pairs = np.stack([old[1][start:end][same], new[1][here][same]], axis=1)
            changes = np.ones(pairs.shape[0], bool)
            changes[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
            self._pairs.append(pairs[changes])

    def groups(self) -> NDArray[np.int64]:
        """Return, for all parts in the order of the blocks, which are one: numbers from 0 without gaps."""
        pairs = np.concatenate(self._pairs) if self._pairs else np.zeros((0, 2), np.int64)
        if not pairs.size:
            return np.arange(self.count)
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        graph = coo_array((np.ones(pairs.shape[0], bool), pairs.T), shape=(self.count, self.count))
        return np.asarray(connected_components(graph, directed=False)[1], np.int64)
