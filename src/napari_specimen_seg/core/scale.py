"""How large a pixel is, in the unit that is asked for."""

from __future__ import annotations

import math

from .errors import MeasureError
from .image import UNITS_IN_MM, PixelSize, SpecimenLabels, unit_name

Scale = tuple[float, float]


def scale_of(labels: SpecimenLabels, pixel_size: PixelSize | None, unit: str) -> tuple[Scale | None, str]:
    """Return height and width of a pixel, and their unit.

    Parameters
    ----------
    labels : SpecimenLabels
    pixel_size : float or (float, float), optional
        In `unit`; that of `labels` if left out.
    unit : str
        nm, um, mm, cm, m or inch; ``"pixel"`` without a `pixel_size`: the unit of `labels`.

    Returns
    -------
    scale : (float, float) or None
        None where it is not known.
    unit : str
        ``"pixel"`` where it is not known.

    Raises
    ------
    MeasureError
        If the unit is none, or the pixel size makes no sense or has no unit.
    """
    try:
        unit = unit_name(unit)
    except ValueError as error:
        raise MeasureError(error) from None
    if pixel_size is None:
        return _own_scale(labels, unit)
    height, width = pixel_size if isinstance(pixel_size, (tuple, list)) else (pixel_size, pixel_size)
    if not all(math.isfinite(s) and s > 0 for s in (height, width)):
        raise MeasureError(f"{labels.name}: a pixel size of {pixel_size} makes no sense")
    if unit == "pixel":
        raise MeasureError(
            f"{labels.name}: the pixel size {pixel_size} has no unit",
            advice="Say which: nm, um, mm, cm, m or inch.",
        )
    return (float(height), float(width)), unit


def _own_scale(labels: SpecimenLabels, unit: str) -> tuple[Scale | None, str]:
    size = labels.pixel_size_yx
    if size is None or labels.unit == "pixel":
        return None, "pixel"
    if unit in ("pixel", labels.unit):
        return size, labels.unit
    factor = UNITS_IN_MM[labels.unit] / UNITS_IN_MM[unit]
    return (size[0] * factor, size[1] * factor), unit
