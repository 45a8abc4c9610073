"""What there is to measure: one declared list, from which tables, headings and help texts are made."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .regions import Regions

Per = Literal["class", "object", "specimen"]
Scale: TypeAlias = tuple[float, float]

IN_PIXELS: Scale = (1, 1)


@dataclass(frozen=True)
class ClassSums:
    """What the pixels of each class of one plane add up to; arrays with one entry per class.

    Parameters
    ----------
    area, parts : array of int64
        Pixels and connected parts.
    specimen, picture : int
        Pixels that are not background, and all pixels.
    """

    area: NDArray[np.int64]
    parts: NDArray[np.int64]
    specimen: int
    picture: int


@dataclass(frozen=True)
class Measurement:
    """One thing that can be measured.

    Parameters
    ----------
    name : str
        Of the column in pixels; the column in units has the unit behind it (``area_mm2``).
    title : str
        As people read it.
    power : {0, 1, 2}
        0 for numbers without a unit, 1 for lengths, 2 for areas.
    per : tuple of {"class", "object", "specimen"}
        The tables it belongs to.
    compute : callable
        (`Regions` or `ClassSums`, (height, width) of a pixel) -> one number per row.
    help : str
        What it is, with the source of the formula.
    """

    name: str
    title: str
    power: Literal[0, 1, 2]
    per: tuple[Per, ...]
    compute: Callable[[Any, Scale], NDArray[Any]]
    help: str

    def unit_column(self, unit: str) -> str:
        """Return the name of the column in `unit`."""
        return f"{self.name}_{unit}{self.power if self.power > 1 else ''}"


def _percent(part: NDArray[Any], whole: int) -> NDArray[np.float64]:
    return 100.0 * part / whole if whole else np.full(part.shape, np.nan)


def _major(regions: Regions, scale: Scale) -> NDArray[Any]:
    return 4 * np.sqrt(regions.variances(scale)[0])


def _minor(regions: Regions, scale: Scale) -> NDArray[Any]:
    return 4 * np.sqrt(regions.variances(scale)[1])


def _eccentricity(regions: Regions, scale: Scale) -> NDArray[Any]:
    along, across = regions.variances(scale)
    ratio: NDArray[Any] = np.divide(across, along, out=np.ones_like(along), where=along > 0)
    found: NDArray[Any] = np.sqrt(1 - ratio)
    return found


def _perimeter(regions: Regions, scale: Scale) -> NDArray[Any]:
    # The weights stand for steps between square pixels; a stretched picture has no such steps.
    return regions.perimeter * (scale[0] if scale[0] == scale[1] else math.nan)


def _circularity(regions: Regions, scale: Scale) -> NDArray[Any]:
    round_area = _perimeter(regions, scale) ** 2 / (4 * math.pi)
    area = regions.area * (scale[0] * scale[1])
    ratio: NDArray[Any] = np.divide(area, round_area, out=np.full(area.shape, math.nan), where=round_area > 0)
    return ratio


_ALL: tuple[Per, ...] = ("class", "object", "specimen")
_SHAPES: tuple[Per, ...] = ("object", "specimen")

MEASUREMENTS: tuple[Measurement, ...] = (
    Measurement("area", "Area", 2, _ALL, lambda r, s: r.area * (s[0] * s[1]), "Number of pixels."),
    Measurement(
        "percent_of_specimen",
        "% of specimen",
        0,
        ("class",),
        lambda c, _: _percent(c.area, c.specimen),
        "Share of all pixels that are not background. Empty where there is no specimen.",
    ),
    Measurement(
        "percent_of_picture",
        "% of picture",
        0,
        ("class",),
        lambda c, _: _percent(c.area, c.picture),
        "Share of all pixels of the picture.",
    ),
    Measurement(
        "parts",
        "Parts",
        0,
        ("class",),
        lambda c, _: c.parts,
        "Number of connected parts. Pixels that share an edge or a corner are connected (8 neighbours).",
    ),
    Measurement(
        "centroid_y",
        "Centre, from top",
        1,
        _SHAPES,
        lambda r, s: r.centroid[:, 0] * s[0],
        "Mean row of the pixels' centres; the centre of the first row is 0, as in napari.",
    ),
    Measurement(
        "centroid_x",
        "Centre, from left",
        1,
        _SHAPES,
        lambda r, s: r.centroid[:, 1] * s[1],
        "Mean column of the pixels' centres; the centre of the first column is 0.",
    ),
    Measurement(
        "bbox_top", "Box, top row", 0, _SHAPES, lambda r, _: r.box[:, 0], "First row, counted from 0."
    ),
    Measurement(
        "bbox_left", "Box, left column", 0, _SHAPES, lambda r, _: r.box[:, 1], "First column, from 0."
    ),
    Measurement(
        "height",
        "Height",
        1,
        _SHAPES,
        lambda r, s: (r.box[:, 2] - r.box[:, 0]) * s[0],
        "Rows from the first to the last, both included: the upright box's height.",
    ),
    Measurement(
        "width",
        "Width",
        1,
        _SHAPES,
        lambda r, s: (r.box[:, 3] - r.box[:, 1]) * s[1],
        "Columns from the first to the last, both included: the upright box's width.",
    ),
    Measurement(
        "perimeter",
        "Perimeter",
        1,
        _SHAPES,
        _perimeter,
        "Length of the line through the centres of the border pixels, holes included; weights of Benkrid "
        "and Crookes 2000, as skimage.measure.perimeter. In units only where pixels are square.",
    ),
    Measurement(
        "equivalent_diameter",
        "Diameter (circle)",
        1,
        _SHAPES,
        lambda r, s: np.sqrt(4 / math.pi * (r.area * (s[0] * s[1]))),
        "Diameter of the circle of the same area: sqrt(4 area / pi).",
    ),
    Measurement(
        "major_axis",
        "Length (ellipse)",
        1,
        _SHAPES,
        _major,
        "Long axis of the ellipse with the same second moments: 4 sqrt(larger eigenvalue of the covariance "
        "of the pixels' centres), as skimage's axis_major_length.",
    ),
    Measurement(
        "minor_axis",
        "Width (ellipse)",
        1,
        _SHAPES,
        _minor,
        "Short axis of the same ellipse, as skimage's axis_minor_length.",
    ),
    Measurement(
        "eccentricity",
        "Eccentricity",
        0,
        _SHAPES,
        _eccentricity,
        "Of the same ellipse: sqrt(1 - minor² / major²); 0 is a circle, near 1 a line.",
    ),
    Measurement(
        "circularity",
        "Circularity",
        0,
        _SHAPES,
        _circularity,
        "4 pi area / perimeter² (Cox 1927); about 1 for a disc, less for anything else.",
    ),
    Measurement(
        "solidity",
        "Solidity",
        0,
        _SHAPES,
        lambda r, _: r.area / r.convex_area,
        "Area divided by the area of the smallest convex shape around it, as skimage's solidity.",
    ),
)
"""Everything that can be measured, in the order of the columns."""


def column_titles(unit: str = "pixel") -> dict[str, str]:
    """Return a heading for people for every column that `measure` may write.

    Parameters
    ----------
    unit : str
        Of the pixel size.

    Returns
    -------
    dict of str
        By column name.
    """
    shown = {"um": "µm", "inch": "in"}.get(unit, unit)
    titles = {"image": "Picture", "index": "Index", "class_name": "Class", "plane": "Plane"}
    for item in MEASUREMENTS:
        squared = "²" if item.power == 2 else ""
        titles[item.name] = item.title + (f" (px{squared})" if item.power else "")
        if item.power:
            titles[item.unit_column(unit)] = f"{item.title} ({shown}{squared})"
    return titles
