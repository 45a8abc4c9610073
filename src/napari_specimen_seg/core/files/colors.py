"""From the ways in which files store colour to red, green and blue as displayed.

All functions take and give pixels with the channel axis last, any number of axes before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]


def full_scale(dtype: np.dtype[Any]) -> float:
    """Return the value of white or of opaque: the largest integer, or 1."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def invert(values: Pixels, bits: int) -> Pixels:
    """Exchange black and white.

    Parameters
    ----------
    values : array
        bool or integers; floats have no white, and stay.
    bits : int
        How many are in use.
    """
    if values.dtype == bool or values.dtype.kind == "i":
        return ~values
    if values.dtype.kind != "u":
        return values
    return np.asarray((1 << bits) - 1, values.dtype) - values


def widen(values: Pixels, bits: int) -> Pixels:
    """Spread 2 to 7 bits over 8, so that white is 255."""
    return ((values.astype(np.uint16) * 255 + ((1 << bits) - 1) // 2) // ((1 << bits) - 1)).astype(np.uint8)


def palette_table(colormap: Pixels) -> Pixels:
    """Turn a TIFF colour map into a table of 8-bit colours.

    Parameters
    ----------
    colormap : array
        (3, entries) uint16. Some programs write 8-bit values into it, which are taken as they are.

    Returns
    -------
    array
        (entries, 3) uint8, or (entries,) where all entries are grey.
    """
    table: Pixels = np.asarray(colormap, np.uint16).T
    if table.max(initial=0) > 255:
        table = table >> 8
    return gray_or_color(table.astype(np.uint8))


def gray_or_color(table: Pixels) -> Pixels:
    """Reduce a table of colours (entries, 3) to (entries,) if each of them is grey."""
    return table[:, 0] if (table == table[:, :1]).all() else table


def look_up(indices: Pixels, table: Pixels) -> Pixels:
    """Give each index its colour; indices beyond the table get the last."""
    found: Pixels = table[np.minimum(indices, len(table) - 1).astype(np.intp)]
    return found


def cmyk_to_rgb(inks: Pixels) -> Pixels:
    """Turn ink to light, as programs without a colour profile do: (1 - ink)(1 - black).

    Parameters
    ----------
    inks : array
        (..., 4) uint8 or uint16, 0 is no ink.

    Returns
    -------
    array
        (..., 3), same type.
    """
    top = np.iinfo(inks.dtype).max
    light = top - inks[..., 3].astype(np.int64)
    out = np.empty((*inks.shape[:-1], 3), inks.dtype)
    for channel in range(3):
        out[..., channel] = light - (inks[..., channel] * light + top // 2) // top
    return out


_WHITE_D50 = np.array([0.96422, 1.0, 0.82521], np.float32)
_XYZ_D50_TO_SRGB = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ],
    np.float32,
)
"""XYZ under D50, the light that ICC and TIFF mean, to linear sRGB (Bradford adaptation)."""


def lab_to_rgb(lab: Pixels, signed: bool) -> Pixels:
    """Turn CIE L*a*b* to sRGB (CIE 15:2004, equations 8.3 to 8.5; IEC 61966-2-1).

    Parameters
    ----------
    lab : array
        (..., 3) uint8 or uint16 (TIFF 6.0, section 23): L* over the full range; a* and b* as two's
        complement.
    signed : bool
        False for ICC Lab, where a* and b* are stored with 128 added instead.

    Returns
    -------
    array
        (..., 3) uint8.
    """
    half = 2 ** (8 * lab.dtype.itemsize - 1)
    tints = lab[..., 1:].astype(np.float32)
    tints = (np.where(tints >= half, tints - 2 * half, tints) if signed else tints - half) / (half / 128)
    y = (lab[..., 0].astype(np.float32) * (100 / full_scale(lab.dtype)) + 16) / 116
    ratios = np.stack([y + tints[..., 0] / 500, y, y - tints[..., 1] / 200], axis=-1)
    xyz = np.where(ratios > 6 / 29, ratios**3, (ratios - 4 / 29) * 3 * (6 / 29) ** 2) * _WHITE_D50
    linear = np.clip(xyz @ _XYZ_D50_TO_SRGB.T, 0, 1)
    srgb: Pixels = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return as_bytes(srgb * 255)


def ycbcr_to_rgb(values: Pixels) -> Pixels:
    """Turn 8-bit luma and colour differences (ITU-R BT.601, full range, as in JFIF) to RGB."""
    luma: Pixels = values[..., 0].astype(np.float32)
    blue, red = (values[..., i].astype(np.float32) - 128 for i in (1, 2))
    rgb = np.stack(
        [luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=-1
    )
    return as_bytes(rgb)


def straighten(values: Pixels) -> Pixels:
    """Divide colours by their transparency, where a file says that they are multiplied by it.

    Parameters
    ----------
    values : array
        (..., C), transparency last. Colours larger than it show that the file is wrong, and stay.
    """
    color, alpha = values[..., :-1], values[..., -1:]
    top = full_scale(values.dtype)
    if (alpha == top).all() or (color > alpha).any():
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        straight = np.where(alpha > 0, color.astype(np.float64) * top / alpha, 0)
    out = values.copy()
    out[..., :-1] = np.rint(straight) if values.dtype.kind in "iu" else straight
    return out


def gray_to_rgb(values: Pixels) -> Pixels:
    """Repeat grey for red, green and blue: (...) to (..., 3)."""
    return np.repeat(values[..., None], 3, axis=-1)


def gray_alpha_to_rgba(values: Pixels) -> Pixels:
    """Repeat grey for red, green and blue: (..., 2) to (..., 4)."""
    repeated: Pixels = values[..., [0, 0, 0, 1]]
    return repeated


def as_bytes(values: Pixels) -> Pixels:
    """Round to 0 to 255."""
    rounded: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


def is_opaque(values: Pixels) -> bool:
    """Whether the last channel is full everywhere."""
    return bool((values[..., -1] == full_scale(values.dtype)).all())
