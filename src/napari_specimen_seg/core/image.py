"""What carries pictures, labels and predictions through the program, with their dimensions named."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .classes import ClassMap
from .errors import ImageError

Array: TypeAlias = NDArray[Any]
"""A numpy array, or a dask array, which answers to the same names without being in memory."""

PixelSize = float | tuple[float, float]
"""The edge of a pixel in some unit: one number, or (height, width) where pixels are not square."""

COLORS = ("red", "green", "blue")
"""The channel names of a colour picture; a fourth, ``"alpha"``, is transparency."""

UNITS_IN_MM = {"nm": 1e-6, "um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1000.0, "inch": 25.4}
"""The length units this program writes, by name, with their length in millimetres."""

_UNIT_NAMES = {
    "nm": ("nanometer", "nanometre", "nanometers", "nanometres"),
    "um": ("µm", "μm", "micron", "microns", "micrometer", "micrometre", "micrometers", "micrometres"),
    "mm": ("millimeter", "millimetre", "millimeters", "millimetres"),
    "cm": ("centimeter", "centimetre", "centimeters", "centimetres"),
    "m": ("meter", "metre", "meters", "metres"),
    "inch": ("in", "inches", '"'),
    "pixel": ("px", "pixels", "", "none"),
}


def unit_name(text: str | None) -> str:
    r"""Return the one spelling of a length unit that is used throughout.

    Parameters
    ----------
    text : str or None
        ``"µm"``, ``"micron"``, ``"\u00b5m"`` (as ImageJ escapes it), ``"Millimeter"``, …

    Returns
    -------
    str
        ``"nm"``, ``"um"``, ``"mm"``, ``"cm"``, ``"m"``, ``"inch"``, or ``"pixel"`` for none.

    Raises
    ------
    ValueError
        If it is not a unit of length.
    """
    wanted = (text or "").strip().replace("\\u00B5", "µ").replace("\\u00b5", "µ")
    for name, others in _UNIT_NAMES.items():
        if wanted == name or wanted.lower() in (name, *others):
            return name
    raise ValueError(f"{text!r} is not a unit of length; use one of nm, um, mm, cm, m, inch")


@dataclass(frozen=True, slots=True)
class _Calibrated:
    """An array with named axes and the distance between its pixels.

    `axes` has one letter per dimension: ``Y`` and ``X`` always; before them stacked planes (``T``,
    ``Z`` or ``Q`` for any other); ``C`` last for colour. `spacing` has one positive number per axis other
    than ``C``, in `unit`; a stack axis without a known distance has 1.
    """

    data: Array
    name: str = "picture"
    axes: str = ""
    spacing: tuple[float, ...] | None = None
    unit: str = "pixel"
    source: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", self.axes or guess_axes(self.data.shape))
        object.__setattr__(self, "unit", unit_name(self.unit))
        if len(self.axes) != self.data.ndim or not set("YX") <= set(self.axes):
            raise ImageError(f"{self.name}: axes {self.axes!r} do not describe shape {self.data.shape}")
        if self.spacing is not None:
            spacing = tuple(float(s) for s in self.spacing)
            if len(spacing) != len(self.plane_axes) or not all(math.isfinite(s) and s > 0 for s in spacing):
                raise ImageError(f"{self.name}: spacing {spacing} does not describe axes {self.axes!r}")
            object.__setattr__(self, "spacing", spacing)

    @property
    def plane_axes(self) -> str:
        """The axes without the channel axis."""
        return self.axes.replace("C", "")

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.data.shape[self.axes.index("Y")])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.data.shape[self.axes.index("X")])

    @property
    def pixel_size_yx(self) -> tuple[float, float] | None:
        """Height and width of a pixel in `unit`, or None where unknown."""
        if self.spacing is None:
            return None
        axes = self.plane_axes
        return self.spacing[axes.index("Y")], self.spacing[axes.index("X")]

    @property
    def pixel_size(self) -> float | None:
        """Edge of a pixel in `unit`, or None where unknown.

        Where pixels are not square this is the edge of the square of the same area, so that areas
        computed from it are right; `pixel_size_yx` has both.
        """
        size = self.pixel_size_yx
        if size is None:
            return None
        return size[0] if size[0] == size[1] else math.sqrt(size[0] * size[1])

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return replace(self, **changes)


def loaded(array: Array) -> NDArray[Any]:
    """Return an array in memory; a lazy one is read in the calling thread.

    dask would start threads of its own, each of which keeps memory for itself. What reads pieces has
    threads already, and decoders have theirs.

    Parameters
    ----------
    array : numpy, dask or zarr array

    Returns
    -------
    array
    """
    lazy: Any = array
    return np.asarray(lazy.compute(scheduler="synchronous") if hasattr(lazy, "dask") else lazy)


def guess_axes(shape: tuple[int, ...]) -> str:
    """Name the axes of an array that came without names.

    Parameters
    ----------
    shape : tuple of int

    Returns
    -------
    str
        ``YX`` for two dimensions; a last axis of 3 or 4 is colour; leading axes are planes.

    Raises
    ------
    ImageError
        If there are fewer than two dimensions or more than five.
    """
    if not 2 <= len(shape) <= 5:
        raise ImageError(
            f"an array of shape {shape} is not a picture", advice="Give height x width (x colour)."
        )
    has_color = len(shape) > 2 and shape[-1] in (3, 4)
    plane = "YXC" if has_color else "YX"
    return {0: "", 1: "Z", 2: "TZ", 3: "QTZ"}[len(shape) - len(plane)] + plane


def label_axes(ndim: int) -> str:
    """Name the axes of a label array, which never has colours.

    Parameters
    ----------
    ndim : int
        2 to 5.

    Returns
    -------
    str
        ``YX``, ``ZYX``, ``TZYX`` or ``QTZYX``.

    Raises
    ------
    ImageError
        If there are fewer than two dimensions or more than five.
    """
    if not 2 <= ndim <= 5:
        raise ImageError(f"{ndim} dimensions do not make a label picture", advice="Give height x width.")
    return "QTZYX"[5 - ndim :]


def spacing_of(pixel_size: PixelSize | None, axes: str) -> tuple[float, ...] | None:
    """Return the spacing of all plane axes for a pixel size; stacked planes get 1.

    Parameters
    ----------
    pixel_size : float, (float, float) or None
        Edge of a pixel, or (height, width).
    axes : str
        As in `SpecimenImage`.

    Returns
    -------
    tuple of float or None
    """
    if pixel_size is None:
        return None
    height, width = (
        pixel_size if isinstance(pixel_size, (tuple, list)) else (float(pixel_size), float(pixel_size))
    )
    known = {"Y": float(height), "X": float(width)}
    return tuple(known.get(axis, 1.0) for axis in axes if axis != "C")


@dataclass(frozen=True, slots=True)
class SpecimenImage(_Calibrated):
    """A picture with what is known about its pixels.

    Parameters
    ----------
    data : numpy or dask array
        (Y, X), (Y, X, C), or with leading plane axes; any integer, bool or float type.
    name : str
        File stem or layer name.
    axes : str
        One letter per dimension; guessed from the shape if left out.
    spacing : tuple of float, optional
        Distance between pixels along every axis but C, in `unit`.
    unit : str
        ``"pixel"`` where unknown, else nm, um, mm, cm, m or inch.
    source : Path, optional
        The file it was read from.
    bit_depth : int, optional
        How many bits are used, where fewer than the type holds (12-bit cameras in 16-bit files).
    levels : tuple of arrays
        The smaller levels of a pyramid, largest first, without `data` itself.
    channel_names : tuple of str
        One name per channel where they are known; `COLORS` for red, green and blue. Empty where nothing
        says what the channels are: three or four are colour then.

    Raises
    ------
    ImageError
        If axes or spacing do not describe the array.
    """

    bit_depth: int | None = None
    levels: tuple[Array, ...] = ()
    channel_names: tuple[str, ...] = ()

    @property
    def is_color(self) -> bool:
        """Whether the channels are red, green and blue (and transparency), not signals of their own.

        The four stains of a fluorescence picture are not: they cannot be shown to a colour model.
        """
        if "C" not in self.axes:
            return False
        return self.channel_names[:3] == COLORS if self.channel_names else self.channels in (3, 4)

    @property
    def channels(self) -> int:
        """Number of channels; 1 for a grey picture without a channel axis."""
        return int(self.data.shape[-1]) if "C" in self.axes else 1

    def planes(self) -> tuple[int, ...]:
        """Return the shape of the leading plane axes: () for a single picture."""
        return tuple(int(n) for n in self.data.shape[: len(self.plane_axes) - 2])

    @classmethod
    def of(cls, picture: SpecimenImage | Array | Any) -> SpecimenImage:
        """Return `picture` itself, or an array wrapped with guessed axes."""
        if isinstance(picture, SpecimenImage):
            return picture
        return cls(picture if hasattr(picture, "ndim") else np.asarray(picture))


@dataclass(frozen=True, slots=True)
class SpecimenLabels(_Calibrated):
    """A label picture: class ids or object ids, and what they mean.

    Parameters
    ----------
    data : numpy or dask array
        (Y, X) or with leading plane axes; integers, 0 is background.
    class_map : ClassMap, optional
        None where the file says nothing about classes.
    provenance : mapping
        What made these labels, as stored in the file; empty where unknown.
    object_class : array, optional
        Where the values number objects instead of naming classes: the class id of each object, by
        object number, (largest number + 1,), 0 at 0. None where the values are class ids.
    features : mapping
        Further columns by name, each with one value per row of a table about the labels (napari's layer
        features); empty where there are none.
    levels : tuple of arrays
        The smaller levels of a pyramid, largest first, without `data` itself.
    """

    class_map: ClassMap | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    object_class: NDArray[Any] | None = None
    features: Mapping[str, Any] = field(default_factory=dict)
    levels: tuple[Array, ...] = ()

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed; levels of other data are left behind."""
        if "data" in changes:
            changes.setdefault("levels", ())
        return replace(self, **changes)

    @classmethod
    def of(cls, labels: SpecimenLabels | Array | Any, name: str = "labels") -> SpecimenLabels:
        """Return `labels` itself, or an array wrapped with the axes that labels have.

        Raises
        ------
        ImageError
            If an array cannot be labels: too few or many dimensions, or a last axis of 3 or 4, which is
            a colour picture. (Narrow stacks can be given as `SpecimenLabels` with their axes.)
        """
        if isinstance(labels, SpecimenLabels):
            return labels
        data = labels if hasattr(labels, "ndim") else np.asarray(labels)
        axes = label_axes(data.ndim)
        if data.ndim > 2 and data.shape[-1] in (3, 4):
            raise ImageError(
                f"{name}: shape {data.shape} is a colour picture, not labels",
                advice="Turn the colours into class ids first, with the class map.",
            )
        return cls(data, name=name, axes=axes)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says about one picture.

    Parameters
    ----------
    labels : array
        (Y, X) or with leading plane axes, uint8 or uint16: class ids. Exactly the picture's size.
    confidence : array or None
        Same shape, float32, 0 to 1: probability of the class that was chosen.
    class_map : ClassMap
        What the ids mean.
    provenance : mapping
        Model, settings, versions and device that made it.
    objects : array or None
        Same shape, uint32: objects of one class numbered one by one, where that was asked for.
    object_classes : array or None
        Class id by object number; entry 0 is background.
    levels : tuple of arrays
        The smaller levels of a pyramid of the labels, largest first; empty where all fits into memory.
    """

    labels: Array
    confidence: Array | None
    class_map: ClassMap
    provenance: Mapping[str, Any] = field(default_factory=dict)
    objects: Array | None = None
    object_classes: Array | None = None
    levels: tuple[Array, ...] = ()
