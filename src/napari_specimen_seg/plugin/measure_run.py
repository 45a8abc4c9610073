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
        For each plane (Y, X) the value of the column ``index`` at every pixel; None where that is the
        label itself.
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
        where = self.labels.data[point] if self.numbers is None else self.numbers[plane][point[-2:]]
        rows = self.rows_of(int(where), plane)
        return rows[0] if rows and int(where) else None

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
        if self.numbers is None:
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
        return Measured(frame, per, labels, _numbers(labels, per))

    return work


def _numbers(labels: SpecimenLabels, per: Per) -> list[NDArray[Any]] | None:
    """Give objects or specimens the numbers that `measure` gives them, plane by plane."""
    import warnings

    from ..core.instances import find_specimens
    from ..core.regions import components

    planes = [labels.data[at] for at in np.ndindex(*labels.data.shape[:-2])]
    if per == "class":
        table = labels.object_class
        return None if table is None else [np.asarray(table)[np.asarray(plane)] for plane in planes]
    if per == "object" and not is_class_mask(labels):
        return None
    find = components if per == "object" else find_specimens
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpecimenWarning)  # told by `measure` already
        return [find(np.asarray(plane))[0] for plane in planes]


def is_class_mask(labels: SpecimenLabels) -> bool:
    """Tell whether values name classes rather than number objects."""
    return labels.object_class is None and labels.class_map is not None
