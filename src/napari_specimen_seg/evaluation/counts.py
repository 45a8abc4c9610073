"""What is counted in one picture; every score of one or many pictures is made from these numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import MAX_ID, ClassMap
from ..core.errors import MeasureError, SpecimenWarning
from ..core.image import UNITS_IN_MM, SpecimenLabels
from ..core.regions import tally
from .boundary import boundary_counts
from .confusion import confusion_counts, refuse_many, refuse_shapes
from .instances import as_classes, as_objects, ignored_pixels, object_counts, overlaps
from .settings import EvaluateSettings


@dataclass(frozen=True, slots=True)
class PictureCounts:
    """What was counted in a picture.

    Parameters
    ----------
    name : str
    confusion : array of int
        (classes, classes + 1), see `confusion_counts`.
    boundary : array of int
        (classes, 4), see `boundary_counts`.
    objects : array of int, optional
        (classes, columns), see `object_counts`.
    sureness : array of int, optional
        (classes without background, 2, steps), see `curves.sureness_counts`.
    """

    name: str
    confusion: NDArray[np.int64]
    boundary: NDArray[np.int64]
    objects: NDArray[np.int64] | None = None
    sureness: NDArray[np.int64] | None = None


def count_picture(
    truth: SpecimenLabels,
    prediction: SpecimenLabels,
    class_map: ClassMap,
    settings: EvaluateSettings | None = None,
) -> PictureCounts:
    """Compare a prediction with the truth.

    Parameters
    ----------
    truth, prediction : SpecimenLabels
        The same shape. Labels that carry a class map of their own are translated by class names.
    class_map : ClassMap
        The classes to compare by.
    settings : EvaluateSettings, optional

    Returns
    -------
    PictureCounts

    Raises
    ------
    MeasureError
        If the two cannot be compared: shapes, values, or a tolerance in mm without a pixel size.
    """
    settings = settings or EvaluateSettings()
    refuse_many(class_map)
    refuse_shapes(truth, prediction)
    truth, prediction = (prepared(labels, class_map, settings) for labels in (truth, prediction))
    return count_prepared(truth, prediction, class_map, settings)


def prepared(labels: SpecimenLabels, class_map: ClassMap, settings: EvaluateSettings) -> SpecimenLabels:
    """Return labels whose values mean what the class map says, or that know the class of each object."""
    plain = nonzero_is_class(labels, class_map, instances=settings.instances, ignore=settings.ignore)
    return align(plain, class_map)


def count_prepared(
    truth: SpecimenLabels, prediction: SpecimenLabels, class_map: ClassMap, settings: EvaluateSettings
) -> PictureCounts:
    """Compare labels that come from `prepared`; see `count_picture`."""
    refuse_shapes(truth, prediction)
    true, said = as_classes(truth), as_classes(prediction)
    confusion = confusion_counts(true, said, class_map, ignore=settings.ignore)
    pixel, tolerance = _tolerance(truth, settings)
    boundary = boundary_counts(
        true, said, class_map, tolerance=tolerance, pixel=pixel, ignore=settings.ignore
    )
    objects = _count_objects(truth, prediction, true, class_map, settings)
    return PictureCounts(truth.name, confusion, boundary, objects)


def _count_objects(
    truth: SpecimenLabels,
    prediction: SpecimenLabels,
    true_classes: SpecimenLabels,
    class_map: ClassMap,
    settings: EvaluateSettings,
) -> NDArray[np.int64] | None:
    # Objects in the truth alone suffice: a model's answer is separated where it was not yet.
    if not settings.instances and truth.object_class is None:
        return None
    (one, true_class), (two, said_class) = (as_objects(labels, class_map) for labels in (truth, prediction))
    ignore = ignored_pixels(true_classes, settings.ignore)
    return object_counts(overlaps(one, two, ignore=ignore), class_map, true_class, said_class)


def _tolerance(truth: SpecimenLabels, settings: EvaluateSettings) -> tuple[tuple[float, float], float]:
    """Return the size of a pixel and the tolerance, both in pixels or both in mm."""
    if settings.tolerance_unit == "pixel":
        return (1.0, 1.0), settings.tolerance
    size = truth.pixel_size_yx
    if size is None or truth.unit not in UNITS_IN_MM:
        raise MeasureError(
            f"{truth.name}: a tolerance in {settings.tolerance_unit} needs the pixel size of the labels",
            advice="Save the labels with a pixel size, or give the tolerance in pixels.",
        )
    factor = UNITS_IN_MM[truth.unit]
    return (size[0] * factor, size[1] * factor), settings.tolerance * UNITS_IN_MM[settings.tolerance_unit]


def nonzero_is_class(
    labels: SpecimenLabels, class_map: ClassMap, *, instances: bool = False, ignore: Iterable[int] = ()
) -> SpecimenLabels:
    """Understand masks that were saved as 0 and 255, and object numbers that came without a class.

    Where there is one class beside the background, every value but 0 can only mean that class; several
    different values number its objects.

    Parameters
    ----------
    labels : SpecimenLabels
        Labels that have several classes or know the class of each object stay as they are.
    class_map : ClassMap
    instances : bool
        Whether objects are to be told apart.
    ignore : iterable of int
        Values that mean neither.

    Returns
    -------
    SpecimenLabels
    """
    meant = (labels.class_map or class_map).foreground
    if len(meant) != 1 or labels.object_class is not None:
        return labels
    data, only = np.asarray(labels.data), meant[0]
    values = set(tally(data)[0].tolist()) - {0, *ignore} if data.dtype.kind in "biu" else set()
    if not values - {only.id} or min(values) < 0:
        return labels
    if instances and len(values) > 1:
        owner = np.zeros(max(values) + 1, np.int64)
        owner[list(values)] = only.id
        return labels.replace(object_class=owner)
    return labels.replace(data=np.where(np.isin(data, list(values)), only.id, data))


def align(labels: SpecimenLabels, class_map: ClassMap) -> SpecimenLabels:
    """Return labels with the ids that a class map gives to their classes' names.

    Parameters
    ----------
    labels : SpecimenLabels
        Without a class map of their own they stay as they are.
    class_map : ClassMap

    Returns
    -------
    SpecimenLabels
        Classes that `class_map` lacks get a value that it does not have.

    Warns
    -----
    SpecimenWarning
        If the two maps have no name in common; then values are compared as they are.
    """
    table = translation(labels.class_map, class_map, labels.name)
    if table is None:
        return labels.replace(class_map=class_map)
    if labels.object_class is not None:
        owner = table.take(np.asarray(labels.object_class), mode="clip")
        return labels.replace(object_class=owner, class_map=class_map)
    data = table.take(np.asarray(labels.data), mode="clip")
    return labels.replace(data=data, class_map=class_map)


def translation(own: ClassMap | None, class_map: ClassMap, name: str = "labels") -> NDArray[Any] | None:
    """Return the new id for every old one, or None where nothing changes.

    Parameters
    ----------
    own : ClassMap or None
        Of the labels.
    class_map : ClassMap
        To be translated to.
    name : str
        Of the labels, for the warning.

    Returns
    -------
    array of uint16 or None
        (`MAX_ID` + 2,): the last entry is for all larger values.
    """
    if own is None or [(c.id, c.name) for c in own] == [(c.id, c.name) for c in class_map]:
        return None
    theirs = {item.name: item.id for item in class_map.foreground}
    if not any(item.name in theirs for item in own.foreground):
        warnings.warn(
            f"{name}: its class names and those to compare by have none in common; "
            "values are compared as they are",
            SpecimenWarning,
            stacklevel=3,
        )
        return None
    unused = next(value for value in range(MAX_ID, 0, -1) if value not in class_map.ids)
    # Values without a class keep their number: they may be there to be ignored.
    table = np.arange(MAX_ID + 2)
    table[[*class_map.ids, -1]] = unused
    for item in own:
        table[item.id] = theirs.get(item.name, 0 if item.id == 0 else table[item.id])
    table[0] = 0
    if np.array_equal(table[:-1], np.arange(MAX_ID + 1)):
        return None
    return table.astype(np.uint16)
