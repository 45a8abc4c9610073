"""How often each class was taken for each other: the counts that all pixel scores are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap
from ..core.errors import MeasureError, size_text
from ..core.image import Array, SpecimenLabels
from ..core.regions import bands, require_ids

MAX_CLASSES = 512
"""Every class has a row and a column: more are a mistake, or object numbers taken for classes."""

_BLOCK = 1 << 18  # pixels whose codes stay in the processor's cache


def confusion_counts(
    truth: SpecimenLabels | Array,
    prediction: SpecimenLabels | Array,
    class_map: ClassMap,
    *,
    ignore: Iterable[int] = (),
) -> NDArray[np.int64]:
    """Count the pixels of each class by what they were taken for, in one pass.

    Parameters
    ----------
    truth, prediction : SpecimenLabels or array
        (Y, X) class ids, or with leading axes; the same shape. May be dask arrays.
    class_map : ClassMap
        At most `MAX_CLASSES` classes.
    ignore : iterable of int
        Values of the truth whose pixels are left out, whatever was predicted there.

    Returns
    -------
    array of int64
        (classes, classes + 1): rows are the truth and columns the prediction, both in the order of the
        class map. The last column counts predicted values that the map does not have.

    Raises
    ------
    MeasureError
        If the shapes differ, values are no class ids, or the truth holds a value that is neither in the
        class map nor ignored.
    """
    refuse_many(class_map)
    one, two = SpecimenLabels.of(truth, "truth"), SpecimenLabels.of(prediction, "prediction")
    refuse_shapes(one, two)
    classes = len(class_map)
    rows, columns = _tables(class_map, set(ignore))
    counts = np.zeros((classes + 2) * (classes + 1), np.int64)
    for true, said in _blocks(one, two):
        code = rows.take(true, mode="clip") + columns.take(said, mode="clip")
        counts += np.bincount(code, minlength=counts.size)
    table = counts.reshape(classes + 2, classes + 1)
    if table[classes].any():
        raise _stranger(one, rows, classes * (classes + 1))
    return table[:classes]


def refuse_many(class_map: ClassMap) -> None:
    """Refuse a class map that has more classes than can be compared with each other."""
    if len(class_map) > MAX_CLASSES:
        raise MeasureError(
            f"{len(class_map)} classes are more than can be compared with each other ({MAX_CLASSES})",
            advice="If the values number objects, give labels whose file says so, or a class map.",
        )


def refuse_shapes(truth: SpecimenLabels, prediction: SpecimenLabels) -> None:
    """Refuse labels that are not of the same height, width and number of planes."""
    if truth.data.shape != prediction.data.shape:
        here, there = (size_text(labels.data.shape) for labels in (truth, prediction))
        raise MeasureError(
            f"{truth.name}: the truth has {here} pixels, the prediction {there}",
            advice="Both must belong to the same picture at the same size.",
        )


def planes(labels: SpecimenLabels) -> Iterator[Array]:
    """Yield the planes of labels, each (Y, X)."""
    for index in np.ndindex(labels.data.shape[:-2]):
        yield labels.data[index]


def _blocks(truth: SpecimenLabels, prediction: SpecimenLabels) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the same short runs of pixels of both, checked to be class ids."""
    for one, two in zip(planes(truth), planes(prediction), strict=True):
        for start, band in bands(one):
            other = np.asarray(two[start : start + band.shape[0]])
            true = require_ids(band, truth.name).ravel()
            said = require_ids(other, prediction.name).ravel()
            for at in range(0, true.size, _BLOCK):
                yield true[at : at + _BLOCK], said[at : at + _BLOCK]


def _tables(class_map: ClassMap, ignore: set[int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return, by value, the row times the row length, and the column.

    Values beyond a table are clipped to its last entry, which stands for all that the map does not have.
    """
    classes, width = len(class_map), len(class_map) + 1
    size = max(*class_map.ids, *ignore, 0) + 2
    rows = np.full(size, classes * width, np.intp)
    columns = np.full(size, classes, np.intp)
    for place, class_id in enumerate(class_map.ids):
        rows[class_id], columns[class_id] = place * width, place
    for value in ignore:
        rows[value] = (classes + 1) * width
    return rows, columns


def _stranger(truth: SpecimenLabels, rows: NDArray[np.intp], mark: int) -> MeasureError:
    """Name the first value of the truth that has no class."""
    values = (value for plane in planes(truth) for _, band in bands(plane) for value in np.unique(band))
    value = next(int(v) for v in values if rows.take(int(v), mode="clip") == mark)
    return MeasureError(
        f"{truth.name}: the truth holds value {value}, which the class map does not have",
        advice=f"Add it to the class map, or leave its pixels out (--ignore {value}).",
    )
