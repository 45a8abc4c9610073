"""A picture's regions between labels and the formats of other programs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..classes import MAX_ID, ClassMap, free_color
from ..errors import ReadError, SpecimenWarning, WriteError
from ..image import SpecimenLabels
from ..outlines import Polygon, area, box, fill, outlines
from ..regions import components
from ..subjects import subject_of

Window = tuple[slice, slice]

MAX_PIXELS = 4_000_000_000
"""Of a picture that a file only claims to be about."""


class Shape(Protocol):
    """Where a region lies."""

    def fill(self, height: int, width: int) -> tuple[Window, NDArray[np.bool_]]:
        """Return rows and columns, and which of their pixels are inside.

        Raises
        ------
        ReadError
            If it was not made for a picture of this size.
        """


@dataclass(frozen=True, slots=True)
class Polygons:
    """A region given by its outlines; pixels whose centre is inside belong to it.

    Parameters
    ----------
    polygons : list of polygons
        As in `outlines`; corners may be fractions.
    """

    polygons: list[Polygon]

    def fill(self, height: int, width: int) -> tuple[Window, NDArray[np.bool_]]:
        """Return the filled polygons; see `Shape`."""
        return fill(self.polygons, height, width)


@dataclass(frozen=True, slots=True)
class Region:
    """A region of a file.

    Parameters
    ----------
    class_name : str
    shape : Shape
    class_id : int, optional
        Where the file has one that can be used.
    number : int, optional
        The object's number, where the file was made from labels that number objects.
    """

    class_name: str
    shape: Shape
    class_id: int | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Sketch:
    """A picture and its regions, as a file has them.

    Parameters
    ----------
    name : str
        File name of the picture.
    regions : tuple of Region
        In the order in which they are painted: later ones lie on top.
    size : (int, int), optional
        Height and width, where the file tells them.
    """

    name: str
    regions: tuple[Region, ...]
    size: tuple[int, int] | None = None

    @property
    def numbers_objects(self) -> bool:
        """Whether it was made from labels that number objects."""
        return bool(self.regions) and all(region.number is not None for region in self.regions)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A region of labels, about to be written.

    Parameters
    ----------
    class_id, number : int
        Its class, and its object or part.
    polygons : list of polygons
        Along the borders of its pixels.
    """

    class_id: int
    number: int
    polygons: list[Polygon]

    @property
    def area(self) -> int:
        """How many pixels it has."""
        return round(area(self.polygons))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, width and height."""
        left, top, width, height = box(self.polygons)
        return int(left), int(top), int(width), int(height)


class Picture(NamedTuple):
    """What is written about a picture.

    Parameters
    ----------
    name : str
        Its file's name.
    size : (int, int)
        Height and width.
    regions : list of Drawn
    numbers_objects : bool
        Whether regions are objects, not parts of classes.
    """

    name: str
    size: tuple[int, int]
    regions: list[Drawn]
    numbers_objects: bool


def drawn(labels: SpecimenLabels, name: str) -> tuple[Picture, ClassMap]:
    """Return the regions of labels: objects where they number objects, else the parts of each class.

    Parameters
    ----------
    labels : SpecimenLabels
        One plane.
    name : str
        Of the picture's file.

    Returns
    -------
    picture : Picture
        Regions in the order of their numbers. Pixels of a part share edges or corners, as in `measure`.
    class_map : ClassMap
        That of the labels, or a made-up one.

    Raises
    ------
    WriteError
        If there are several planes.
    """
    if labels.data.ndim != 2:
        raise WriteError(
            "it is a stack, and the format has single pictures", advice="Save its planes one by one."
        )
    subject = subject_of(labels)
    plane = np.asarray(labels.data)
    if subject.number_objects:
        if labels.object_class is None:
            warnings.warn(
                f"{labels.name}: without class map its values are taken for numbers of objects",
                SpecimenWarning,
                stacklevel=2,
            )
        numbers = plane
        owner = subject.classes_of(np.arange(int(plane.max(initial=0)) + 1))
        owner = np.minimum(owner, 1) if labels.object_class is None else owner
    else:
        numbers, owner = components(plane)
    class_map = subject.map_for({int(i) for i in np.unique(owner)} | {0})
    found = outlines(numbers)
    regions = [Drawn(int(owner[number]), number, found[number]) for number in sorted(found)]
    height, width = plane.shape
    return Picture(name, (height, width), regions, subject.number_objects), class_map


def labels_of(
    sketch: Sketch, size: tuple[int, int], class_map: ClassMap, *, objects: bool | None = None
) -> SpecimenLabels:
    """Paint the regions of a sketch.

    Parameters
    ----------
    sketch : Sketch
    size : (int, int)
        Height and width.
    class_map : ClassMap
        Has a class of the name of each region.
    objects : bool, optional
        Whether each region gets a number of its own, so that those of one class that touch stay apart; as
        the labels were that the file was made from, if left out.

    Returns
    -------
    SpecimenLabels
        (Y, X).

    Raises
    ------
    ReadError
        If the class map lacks a class, or the size cannot be meant.
    """
    height, width = size
    if not (0 < height * width <= MAX_PIXELS) or min(size) < 1:
        raise ReadError(f"{height} x {width} pixels cannot be meant")
    objects = sketch.numbers_objects if objects is None else objects
    ids = [_id_in(class_map, region) for region in sketch.regions]
    values = _numbers(sketch) if objects else ids
    kind = np.uint8 if max(values, default=0) < 256 else np.uint16 if max(values) < 65536 else np.uint32
    data = np.zeros(size, kind)
    for region, value in zip(sketch.regions, values, strict=True):
        window, mask = region.shape.fill(height, width)
        data[window][mask] = value
    table = None
    if objects:
        table = np.zeros(max(values, default=0) + 1, np.uint16)
        table[values] = ids
    return SpecimenLabels(data, sketch.name, "YX", class_map=class_map, object_class=table)


def _numbers(sketch: Sketch) -> list[int]:
    """Return the objects' numbers in the file, where they are good ones, else new ones."""
    known = [region.number or 0 for region in sketch.regions]
    good = len(set(known)) == len(known) and all(0 < number < 1 << 32 for number in known)
    # A file may claim any number; the table of classes has an entry for each up to the largest.
    if good and max(known, default=0) <= 100 * len(known) + 65535:
        return known
    return list(range(1, len(known) + 1))


def _id_in(class_map: ClassMap, region: Region) -> int:
    found = class_map.by_name(region.class_name)
    if found is None:
        raise ReadError(
            f"it has the class {region.class_name!r}, which the class map lacks",
            advice="Add it to the class map, or leave --class-map out.",
        )
    return found.id


def names_in(sketches: list[Sketch]) -> Iterator[tuple[str, int | None]]:
    """Yield class name and id, if there is one, of every region."""
    for sketch in sketches:
        for region in sketch.regions:
            yield region.class_name, region.class_id


def class_map_for(sketches: list[Sketch], colors: dict[str, str] | None = None) -> ClassMap:
    """Make a class map for all classes that occur, or that a file names.

    Parameters
    ----------
    sketches : list of Sketch
    colors : dict of str to str, optional
        By class name; may name classes that do not occur.

    Returns
    -------
    ClassMap
        With the ids that the files have, where they agree, else 1, 2, … in the order of the names.
    """
    colors = colors or {}
    claims: dict[str, set[int | None]] = {name: set() for name in colors}
    for name, class_id in names_in(sketches):
        claims.setdefault(name, set()).add(class_id)
    background = next((name for name in claims if name.casefold() == "background"), None)
    claims.pop(background or "", None)
    ids = {name: next(iter(found)) for name, found in claims.items() if len(found) == 1}
    taken = [number for number in ids.values() if number is not None]
    agree = len(taken) == len(claims) == len(set(taken)) and all(0 < number <= MAX_ID for number in taken)
    chosen = {name: ids[name] if agree else None for name in claims}
    classes: list[dict[str, Any]] = [{"id": 0, "name": background or "background", "color": "#000000"}]
    used = {"#000000"}
    for place, name in enumerate(sorted(claims, key=lambda name: (chosen[name] or 0, name)), start=1):
        number = chosen[name] or place
        color = free_color(colors.get(name), number, used)
        used.add(color)
        classes.append({"id": number, "name": name, "color": color})
    return ClassMap.parse({"classes": classes})
