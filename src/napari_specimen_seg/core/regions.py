"""Sums over the pixels of numbered regions, for all regions of a picture at once.

scikit-image's `regionprops` visits the regions one by one; with the thousands of nuclei of one
photograph that takes minutes. Here each quantity is one pass over the picture, and equals what
`regionprops` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import MeasureError
from .image import Array

BAND_PIXELS = 1 << 26
"""How many pixels are looked at together; bounds memory for pictures that are not in it."""

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
        (Y, X): 0 for background, 1 to n.
    owner : array
        (n + 1,): the label value of each part, 0 at 0.
    """
    import cc3d

    parts, count = cc3d.connected_components(_writable(labels), connectivity=8, return_N=True)
    owner = np.zeros(count + 1, labels.dtype)
    owner[parts.ravel()] = labels.ravel()
    return parts, owner


def _writable(labels: NDArray[Any]) -> NDArray[Any]:
    return np.require(labels, requirements=["C", "W"])  # cc3d takes no others, though it writes nothing


class PartCounter:
    """Counts connected parts band by band, joining those that go on across a seam."""

    def __init__(self) -> None:
        self._owners: list[NDArray[Any]] = []
        self._edges: list[NDArray[np.int64]] = []
        self._last: tuple[NDArray[Any], NDArray[np.int64]] | None = None
        self._count = 0

    def add(self, band: NDArray[Any]) -> None:
        """Take the next band, (rows, X) of int, directly below the one before."""
        parts, owner = components(band)
        first, last = parts[0].astype(np.int64), parts[-1].astype(np.int64)
        offset = self._count - 1  # part 1 of this band is the next free number
        if self._last is not None:
            self._join(*self._last, band[0], first + offset)
        self._last = band[-1].copy(), last + offset
        self._owners.append(owner[1:].astype(np.int64))
        self._count += owner.size - 1

    def _join(
        self, above: NDArray[Any], above_parts: NDArray[Any], below: NDArray[Any], below_parts: NDArray[Any]
    ) -> None:
        width = above.size
        for shift in (-1, 0, 1):
            here = slice(max(0, -shift), width - max(0, shift))
            there = slice(max(0, shift), width - max(0, -shift))
            same = (above[here] == below[there]) & (above[here] != 0)
            self._edges.append(np.stack([above_parts[here][same], below_parts[there][same]]))

    def by_value(self) -> dict[int, int]:
        """Return how many connected parts each label value has."""
        owners = np.concatenate(self._owners) if self._owners else np.zeros(0, np.int64)
        if self._edges:
            from scipy.sparse import coo_array
            from scipy.sparse.csgraph import connected_components

            edges = np.concatenate(self._edges, axis=1)
            graph = coo_array((np.ones(edges.shape[1], bool), edges), shape=(owners.size, owners.size))
            owners = owners[np.unique(connected_components(graph, directed=False)[1], return_index=True)[1]]
        values, counts = np.unique(owners, return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))


@dataclass(frozen=True)
class Regions:
    """Numbered regions of one plane and what their pixels add up to.

    Every quantity is an array with one entry per region, region 1 first. Lengths and positions are in
    pixels; methods with a `scale` (height, width of a pixel) are in its unit.

    Parameters
    ----------
    numbers : array of int
        (Y, X): 0 outside, else 1 to `count` without gaps.
    count : int
        How many regions there are.
    """

    numbers: NDArray[Any]
    count: int

    def _sum(self, where: NDArray[Any], weights: NDArray[Any] | None = None) -> NDArray[Any]:
        return np.bincount(where, weights, self.count + 1)[1:]

    def _points(self) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """Yield (row, column, region) of the pixels of regions, in blocks."""
        for start, band in bands(self.numbers, _BLOCK * 4):
            rows, columns = np.nonzero(band)
            yield rows + start, columns, band[rows, columns]

    @cached_property
    def area(self) -> NDArray[np.int64]:
        """Number of pixels."""
        areas = np.zeros(self.count, np.int64)
        for _, _, region in self._points():
            areas += self._sum(region)
        return areas

    def area_where(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the number of chosen pixels of each region; `chosen` is (Y, X)."""
        return self._sum(self.numbers[chosen])

    @cached_property
    def centroid(self) -> NDArray[np.float64]:
        """(count, 2): mean row and column of the pixels' centres."""
        sums = np.zeros((self.count, 2))
        for rows, columns, region in self._points():
            sums[:, 0] += self._sum(region, rows)
            sums[:, 1] += self._sum(region, columns)
        return sums / self.area[:, None]

    @cached_property
    def box(self) -> NDArray[np.int64]:
        """(count, 4): first row, first column, row after the last, column after the last."""
        import cc3d

        found = cc3d.statistics(_writable(self.numbers), no_slice_conversion=True)
        top, bottom, left, right = found["bounding_boxes"][1 : self.count + 1].astype(np.int64).T
        return np.stack([top, left, bottom + 1, right + 1], axis=1)

    @cached_property
    def _covariance(self) -> NDArray[np.float64]:
        """(count, 3): variance of rows, of columns, and their covariance."""
        sums = np.zeros((self.count, 3))
        centre = np.concatenate([np.zeros((1, 2)), self.centroid])
        for rows, columns, region in self._points():
            down, right = rows - centre[region, 0], columns - centre[region, 1]
            for index, product in enumerate((down * down, right * right, down * right)):
                sums[:, index] += self._sum(region, product)
        return sums / self.area[:, None]

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
        rows, columns, mixed = self._covariance.T * np.array([[height**2], [width**2], [height * width]])
        mean, difference = (rows + columns) / 2, np.hypot((rows - columns) / 2, mixed)
        return mean + difference, np.clip(mean - difference, 0, None)

    @cached_property
    def perimeter(self) -> NDArray[np.float64]:
        """Length of the line through the centres of the border pixels.

        Weights after Benkrid and Crookes, "Design and FPGA implementation of a perimeter estimator"
        (2000), as in `skimage.measure.perimeter` with four neighbours.
        """
        padded = np.pad(self.numbers, 1)
        inside = padded[1:-1, 1:-1]
        differs = np.zeros(inside.shape, bool)
        for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
            differs |= padded[down : down + inside.shape[0], right : right + inside.shape[1]] != inside
        rows, columns = np.nonzero(differs & (inside != 0))
        region = inside[rows, columns]
        edge = np.zeros_like(padded)
        edge[rows + 1, columns + 1] = region
        code = np.ones(region.size, np.int64)
        for down in range(3):
            for right in range(3):
                if (down, right) != (1, 1):
                    weight = 10 if down != 1 and right != 1 else 2
                    code += weight * (edge[rows + down, columns + right] == region)
        return self._sum(region, _PERIMETER_WEIGHT[code])

    @cached_property
    def convex_area(self) -> NDArray[np.int64]:
        """Number of pixels of the smallest convex shape around each region."""
        from skimage.measure import regionprops_table

        table = regionprops_table(self.numbers, properties=("area_convex",))
        return np.asarray(table["area_convex"], np.int64)

    def mean(self, picture: Array) -> NDArray[np.float64]:
        """Return the mean of each channel of a picture over each region.

        Parameters
        ----------
        picture : array
            (Y, X, C), any real type; may be lazy.

        Returns
        -------
        array of float64
            (count, C).
        """
        sums = np.zeros((self.count, picture.shape[-1]))
        for start, band in bands(picture, _BLOCK * 4):
            where = self.numbers[start : start + band.shape[0]].ravel()
            for channel in range(band.shape[-1]):
                sums[:, channel] += self._sum(where, band[..., channel].ravel())
        return sums / self.area[:, None]


def _perimeter_weights() -> NDArray[np.float64]:
    weights = np.zeros(50)
    weights[[5, 7, 15, 17, 25, 27]] = 1
    weights[[21, 33]] = np.sqrt(2)
    weights[[13, 23]] = (1 + np.sqrt(2)) / 2
    return weights


_PERIMETER_WEIGHT = _perimeter_weights()


def consecutive(numbers: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Renumber object ids to 1 to n without gaps, in their order.

    Parameters
    ----------
    numbers : array of int
        (Y, X), 0 is background, none negative.

    Returns
    -------
    numbers : array of int32
        (Y, X).
    ids : array of int64
        (n,): the old number of each.
    """
    ids = tally(numbers)[0]
    ids = ids[ids != 0]
    if ids.size and int(ids[-1]) == ids.size:
        return numbers.astype(np.int32, copy=False), ids
    if ids.size and int(ids[-1]) >= _TABLE_LIMIT:
        found = np.searchsorted(ids, numbers) + 1
        return np.where(numbers == 0, 0, found).astype(np.int32), ids
    table = np.zeros(int(ids[-1]) + 1 if ids.size else 1, np.int32)
    table[ids] = np.arange(1, ids.size + 1)
    return table[numbers], ids


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
