"""What the Measure dock does off the GUI thread, and which row of its table a pixel belongs to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap
from ..core.errors import SpecimenWarning
from ..core.image import SpecimenLabels
from ..core.measurements import Per
from ..core.progress import Progress, Report

if TYPE_CHECKING:
    from pandas import DataFrame

FIRST_COLUMNS = {
    "class": ("area", "percent_of_specimen", "parts"),
    "object": ("area", "major_axis", "minor_axis", "circularity"),
    "specimen": ("area", "height", "width"),
}
"""What is shown until the person chooses; areas and lengths in units where the pixel size is known."""


@dataclass(frozen=True)
class Measured:
    """A table, and where its rows are in the picture.

    Parameters
    ----------
    frame : DataFrame
        From `core.measure.measure`.
    per : {"class", "object", "specimen"}
    labels : SpecimenLabels
        What was measured.
    numbers : list of array or None
        For each plane (Y, X) the specimen at every pixel; None on other levels.
    shown_colors : tuple of str
        How napari colours the rows, for labels without classes.
    """

    frame: DataFrame
    per: Per
    labels: SpecimenLabels
    numbers: list[NDArray[Any]] | None
    shown_colors: tuple[str, ...] = ()

    def rows_of(self, index: int, plane: int | None = None) -> list[int]:
        """Return the rows with this value in the column ``index``, of one plane or all."""
        hit = self.frame["index"].to_numpy() == index
        if plane is not None and "plane" in self.frame:
            hit &= self.frame["plane"].to_numpy() == plane
        return [int(row) for row in np.flatnonzero(hit)]

    def row_at(self, point: tuple[int, ...]) -> int | None:
        """Return the row that the pixel at a point, in data coordinates, belongs to."""
        shape = self.labels.data.shape
        if len(point) != len(shape) or not all(0 <= at < size for at, size in zip(point, shape, strict=True)):
            return None
        plane = int(np.ravel_multi_index(point[:-2], shape[:-2])) if len(shape) > 2 else 0
        if self.numbers is not None:
            return self._row_of(int(self.numbers[plane][point[-2:]]), plane)
        value = int(np.asarray(self.labels.data[point]))
        if self.rows_are_labels or not value:
            return self._row_of(value, plane)
        if self.per == "class":
            assert self.labels.object_class is not None
            return self._row_of(int(self.labels.object_class[value]), plane)
        return self._part_at(point, value, plane)

    def _row_of(self, index: int, plane: int) -> int | None:
        rows = self.rows_of(index, plane)
        return rows[0] if rows and index else None

    def _part_at(self, point: tuple[int, ...], value: int, plane: int) -> int | None:
        """Return the row of the connected part at a point: the one whose box and area the pixels there have.

        Numbering the parts of a large picture takes seconds in which the window would stand still.
        """
        y, x = point[-2:]
        top, left, height, width = (
            self._whole(name) for name in ("bbox_top", "bbox_left", "height", "width")
        )
        hit = (top <= y) & (y < top + height) & (left <= x) & (x < left + width)
        hit &= self.frame["class_name"].to_numpy() == (
            self.classes.name_of(value) if self.classes is not None else f"label {value}"
        )
        if "plane" in self.frame:
            hit &= self.frame["plane"].to_numpy() == plane
        rows = sorted(np.flatnonzero(hit), key=lambda row: float(self.frame["area"].iloc[row]))
        for row in rows[:-1]:  # what is none of the smaller ones is the last
            box = slice(top[row], top[row] + height[row]), slice(left[row], left[row] + width[row])
            place: Any = (*point[:-2], *box)
            part = part_at(np.asarray(self.labels.data[place]) == value, y - top[row], x - left[row])
            if int(part.sum()) == int(self.frame["area"].iloc[row]):
                return int(row)
        return int(rows[-1]) if rows else None

    def _whole(self, name: str) -> NDArray[np.int64]:
        return self.frame[name].to_numpy().astype(np.int64)

    @property
    def rows_are_labels(self) -> bool:
        """Whether the column ``index`` holds the values of the layer."""
        if self.per == "class":
            return self.labels.object_class is None
        return self.per == "object" and not is_class_mask(self.labels)

    def plane_index(self, row: int) -> tuple[int, ...]:
        """Return the indices of the plane of a row; () for a single picture."""
        if "plane" not in self.frame:
            return ()
        plane = int(self.frame["plane"].iloc[row])
        return tuple(int(i) for i in np.unravel_index(plane, self.labels.data.shape[:-2]))

    def centre(self, row: int) -> tuple[float, ...] | None:
        """Return where the object or specimen of a row is, in data coordinates; None for classes."""
        if "centroid_y" not in self.frame:
            return None
        y, x = (float(self.frame[name].iloc[row]) for name in ("centroid_y", "centroid_x"))
        return (*self.plane_index(row), y, x)

    def extent(self, row: int) -> tuple[float, float]:
        """Return height and width of the object or specimen of a row, in pixels."""
        return float(self.frame["height"].iloc[row]), float(self.frame["width"].iloc[row])

    @property
    def classes(self) -> ClassMap | None:
        """The class map of the labels."""
        return self.labels.class_map

    def colors(self) -> list[str]:
        """Return the class colour of every row; empty where a row has none."""
        if self.shown_colors and self.per != "specimen":
            return list(self.shown_colors)
        known = {} if self.classes is None else {item.name: item.color for item in self.classes}
        return [known.get(name, "") for name in self.frame["class_name"].tolist()]

    def class_id(self, row: int) -> int | None:
        """Return the class of a row, or None where it has none that the map knows."""
        if self.per == "class":
            return int(self.frame["index"].iloc[row])
        item = None if self.classes is None else self.classes.by_name(str(self.frame["class_name"].iloc[row]))
        return None if item is None else item.id

    def label_of(self, row: int) -> int | None:
        """Return the value that the layer shows for a row, or None if it shows none of its own."""
        if self.rows_are_labels:
            return int(self.frame["index"].iloc[row])
        return self.class_id(row) if self.per == "object" else None

    def default_columns(self) -> list[str]:
        """Return the columns to show at first."""
        lead = {"class": ["class_name"], "object": ["index", "class_name"], "specimen": ["index"]}[self.per]
        lead += ["plane"] if "plane" in self.frame else []
        return lead + [self.in_units(name) for name in FIRST_COLUMNS[self.per]]

    def in_units(self, name: str) -> str:
        """Return the column that holds this measurement in units, if there is one."""
        for power in ("", "2"):
            column = f"{name}_{self.labels.unit}{power}"
            if column in self.frame:
                return column
        return name


def measure_work(labels: SpecimenLabels, per: Per) -> Callable[[Report], Measured]:
    """Return the work of measuring labels.

    Parameters
    ----------
    labels : SpecimenLabels
    per : {"class", "object", "specimen"}

    Returns
    -------
    callable
        Takes a report function.
    """

    def work(report: Report) -> Measured:
        from ..core.measure import measure

        report(Progress("measuring", 0, 0))
        frame = measure(labels, per=per)
        report(Progress("measuring", 0, 0))
        return Measured(frame, per, labels, _specimens(labels) if per == "specimen" else None)

    return work


def _specimens(labels: SpecimenLabels) -> list[NDArray[Any]]:
    """Give specimens the numbers that `measure` gives them, plane by plane."""
    import warnings

    from ..core.instances import find_specimens

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpecimenWarning)  # told by `measure` already
        planes = (labels.data[at] for at in np.ndindex(*labels.data.shape[:-2]))
        return [find_specimens(np.asarray(plane))[0] for plane in planes]


def part_at(mask: NDArray[np.bool_], y: int, x: int) -> NDArray[np.bool_]:
    """Return the connected part of a mask at a pixel; pixels that touch at a corner are connected."""
    from ..core.regions import connected

    parts = connected(mask.astype(np.uint8))[0]
    part: NDArray[np.bool_] = parts == parts[y, x]
    return part


def is_class_mask(labels: SpecimenLabels) -> bool:
    """Tell whether values name classes rather than number objects."""
    return labels.object_class is None and labels.class_map is not None
