"""Which connected parts have a neck, and where to cut them.

A bulge is a part of its own if its top (the largest distance to the outline) cannot be left towards a higher
one without coming down to the bulge's floor, a little below its top. That is what the h-maxima of
mathematical morphology say (Soille 2003, chapter 6), with a height that grows with the top.

Nearly all parts have one bulge, and for nearly all of these a straight look from every local top to the
highest one shows it. Only for the rest the level of a floor is filled to see what is connected there, top by
top while they are few; for nets and other parts with very many, all saddles are found at once (`saddles`).
Both say the same, and neither takes longer than grows with the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .part_sheet import Window, boxes, on_a_sheet, sides
from .runs import areas
from .saddles import Summits, around, rimmed, summits

NECK = 0.9
"""Two bulges of one part are two objects if the neck between them is narrower than this share of the
smaller bulge's width. Found on the training split of DSB2018, together with `MIN_DEPTH`."""

MIN_DEPTH = 0.75
"""... and by at least so many pixels on each side, below which a neck is a matter of the pixel grid."""

ROUND_SHARE = 0.4
"""A part is cut only if the largest discs in its bulges cover this share of it: nuclei, seeds and eggs
do, legs and antennas, which are long and jointed, do not and stay whole."""

Found: TypeAlias = tuple[int, NDArray[np.float32], NDArray[np.bool_], list[float]]
"""A part, the squared distances in its box, the pixels of its bulges, and how high these are."""

_LOOKS = 2
"""Straight ways are looked along in a part while they have no more pixels than so many times the part."""

_FILLS = 64
"""Floors are filled one by one while the boxes have no more pixels than so many times the part."""

_TOGETHER = 1 << 18  # pixels of ways that are looked at together
_BAND_ROWS = 128
_LOWEST_TOP = 1 + MIN_DEPTH  # lower ones reach down to 1, where all pixels of a part are connected


def floor(top: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far down a bulge reaches whose top is so far from the outline."""
    lower: NDArray[np.float64] = np.minimum(top * NECK, top - MIN_DEPTH)
    return lower


@dataclass(frozen=True)
class Tops:
    """Pixels that no neighbour of the same part is higher than; by part, the highest first.

    Parameters
    ----------
    part : array of int
    row, column : array of int
    height : array of float64
        Distance to the nearest pixel that is not of the part.
    """

    part: NDArray[Any]
    row: NDArray[np.intp]
    column: NDArray[np.intp]
    height: NDArray[np.float64]

    def take(self, chosen: NDArray[Any] | slice) -> Tops:
        """Return some of them."""
        return Tops(self.part[chosen], self.row[chosen], self.column[chosen], self.height[chosen])

    def within(self, window: Window) -> Tops:
        """Return them with positions in a window of the picture."""
        return Tops(self.part, self.row - window[0].start, self.column - window[1].start, self.height)


def squared_distances(parts: NDArray[Any]) -> NDArray[np.float32]:
    """Return the squared distance of each pixel to the nearest that is not of its part or the picture.

    Parameters
    ----------
    parts : array of int
        (Y, X), from `regions.components`.

    Returns
    -------
    array of float32
        (Y, X); whole numbers, exact up to distances of 4096.
    """
    import edt

    squared: NDArray[np.float32] = edt.edtsq(np.ascontiguousarray(parts), black_border=True)
    return squared


def doubtful_tops(parts: NDArray[Any], squared: NDArray[np.float32], area: NDArray[Any]) -> Tops:
    """Find the parts that may have several bulges.

    Parameters
    ----------
    parts : array of int
        (Y, X), from `regions.components`.
    squared : array of float32
        (Y, X), from `squared_distances`.
    area : array of int
        By number.

    Returns
    -------
    Tops
        Of these parts: the highest one, and those from which no straight way to it, or to the next higher
        one, stays above their floor; all of them where these ways are long compared with the part.
    """
    tops = _tops(parts, squared)
    first = np.ones(tops.part.size, bool)
    first[1:] = tops.part[1:] != tops.part[:-1]
    highest = np.flatnonzero(first)[np.cumsum(first) - 1]
    others = np.flatnonzero(~first)
    ways = np.bincount(tops.part[others], _between(tops, others, highest[others]), area.size)
    seen_through = (ways <= _LOOKS * area)[tops.part[others]]
    wanted = np.zeros(first.size, bool)
    wanted[others[~seen_through]] = True
    doubtful = others[seen_through]
    for target in (highest, np.arange(tops.part.size) - 1):
        doubtful = doubtful[_falls(tops, doubtful, target[doubtful], parts, squared)]
    wanted[doubtful] = True
    wanted[highest[wanted]] = True
    return tops.take(wanted)


def _tops(parts: NDArray[Any], squared: NDArray[np.float32]) -> Tops:
    """Return the tops that stand above the lowest pixels of a part by more than a bulge reaches down.

    From all others one gets everywhere, so none is a bulge of its own.
    """
    width = parts.shape[1]
    found = [start * width + _tops_of(*bands) for start, bands in rimmed(parts, squared)]
    where = np.concatenate(found)
    part, square = parts.ravel()[where], squared.ravel()[where]
    order = np.lexsort((-square, part))
    row, column = np.divmod(where[order], width)
    return Tops(part[order], row, column, np.sqrt(square[order].astype(np.float64)))


def _tops_of(parts: NDArray[Any], squared: NDArray[np.float32]) -> NDArray[np.intp]:
    own, level = parts[1:-1, 1:-1], squared[1:-1, 1:-1]
    is_top = level >= _LOWEST_TOP**2
    for (*_, part), (*_, other) in zip(around(parts), around(squared), strict=True):
        is_top &= (other <= level) | (part != own)
    return np.flatnonzero(is_top)


def _between(tops: Tops, start: NDArray[np.intp], end: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return how many pixels there are on the straight ways from tops to others."""
    down, right = tops.row[end] - tops.row[start], tops.column[end] - tops.column[start]
    pixels: NDArray[np.intp] = np.maximum(np.maximum(np.abs(down), np.abs(right)) - 1, 0)
    return pixels


def _falls(
    tops: Tops, start: NDArray[np.intp], end: NDArray[np.intp], parts: NDArray[Any], squared: NDArray[Any]
) -> NDArray[np.bool_]:
    """Tell whether the straight way between tops leads below the floor of the one it starts from."""
    ends = np.cumsum(_between(tops, start, end))
    below = np.zeros(start.size, bool)
    begin = 0
    while begin < start.size:
        done = ends[begin - 1] if begin else 0
        stop = max(begin + 1, int(np.searchsorted(ends, done + _TOGETHER, "right")))
        below[begin:stop] = _some_fall(tops, start[begin:stop], end[begin:stop], parts, squared)
        begin = stop
    return below


def _some_fall(
    tops: Tops, start: NDArray[np.intp], end: NDArray[np.intp], parts: NDArray[Any], squared: NDArray[Any]
) -> NDArray[np.bool_]:
    row, column = tops.row[start], tops.column[start]
    down, right = tops.row[end] - row, tops.column[end] - column
    between = _between(tops, start, end)
    way = np.repeat(np.arange(start.size), between)
    step = np.arange(way.size) - np.repeat(np.cumsum(between) - between, between) + 1
    whole = (between + 1)[way]
    rows = row[way] + (2 * down[way] * step + whole) // (2 * whole)
    columns = column[way] + (2 * right[way] * step + whole) // (2 * whole)
    level = np.sqrt(squared[rows, columns].astype(np.float64))
    level[parts[rows, columns] != tops.part[start][way]] = 0
    below = level < floor(tops.height[start])[way]
    return np.bincount(way, below, start.size) > 0


@dataclass(frozen=True)
class Necked:
    """A connected part that is to be cut.

    Parameters
    ----------
    number : int
        Of the part.
    window : (slice, slice)
        Its box in the picture.
    depth : array of float32
        In this box: minus the squared distance to its outline, 0 outside of it.
    bulges : array of int
        In this box: 0, or 1 to n in reading order.
    """

    number: int
    window: Window
    depth: NDArray[np.float32]
    bulges: NDArray[Any]

    @property
    def count(self) -> int:
        """How many pieces it has."""
        return int(self.bulges.max())


def necked_parts(parts: NDArray[Any]) -> Iterator[Necked]:
    """Find the parts that are to be cut.

    Parameters
    ----------
    parts : array of int
        (Y, X), from `regions.components`.

    Yields
    ------
    Necked
    """
    windows = boxes(parts, math.ceil(4 * MIN_DEPTH))  # narrower ones have no neck
    if not windows:
        return
    sheet, places = on_a_sheet(parts, windows)
    squared = squared_distances(sheet)
    area = areas(sheet, max(windows))
    tops = doubtful_tops(sheet, squared, area)
    many = _crowded(tops, windows, area)
    few = tops.take(~many[tops.part])
    del tops  # there may be one for every few pixels
    for found in (_one_by_one(sheet, squared, places, few), _together(sheet, squared, places, many)):
        for number, level, bulges, radii in found:
            covered = np.pi * sum(radius**2 for radius in radii)
            if len(radii) > 1 and covered >= ROUND_SHARE * area[number]:
                yield Necked(number, windows[number], np.negative(level, out=level), _numbered(bulges))


def _crowded(tops: Tops, windows: dict[int, Window], area: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell by number which parts have too many tops to fill the floor of each."""
    numbers, sizes = np.unique(tops.part, return_counts=True)
    boxed = np.array([math.prod(sides(windows[number])) for number in numbers.tolist()], np.int64)
    crowded = np.zeros(area.size, bool)
    crowded[numbers] = sizes * boxed > _FILLS * area[numbers]
    return crowded


def _level(sheet: NDArray[Any], squared: NDArray[Any], place: Window, number: int) -> NDArray[np.float32]:
    """Return the squared distances of one part in its box, 0 outside of it."""
    level = squared[place].copy()
    level[sheet[place] != number] = 0
    return level


def _one_by_one(
    sheet: NDArray[Any], squared: NDArray[Any], places: dict[int, Window], tops: Tops
) -> Iterator[Found]:
    """Find the bulges of parts by filling the floor of each top."""
    numbers, begins, sizes = np.unique(tops.part, return_index=True, return_counts=True)
    for number, begin, end in zip(numbers.tolist(), begins, begins + sizes, strict=True):
        level = _level(sheet, squared, places[number], number)
        some = tops.take(slice(begin, end)).within(places[number])
        yield number, level, *_bulges(np.sqrt(level.astype(np.float64)), some)


def _bulges(distance: NDArray[np.float64], tops: Tops) -> tuple[NDArray[np.bool_], list[float]]:
    """Return the pixels of the bulges down to their floors, and how high they are."""
    seen = np.zeros(distance.shape, bool)
    bulges = np.zeros(distance.shape, bool)
    radii = []
    floors = floor(tops.height).tolist()
    for row, column, top, bottom in zip(
        tops.row.tolist(), tops.column.tolist(), tops.height.tolist(), floors, strict=True
    ):
        if seen[row, column]:  # from here one gets higher without falling below a higher floor
            continue
        level = _numbered(distance >= bottom)
        bulge = level == level[row, column]
        seen |= bulge
        if distance[bulge].max() <= top:
            bulges |= bulge
            radii.append(top)
    return bulges, radii


def _together(
    sheet: NDArray[Any], squared: NDArray[Any], places: dict[int, Window], many: NDArray[np.bool_]
) -> Iterator[Found]:
    """Find the bulges of parts by the saddles between all of their tops."""
    numbers = np.flatnonzero(many).tolist()
    if not numbers:
        return
    windows = {number: places[number] for number in numbers}
    if 2 * sum(math.prod(sides(window)) for window in windows.values()) < sheet.size:
        sheet, windows = on_a_sheet(sheet, windows)
        squared = squared_distances(sheet)
    tops, basins = summits(sheet, squared, many)
    is_bulge, floors = _floors(tops)
    bulges = _down_to(floors, basins, squared)
    del basins  # cutting needs the room
    radii = _by_part(tops.part[is_bulge], np.sqrt(tops.height[is_bulge].astype(np.float64)))
    for number, window in windows.items():
        level = _level(sheet, squared, window, number)
        yield number, level, bulges[window] & (level > 0), radii[number]


def _floors(tops: Summits) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Tell which tops are those of bulges, and to which floor the basin of each belongs to one.

    Returns
    -------
    is_bulge : array of bool
    floors : array of float64
        Infinite where all of a basin is between bulges.
    """
    bottom = floor(np.sqrt(tops.height.astype(np.float64)))
    saddle = np.sqrt(tops.saddle.astype(np.float64))
    is_bulge = saddle < bottom
    nothing, own = bottom.size, np.arange(bottom.size)
    # Saddles only become lower from top to higher top: the first bulge on the way is the only possible one.
    left_out = (tops.higher == own) | (is_bulge[tops.higher] & (saddle < bottom[tops.higher]))
    to = np.append(np.where(is_bulge, own, np.where(left_out, nothing, tops.higher)), nothing)
    while (to[to] != to).any():
        to = to[to]
    return is_bulge, np.append(bottom, np.inf)[to[:-1]]


def _down_to(
    floors: NDArray[np.float64], basins: NDArray[Any], squared: NDArray[np.float32]
) -> NDArray[np.bool_]:
    floors = np.append(np.inf, floors)
    bulges = np.empty(basins.shape, bool)
    for start in range(0, len(basins), _BAND_ROWS):
        rows = slice(start, start + _BAND_ROWS)
        bulges[rows] = np.sqrt(squared[rows].astype(np.float64)) >= floors[basins[rows]]
    return bulges


def _by_part(part: NDArray[Any], values: NDArray[np.float64]) -> dict[int, list[float]]:
    order = np.argsort(part, kind="stable")
    numbers, begins = np.unique(part[order], return_index=True)
    split = np.split(values[order], begins[1:])
    return {number: some.tolist() for number, some in zip(numbers.tolist(), split, strict=True)}


def _numbered(mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the connected parts of a small mask, numbered in reading order."""
    import cc3d

    # As bool, cc3d would number them in another order.
    numbered: NDArray[Any] = cc3d.connected_components(mask.view(np.uint8), connectivity=8)
    return numbered
