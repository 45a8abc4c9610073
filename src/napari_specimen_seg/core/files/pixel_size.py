"""The distance between pixels, as files state it.

Most files state a resolution because their format wants one, not because anybody measured it. What is
known to be such a placeholder is left out: an area in the wrong unit is worse than one in pixels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from ..image import UNITS_IN_MM, unit_name

PLACEHOLDER_DPI = (72.0, 96.0)
"""Resolutions of screens, which programs write without knowing the scale."""

_TOLERANCE = 1.0
"""In dpi: 96 dpi are stored as 38 pixels per cm or as 3779 per m."""

_OTHER_UNITS = {"Å": ("nm", 0.1), "angstrom": ("nm", 0.1), "pm": ("nm", 1e-3), "dm": ("cm", 10.0)}

EXIF_CAMERA_TAGS = (0x829A, 0x829D, 0x920A)
"""Exposure time, f-number and focal length: the picture was taken through a lens."""


@dataclass(frozen=True, slots=True)
class PixelScale:
    """How far apart neighbouring pixels are along some axes.

    Parameters
    ----------
    sizes : mapping of str to float
        By axis letter, in `unit`; empty where unknown.
    unit : str
        One of `core.image.UNITS_IN_MM`, or ``"pixel"`` where unknown.
    """

    sizes: Mapping[str, float] = field(default_factory=dict)
    unit: str = "pixel"

    def spacing(self, axes: str) -> tuple[float, ...] | None:
        """Return the spacing of a picture with these axes (C is skipped), or None where unknown."""
        if not {"Y", "X"} <= set(self.sizes):
            return None
        return tuple(self.sizes.get(axis, 1.0) for axis in axes if axis != "C")


UNKNOWN = PixelScale()
"""Nothing usable is stated."""


def _is_size(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def from_density(x: float | None, y: float | None, unit: str) -> PixelScale:
    """Turn a number of pixels per inch, cm or m into a pixel size in millimetres.

    Parameters
    ----------
    x, y : float or None
        Pixels per `unit` along X and Y.
    unit : str
        A unit of length.

    Returns
    -------
    PixelScale
        `UNKNOWN` for placeholders: 72 and 96 dpi, one pixel per unit, nothing, zero or infinity.
    """
    y = x if y is None else y
    if x is None or y is None or not (_is_size(x) and _is_size(y)) or x == y == 1:
        return UNKNOWN
    millimetres = UNITS_IN_MM[unit]
    dpi = [density * UNITS_IN_MM["inch"] / millimetres for density in (x, y)]
    if any(all(abs(d - known) < _TOLERANCE for d in dpi) for known in PLACEHOLDER_DPI):
        return UNKNOWN
    return PixelScale({"Y": millimetres / y, "X": millimetres / x}, "mm")


def from_imagej(metadata: Mapping[str, Any], x: float | None, y: float | None) -> PixelScale:
    """Read the pixel size of a file that names the unit of its resolution, as ImageJ does.

    Parameters
    ----------
    metadata : mapping
        ``unit`` and, for the distance of planes, ``spacing``.
    x, y : float or None
        Pixels per unit from the resolution tags.

    Returns
    -------
    PixelScale
        `UNKNOWN` without a unit of length.
    """
    try:
        unit = unit_name(str(metadata.get("unit") or ""))
    except ValueError:
        return UNKNOWN
    y = x if y is None else y
    if unit == "pixel" or x is None or y is None or not (_is_size(x) and _is_size(y)):
        return UNKNOWN
    sizes = {"Y": 1 / y, "X": 1 / x}
    spacing = metadata.get("spacing")
    if isinstance(spacing, (int, float)) and _is_size(abs(spacing)):
        sizes["Z"] = abs(float(spacing))
    return PixelScale(sizes, unit)


def from_lengths(sizes: Mapping[str, tuple[float | None, str | None]]) -> PixelScale:
    """Put lengths in units of their own into one unit, that of X.

    Parameters
    ----------
    sizes : mapping of str to (float or None, str or None)
        By axis letter: a length and its unit.

    Returns
    -------
    PixelScale
        Without the axes whose length or unit is unusable; `UNKNOWN` without X or Y.
    """
    known: dict[str, tuple[float, str]] = {}
    for axis, (length, unit) in sizes.items():
        found = _in_known_unit(length, unit)
        if found is not None:
            known[axis] = found
    if not {"Y", "X"} <= set(known):
        return UNKNOWN
    target = known["X"][1]
    return PixelScale(
        {
            axis: length if unit == target else length * UNITS_IN_MM[unit] / UNITS_IN_MM[target]
            for axis, (length, unit) in known.items()
        },
        target,
    )


def _in_known_unit(length: float | None, unit: str | None) -> tuple[float, str] | None:
    if length is None or not _is_size(length):
        return None
    text = (unit or "").strip()
    if text in _OTHER_UNITS:
        name, factor = _OTHER_UNITS[text]
        return length * factor, name
    try:
        name = unit_name(text)
    except ValueError:
        return None
    return None if name == "pixel" else (length, name)


@dataclass(frozen=True, slots=True)
class OmeImage:
    """What the OME metadata of a picture say beyond its shape.

    Parameters
    ----------
    scale : PixelScale
    bits : int or None
        Significant bits.
    channel_names : tuple of str
        Empty where the channels are colours or have no names.
    """

    scale: PixelScale = UNKNOWN
    bits: int | None = None
    channel_names: tuple[str, ...] = ()


def from_ome(xml: str, index: int = 0) -> OmeImage:
    """Read what OME-XML says about one picture.

    Parameters
    ----------
    xml : str
        The whole document.
    index : int
        Which ``Image`` of it.

    Returns
    -------
    OmeImage
        With nothing known where the document cannot be read.
    """
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError):
        return OmeImage()
    pixels = [found for image in _children(root, "Image") for found in _children(image, "Pixels")]
    if index >= len(pixels):
        return OmeImage()
    found = pixels[index].attrib
    sizes = {
        axis: (_number(found.get(f"PhysicalSize{axis}")), found.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "XYZ"
    }
    bits = found.get("SignificantBits", "")
    channels = list(_children(pixels[index], "Channel"))
    names = tuple(channel.get("Name") or channel.get("ID") or "" for channel in channels)
    single = all(channel.get("SamplesPerPixel", "1") == "1" for channel in channels)
    return OmeImage(
        from_lengths(sizes),
        int(bits) if bits.isdecimal() and len(bits) < 4 else None,
        names if single else (),
    )


def _children(element: ElementTree.Element, name: str) -> Iterable[ElementTree.Element]:
    # The namespace differs from version to version of the schema.
    return (child for child in element if child.tag.rpartition("}")[2] == name)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def from_aperio(description: str) -> PixelScale:
    """Read ``MPP = 0.25`` (micrometres per pixel) from the description of an Aperio slide."""
    found = re.search(r"\bMPP\s*=\s*([0-9.]{1,20})", description)
    size = _number(found[1]) if found else None
    return from_lengths({"X": (size, "um"), "Y": (size, "um")})
