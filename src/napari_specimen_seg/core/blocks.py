"""Planes in blocks: a little in the cache of the processor, each pixel of a file read once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .image import Array

MARGIN = 2
"""How far around a pixel one has to look to know what the border at this pixel is like."""

BLOCK_PIXELS = 1 << 20
"""Of pictures in memory: small enough for the processor's cache, large enough that calls do not count."""

LAZY_PIXELS = 1 << 21
"""Of pictures on disk, whose chunks are put together to about so many."""

_MAX_WIDTH = 1 << 15


@dataclass(frozen=True)
class Grid:
    """How a plane is cut into blocks.

    Parameters
    ----------
    rows, columns : tuple of int
        Where blocks begin and, last, where the plane ends.
    shift : int
        Blocks of a lazy plane begin so many pixels before `rows` and `columns`, apart from the first: then
        all that is needed around a block has been read by the time its own chunks have.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    shift: int = 0

    def cores(self) -> Iterator[tuple[slice, slice]]:
        """Yield the rows and columns of each block, in reading order; no pixel is in two."""
        for top, bottom in pairwise(self._moved(self.rows)):
            for left, right in pairwise(self._moved(self.columns)):
                yield slice(top, bottom), slice(left, right)

    def _moved(self, cuts: tuple[int, ...]) -> tuple[int, ...]:
        return (cuts[0], *(cut - self.shift for cut in cuts[1:-1]), cuts[-1])


def grid_of(plane: Array) -> Grid:
    """Choose how to cut a plane.

    Parameters
    ----------
    plane : array
        (Y, X) or (Y, X, C), numpy, or dask or zarr, whose blocks are made of whole chunks.

    Returns
    -------
    Grid
    """
    height, width = plane.shape[:2]
    if not is_lazy(plane):
        columns = _cuts(width, _MAX_WIDTH)
        return Grid(_cuts(height, max(1, BLOCK_PIXELS // min(width, _MAX_WIDTH))), columns)
    chunk = getattr(plane, "chunksize", None) or plane.chunks  # type: ignore[attr-defined]
    side = int(LAZY_PIXELS**0.5)
    across = _cuts(width, _multiple(chunk[1], side), 2 * MARGIN)
    down = _multiple(chunk[0], LAZY_PIXELS // min(width, max(side, chunk[1])))
    return Grid(_cuts(height, down, 2 * MARGIN), across, MARGIN)


def is_lazy(array: Array) -> bool:
    """Tell whether an array is read from somewhere when it is indexed."""
    return not isinstance(array, np.ndarray)


def _multiple(chunk: int, wanted: int) -> int:
    return max(1, wanted // chunk) * chunk


def _cuts(length: int, step: int, least: int = 1) -> tuple[int, ...]:
    """Return where pieces of about `step` begin, and the end; none is shorter than `least`."""
    step = max(step, least)
    starts = [at for at in range(0, length, step) if at == 0 or length - at >= least]
    return (*starts, length)


def windows(plane: Array, grid: Grid) -> Iterator[NDArray[Any]]:
    """Bring a plane into memory, block by block, each with `MARGIN` pixels around it.

    Every pixel of a lazy plane is read once, as long as its chunks are those of the grid; beside the block
    only a few rows over the whole width stay in memory.

    Parameters
    ----------
    plane : array
        (Y, X) or (Y, X, C).
    grid : Grid

    Yields
    ------
    array
        For each block of `grid`, in its order: (rows + 2 `MARGIN`, columns + 2 `MARGIN`[, C]), with 0 beyond
        the edges of the plane.
    """
    if not is_lazy(plane):
        for rows, columns in grid.cores():
            yield _padded(np.asarray(plane), rows, columns)
    else:
        yield from _carried(plane, grid)


def _padded(
    held: NDArray[Any], rows: slice, columns: slice, origin: tuple[int, int] = (0, 0)
) -> NDArray[Any]:
    """Cut a block with its margin out of what is held, whose first pixel is `origin` of the plane."""
    spans = []
    for part, start, size in zip((rows, columns), origin, held.shape[:2], strict=True):
        spans.append((part.start - MARGIN - start, part.stop + MARGIN - start, size))
    inside = tuple(slice(max(0, first), min(size, end)) for first, end, size in spans)
    cut = held[inside]
    missing = [(max(0, -first), max(0, end - size)) for first, end, size in spans]
    if not any(map(any, missing)):
        return cut
    out = np.zeros((*(end - first for first, end, _ in spans), *held.shape[2:]), held.dtype)
    out[tuple(slice(before, before + n) for (before, _), n in zip(missing, cut.shape[:2], strict=True))] = cut
    return out


def _carried(plane: Array, grid: Grid) -> Iterator[NDArray[Any]]:
    """Read chunks in reading order and keep the last rows and columns for the blocks to come."""
    keep = 2 * MARGIN
    above = np.zeros((0, *plane.shape[1:]), plane.dtype)
    cores = grid.cores()
    for top, bottom in pairwise(grid.rows):
        below = np.zeros((min(keep, bottom - top), *plane.shape[1:]), plane.dtype)
        before = np.zeros((above.shape[0] + bottom - top, 0, *plane.shape[2:]), plane.dtype)
        for left, right in pairwise(grid.columns):
            read = np.asarray(plane[top:bottom, left:right])
            below[:, left:right] = read[read.shape[0] - below.shape[0] :]
            held = np.concatenate([before, np.concatenate([above[:, left:right], read])], axis=1)
            origin = top - above.shape[0], left - before.shape[1]
            yield _padded(held, *next(cores), origin)
            before = held[:, max(0, held.shape[1] - keep) :].copy()
        above = below


@dataclass(frozen=True)
class Block:
    """A block of labels.

    Parameters
    ----------
    window : array of int
        The labels with `MARGIN` pixels around them.
    top, left : int
        Where it is in its plane.
    picture : array or None
        (Y, X, C), without margin.
    """

    window: NDArray[Any]
    top: int
    left: int
    picture: NDArray[Any] | None


def blocks_of(plane: Array, picture: Array | None = None) -> Iterator[Block]:
    """Go through a plane and its picture, in memory or not, block by block in reading order.

    Parameters
    ----------
    plane : array
        (Y, X).
    picture : array, optional
        (Y, X, C).

    Yields
    ------
    Block
    """
    grid = grid_of(plane if picture is None or is_lazy(plane) else picture)
    light = None if picture is None else windows(picture, grid)
    for (rows, columns), window in zip(grid.cores(), windows(plane, grid), strict=True):
        yield Block(window, rows.start, columns.start, None if light is None else inner(next(light)))


def inner(window: NDArray[Any]) -> NDArray[Any]:
    """Return the block without its margin."""
    return window[MARGIN:-MARGIN, MARGIN:-MARGIN]
