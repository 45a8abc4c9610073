"""From class labels to better class labels: without specks and holes, smoother, larger, cut.

Each operation is defined for one class at a time, as scikit-image's is for a mask, and says what holds where
classes meet. They take one plane and return a new one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .image import PixelSize
from .instances import separate
from .part_runs import PartRuns, part_runs

Classes: TypeAlias = Collection[int] | None
"""The ids of the classes that may change, or None for all but background."""

Window: TypeAlias = tuple[slice, slice]

_SIDE = 512  # of the blocks in which distances are computed: few classes meet in one


def remove_small(labels: NDArray[Any], area: float, classes: Classes = None) -> NDArray[Any]:
    """Give the connected parts of classes to the background that are smaller than an area.

    For each class what `skimage.morphology.remove_small_objects` does, with pixels that touch at corners
    connected.

    Parameters
    ----------
    labels : array of int
        (Y, X) class ids, 0 is background.
    area : float
        In pixels; a part of exactly this area stays.
    classes : collection of int, optional
        Only these.

    Returns
    -------
    array
        As `labels`.
    """
    runs = part_runs(labels)
    return _removed(labels, runs, _chosen(runs.value, classes) & (runs.area < area))


def keep_largest(labels: NDArray[Any], classes: Classes = None) -> NDArray[Any]:
    """Give all connected parts of a class but the largest to the background.

    Parameters
    ----------
    labels : array of int
        (Y, X) class ids.
    classes : collection of int, optional
        Only these.

    Returns
    -------
    array
        As `labels`. Of parts of the same area the first in reading order stays.
    """
    runs = part_runs(labels)
    first = np.full(runs.value.size, labels.size)
    np.minimum.at(first, runs.part, runs.start)
    order = np.lexsort((first, -runs.area, runs.value))
    largest = np.zeros(runs.value.size, bool)
    largest[order[np.flatnonzero(np.diff(runs.value[order], prepend=-1))]] = True
    return _removed(labels, runs, _chosen(runs.value, classes) & ~largest)


def fill_holes(labels: NDArray[Any], area: float | None = None, classes: Classes = None) -> NDArray[Any]:
    """Give background inside a class to this class.

    A hole of a class is what `scipy.ndimage.binary_fill_holes` fills in the mask of this class: pixels of
    anything else, connected by their edges, from which no way leads to the edge of the picture. The
    background in a hole becomes the class; other classes in it stay as they are (an eye stays an eye in the
    head around it). Background in holes of several classes goes to that of the smallest hole, the innermost.

    Parameters
    ----------
    labels : array of int
        (Y, X) class ids.
    area : float, optional
        The largest hole that is filled, in pixels, with all that is in it; any if left out.
    classes : collection of int, optional
        Only holes of these.

    Returns
    -------
    array
        As `labels`.
    """
    runs = part_runs(labels, connectivity=4, neighbours=True)
    empty = np.flatnonzero((runs.value == 0) & ~runs.at_edge)
    best = np.full(empty.size, np.inf if area is None else np.nextafter(area, np.inf))
    filled = np.zeros(runs.value.size, bool)
    value = np.zeros(runs.value.size, np.int64)
    if empty.size:
        for class_id in np.unique(runs.value[_chosen(runs.value, classes)]).tolist():
            size = _hole_sizes(runs, class_id)[empty]
            inner = size < best
            best[inner] = size[inner]
            value[empty[inner]] = class_id
            filled[empty[inner]] = True
    return runs.painted(labels, filled, value)


def _hole_sizes(runs: PartRuns, class_id: int) -> NDArray[np.float64]:
    """Return, by part, the pixels of the hole of a class that it is in; infinity where it is in none."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    other = runs.value != class_id
    pairs = runs.pairs[other[runs.pairs].all(axis=1)]
    graph = coo_array((np.ones(pairs.shape[0], bool), pairs.T), shape=(other.size, other.size))
    count, group = connected_components(graph, directed=False)
    size = np.bincount(group, runs.area, count)
    size[group[runs.at_edge]] = np.inf
    found: NDArray[np.float64] = size[group]
    return found


def _chosen(value: NDArray[Any], classes: Classes) -> NDArray[np.bool_]:
    return value != 0 if classes is None else np.isin(value, [c for c in classes if c])


def _removed(labels: NDArray[Any], runs: PartRuns, parts: NDArray[np.bool_]) -> NDArray[Any]:
    return runs.painted(labels, parts, np.zeros(runs.value.size, np.int64))


def split(labels: NDArray[Any], classes: Classes = None) -> NDArray[Any]:
    """Draw a line of background, one pixel wide, between objects of one class that touch.

    Objects are those of `instances.separate`; the line is taken from the object that is numbered later.

    Parameters
    ----------
    labels : array of int
        (Y, X) class ids.
    classes : collection of int, optional
        Only these.

    Returns
    -------
    array
        As `labels`.
    """
    objects = np.pad(separate(labels)[0], 1)
    known = np.pad(labels, 1)
    inside = objects[1:-1, 1:-1]
    height, width = labels.shape
    cut = np.zeros(labels.shape, bool)
    for down in range(3):
        for right in range(3):
            view = slice(down, down + height), slice(right, right + width)
            cut |= (objects[view] < inside) & (known[view] == labels)
    return np.where(cut & _chosen(labels, classes), 0, labels).astype(labels.dtype)


def dilate(
    labels: NDArray[Any], radius: float, classes: Classes = None, pixel_size: PixelSize = 1.0
) -> NDArray[Any]:
    """Let classes grow into the background.

    As `skimage.segmentation.expand_labels`: background whose nearest pixel of a class is at most `radius`
    away gets this class; of several equally near, that of the lowest id. Other classes are not touched.

    Parameters
    ----------
    labels : array of int
        (Y, X) class ids.
    radius : float
        In the unit of `pixel_size`.
    classes : collection of int, optional
        Only these grow.
    pixel_size : float or (float, float)
        Edge of a pixel, or (height, width).

    Returns
    -------
    array
        As `labels`.
    """
    edges = _edges(pixel_size)
    limit = np.nextafter(_square(radius), np.float32(np.inf))
    out = labels.copy()
    for core, window, inside in _blocks(labels.shape, [math.ceil(radius / edge) for edge in edges]):
        if (labels[core] == 0).any():
            grown = _nearest(labels[window], limit, classes, edges)[inside]
            np.copyto(out[core], grown, where=labels[core] == 0)
    return out


def _nearest(
    labels: NDArray[Any], limit: np.float32, classes: Classes, edges: tuple[float, float]
) -> NDArray[Any]:
    """Return the class whose nearest pixel is nearest, 0 where no squared distance is below `limit`."""
    import edt

    nearest = np.full(labels.shape, limit, np.float32)
    found = np.zeros_like(labels)
    present = np.unique(labels)
    for class_id in present[_chosen(present, classes)]:
        other = np.ascontiguousarray(labels != class_id)
        distance = edt.edtsq(other, anisotropy=edges, black_border=False)
        closer = distance < nearest
        nearest[closer] = distance[closer]
        found[closer] = class_id
    return found


def erode(
    labels: NDArray[Any], radius: float, classes: Classes = None, pixel_size: PixelSize = 1.0
) -> NDArray[Any]:
    """Give the rim of classes to the background.

    A pixel stays if no pixel of anything else is within `radius`, as after
    `skimage.morphology.erosion` of the class's mask with a disc; beyond the edge of the picture there is
    nothing that erodes.

    Parameters
    ----------
    labels : array of int
        (Y, X) class ids.
    radius : float
        In the unit of `pixel_size`.
    classes : collection of int, optional
        Only these.
    pixel_size : float or (float, float)
        Edge of a pixel, or (height, width).

    Returns
    -------
    array
        As `labels`.
    """
    import edt

    distance = edt.edtsq(np.ascontiguousarray(labels), anisotropy=_edges(pixel_size), black_border=False)
    rim = (distance <= _square(radius)) & _chosen(labels, classes)
    return np.where(rim, 0, labels).astype(labels.dtype)


def smooth(
    labels: NDArray[Any], radius: float, classes: Classes = None, pixel_size: PixelSize = 1.0
) -> NDArray[Any]:
    """Give each pixel the class that most pixels around it have.

    Parameters
    ----------
    labels : array of int
        (Y, X) class ids.
    radius : float
        How far around, in the unit of `pixel_size`; pixels exactly that far count.
    classes : collection of int, optional
        Only pixels of these and of the background change, and only to these and to the background.
    pixel_size : float or (float, float)
        Edge of a pixel, or (height, width).

    Returns
    -------
    array
        As `labels`. Where several classes are as frequent, a pixel keeps its own if that is one of them, and
        gets the lowest id otherwise.
    """
    reach = _disc(radius, _edges(pixel_size), labels.shape)
    out = labels.copy()
    for core, window, inside in _blocks(labels.shape, (len(reach) // 2, max(reach))):
        out[core] = _most_frequent(labels[window], reach)[inside]
    allowed = (_chosen(labels, classes) | (labels == 0)) & (_chosen(out, classes) | (out == 0))
    return np.where(allowed, out, labels).astype(labels.dtype)


def _most_frequent(labels: NDArray[Any], reach: list[int]) -> NDArray[Any]:
    present = np.unique(labels)
    if present.size == 1:
        return labels
    out = labels.copy()
    most = np.zeros(labels.shape, np.int32)
    for class_id in present:
        mask = labels == class_id
        count = 2 * _count_around(mask, reach) + mask  # the half makes a pixel keep its own of equals
        more = count > most
        most[more] = count[more]
        out[more] = class_id
    return out


def _disc(radius: float, edges: tuple[float, float], shape: tuple[int, ...]) -> list[int]:
    """Return, for each row of a disc, how many columns it reaches to both sides; no more than are there."""
    rows = min(shape[0], math.floor(radius / edges[0] * (1 + 1e-9)))
    across = (max(0.0, radius**2 - (row * edges[0]) ** 2) for row in range(-rows, rows + 1))
    return [min(shape[1], math.floor(math.sqrt(square) / edges[1] * (1 + 1e-9))) for square in across]


def _count_around(mask: NDArray[np.bool_], reach: list[int]) -> NDArray[np.int32]:
    """Count the pixels of a mask in the disc around each pixel."""
    height, width = mask.shape
    rows, most = len(reach) // 2, max(reach)
    sums = np.zeros((height + 2 * rows, width + 2 * most + 1), np.int32)
    np.cumsum(np.pad(mask, ((rows, rows), (most, most))), axis=1, dtype=np.int32, out=sums[:, 1:])
    total = np.zeros(mask.shape, np.int32)
    for row, side in enumerate(reach):
        line = sums[row : row + height]
        total += line[:, most + side + 1 :][:, :width]
        total -= line[:, most - side :][:, :width]
    return total


def _blocks(shape: tuple[int, ...], margin: Sequence[int]) -> Iterator[tuple[Window, Window, Window]]:
    """Cut a plane into blocks: each in the plane, the same with a margin, and the block in that."""
    for corner in np.ndindex(*(-(-size // _SIDE) for size in shape)):
        core, window, inside = [], [], []
        for index, size, more in zip(corner, shape, margin, strict=True):
            start, stop = index * _SIDE, min(size, (index + 1) * _SIDE)
            first = max(0, start - more)
            core.append(slice(start, stop))
            window.append(slice(first, min(size, stop + more)))
            inside.append(slice(start - first, stop - first))
        yield (core[0], core[1]), (window[0], window[1]), (inside[0], inside[1])


def _edges(pixel_size: PixelSize) -> tuple[float, float]:
    height, width = pixel_size if isinstance(pixel_size, tuple) else (pixel_size, pixel_size)
    return float(height), float(width)


def _square(radius: float) -> np.float32:
    return np.float32(radius**2 * (1 + 1e-6))  # distances in units are rounded
