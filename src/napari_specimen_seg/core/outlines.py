"""Outlines of label regions along the borders of pixels, so that filling them gives the same pixels again.

The corners of all regions are found and linked at once, with sorting instead of walking from pixel to pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ring: TypeAlias = NDArray[Any]
"""(n, 2) corners, x before y, where (0, 0) is the upper left corner of the first pixel; not closed."""

Polygon: TypeAlias = tuple[Ring, ...]
"""The outer ring, then those of the holes."""


_FAR = 1e9
"""Corners farther away are taken to be here: no picture is as large, and scikit-image counts in integers."""


def outlines(numbers: NDArray[Any]) -> dict[int, list[Polygon]]:
    """Return the outlines of every region.

    Parameters
    ----------
    numbers : array of int
        (Y, X), 0 is background.

    Returns
    -------
    dict of int to list of polygons
        By number; one polygon for each part whose pixels share edges, in reading order. Outer rings run
        clockwise on the screen, holes the other way; all corners are real ones. Rings never cross, but two
        may touch in a corner.
    """
    import cc3d

    numbers = np.require(numbers, requirements=["C", "W"])
    parts, count = cc3d.connected_components(numbers, connectivity=4, return_N=True)
    owner = np.zeros(int(count) + 1, np.int64)
    owner[parts.ravel()] = numbers.ravel()
    found: dict[int, list[Polygon]] = {}
    polygons: list[list[Ring]] = [[] for _ in range(int(count) + 1)]
    for part, ring in _rings(_edges_of(parts), numbers.shape[1]):
        polygons[part].append(ring)  # the outer one comes first: nothing of a part lies above its first row
    for part in range(1, int(count) + 1):
        found.setdefault(int(owner[part]), []).append(tuple(polygons[part]))
    return found


def fill(polygons: list[Polygon], height: int, width: int) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Fill polygons: a pixel is inside where its centre is.

    Parameters
    ----------
    polygons : list of polygons
        Corners may be fractions and may lie outside of the picture.
    height, width : int
        Of the picture.

    Returns
    -------
    window : (slice, slice)
        Rows and columns that hold all of it; empty where nothing is inside of the picture.
    mask : array of bool
        Of the window.
    """
    from skimage.draw import polygon as inside_of

    window = _window([ring for one in polygons for ring in one], height, width)
    shape = (window[0].stop - window[0].start, window[1].stop - window[1].start)
    mask = np.zeros(shape, bool)
    corner = np.array([window[1].start, window[0].start])
    for one in polygons:
        filled = np.zeros(shape, bool)
        for ring in one:
            x, y = (np.clip(ring, -_FAR, _FAR).astype(np.float64) - corner - 0.5).T
            filled[inside_of(y, x, shape)] ^= True
        mask |= filled
    return window, mask


def area(polygons: list[Polygon]) -> float:
    """Return the area inside, in pixels: for those of `outlines` the number of pixels (shoelace formula)."""
    return float(sum(_signed(ring) for one in polygons for ring in one))


def box(polygons: list[Polygon]) -> tuple[float, float, float, float]:
    """Return left, top, width and height."""
    points = np.concatenate([one[0] for one in polygons])
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return float(left), float(top), float(right - left), float(bottom - top)


def _signed(ring: Ring) -> float:
    x, y = ring[:, 0].astype(np.float64), ring[:, 1].astype(np.float64)
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _window(rings: list[Ring], height: int, width: int) -> tuple[slice, slice]:
    if not rings:
        return slice(0, 0), slice(0, 0)
    points = np.concatenate(rings)
    low = np.clip(np.floor(points.min(0)), 0, (width, height)).astype(int)
    high = np.maximum(low, np.clip(np.ceil(points.max(0)), 0, (width, height)).astype(int))
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


@dataclass(frozen=True)
class _Edges:
    """Straight pieces of outlines that look one way, with their part to the right of them.

    Parameters
    ----------
    start, end : (array, array)
        x and y.
    part : array
    """

    start: tuple[NDArray[Any], NDArray[Any]]
    end: tuple[NDArray[Any], NDArray[Any]]
    part: NDArray[Any]


def _edges_of(parts: NDArray[Any]) -> list[_Edges]:
    """Return upper, right, lower and left edges, each kind row by row or column by column."""
    wide = np.pad(parts, 1)
    here = wide[1:-1, 1:-1]
    above, below, left, right = wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]
    row, first, last, top = _stretches(here, here != above)
    upper = _Edges((first, row), (last, row), top)
    row, first, last, bottom = _stretches(here, here != below)
    lower = _Edges((last, row + 1), (first, row + 1), bottom)
    column, first, last, far = _stretches(here.T, (here != right).T)
    righter = _Edges((column + 1, first), (column + 1, last), far)
    column, first, last, near = _stretches(here.T, (here != left).T)
    lefter = _Edges((column, last), (column, first), near)
    return [upper, righter, lower, lefter]


def _stretches(parts: NDArray[Any], on: NDArray[np.bool_]) -> tuple[NDArray[Any], ...]:
    """Return line, first, one past the last, and part of what is on without a break in the same part."""
    on = on & (parts > 0)
    same = (parts[:, 1:] == parts[:, :-1]) & on[:, 1:] & on[:, :-1]
    begins, ends = on.copy(), on
    begins[:, 1:] &= ~same
    ends[:, :-1] &= ~same
    line, first = np.nonzero(begins)
    return line, first, np.nonzero(ends)[1] + 1, parts[line, first]


def _rings(edges: list[_Edges], width: int) -> list[tuple[int, Ring]]:
    """Return part and corners of every ring, in the order of their first upper edges."""
    follow = _followers(edges, width).tolist()
    x, y = (np.concatenate([one.start[axis] for one in edges]) for axis in (0, 1))
    part = np.concatenate([one.part for one in edges])
    seen = bytearray(len(follow))
    rings = []
    for first in range(len(edges[0].part)):  # every ring has an upper edge
        if seen[first]:
            continue
        ring, now = [], first
        while not seen[now]:
            seen[now] = 1
            ring.append(now)
            now = follow[now]
        rings.append((int(part[first]), np.stack([x[ring], y[ring]], 1)))
    return rings


def _followers(edges: list[_Edges], width: int) -> NDArray[Any]:
    """Return which edge follows each: the one around the same pixel, else the one of the pixel ahead."""
    count = 1 + max((int(one.part.max()) for one in edges if one.part.size), default=0)

    def keys(points: tuple[NDArray[Any], NDArray[Any]], part: NDArray[Any]) -> NDArray[Any]:
        key: NDArray[Any] = (points[1].astype(np.int64) * (width + 1) + points[0]) * count + part
        return key

    offsets = np.cumsum([0] + [one.part.size for one in edges])
    starts = [keys(one.start, one.part) for one in edges]
    order = [np.argsort(key, kind="stable") for key in starts]
    follow = []
    for kind, one in enumerate(edges):
        wanted = keys(one.end, one.part)
        found = np.full(wanted.size, -1, np.int64)
        for other in ((kind - 1) % 4, (kind + 1) % 4):  # the second, where both are there
            if not starts[other].size:
                continue
            places = np.minimum(
                np.searchsorted(starts[other], wanted, sorter=order[other]), starts[other].size - 1
            )
            index = order[other][places]
            found = np.where(starts[other][index] == wanted, index + offsets[other], found)
        follow.append(found)
    return np.concatenate(follow)
