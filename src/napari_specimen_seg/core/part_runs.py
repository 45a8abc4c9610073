"""A label picture as runs that know their connected part: what operations on whole parts work on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .blocks import BLOCK_PIXELS
from .runs import starts_of
from .seams import Seams

Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class PartRuns:
    """The runs of a plane, in reading order, and its connected parts.

    Parameters
    ----------
    start, length : array of int64
        Of each run, in the flattened plane.
    part : array of int64
        Which part each run belongs to, from 0.
    value, area : array of int64
        Label and pixels of each part.
    at_edge : array of bool
        Whether a part reaches the edge of the plane.
    pairs : array of int64
        (m, 2): parts that share the edge of a pixel, each pair once. Only where asked for.
    """

    start: Ints
    length: Ints
    part: Ints
    value: Ints
    area: Ints
    at_edge: NDArray[np.bool_]
    pairs: Ints

    def painted(self, labels: NDArray[Any], parts: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of the labels with some parts in another value.

        Parameters
        ----------
        labels : array of int
            (Y, X).
        parts : array of bool
            Which parts.
        values : array of int
            By part.

        Returns
        -------
        array
        """
        runs = np.flatnonzero(parts[self.part])
        length = self.length[runs]
        begins = np.cumsum(length) - length
        where = np.arange(int(length.sum())) + np.repeat(self.start[runs] - begins, length)
        out = np.array(labels, order="C")
        out.reshape(-1)[where] = np.repeat(values[self.part[runs]].astype(labels.dtype), length)
        return out


def part_runs(labels: NDArray[Any], *, connectivity: Literal[4, 8] = 8, neighbours: bool = False) -> PartRuns:
    """Find the connected parts of all labels, background too.

    Parameters
    ----------
    labels : array of int
        (Y, X).
    connectivity : {4, 8}
        Whether pixels that touch only at a corner are connected.
    neighbours : bool
        Whether `PartRuns.pairs` is wanted; with `connectivity` 4.

    Returns
    -------
    PartRuns
    """
    import cc3d

    height, width = labels.shape
    seams = Seams(width, corners=connectivity == 8)
    starts, parts, values, pairs = [], [], [], []
    last: NDArray[Any] | None = None
    step = max(1, BLOCK_PIXELS // width)
    for top, bottom in pairwise([*range(0, height, step), height]):
        block = np.ascontiguousarray(labels[top:bottom])
        shown = _with_background(block)
        numbered, count = cc3d.connected_components(shown, connectivity=connectivity, return_N=True)
        offset = seams.count
        seams.add(shown, numbered, count, 0)
        start = starts_of(block)
        part = numbered.ravel()[start].astype(np.int64) - 1
        value = np.zeros(count, np.int64)
        value[part] = block.ravel()[start]
        starts.append(start + top * width)
        parts.append(part + offset)
        values.append(value)
        if neighbours:
            pairs += [p + (offset - 1) for p in _touching(numbered, start)]
            if last is not None:
                pairs.append(np.stack([last, numbered[0].astype(np.int64) + (offset - 1)], axis=1))
            last = numbered[-1].astype(np.int64) + (offset - 1)
    groups = seams.groups()
    start, part = np.concatenate(starts), groups[np.concatenate(parts)]
    length = np.diff(start, append=labels.size)
    count = int(groups.max()) + 1
    value = np.zeros(count, np.int64)
    value[groups] = np.concatenate(values)
    area = np.bincount(part, length, count).astype(np.int64)
    touching = _once(groups[np.concatenate(pairs)], count) if pairs else np.zeros((0, 2), np.int64)
    return PartRuns(start, length, part, value, area, _at_edge(start, length, part, labels.shape), touching)


def _with_background(block: NDArray[Any]) -> NDArray[Any]:
    """Return labels of which none is 0."""
    largest = int(block.max())
    wide = np.min_scalar_type(largest + 1)
    return block.astype(np.uint32 if wide.itemsize == 8 else wide) + 1


def _touching(numbered: NDArray[Any], start: NDArray[np.intp]) -> list[Ints]:
    """Return pairs of parts that touch, each at least once.

    Where two parts touch along a row edge, one of the two runs starts at or before the touch, and there, too,
    they touch; so it is enough to look around the first pixels of runs.
    """
    flat, width = numbered.ravel(), numbered.shape[1]
    found = []
    inner_columns = start[start % width > 0]
    for here, other in (
        (inner_columns, inner_columns - 1),
        (start[start >= width], start[start >= width] - width),
        (start[start < flat.size - width], start[start < flat.size - width] + width),
    ):
        pair = np.stack([flat[here], flat[other]], axis=1).astype(np.int64)
        found.append(_once(pair, int(flat.max()) + 1))
    return found


def _once(pairs: Ints, count: int) -> Ints:
    """Return each pair of different parts once, whichever comes first."""
    low, high = np.minimum(*pairs.T), np.maximum(*pairs.T)
    codes = np.unique((low * count + high)[low != high])
    return np.stack(np.divmod(codes, count), axis=1)


def _at_edge(start: Ints, length: Ints, part: Ints, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    height, width = shape
    column = start % width
    touches = (start < width) | (start >= (height - 1) * width) | (column == 0) | (column + length == width)
    at_edge = np.zeros(int(part.max()) + 1, bool)
    at_edge[part[touches]] = True
    return at_edge
