"""Tables of measurements: one row per class, per object or per specimen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .blocks import inner
from .classes import ClassMap
from .errors import MeasureError
from .image import Array, PixelSize, SpecimenImage, SpecimenLabels
from .measurements import IN_PIXELS, MEASUREMENTS, ClassSums, Measurement, Per, Scale, column_titles
from .regions import Regions, checked_blocks, components, merged, regions_of, require_ids, tally
from .runs import area_by_class
from .scale import scale_of
from .seams import Seams
from .subjects import Subject, subject_of
from .sums import light_by_label

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["MEASUREMENTS", "Measurement", "Per", "column_titles", "measure"]

Columns: TypeAlias = dict[str, Any]


def measure(
    labels: SpecimenLabels | Array,
    class_map: ClassMap | None = None,
    pixel_size: PixelSize | None = None,
    unit: str = "pixel",
    image: SpecimenImage | Array | None = None,
    per: Per = "class",
    *,
    name: str | None = None,
) -> DataFrame:
    """Measure the classes, objects or specimens of a label picture.

    Parameters
    ----------
    labels : SpecimenLabels or array
        (Y, X) of whole numbers, 0 is background; or with leading axes, which are measured plane by
        plane. Lazy arrays are read band by band for ``per="class"``, plane by plane otherwise.
    class_map : ClassMap, optional
        What the ids mean; that of `labels` if left out. With neither, the rows are called ``label 1``,
        ``label 2`` and so on.
    pixel_size : float or (float, float), optional
        Edge of a pixel, or (height, width), in `unit`; that of `labels` if left out.
    unit : str
        Of `pixel_size`: nm, um, mm, cm, m or inch. Without a `pixel_size` the one of `labels` is
        converted to this.
    image : SpecimenImage or array, optional
        The picture, (Y, X) or (Y, X, C) and leading axes as in `labels`: adds mean values.
    per : {"class", "object", "specimen"}
        What gets a row.

        - class: every class of the map but background, absent ones too.
        - object: every connected part of a class (pixels that share an edge or a corner are connected).
          Where the labels number objects, every object: those with `SpecimenLabels.object_class`, and
          labels without any class map that have more than one value.
        - specimen: every separate specimen, see `core.instances.find_specimens`, with the area of each
          class as columns.
    name : str, optional
        For the column ``image``; that of `labels` if left out.

    Returns
    -------
    pandas.DataFrame
        First columns ``image, index, class_name``, then ``plane`` (from 0) for stacks, then those of
        `MEASUREMENTS`, means, and areas by class. ``index`` is the class id, the object's number (its
        label, where labels number objects) or the specimen's, in reading order.

    Raises
    ------
    MeasureError
        If labels are not whole numbers from 0 up, sizes do not match, or the pixel size makes no sense.
    ImageError
        If `labels` is an array with colours or of the wrong number of dimensions.

    Warns
    -----
    SpecimenWarning
        If labels hold values that the class map does not have; they get rows named ``label N``.
    """
    subject = subject_of(labels, class_map, name, image)
    scale, unit = scale_of(subject.labels, pixel_size, unit)
    rows = _LEVELS.get(per)
    if rows is None:
        raise MeasureError(f"per={per!r} is not known", advice="Use class, object or specimen.")
    return _frame(rows(subject, _Scaled(per, scale, unit)), subject)


@dataclass(frozen=True)
class _Scaled:
    """Computes the declared measurements of one level, in pixels and in units."""

    per: Per
    scale: Scale | None
    unit: str

    def columns(self, source: Regions | ClassSums) -> Columns:
        found: Columns = {}
        for item in MEASUREMENTS:
            if self.per in item.per:
                found |= self._both(item, source)
        return found

    def _both(self, item: Measurement, source: Regions | ClassSums) -> Columns:
        scale = self.scale or IN_PIXELS
        if not item.power:
            return {item.name: item.compute(source, scale)}
        in_units = {} if self.scale is None else {item.unit_column(self.unit): item.compute(source, scale)}
        return {item.name: item.compute(source, IN_PIXELS), **in_units}

    def areas(self, what: str, area: NDArray[Any]) -> Columns:
        """Return an area by name, in pixels and in units."""
        if self.scale is None:
            return {f"area_{what}": area}
        return {
            f"area_{what}": area,
            f"area_{what}_{self.unit}2": area * (self.scale[0] * self.scale[1]),
        }


@dataclass(frozen=True)
class _ClassTable:
    """What one plane's pixels add up to, by class id."""

    area: Mapping[int, int]
    parts: Mapping[int, int]
    sums: Mapping[int, NDArray[np.float64]] | None
    pixels: int

    def rows(self, ids: list[int]) -> ClassSums:
        area = np.array([self.area.get(i, 0) for i in ids], np.int64)
        parts = np.array([self.parts.get(i, 0) for i in ids], np.int64)
        return ClassSums(area, parts, self.pixels - self.area.get(0, 0), self.pixels)

    def means(self, ids: list[int], channels: int) -> NDArray[np.float64] | None:
        if self.sums is None:
            return None
        empty = np.full(channels, math.nan)
        means = [self.sums[i] / self.area[i] if i in self.sums else empty for i in ids]
        return np.array(means).reshape(len(ids), channels)


def _count_classes(subject: Subject, plane: Array, picture: Array | None) -> _ClassTable:
    """Count areas and parts of one plane, and add up its picture, block by block."""
    seams = Seams(plane.shape[1])
    owners: list[NDArray[Any]] = []
    areas: list[tuple[NDArray[Any], NDArray[Any]]] = []
    light: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for block in checked_blocks(plane, picture, subject.name):
        classes = subject.classes_of(np.ascontiguousarray(inner(block.window)))
        parts, owner = components(classes)
        seams.add(classes, parts, owner.size - 1, block.left)
        owners.append(owner[1:].astype(np.int64))
        areas.append(tally(classes))
        if block.picture is not None:
            light.append(light_by_label(classes, block.picture))
    first = np.unique(seams.groups(), return_index=True)[1]
    parts_of = merged([tally(np.concatenate(owners)[first])])
    pixels = int(plane.shape[0] * plane.shape[1])
    return _ClassTable(merged(areas), parts_of, merged(light) if picture is not None else None, pixels)


def _per_class(subject: Subject, scaled: _Scaled) -> list[Columns]:
    tables = [_count_classes(subject, plane, picture) for plane, picture in subject.planes()]
    class_map = subject.map_for({i for table in tables for i in table.area})
    known = [c.id for c in class_map.foreground]
    rows = []
    for table in tables:
        ids = known + sorted(set(table.area) - set(known) - {0})
        rows.append(
            {
                "index": np.array(ids, np.int64),
                "class_name": [class_map.name_of(i) for i in ids],
                **scaled.columns(table.rows(ids)),
                **subject.means(table.means(ids, len(subject.channels))),
            }
        )
    return rows


def _per_object(subject: Subject, scaled: _Scaled) -> list[Columns]:
    unnamed = subject.number_objects and subject.labels.object_class is None
    rows = []
    found: set[int] = set()
    for plane, picture in subject.planes():
        regions, numbers, classes = subject.regions(plane, picture)
        found |= set() if unnamed else set(classes.tolist())
        means = None if picture is None else regions.mean
        rows.append(
            {
                "index": numbers.astype(np.int64),
                "class_name": ["object"] * regions.count if unnamed else classes,
                **scaled.columns(regions),
                **subject.means(means),
            }
        )
    if not unnamed:
        class_map = subject.map_for(found)
        names = {i: class_map.name_of(i) for i in found}
        for row in rows:
            row["class_name"] = [names[i] for i in row["class_name"].tolist()]
    return rows


def _per_specimen(subject: Subject, scaled: _Scaled) -> list[Columns]:
    from .instances import find_specimens

    what = _area_names(subject)
    rows = []
    for plane, picture in subject.planes():
        whole = require_ids(np.asarray(plane), subject.name)
        numbers, count = find_specimens(whole)
        regions = regions_of(numbers, picture, name=subject.name, parts=False)
        shares = area_by_class(numbers, subject.classes_of(whole), count) if what else {}
        absent = np.zeros(count, np.int64)
        areas = [scaled.areas(name, shares.get(i, absent)) for i, name in what.items()]
        rows.append(
            {
                "index": np.arange(1, count + 1),
                "class_name": ["specimen"] * count,
                **scaled.columns(regions),
                **subject.means(None if picture is None else regions.mean),
                **{name: column for area in areas for name, column in area.items()},
            }
        )
    return rows


def _area_names(subject: Subject) -> dict[int, str]:
    """Return what the column with the area of each class is about; nothing for objects without class."""
    if subject.number_objects and subject.labels.object_class is None:
        return {}
    found = subject.class_ids()
    class_map = subject.map_for(found)
    ids = [c.id for c in class_map.foreground] + class_map.strangers(np.array(sorted(found | {0})))
    names: dict[int, str] = {}
    for class_id in ids:  # "x" in mm2 and a class "x_mm2" would share a column
        name = class_map.name_of(class_id)
        clash = any(name.startswith(f"{n}_") or n.startswith(f"{name}_") for n in names.values())
        names[class_id] = f"{name}_{class_id}" if clash else name
    return names


_LEVELS: dict[str, Callable[[Subject, _Scaled], list[Columns]]] = {
    "class": _per_class,
    "object": _per_object,
    "specimen": _per_specimen,
}


def _frame(tables: list[Columns], subject: Subject) -> DataFrame:
    """Put the tables of the planes below each other."""
    import pandas as pd

    frames = []
    for number, table in enumerate(tables):
        plane = {"plane": number} if len(subject.labels.data.shape) > 2 else {}
        first = {"image": subject.name, "index": table.pop("index"), "class_name": table.pop("class_name")}
        rows = {**first, **plane, **table}
        frames.append(pd.DataFrame(rows))
    return pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
