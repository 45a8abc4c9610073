"""Scores of label arrays, for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from ..core.classes import ClassMap
from ..core.errors import MeasureError, validation_line
from ..core.image import SpecimenLabels
from .counts import count_picture
from .result import Scores
from .settings import EvaluateSettings


def evaluate(
    truth: Any,
    prediction: Any,
    class_map: ClassMap | None = None,
    *,
    ignore: Sequence[int] = (),
    tolerance: float = 2.0,
    tolerance_unit: str = "pixel",
    instances: bool = False,
) -> Scores:
    """Compare predicted labels with true ones.

    Parameters
    ----------
    truth, prediction : SpecimenLabels, array, or sequence of these
        Class ids, (Y, X) or with leading plane axes; for several pictures a list of them. Labels that
        number objects (`SpecimenLabels.object_class`) are compared object by object too.
    class_map : ClassMap, optional
        The classes to compare by; those that the truth carries if left out, else one for every value
        that occurs.
    ignore : sequence of int
        Values of the truth whose pixels are left out.
    tolerance : float
        How far outlines may lie apart and still agree.
    tolerance_unit : str
        ``"pixel"``, or a unit of length, for which `truth` must be `SpecimenLabels` with a pixel size.
    instances : bool
        Whether to separate class ids into objects and compare those too.

    Returns
    -------
    Scores
        ``.classes`` (a table with IoU, Dice, precision, recall, F1 and support per class), ``.overall``,
        ``.confusion``, ``.images``, ``.objects``. A score whose denominator is zero is NaN, and means
        leave it out.

    Raises
    ------
    MeasureError
        If truth and prediction cannot be compared.

    Examples
    --------
    >>> import numpy as np
    from pydantic import ValidationError
    >>> truth, prediction = np.array([[1, 1], [0, 0]]), np.array([[1, 0], [0, 0]])
    >>> evaluate(truth, prediction).mean_iou
    0.5
    """
    true, said = _pictures(truth, "picture"), _pictures(prediction, "prediction")
    if len(true) != len(said):
        raise MeasureError(f"there are {len(true)} true pictures and {len(said)} predicted ones")
    settings = _settings(
        ignore=tuple(ignore), tolerance=tolerance, tolerance_unit=tolerance_unit, instances=instances
    )
    chosen = class_map or _class_map_of(true, said, set(ignore))
    counted = (count_picture(a, b, chosen, settings) for a, b in zip(true, said, strict=True))
    return Scores(chosen, tuple(counted), settings)


def _settings(**given: Any) -> EvaluateSettings:
    try:
        return EvaluateSettings.model_validate(given)
    except ValidationError as error:
        raise MeasureError(validation_line(error)) from error


def _pictures(given: Any, what: str) -> list[SpecimenLabels]:
    several = isinstance(given, (list, tuple)) and any(
        isinstance(item, SpecimenLabels) or hasattr(item, "ndim") for item in given
    )
    if not several:
        return [SpecimenLabels.of(given, what)]
    found = [SpecimenLabels.of(item, f"{what} {number}") for number, item in enumerate(given, start=1)]
    if len({labels.name for labels in found}) == len(found):
        return found
    return [labels.replace(name=f"{what} {number}") for number, labels in enumerate(found, start=1)]


def _class_map_of(
    truth: list[SpecimenLabels], prediction: list[SpecimenLabels], ignore: set[int]
) -> ClassMap:
    """Return the class map of the first labels that have one, else one made from the values."""
    for labels in (*truth, *prediction):
        if labels.class_map is not None:
            return labels.class_map
    values = {int(v) for labels in (*truth, *prediction) for v in np.unique(np.asarray(labels.data))}
    return ClassMap.of_ids(sorted(v for v in values - ignore if v >= 0))
