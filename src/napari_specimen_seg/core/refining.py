"""Several operations of `refine` on labels, as a person asks for them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from .classes import ClassMap
from .errors import ClassMapError, MeasureError
from .image import Array, PixelSize, SpecimenLabels
from .regions import require_ids
from .scale import Scale, scale_of


class RefineSettings(BaseModel):
    """What is done, in the order of the fields. Lengths and areas are in pixels or in a unit given beside.

    Parameters
    ----------
    smooth : float, optional
        Radius, see `refine.smooth`.
    remove_small : float, optional
        Area, see `refine.remove_small`.
    keep_largest : bool
        See `refine.keep_largest`.
    fill_holes : bool
        See `refine.fill_holes`.
    max_hole : float, optional
        Area of the largest hole that is filled.
    erode, dilate : float, optional
        Radius, see `refine.erode` and `refine.dilate`; both one after the other open the shapes.
    split : bool
        See `refine.split`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    smooth: Annotated[
        float | None,
        Field(
            gt=0,
            allow_inf_nan=False,
            title="Smooth",
            description="Give each pixel the class of most pixels within this radius.",
        ),
    ] = None
    remove_small: Annotated[
        float | None,
        Field(
            gt=0,
            allow_inf_nan=False,
            title="Remove small",
            description="Remove connected parts smaller than this area.",
        ),
    ] = None
    keep_largest: Annotated[
        bool, Field(title="Keep largest", description="Remove all parts of a class but its largest.")
    ] = False
    fill_holes: Annotated[
        bool, Field(title="Fill holes", description="Give background inside a class to this class.")
    ] = False
    max_hole: Annotated[
        float | None,
        Field(
            gt=0,
            allow_inf_nan=False,
            title="Largest hole",
            description="With --fill-holes: only holes up to this area.",
        ),
    ] = None
    erode: Annotated[
        float | None,
        Field(
            gt=0, allow_inf_nan=False, title="Erode", description="Take a rim of this width off the classes."
        ),
    ] = None
    dilate: Annotated[
        float | None,
        Field(
            gt=0,
            allow_inf_nan=False,
            title="Dilate",
            description="Let the classes grow into the background by this radius.",
        ),
    ] = None
    split: Annotated[
        bool,
        Field(title="Split", description="Draw a line of background between objects that touch."),
    ] = False


@dataclass(frozen=True)
class Refined:
    """New labels, and what it takes to go back.

    Parameters
    ----------
    labels : SpecimenLabels
    before : array
        The labels that were there.
    """

    labels: SpecimenLabels
    before: NDArray[Any]

    @cached_property
    def where(self) -> tuple[NDArray[np.intp], ...]:
        """The pixels that changed, one array of indices per axis; ``before[where]`` is what they were."""
        return np.nonzero(self.before != self.labels.data)

    @property
    def changed(self) -> int:
        """How many pixels changed."""
        return int(self.where[0].size)

    @property
    def box(self) -> tuple[slice, ...] | None:
        """The smallest box with all that changed; None where nothing did."""
        if not self.changed:
            return None
        return tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in self.where)


def refine(
    labels: SpecimenLabels | Array,
    settings: RefineSettings,
    *,
    classes: Collection[int | str] | None = None,
    class_map: ClassMap | None = None,
    pixel_size: PixelSize | None = None,
    unit: str = "pixel",
) -> Refined:
    """Improve class labels.

    Parameters
    ----------
    labels : SpecimenLabels or array
        (Y, X) class ids, 0 is background; or with leading axes, which are refined plane by plane.
    settings : RefineSettings
    classes : collection of int or str, optional
        Ids or names of the classes that may change; all but background if left out.
    class_map : ClassMap, optional
        What the ids mean; that of `labels` if left out.
    pixel_size : float or (float, float), optional
        Edge of a pixel, or (height, width), in `unit`; that of `labels` if left out.
    unit : str
        Of the lengths in `settings`, and, squared, of the areas: pixel, nm, um, mm, cm, m or inch.

    Returns
    -------
    Refined
        With labels of the same type, axes and pixel size. What is not of the chosen classes and not
        background has not changed.

    Raises
    ------
    MeasureError
        If labels are no whole numbers from 0 up, number objects or have no pixels, or nothing says how large
        a pixel is.
    ClassMapError
        If there is no such class.
    """
    subject = SpecimenLabels.of(labels)
    if subject.object_class is not None:
        raise MeasureError(
            f"{subject.name}: its values number objects, and only class labels can be refined",
            advice="Predict without --instances.",
        )
    if 0 in subject.data.shape:
        raise MeasureError(f"{subject.name}: the label picture has no pixels")
    before = require_ids(np.asarray(subject.data), subject.name)
    chosen = _ids(classes, class_map or subject.class_map)
    edges = _edges(subject, pixel_size, unit)
    after = np.empty_like(before)
    for plane in np.ndindex(before.shape[:-2]):
        after[plane] = _refined(before[plane], settings, chosen, edges)
    return Refined(subject.replace(data=after), before)


def _refined(
    labels: NDArray[Any], settings: RefineSettings, classes: Collection[int] | None, edges: Scale
) -> NDArray[Any]:
    from . import refine as operations

    area = edges[0] * edges[1]
    hole = None if settings.max_hole is None else settings.max_hole / area
    steps: tuple[tuple[object, Callable[..., NDArray[Any]], tuple[Any, ...]], ...] = (
        (settings.smooth, operations.smooth, (settings.smooth, classes, edges)),
        (settings.remove_small, operations.remove_small, ((settings.remove_small or 0) / area, classes)),
        (settings.keep_largest, operations.keep_largest, (classes,)),
        (settings.fill_holes, operations.fill_holes, (hole, classes)),
        (settings.erode, operations.erode, (settings.erode, classes, edges)),
        (settings.dilate, operations.dilate, (settings.dilate, classes, edges)),
        (settings.split, operations.split, (classes,)),
    )
    for wanted, operation, arguments in steps:
        if wanted:
            labels = operation(labels, *arguments)
    return labels


def _edges(labels: SpecimenLabels, pixel_size: PixelSize | None, unit: str) -> Scale:
    scale, known = scale_of(labels, pixel_size, unit)
    if unit == "pixel":
        return 1.0, 1.0
    if scale is None or known == "pixel":
        raise MeasureError(
            f"{labels.name}: how large a pixel is is not known, so {unit} means nothing here",
            advice="Give the pixel size, or lengths in pixels.",
        )
    return scale


def _ids(classes: Collection[int | str] | None, class_map: ClassMap | None) -> frozenset[int] | None:
    """Return the ids of classes that are given by name or id."""
    if classes is None:
        return None
    return frozenset(_id(item, class_map) for item in classes)


def _id(item: int | str, class_map: ClassMap | None) -> int:
    known = class_map.by_name(item) if class_map is not None and isinstance(item, str) else None
    if known is not None:
        return known.id
    if isinstance(item, int) or item.isdecimal():
        return int(item)
    names = ", ".join(c.name for c in class_map.foreground[:12]) if class_map is not None else ""
    raise ClassMapError(
        f"there is no class {item!r}",
        advice=f"Its classes are {names}." if names else "Give ids: nothing says how its classes are called.",
    )
