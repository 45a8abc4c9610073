"""Which objects were found one by one: matches by overlap, splits, merges and counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap
from ..core.errors import MeasureError
from ..core.image import SpecimenLabels
from ..core.regions import bands, require_ids, tally
from .confusion import planes, refuse_shapes
from .scores import Floats, mean, ratio

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""The overlaps that a match must exceed: 0.5 to 0.95."""

_TWENTIETHS = np.arange(10, 20)  # the thresholds as whole numbers: 0.55 has no exact float

TRUE, PREDICTED, MATCHED = 0, 1, slice(2, 12)
SPLIT, MERGED = 12, 13
COLUMNS = 14
"""What the last axis of object counts holds: objects by truth, by prediction, matches at each threshold,
split true objects, predicted objects that merge several."""


@dataclass(frozen=True, slots=True)
class Overlaps:
    """The objects of a picture and the pixels that they share.

    Parameters
    ----------
    true_area, predicted_area : array of int
        Pixels by object number; index 0 is no object. Objects without pixels have 0.
    true, predicted, shared : array of int
        One entry for each pair that overlaps: the two object numbers and the pixels.
    """

    true_area: NDArray[np.int64]
    predicted_area: NDArray[np.int64]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    shared: NDArray[np.int64]


def overlaps(
    truth: SpecimenLabels, prediction: SpecimenLabels, *, ignore: NDArray[np.bool_] | None = None
) -> Overlaps:
    """Count the pixels that each true object shares with each predicted one, in one pass.

    Parameters
    ----------
    truth, prediction : SpecimenLabels
        (Y, X) object numbers or with leading axes, the same shape; 0 is no object.
    ignore : array of bool, optional
        Same shape: pixels to leave out.

    Returns
    -------
    Overlaps
    """
    refuse_shapes(truth, prediction)
    found: list[tuple[NDArray[Any], NDArray[Any]]] = []
    width = _largest(prediction) + 1
    height = _largest(truth) + 1
    if height * width >= 1 << 62:
        raise MeasureError(f"{truth.name}: the object numbers are too large to be compared")
    for number, (one, two) in enumerate(zip(planes(truth), planes(prediction), strict=True)):
        skip = None if ignore is None else ignore.reshape(-1, *ignore.shape[-2:])[number]
        for start, band in bands(one):
            rows = slice(start, start + band.shape[0])
            code = band.astype(np.int64) * width + np.asarray(two[rows]).astype(np.int64)
            found.append(tally(code if skip is None else code[~skip[rows]]))
    values, places = np.unique(np.concatenate([v for v, _ in found]), return_inverse=True)
    pixels = np.bincount(places, np.concatenate([n for _, n in found])).astype(np.int64)
    true, predicted = np.divmod(values, width)
    both = (true > 0) & (predicted > 0)
    return Overlaps(
        _areas(true, pixels, height),
        _areas(predicted, pixels, width),
        true[both],
        predicted[both],
        pixels[both],
    )


def _largest(labels: SpecimenLabels) -> int:
    return max(
        (
            int(require_ids(b, labels.name).max(initial=0))
            for plane in planes(labels)
            for _, b in bands(plane)
        ),
        default=0,
    )


def _areas(numbers: NDArray[Any], pixels: NDArray[Any], size: int) -> NDArray[np.int64]:
    areas = np.bincount(numbers, pixels, minlength=size).astype(np.int64)
    areas[0] = 0
    return areas


def object_counts(
    found: Overlaps, class_map: ClassMap, true_class: NDArray[Any], predicted_class: NDArray[Any]
) -> NDArray[np.int64]:
    """Count objects, matches, splits and merges of each class.

    Objects match at a threshold if the intersection over union of their pixels exceeds it. Above 0.5
    an object can match one other at most, so that nothing needs to be assigned. A true object is split
    if more than half of each of at least two predicted objects lies in it; a predicted object merges if
    it covers more than half of each of at least two true ones. Only objects of one class are compared.

    Parameters
    ----------
    found : Overlaps
    class_map : ClassMap
    true_class, predicted_class : array of int
        Class id by object number.

    Returns
    -------
    array of int64
        (classes, `COLUMNS`), in the order of the class map.
    """
    true_class = _one_each(true_class, found.true_area.size)
    predicted_class = _one_each(predicted_class, found.predicted_area.size)
    same = true_class[found.true] == predicted_class[found.predicted]
    true, said, shared = found.true[same], found.predicted[same], found.shared[same]
    union = found.true_area[true] + found.predicted_area[said] - shared
    matched = shared[:, None] * 20 > union[:, None] * _TWENTIETHS
    inside = 2 * shared > found.predicted_area[said]  # most of the predicted object lies in the true one
    covered = 2 * shared > found.true_area[true]
    split = np.bincount(true[inside], minlength=found.true_area.size) > 1
    merged = np.bincount(said[covered], minlength=found.predicted_area.size) > 1
    counts = np.zeros((len(class_map), COLUMNS), np.int64)
    for place, class_id in enumerate(class_map.ids):
        is_true = (true_class == class_id) & (found.true_area > 0)
        is_said = (predicted_class == class_id) & (found.predicted_area > 0)
        counts[place, TRUE], counts[place, PREDICTED] = is_true.sum(), is_said.sum()
        counts[place, MATCHED] = matched[true_class[true] == class_id].sum(0)
        counts[place, SPLIT], counts[place, MERGED] = split[is_true].sum(), merged[is_said].sum()
    return counts


def _one_each(object_class: NDArray[Any], size: int) -> NDArray[Any]:
    """Return a class id for every object number; those that came without one have background's."""
    table = np.zeros(size, np.int64)
    table[: object_class.size] = object_class[:size]
    return table


def as_objects(labels: SpecimenLabels, class_map: ClassMap) -> tuple[SpecimenLabels, NDArray[Any]]:
    """Return numbered objects and the class id of each.

    Parameters
    ----------
    labels : SpecimenLabels
        Objects that know their class stay as they are; class ids are separated (`core.instances`).
    class_map : ClassMap

    Returns
    -------
    labels : SpecimenLabels
    object_class : array
        By object number.
    """
    if labels.object_class is not None:
        return labels, np.asarray(labels.object_class)
    from ..core.instances import separate

    numbered, owner = separate(labels, class_map)
    return labels.replace(data=numbered, object_class=owner), owner


def as_classes(labels: SpecimenLabels) -> SpecimenLabels:
    """Return class ids instead of object numbers, where the labels know the class of each object."""
    if labels.object_class is None:
        return labels
    table = np.asarray(labels.object_class).astype(np.uint16)
    data = table.take(np.asarray(labels.data), mode="clip")
    return labels.replace(data=data, object_class=None)


def average_precision(counts: NDArray[Any]) -> Floats:
    """Return matches / (matches + missed + extra) at each threshold.

    Caicedo et al. 2019 (Nature Methods 16:1247, Data Science Bowl 2018); the score of that competition
    is the mean over thresholds, and then over pictures.

    Parameters
    ----------
    counts : array of int
        (..., `COLUMNS`).

    Returns
    -------
    array
        (..., 10); NaN where there are no objects at all.
    """
    matched = counts[..., MATCHED]
    return ratio(matched, (counts[..., TRUE] + counts[..., PREDICTED])[..., None] - matched)


def object_f1(counts: NDArray[Any]) -> Floats:
    """Return 2 matches / (objects by truth + objects by prediction) at each threshold, (..., 10)."""
    return ratio(2 * counts[..., MATCHED], (counts[..., TRUE] + counts[..., PREDICTED])[..., None])


def dsb_score(counts: NDArray[Any]) -> Floats:
    """Return the mean of `average_precision` over the thresholds, (...,)."""
    score: Floats = np.asarray(mean(average_precision(counts), axis=-1))
    return score


def ignored_pixels(truth: SpecimenLabels, ignore: Iterable[int]) -> NDArray[np.bool_] | None:
    """Mark the pixels of class labels that are left out; None where none are asked for."""
    values = sorted(set(ignore))
    return np.isin(np.asarray(truth.data), values) if values else None
