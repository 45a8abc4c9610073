"""From a class mask to separate objects, and from loose parts to whole specimens."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .classes import ClassMap
from .cutting import cut
from .errors import SpecimenWarning
from .image import Array, SpecimenLabels
from .necks import necked_parts
from .regions import components, connected, require_ids
from .runs import areas

SPECK_SHARE = 0.1
"""A connected part smaller than this share of the picture's largest one is no specimen of its own: it
belongs to the nearest that is (a leg that the mask has cut off, an antenna's tip)."""

_BAND_ROWS = 128


def separate(
    labels: SpecimenLabels | Array, class_map: ClassMap | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give numbers to the objects of every class, cutting those that touch at their necks.

    Each connected part of a class is flooded from the peaks of its distance transform (watershed after
    Vincent and Soille 1991). Peaks count where the neck between them is narrow relative to their width
    (`necks.NECK`), so that the result does not depend on the magnification; long parts stay whole
    (`necks.ROUND_SHARE`). The same input gives the same objects every time.

    On the 68 pictures of the validation split of DSB2018, whose true nuclei were merged to a mask and
    separated again, it finds 3573 of 3754 nuclei (connected parts alone: 3110); per picture the count is
    off by 5.4 % on average; F1 at an overlap (IoU) of 0.5 is 0.947.

    Parameters
    ----------
    labels : SpecimenLabels or array
        (Y, X) class ids, or with leading axes, which are separated plane by plane.
    class_map : ClassMap, optional
        What the ids mean; only to warn of those that it does not have.

    Returns
    -------
    instances : array of uint16, or uint32 where there are more than 65535 objects
        Same shape: 0 for background, objects 1 to n in reading order of their parts, unique over all
        planes.
    object_class : array
        (n + 1,): the class id of each object, 0 at 0.

    Raises
    ------
    MeasureError
        If labels are not whole numbers from 0 up.

    Warns
    -----
    SpecimenWarning
        If labels hold values that the class map does not have; they are separated all the same.
    """
    subject = SpecimenLabels.of(labels)
    numbered = np.zeros(subject.data.shape, np.uint32)
    owners = [np.zeros(1, np.uint16)]
    count = 0
    for index in np.ndindex(subject.data.shape[:-2]):
        plane = require_ids(np.asarray(subject.data[index]), subject.name)
        objects, owner = _separate_plane(plane)
        numbered[index] = np.where(objects > 0, objects + count, 0) if count else objects
        owners.append(owner[1:])
        count += owner.size - 1
    object_class = np.concatenate(owners)
    _warn_of_strangers(subject.name, object_class, class_map)
    return numbered.astype(np.uint16 if count <= 0xFFFF else np.uint32, copy=False), object_class


def _warn_of_strangers(name: str, object_class: NDArray[Any], class_map: ClassMap | None) -> None:
    strangers = class_map.strangers(np.unique(object_class)) if class_map else []
    if strangers:
        warnings.warn(
            f"{name}: the class map does not have label {strangers[0]}; its objects are cut as well",
            SpecimenWarning,
            stacklevel=3,
        )


def _separate_plane(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    parts, owner = components(labels)
    pieces = np.ones(owner.size, np.uint32)
    out = np.zeros(parts.shape, np.uint32)
    for part in necked_parts(parts):  # one at a time: together their boxes may be many times the picture
        pieces[part.number] = part.count
        out[part.window] += np.maximum(cut(part), 1).astype(np.uint32) - 1
    first = np.cumsum(pieces, dtype=np.uint32) - pieces
    for start in range(0, parts.shape[0], _BAND_ROWS):
        rows = slice(start, start + _BAND_ROWS)
        out[rows] += first[parts[rows]]
    return out, np.repeat(owner, pieces)


def find_specimens(labels: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Find and number the separate specimens of a plane; no pixel of them is left out.

    A specimen is a connected part of all that is not background (pixels that share an edge or a corner
    are connected) with at least `SPECK_SHARE` of the area of the largest part. Smaller parts belong to
    the specimen whose pixels are nearest.

    Parameters
    ----------
    labels : array
        (Y, X) class ids or objects, 0 is background.

    Returns
    -------
    numbers : array of int
        (Y, X): 0 for background, 1 to n in reading order of their first pixels.
    count : int
    """
    parts, count = connected((labels != 0).view(np.uint8))
    if not count:
        return parts, 0
    area = areas(parts, count)[1:]
    whole = area >= SPECK_SHARE * area.max()
    number = np.concatenate([[0], np.where(whole, np.cumsum(whole), 0)]).astype(np.int32)
    if whole.sum() == 1:
        return (parts > 0).astype(np.int32), 1
    numbers = number[parts]
    if not whole.all():
        number[1:][~whole] = _nearest(numbers, parts)
        numbers = number[parts]
    return numbers, int(whole.sum())


def _nearest(numbers: NDArray[Any], parts: NDArray[Any]) -> NDArray[Any]:
    """Return, for each part without a number, that of the specimen with the pixel nearest to one of its."""
    from scipy.spatial import cKDTree

    edge = _outline(numbers != 0)
    points = _outline((parts != 0) & (numbers == 0))
    far, which = cKDTree(edge).query(points)
    speck, owner = parts[tuple(points.T)], numbers[tuple(edge[which].T)]
    order = np.lexsort((owner, far, speck))
    first = np.unique(speck[order], return_index=True)[1]
    nearest: NDArray[Any] = owner[order][first]
    return nearest


def _outline(mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return (n, 2) positions of the pixels with a neighbour outside."""
    inside = np.pad(mask, 1)
    core = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return np.argwhere(inside[1:-1, 1:-1] & ~core)
