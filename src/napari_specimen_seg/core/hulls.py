"""The pixels of the smallest convex shape around each of many regions, in whole numbers and all at once.

As `skimage.morphology.convex_hull_image` has it: the hull of the middles of the edges of all pixels, and
every pixel whose centre is in it or on its border. Positions are doubled, so that they are whole.

Each side of a hull is the line, convex outwards, around the outermost pixels of the rows. A point that does
not stand out from the line between its neighbours is no corner of it, whichever points these are; so all such
points can be left out together, again and again, until none is left (every region in one numpy call).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Corners:
    """The corners of the hulls of some regions, one side of them.

    Parameters
    ----------
    region : array of int64
        The region of each corner, ascending.
    y, x : array of int64
        Twice the position; in a region by y. The right side is given as a left one: with -x.
    """

    region: Ints
    y: Ints
    x: Ints

    def take(self, chosen: NDArray[Any]) -> Corners:
        """Return some of the corners."""
        return Corners(self.region[chosen], self.y[chosen], self.x[chosen])

    def of_regions(self, wanted: NDArray[np.bool_], down: int, right: int) -> Corners:
        """Return those of some regions, moved by so many pixels."""
        chosen = self.take(wanted[self.region])
        return Corners(chosen.region, chosen.y + 2 * down, chosen.x + 2 * right)

    def renumbered(self, offset: int) -> Corners:
        """Return the same corners for regions whose numbers are so much higher."""
        return Corners(self.region + offset, self.y, self.x)

    def merged(self, groups: Ints) -> Corners:
        """Return the corners of groups of regions, whose numbers are by region."""
        region = groups[self.region]
        order = np.lexsort((self.x, self.y, region))
        return _outermost(Corners(region[order], self.y[order], self.x[order]))

    @classmethod
    def joined(cls, several: Iterable[Corners]) -> Corners:
        """Put corners of different regions below each other."""
        several = [*several, cls.none()]
        return cls(*(np.concatenate([getattr(c, name) for c in several]) for name in ("region", "y", "x")))

    @classmethod
    def none(cls) -> Corners:
        """Return no corners."""
        nothing = np.zeros(0, np.int64)
        return cls(nothing, nothing, nothing)


def corners(region: Ints, row: Ints, left: Ints) -> Corners:
    """Find the corners on the left of regions.

    Parameters
    ----------
    region : array of int64
        Ascending.
    row : array of int64
        Rows that the region has pixels in, ascending within a region; each once.
    left : array of int64
        Column of the first pixel of the region in the row; for the right side minus the last.

    Returns
    -------
    Corners
    """
    # The hull of the pixels' edges is that of the edges of the corner pixels, of which there are few.
    pixels = _outermost(Corners(region, row, left))
    region, row, left = pixels.region, pixels.y, pixels.x
    goes_on = (region[1:] == region[:-1]) & (row[1:] == row[:-1] + 1)
    points = np.empty((row.size, 3), np.int64)
    points[:, 0] = points[:, 2] = 2 * left
    points[:, 1] = 2 * left - 1
    points[:-1, 2][goes_on] = 2 * np.minimum(left[1:], left[:-1])[goes_on]
    wanted = np.ones((row.size, 3), bool)
    wanted[1:, 0] = ~goes_on  # where a row goes on below, one point stands between the two
    y = 2 * row[:, None] + np.array([-1, 0, 1])
    return _outermost(Corners(np.repeat(region, wanted.sum(axis=1)), y[wanted], points[wanted]))


def _outermost(points: Corners) -> Corners:
    """Leave out all points that are no corners."""
    keep = np.ones(points.region.size, bool)
    active = np.arange(points.region.size)
    while active.size > 2:
        region, y, x = points.region[active], points.y[active], points.x[active]
        inside = np.zeros(active.size, bool)
        inside[1:-1] = _is_inside(y, x) & (region[2:] == region[:-2])
        # Of two at one height the outer one comes first.
        inside[1:] |= (region[1:] == region[:-1]) & (y[1:] == y[:-1])
        if not inside.any():
            break
        keep[active[inside]] = False
        busy = np.zeros(int(region[-1]) + 1, bool)
        busy[region[inside]] = True
        active = active[~inside & busy[region]]
    return points.take(keep)


def _is_inside(y: Ints, x: Ints) -> NDArray[np.bool_]:
    """Tell of all points but the first and last whether they stand out from the line of their neighbours."""
    inside: NDArray[np.bool_] = (x[1:-1] - x[:-2]) * (y[2:] - y[:-2]) >= (x[2:] - x[:-2]) * (y[1:-1] - y[:-2])
    return inside


def hull_areas(left: Corners, right: Corners, count: int) -> Ints:
    """Return how many pixels are in each hull.

    Parameters
    ----------
    left, right : Corners
        Of the same regions.
    count : int
        How many regions there are, from 0.

    Returns
    -------
    array of int64
        (count,).
    """
    first, rows = _first_columns(left, count)
    last, _ = _first_columns(right, count)
    areas: Ints = rows - first - last
    return areas


def _first_columns(side: Corners, count: int) -> tuple[Ints, Ints]:
    """Add up, for each region, the first column of the hull in every row, and count the rows."""
    same = side.region[1:] == side.region[:-1]
    region, y, x = side.region[:-1][same], side.y[:-1][same], side.x[:-1][same]
    down, across = side.y[1:][same] - y, side.x[1:][same] - x
    first = y // 2 + 1
    rows = (y + down) // 2 - y // 2
    each = np.repeat(np.arange(region.size), rows)
    row = np.arange(each.size) - np.repeat(np.cumsum(rows) - rows - first, rows)
    down = down[each]
    column = -((-x[each] * down - across[each] * (2 * row - y[each])) // (2 * down))
    totals = np.zeros((2, count), np.int64)
    np.add.at(totals[0], region[each], column)
    np.add.at(totals[1], region, rows)
    return totals[0], totals[1]
