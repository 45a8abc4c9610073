"""What the pixels of regions add up to, block by block, in whole numbers.

Whole numbers are why it does not matter how a picture is cut: the sums of the blocks add up to the same
numbers, to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .blocks import Block, inner
from .borders import border_steps
from .hulls import Corners, corners, hull_areas
from .runs import Runs, runs_of, starts_of
from .scratch import Scratch

_scratch = Scratch()

Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Sums:
    """One entry per region and column.

    Parameters
    ----------
    value : (n,)
        The label.
    first : (n, 2)
        Row and column of the first pixel in reading order.
    box : (n, 4)
        First row, first column, row after the last, column after the last.
    area : (n,)
    moments : (n, 5)
        Sums of y, x, y², x² and yx over the pixels, counted from `origin`.
    steps : (n, 3)
        How many border pixels are of each kind, see `borders.STEPS`.
    hull : (n,)
        Pixels of the smallest convex shape around it.
    light : (n, C)
        Sums of the picture: int64, or float64 for fractions.
    origin : (n, 2)
        Row and column that `moments` count from.
    """

    value: Ints
    first: Ints
    box: Ints
    area: Ints
    moments: Ints
    steps: Ints
    hull: Ints
    light: NDArray[Any]
    origin: Ints

    @property
    def count(self) -> int:
        """How many regions there are."""
        return int(self.value.size)

    def take(self, chosen: NDArray[Any]) -> Sums:
        """Return some of the regions."""
        return Sums(*(getattr(self, f.name)[chosen] for f in fields(self)))

    @classmethod
    def joined(cls, several: Iterable[Sums]) -> Sums:
        """Put the regions of several blocks below each other."""
        several = list(several)
        return cls(*(np.concatenate([getattr(s, f.name) for s in several]) for f in fields(cls)))


@dataclass(frozen=True)
class BlockSums:
    """The regions of one block, and what is needed to put them together with those of others.

    Parameters
    ----------
    sums : Sums
    left, right : Corners
        Of the hulls of the regions that reach the edge of the block; in the whole plane.
    """

    sums: Sums
    left: Corners
    right: Corners


def sum_block(block: Block, *, parts: NDArray[Any] | None, hulls: bool = True) -> BlockSums:
    """Add up everything that is measured, for each region of a block.

    Parameters
    ----------
    block : Block
        Of labels that are no floats.
    parts : array of int, optional
        (Y, X): the connected parts of the block, as from `regions.components`, which are the regions then;
        otherwise all pixels of one label are.
    hulls : bool
        Whether `Sums.hull` is wanted; it is 0 otherwise.

    Returns
    -------
    BlockSums
    """
    labels = np.ascontiguousarray(inner(block.window))
    starts = starts_of(labels)
    values = labels.ravel()[starts]
    keys = values if parts is None else parts.ravel()[starts]
    runs, order = runs_of(labels, starts, keys)
    key = keys[order[runs.begins]]
    sides = _corners(runs) if hulls else (Corners.none(), Corners.none())
    box = _box(runs)
    at = np.array([block.top, block.left])
    first = np.stack([runs.row[runs.begins], runs.first[runs.begins]], axis=1) + at
    sums = Sums(
        value=values[order[runs.begins]].astype(np.int64),
        first=first,
        box=box + np.tile(at, 2),
        area=runs.total(runs.length),
        moments=_moments(runs),
        steps=_steps(block.window, labels if parts is None else parts, key),
        hull=hull_areas(*sides, runs.count),
        light=_light(runs, order, starts, block.picture),
        origin=first,
    )
    # What has one label need not hang together: without parts there may be more of it anywhere.
    open_ = (box[:, :2] == 0).any(axis=1) | (box[:, 2:] == labels.shape).any(axis=1) | (parts is None)
    return BlockSums(
        sums,
        sides[0].of_regions(open_, block.top, block.left),
        sides[1].of_regions(open_, block.top, -block.left),
    )


def _box(runs: Runs) -> Ints:
    ends = np.append(runs.begins[1:], runs.row.size)[: runs.count] - 1
    rows = runs.row[runs.begins], runs.row[ends] + 1
    return np.stack([rows[0], runs.least(runs.first), rows[1], runs.greatest(runs.last) + 1], axis=1)


def _moments(runs: Runs) -> Ints:
    """Return the sums of y, x, y², x², yx from each region's first pixel on."""
    length = runs.length
    y = runs.row - runs.row[runs.begins][runs.region]
    start = runs.first - runs.first[runs.begins][runs.region]
    end = start + length - 1
    x = (start + end) * length // 2
    xx = (_squares(end) - _squares(start - 1)) // 6
    return np.stack([runs.total(v) for v in (y * length, x, y * y * length, xx, y * x)], axis=1)


def _squares(n: Ints) -> Ints:
    """Return six times 1² + 2² + ... + n², which as a polynomial is right for negative n too."""
    found: Ints = n * (n + 1) * (2 * n + 1)
    return found


def _steps(window: NDArray[Any], regions: NDArray[Any], key: NDArray[Any]) -> Ints:
    """Count the kinds of border pixels of each region."""
    where, kind = border_steps(window)
    if not key.size:
        return np.zeros((0, 3), np.int64)
    region = regions.ravel()[where]
    are_counted = int(key[-1]) == key.size  # as connected parts are
    number = region.astype(np.int64) - 1 if are_counted else np.searchsorted(key, region)
    return np.bincount(3 * number + kind - 1, minlength=3 * key.size).reshape(-1, 3)


def _corners(runs: Runs) -> tuple[Corners, Corners]:
    """Return the corners of the hull of each region, seen from the left and from the right."""
    new = (runs.region[1:] != runs.region[:-1]) | (runs.row[1:] != runs.row[:-1])
    begins = np.flatnonzero(np.concatenate([[True], new])[: runs.row.size])
    ends = np.append(begins[1:], runs.row.size)[: begins.size] - 1
    region, row = runs.region[begins], runs.row[begins]
    return corners(region, row, runs.first[begins]), corners(region, row, -runs.last[ends])


def light_by_label(labels: NDArray[Any], picture: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Add up each channel of a picture over the pixels of each label that is not background.

    Parameters
    ----------
    labels : array of int
        (Y, X).
    picture : array
        (Y, X, C).

    Returns
    -------
    labels : array of int
        (n,), ascending.
    sums : array
        (n, C), see `sum_type`.
    """
    starts = starts_of(labels)
    values = labels.ravel()[starts]
    runs, order = runs_of(labels, starts, values)
    return values[order[runs.begins]], _light(runs, order, starts, picture)


def _light(
    runs: Runs, order: NDArray[Any], starts: NDArray[Any], picture: NDArray[Any] | None
) -> NDArray[Any]:
    """Add up each channel of the picture over the regions."""
    if picture is None:
        return np.zeros((runs.count, 0), np.int64)
    kind = sum_type(picture.dtype)
    sums = np.zeros((runs.count, picture.shape[-1]), kind)
    for c in range(picture.shape[-1] if runs.count else 0):
        flat = np.ascontiguousarray(picture[..., c]).ravel()
        sums[:, c] = runs.total(_run_totals(flat, starts)[order])
    return sums


def _run_totals(flat: NDArray[Any], starts: NDArray[Any]) -> NDArray[Any]:
    """Add up the pixels of each run."""
    if flat.dtype.kind in "bu" and flat.dtype.itemsize == 1:
        # The sum of a run fits, as no row is 16 million pixels wide; so differences survive an overflow.
        so_far = np.cumsum(flat, dtype=np.uint32, out=_scratch.array("so far", flat.shape, np.uint32))
        until = so_far[np.append(starts[1:], flat.size) - 1]
        totals: NDArray[Any] = np.diff(until, prepend=np.uint32(0)).astype(np.int64)
        return totals
    return np.add.reduceat(flat, starts, dtype=sum_type(flat.dtype))


def sum_type(dtype: np.dtype[Any]) -> type[np.int64] | type[np.float64]:
    """Return the type in which pixels are added up: exact where it can be."""
    return np.int64 if dtype.kind in "biu" and dtype.itemsize <= 4 else np.float64


def put_together(sums: Sums, left: Corners, right: Corners, groups: NDArray[Any]) -> Sums:
    """Add up the regions that are one.

    Parameters
    ----------
    sums : Sums
        Of all blocks.
    left, right : Corners
        By number in `sums`, of all that may be part of something larger.
    groups : array of int
        (n,): which of them are one, from 0 without gaps.

    Returns
    -------
    Sums
        Of the groups, in their order.
    """
    order = np.argsort(groups, kind="stable")
    begins = np.flatnonzero(np.diff(groups[order], prepend=-1))
    size = np.diff(begins, append=order.size)
    s = sums.take(order)
    lead = begins + _first_of(s.first, begins, size)
    low, high = (f.reduceat(b, begins) for f, b in _both_ends(s.box)) if begins.size else np.hsplit(s.box, 2)
    middle = np.repeat((low + high) // 2, size, axis=0)

    def total(values: NDArray[Any]) -> NDArray[Any]:
        return np.add.reduceat(values, begins) if begins.size else values

    area = total(s.area)
    if _too_large(area, high - low):
        s = replace(s, moments=s.moments.astype(np.float64), area=s.area.astype(np.float64))
    return Sums(
        value=s.value[begins],
        first=s.first[lead],
        box=np.concatenate([low, high], axis=1),
        area=area,
        moments=total(_moved(s, middle)),
        steps=total(s.steps),
        hull=_hulls(s.hull[begins], left, right, groups, size > 1),
        light=total(s.light),
        origin=middle[begins],
    )


def _too_large(area: Ints, sides: Ints) -> bool:
    """Tell whether a sum of squares may not fit into 64 bits: regions of over 50,000 x 50,000 pixels."""
    return bool((area * (sides.max(axis=1) / 2.0) ** 2 > 2.0**62).any())


def _both_ends(box: Ints) -> Iterator[tuple[np.ufunc, Ints]]:
    yield from ((np.minimum, box[:, :2]), (np.maximum, box[:, 2:]))


def _first_of(first: Ints, begins: NDArray[Any], size: NDArray[Any]) -> NDArray[Any]:
    """Return which of each group comes first in reading order."""
    group = np.repeat(np.arange(begins.size), size)
    order = np.lexsort((first[:, 1], first[:, 0], group))
    found: NDArray[Any] = order[begins] - begins
    return found


def _moved(sums: Sums, origin: Ints) -> Ints:
    """Return the moments counted from other points."""
    down, right = (sums.origin - origin).T
    y, x, yy, xx, yx = sums.moments.T
    area = sums.area
    return np.stack(
        [
            y + area * down,
            x + area * right,
            yy + down * (2 * y + area * down),
            xx + right * (2 * x + area * right),
            yx + down * x + right * y + area * down * right,
        ],
        axis=1,
    )


def _hulls(
    hull: Ints, left: Corners, right: Corners, groups: NDArray[Any], several: NDArray[np.bool_]
) -> Ints:
    """Replace the hulls of groups of several regions by those around all of them."""
    number = np.cumsum(several) - 1
    left, right = (side.take(several[groups[side.region]]).merged(number[groups]) for side in (left, right))
    hull = hull.copy()
    hull[several] = hull_areas(left, right, int(several.sum()))
    return hull
