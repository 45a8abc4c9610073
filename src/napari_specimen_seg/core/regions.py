"""What is measured of the regions of a picture, of all of them at once.

scikit-image's `regionprops` visits the regions one by one; with the thousands of nuclei of one
photograph that takes minutes. Here the picture is gone through once, block by block, in memory or not, and
the numbers equal what `regionprops` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .blocks import Block, blocks_of, inner, is_lazy
from .borders import STEPS
from .errors import MeasureError
from .histogram import histogram_of
from .hulls import Corners
from .image import Array
from .parallel import cores
from .runs import starts_of
from .seams import Seams
from .sums import BlockSums, Sums, put_together, sum_block

BAND_PIXELS = 1 << 26
"""How many pixels are looked at together; bounds memory for pictures that are not in it."""

MAX_THREADS = 4
"""How many blocks are added up at once; more would wait for each other, and fill the memory."""

_BLOCK = 1 << 18  # pixels that stay in the processor's cache while bincount widens them
_TABLE_LIMIT = 1 << 22  # values above this are sorted instead of counted in a table

Bands = Iterator[tuple[int, NDArray[Any]]]


def bands(plane: Array, pixels: int = BAND_PIXELS) -> Bands:
    """Cut a plane into bands of whole rows, each brought into memory on its own.

    Parameters
    ----------
    plane : numpy or dask array
        (Y, X) or (Y, X, C).
    pixels : int
        About how many pixels a band may have; bands of a dask array end where its chunks end.

    Yields
    ------
    start : int
        First row.
    band : array
        (rows, X) or (rows, X, C).
    """
    height, width = plane.shape[:2]
    rows = max(1, pixels // max(1, width))
    chunk = getattr(plane, "chunksize", (1,))[0]
    rows = max(chunk, rows // chunk * chunk)
    for start in range(0, height, rows):
        yield start, np.asarray(plane[start : start + rows])


def tally(values: NDArray[Any], weights: NDArray[Any] | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Count how often each value occurs, or add up weights by value.

    Parameters
    ----------
    values : array of int
        None negative.
    weights : array, optional
        Same shape.

    Returns
    -------
    values : array of int64
        The different values, sorted.
    sums : array
        int64 counts, or float64 sums of the weights.
    """
    flat = values.ravel()
    counts = histogram_of(values) if weights is None else None
    if counts is not None:
        present = np.flatnonzero(counts)
        return present, counts[present]
    if flat.size == 0 or int(flat.max()) >= _TABLE_LIMIT:
        found, where = np.unique(flat, return_inverse=True)
        sums = np.bincount(where.ravel(), _flat(weights), minlength=found.size)
        return found.astype(np.int64), sums
    heavy = None if weights is None else weights.ravel()
    size = int(flat.max()) + 1
    table = np.zeros(size, np.int64 if heavy is None else np.float64)
    seen = table if heavy is None else np.zeros(size, bool)
    for start in range(0, flat.size, _BLOCK):
        part = flat[start : start + _BLOCK]
        table += np.bincount(part, None if heavy is None else heavy[start : start + _BLOCK], size)
        if heavy is not None:
            seen[part] = True
    present = np.flatnonzero(seen)
    return present, table[present]


def merged(tallies: list[tuple[NDArray[Any], NDArray[Any]]]) -> dict[int, Any]:
    """Add up the tallies of several bands.

    Parameters
    ----------
    tallies : list of (values, sums)
        As from `tally`; sums may have a second axis.

    Returns
    -------
    dict
        Sum by value.
    """
    total: dict[int, Any] = {}
    for values, sums in tallies:
        for value, amount in zip(values.tolist(), sums, strict=True):
            total[value] = total[value] + amount if value in total else amount
    return total


def _flat(weights: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if weights is None else weights.ravel()


def components(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Find and number the connected parts of every label value; pixels that touch at a corner are connected.

    Parameters
    ----------
    labels : array of int
        (Y, X), 0 is background.

    Returns
    -------
    parts : array
        (Y, X): 0 for background, 1 to n in reading order of their first pixels.
    owner : array
        (n + 1,): the label value of each part, 0 at 0.
    """
    parts, count = connected(labels)
    starts = starts_of(labels)
    owner = np.zeros(count + 1, labels.dtype)
    owner[parts.ravel()[starts]] = labels.ravel()[starts]
    return parts, owner


def connected(labels: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return the connected parts, as `components`, and how many there are."""
    import cc3d

    # cc3d takes no others, though it writes nothing.
    labels = np.require(labels, requirements=["C", "W"])
    parts, count = cc3d.connected_components(labels, connectivity=8, return_N=True)
    return parts, int(count)


@dataclass(frozen=True)
class Regions:
    """Regions of one plane.

    Every quantity is an array with one entry per region. Lengths and positions are in pixels; methods with a
    `scale` (height, width of a pixel) are in its unit.

    Parameters
    ----------
    sums : Sums
        What their pixels add up to.
    """

    sums: Sums

    @property
    def count(self) -> int:
        """How many regions there are."""
        return self.sums.count

    @property
    def value(self) -> NDArray[np.int64]:
        """The label of each."""
        return self.sums.value

    @property
    def area(self) -> NDArray[np.int64]:
        """Number of pixels."""
        return self.sums.area

    @property
    def box(self) -> NDArray[np.int64]:
        """(count, 4): first row, first column, row after the last, column after the last."""
        return self.sums.box

    @property
    def convex_area(self) -> NDArray[np.int64]:
        """Number of pixels of the smallest convex shape around each region."""
        return self.sums.hull

    @cached_property
    def centroid(self) -> NDArray[np.float64]:
        """(count, 2): mean row and column of the pixels' centres."""
        centre: NDArray[np.float64] = self.sums.origin + self.sums.moments[:, :2] / self.area[:, None]
        return centre

    @cached_property
    def _covariance(self) -> NDArray[np.float64]:
        """(3, count): variance of rows, of columns, and their covariance."""
        y, x, yy, xx, yx = self.sums.moments.T / self.area
        return np.stack([yy - y * y, xx - x * x, yx - y * x])

    def variances(self, scale: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the pixels' variance along the main axis of each region and across it.

        These are the eigenvalues of the covariance matrix of the pixel centres (as in
        `skimage.measure.inertia_tensor_eigvals`).

        Parameters
        ----------
        scale : (float, float)
            Height and width of a pixel.

        Returns
        -------
        along, across : array of float64
        """
        height, width = scale
        rows, columns, mixed = self._covariance * np.array([[height**2], [width**2], [height * width]])
        mean, difference = (rows + columns) / 2, np.hypot((rows - columns) / 2, mixed)
        return mean + difference, np.clip(mean - difference, 0, None)

    @property
    def perimeter(self) -> NDArray[np.float64]:
        """Length of the line through the centres of the border pixels, see `borders.STEPS`."""
        length: NDArray[np.float64] = self.sums.steps @ STEPS
        return length

    @property
    def mean(self) -> NDArray[np.float64]:
        """(count, C): the mean of each channel of the picture."""
        mean: NDArray[np.float64] = self.sums.light / self.area[:, None]
        return mean


def regions_of(
    plane: Array, picture: Array | None = None, *, name: str = "labels", parts: bool, hulls: bool = True
) -> Regions:
    """Measure the regions of a plane, in memory or not; how it is cut into blocks changes nothing.

    Parameters
    ----------
    plane : array
        (Y, X) labels, 0 is background; numpy or lazy.
    picture : array, optional
        (Y, X, C), likewise.
    name : str
        Of the labels, for messages.
    parts : bool
        Whether every connected part of a label is a region, numbered in reading order; otherwise each label
        is one, in the order of their values.
    hulls : bool
        Whether `Regions.convex_area` is wanted, which takes as long as all the rest; it is 0 otherwise.

    Returns
    -------
    Regions

    Raises
    ------
    MeasureError
        As `require_ids`.
    """
    seams = Seams(plane.shape[1])
    blocks = checked_blocks(plane, picture, name)
    most = 2 if is_lazy(plane) else MAX_THREADS
    found = list(_summed(blocks, seams if parts else None, hulls=hulls, most=most))
    offsets = np.cumsum([0, *(f.sums.count for f in found)])
    sums = Sums.joined(f.sums for f in found)
    left, right = (
        Corners.joined(getattr(f, side).renumbered(at) for f, at in zip(found, offsets, strict=False))
        for side in ("left", "right")
    )
    groups = seams.groups() if parts else np.unique(sums.value, return_inverse=True)[1].ravel()
    return Regions(_in_order(put_together(sums, left, right, groups), parts=parts))


_Parts: TypeAlias = tuple[NDArray[Any], NDArray[Any], int, int]
"""What `Seams.add` takes: labels, parts, how many, and the first column."""


def _summed(blocks: Iterator[Block], seams: Seams | None, *, hulls: bool, most: int) -> Iterator[BlockSums]:
    """Add up several blocks at once, in threads.

    Parameters
    ----------
    blocks : iterator of Block
    seams : Seams or None
        Takes the connected parts; None where each label is a region.
    hulls : bool
    most : int
        How many threads at most, each with a block in memory.

    Yields
    ------
    BlockSums
        In the order of the blocks.
    """
    waiting: deque[Future[tuple[BlockSums, _Parts | None]]] = deque()
    threads = min(cores(), most)

    def next_done() -> BlockSums:
        sums, parts = waiting.popleft().result()
        if seams is not None and parts is not None:
            seams.add(*parts)
        return sums

    with ThreadPoolExecutor(threads) as pool:
        for block in blocks:
            waiting.append(pool.submit(_sum_one, block, parts=seams is not None, hulls=hulls))
            if len(waiting) > threads:  # no more blocks in memory than are worked on
                yield next_done()
        while waiting:
            yield next_done()


def _sum_one(block: Block, *, parts: bool, hulls: bool) -> tuple[BlockSums, _Parts | None]:
    """Find the connected parts of a block, if wanted, and add up what is measured."""
    if not parts:
        return sum_block(block, parts=None, hulls=hulls), None
    labels = np.ascontiguousarray(inner(block.window))
    numbered, count = connected(labels)
    return sum_block(block, parts=numbered, hulls=hulls), (labels, numbered, count, block.left)


def checked_blocks(plane: Array, picture: Array | None, name: str) -> Iterator[Block]:
    """Go through a plane as `blocks_of` does, with labels that can be counted; errors as `require_ids`."""
    for block in blocks_of(plane, picture):
        yield replace(block, window=require_ids(block.window, name))


def _in_order(sums: Sums, *, parts: bool) -> Sums:
    """Sort connected parts as one reads; labels are in the order of their values already."""
    return sums.take(np.lexsort((sums.first[:, 1], sums.first[:, 0]))) if parts else sums


def require_ids(band: NDArray[Any], name: str) -> NDArray[Any]:
    """Return a band of labels as integers that can be counted.

    Parameters
    ----------
    band : array
        Any shape.
    name : str
        Of the labels, for the message.

    Returns
    -------
    array of int
        Booleans become 0 and 1.

    Raises
    ------
    MeasureError
        If the values are no whole numbers, or some are negative.
    """
    if band.dtype == bool:
        return band.view(np.uint8)
    if band.dtype.kind not in "iu":
        raise MeasureError(
            f"{name}: labels must be whole numbers, not {band.dtype}",
            advice="Round them to class ids first, or choose the label picture.",
        )
    if band.dtype.kind == "i" and band.size and int(band.min()) < 0:
        raise MeasureError(
            f"{name}: labels must not be negative, and {int(band.min())} is", advice="Use ids from 0 up."
        )
    return band
