"""Which connected parts have a neck, and where to cut them.

A bulge is a part of its own if its top (the largest distance to the outline) cannot be left towards a higher
one without coming down to the bulge's floor, a little below its top. That is what the h-maxima of
mathematical morphology say (Soille 2003, chapter 6), with a height that grows with the top.

Nearly all parts have one bulge, and for nearly all of these a straight look from every local top to the
highest one shows it. Only for the rest the level of a floor is filled to see what is connected there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

NECK = 0.9
"""Two bulges of one part are two objects if the neck between them is narrower than this share of the
smaller bulge's width. Found on the training split of DSB2018, together with `MIN_DEPTH`."""

MIN_DEPTH = 0.75
"""... and by at least so many pixels on each side, below which a neck is a matter of the pixel grid."""

ROUND_SHARE = 0.4
"""A part is cut only if the largest discs in its bulges cover this share of it: nuclei, seeds and eggs
do, legs and antennas, which are long and jointed, do not and stay whole."""

Window: TypeAlias = tuple[slice, slice]

_BLOCK_ROWS = 128


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


def doubtful_tops(parts: NDArray[Any], squared: NDArray[np.float32]) -> Tops:
    """Find the parts that may have several bulges.

    Parameters
    ----------
    parts : array of int
        (Y, X), from `regions.components`.
    squared : array of float32
        (Y, X), from `squared_distances`.

    Returns
    -------
    Tops
        Of these parts: the highest one, and those from which no straight way to it, or to the next higher
        one, stays above their floor.
    """
    tops = _tops(parts, squared)
    first = np.ones(tops.part.size, bool)
    first[1:] = tops.part[1:] != tops.part[:-1]
    highest = np.flatnonzero(first)[np.cumsum(first) - 1]
    doubtful = np.flatnonzero(~first)
    for target in (highest, np.arange(tops.part.size) - 1):
        doubtful = doubtful[_falls(tops, doubtful, target[doubtful], parts, squared)]
    wanted = np.zeros(first.size, bool)
    wanted[doubtful] = True
    wanted[highest[doubtful]] = True
    return tops.take(wanted)


def _tops(parts: NDArray[Any], squared: NDArray[np.float32]) -> Tops:
    height, width = parts.shape
    found = []
    for start in range(0, height, _BLOCK_ROWS):
        stop = min(height, start + _BLOCK_ROWS)
        above, below = int(start > 0), int(stop < height)
        rows = slice(start - above, stop + below)
        margin = ((1 - above, 1 - below), (1, 1))
        found.append(start * width + _tops_of(np.pad(parts[rows], margin), np.pad(squared[rows], margin)))
    where = np.concatenate(found)
    part, square = parts.ravel()[where], squared.ravel()[where]
    order = np.lexsort((-square, part))
    row, column = np.divmod(where[order], width)
    return Tops(part[order], row, column, np.sqrt(square[order].astype(np.float64)))


def _tops_of(parts: NDArray[Any], squared: NDArray[np.float32]) -> NDArray[np.intp]:
    height, width = parts.shape[0] - 2, parts.shape[1] - 2
    own, level = parts[1:-1, 1:-1], squared[1:-1, 1:-1]
    is_top = own > 0
    for down in range(3):
        for right in range(3):
            if (down, right) != (1, 1):
                view = slice(down, down + height), slice(right, right + width)
                is_top &= (squared[view] <= level) | (parts[view] != own)
    return np.flatnonzero(is_top)


def _falls(
    tops: Tops, start: NDArray[np.intp], end: NDArray[np.intp], parts: NDArray[Any], squared: NDArray[Any]
) -> NDArray[np.bool_]:
    """Tell whether the straight way between tops leads below the floor of the one it starts from."""
    row, column = tops.row[start], tops.column[start]
    down, right = tops.row[end] - row, tops.column[end] - column
    steps = np.maximum(np.abs(down), np.abs(right))
    between = np.maximum(steps - 1, 0)
    way = np.repeat(np.arange(start.size), between)
    step = np.arange(way.size) - np.repeat(np.cumsum(between) - between, between) + 1
    whole = steps[way]
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
    distance : array of float64
        To its outline in this box, 0 outside of it.
    bulges : array of int
        In this box: 0, or 1 to n in reading order.
    """

    number: int
    window: Window
    distance: NDArray[np.float64]
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
    windows = _worth_a_look(parts)
    if not windows:
        return
    sheet, places = _on_a_sheet(parts, windows)
    squared = squared_distances(sheet)
    tops = doubtful_tops(sheet, squared)
    numbers, begins, sizes = np.unique(tops.part, return_index=True, return_counts=True)
    for number, begin, end in zip(numbers.tolist(), begins, begins + sizes, strict=True):
        place = places[number]
        distance = np.sqrt(np.where(sheet[place] == number, squared[place], 0).astype(np.float64))
        bulges, radii = _bulges(distance, tops.take(slice(begin, end)).within(place))
        covered = np.pi * sum(radius**2 for radius in radii)
        if len(radii) > 1 and covered >= ROUND_SHARE * np.count_nonzero(distance):
            yield Necked(number, windows[number], distance, _numbered(bulges))


def _worth_a_look(parts: NDArray[Any]) -> dict[int, Window]:
    """Return the boxes of the parts that are wide enough for a neck."""
    from scipy import ndimage

    boxes = ndimage.find_objects(parts)
    sides = ((number, box, [side.stop - side.start for side in box]) for number, box in enumerate(boxes, 1))
    return {number: box for number, box, side in sides if min(side) >= 4 * MIN_DEPTH}


def _on_a_sheet(parts: NDArray[Any], windows: dict[int, Window]) -> tuple[NDArray[Any], dict[int, Window]]:
    """Lay parts beside each other, without what is between them in the picture.

    Parameters
    ----------
    parts : array of int
        (Y, X).
    windows : dict of (slice, slice)
        The boxes of some parts.

    Returns
    -------
    sheet : array of int
        Rows of parts, from the highest to the lowest, with a gap between any two.
    places : dict of (slice, slice)
        Where each part is on it.
    """
    sizes = {number: [side.stop - side.start for side in box] for number, box in windows.items()}
    area = sum((height + 1) * (width + 1) for height, width in sizes.values())
    across = max(int(area**0.5), *(width for _, width in sizes.values()), 1)
    places: dict[int, Window] = {}
    top = left = deep = 0
    for number, (height, width) in sorted(sizes.items(), key=lambda item: -item[1][0]):
        if left + width > across:
            top, left, deep = top + deep, 0, 0
        places[number] = slice(top, top + height), slice(left, left + width)
        left, deep = left + width + 1, max(deep, height + 1)
    sheet = np.zeros((top + deep, across), parts.dtype)
    for number, place in places.items():
        box = parts[windows[number]]
        np.copyto(sheet[place], box, where=box == number)
    return sheet, places


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


def _numbered(mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the connected parts of a small mask, numbered in reading order."""
    import cc3d

    # As bool, cc3d would number them in another order.
    numbered: NDArray[Any] = cc3d.connected_components(mask.view(np.uint8), connectivity=8)
    return numbered


def cut(part: Necked) -> NDArray[Any]:
    """Cut a part at its necks.

    Parameters
    ----------
    part : Necked

    Returns
    -------
    array of int
        (Y, X), the box of the part: 0 outside of it, else 1 to `Necked.count`.
    """
    from skimage.segmentation import watershed

    mask = part.distance > 0
    pieces = watershed(-part.distance, part.bulges, mask=mask)
    if (pieces[mask] == 0).any():  # what hangs on by a corner only
        pieces = watershed(-part.distance, pieces, mask=mask, connectivity=2)
    return np.asarray(pieces)
