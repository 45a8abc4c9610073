"""How the tops of a plane of heights hang together: how far down one must come to get to a higher one.

From every pixel one goes up, always to the highest neighbour, and arrives at a top; the pixels that lead to
the same top are its basin. Basins that touch are joined from the highest pass down, as Kruskal (1956) joins
trees, and the lower of two tops that meet is then done with. So all passes are known after one look at each
pixel, however many tops there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST = np.float32(1)
"""All pixels of a part are so high at least, and connected: nothing lower can be a pass."""

_BAND_ROWS = 128
_BAND_PIXELS = 1 << 18  # followed upwards together, in the processor's cache
_NOWHERE = -1  # ends that are tops stand for their numbers: -2, -3 and so on


@dataclass(frozen=True)
class Summits:
    """Tops, the highest first, of equal ones the first in reading order.

    Parameters
    ----------
    part : array of int
    height : array of float32
    higher : array of int
        Which top is met first on the way down, of those that stand before it; itself if none is.
    saddle : array of float32
        How high the way to it is at its lowest; `LOWEST` if there is none.
    """

    part: NDArray[Any]
    height: NDArray[np.float32]
    higher: NDArray[np.intp]
    saddle: NDArray[np.float32]


@dataclass(frozen=True)
class _Passes:
    """Where basins touch: two numbers, the smaller first, and the height of the lower of the two pixels."""

    low: NDArray[Any]
    high: NDArray[Any]
    height: NDArray[np.float32]

    def take(self, chosen: NDArray[Any]) -> _Passes:
        return _Passes(self.low[chosen], self.high[chosen], self.height[chosen])

    def highest(self) -> _Passes:
        """Return one for each pair, the highest."""
        pair = self.low.astype(np.int64) << 32 | self.high
        order = np.lexsort((self.height, pair))
        pair = pair[order]
        return self.take(order[np.append(pair[1:] != pair[:-1], np.ones(min(1, pair.size), bool))])

    @staticmethod
    def all_of(found: list[_Passes]) -> _Passes:
        names = ("low", "high", "height")
        return _Passes(*(np.concatenate([getattr(some, name) for some in found]) for name in names))


def rimmed(*planes: NDArray[Any]) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """Cut planes into bands of rows, each with one more pixel on every side.

    Parameters
    ----------
    *planes : array
        (Y, X).

    Yields
    ------
    start : int
        First row, without the one above.
    bands : list of array
        (rows + 2, X + 2), 0 beyond the plane.
    """
    height = planes[0].shape[0]
    for start in range(0, height, _BAND_ROWS):
        stop = min(height, start + _BAND_ROWS)
        above, below = int(start > 0), int(stop < height)
        rows, margin = slice(start - above, stop + below), ((1 - above, 1 - below), (1, 1))
        yield start, [np.pad(plane[rows], margin) for plane in planes]


def around(band: NDArray[Any]) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Return a band from `rimmed` as seen from each of the 8 neighbours, in reading order.

    Parameters
    ----------
    band : array
        (rows + 2, X + 2).

    Yields
    ------
    down, right : int
        Where the neighbour is: -1, 0 or 1.
    neighbours : array
        (rows, X).
    """
    height, width = band.shape[0] - 2, band.shape[1] - 2
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            if (down, right) != (0, 0):
                yield down, right, band[1 + down : 1 + down + height, 1 + right : 1 + right + width]


def summits(
    parts: NDArray[Any], heights: NDArray[np.float32], chosen: NDArray[np.bool_]
) -> tuple[Summits, NDArray[Any]]:
    """Find the tops of some parts, and the saddles between them.

    Beside the planes it takes 4 bytes for a pixel and about 100 for a top. Time grows with the pixels.

    Parameters
    ----------
    parts : array of int
        (Y, X), from `regions.components`.
    heights : array of float32
        (Y, X); within a part at least `LOWEST`. Pixels no higher than that belong to no basin.
    chosen : array of bool
        By number: which parts.

    Returns
    -------
    summits : Summits
        Numbered from 0.
    basins : array of int
        (Y, X): 0 for none, else 1 + the number of the top to which one gets.
    """
    to, tops = _uphill(parts, heights, chosen)
    # Equal ones in reading order, so that nothing depends on the bands.
    tops = tops[np.argsort(-heights.ravel()[tops], kind="stable")]
    to[tops] = _NOWHERE - 1 - np.arange(tops.size)
    _follow(to)
    np.subtract(_NOWHERE, to, out=to)
    basins = to.reshape(parts.shape)
    part, height = parts.ravel()[tops], heights.ravel()[tops]
    higher, saddle = _join(_passes(basins, heights, part), tops.size)
    return Summits(part, height, higher, saddle), basins


def _uphill(
    parts: NDArray[Any], heights: NDArray[np.float32], chosen: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return for each pixel which neighbour is the next on the way up, as flat positions, and the tops."""
    width = parts.shape[1]
    to = np.empty(parts.size, np.int32 if parts.size < 2**31 else np.int64)
    tops = []
    for start, (number, height) in rimmed(parts, heights):
        height[~chosen[number] | (height <= LOWEST)] = 0
        step, inside = _steps(number, height, width), height[1:-1, 1:-1].ravel() > 0
        begin, end = start * width, start * width + step.size
        to[begin:end] = np.where(inside, np.arange(begin, end) + step, _NOWHERE)
        tops.append(begin + np.flatnonzero(inside & (step == 0)))
    return to, np.concatenate(tops)


def _steps(number: NDArray[Any], height: NDArray[np.float32], width: int) -> NDArray[np.int32]:
    own, best = number[1:-1, 1:-1], height[1:-1, 1:-1].copy()
    step = np.zeros(best.shape, np.int32)
    for (down, right, level), (*_, part) in zip(around(height), around(number), strict=True):
        offset = down * width + right
        # On level ground towards the first in reading order: a flat top is one, and nobody goes in circles.
        higher = (level >= best if offset < 0 else level > best) & (part == own)
        np.copyto(best, level, where=higher)
        step[higher] = offset
    return step.ravel()


def _follow(to: NDArray[Any]) -> None:
    """Replace where each leads by where it ends; each round doubles the steps."""
    left = True
    while left:
        left = False
        for begin in range(0, to.size, _BAND_PIXELS):
            some = to[begin : begin + _BAND_PIXELS]
            going = np.flatnonzero(some >= 0)
            some[going] = to[some[going]]
            left |= going.size > 0


def _passes(basins: NDArray[Any], heights: NDArray[np.float32], part: NDArray[Any]) -> _Passes:
    found = []
    for start in range(0, basins.shape[0], _BAND_ROWS):
        rows = slice(start, start + _BAND_ROWS + 1)
        found.append(_passes_of(basins[rows], heights[rows], part).highest())
    return _Passes.all_of(found).highest()


def _passes_of(basins: NDArray[Any], heights: NDArray[np.float32], part: NDArray[Any]) -> _Passes:
    everything, found = slice(None), []
    but_first, but_last = slice(1, None), slice(None, -1)
    for here, there in (
        ((everything, but_last), (everything, but_first)),
        ((but_last, everything), (but_first, everything)),
        ((but_last, but_last), (but_first, but_first)),
        ((but_last, but_first), (but_first, but_last)),
    ):
        one, other = basins[here], basins[there]
        touch = (one != other) & (one > 0) & (other > 0)
        a, b = one[touch] - 1, other[touch] - 1
        height = np.minimum(heights[here][touch], heights[there][touch])
        found.append(_Passes(np.minimum(a, b), np.maximum(a, b), height).take(part[a] == part[b]))
    return _Passes.all_of(found)


def _join(passes: _Passes, count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return for each top which before it is met first on the way down, and how high the saddle is."""
    leader = list(range(count))
    higher, saddle = np.arange(count), np.full(count, LOWEST)
    order = np.argsort(-passes.height, kind="stable")
    met: list[tuple[int, int, int]] = []
    for begin in range(0, order.size, _BAND_PIXELS):
        some = order[begin : begin + _BAND_PIXELS]
        pairs = zip(some.tolist(), passes.low[some].tolist(), passes.high[some].tolist(), strict=True)
        met = [joined for joined in (_meet(leader, *pair) for pair in pairs) if joined]
        if met:
            where, winner, loser = np.array(met).T
            higher[loser], saddle[loser] = winner, passes.height[where]
    return higher, saddle


def _meet(leader: list[int], where: int, one: int, other: int) -> tuple[int, int, int] | None:
    while leader[one] != one:
        leader[one] = one = leader[leader[one]]
    while leader[other] != other:
        leader[other] = other = leader[leader[other]]
    if one == other:
        return None
    first, last = (one, other) if one < other else (other, one)
    leader[last] = first
    return where, first, last
