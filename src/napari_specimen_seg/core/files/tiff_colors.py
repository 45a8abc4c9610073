"""What the values of a TIFF mean, and how they look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ReadError
from ..image import COLORS, Array
from . import colors
from .lazy import map_pixels
from .notices import warn_about


class _Photometric(IntEnum):
    """How values become colour, by the numbers of TIFF 6.0."""

    WHITE_IS_ZERO = 0
    BLACK_IS_ZERO = 1
    RGB = 2
    PALETTE = 3
    CMYK = 5
    YCBCR = 6
    LAB = 8
    ICC_LAB = 9


_NOT_READ = {32803: "a camera's raw pattern", 34892: "a camera's raw picture", 32844: "LogL", 32845: "LogLuv"}
_DECODED_TO_RGB = (6, 7, 33003, 33004, 33005, 34712, 34892, 50001)
"""Compressions (JPEG, JPEG 2000, WebP) whose decoder has turned YCbCr to RGB already."""
_PREMULTIPLIED, _STRAIGHT = 1, 2
ALPHA = (_PREMULTIPLIED, _STRAIGHT)


@dataclass(frozen=True, slots=True)
class Stored:
    """Values of a TIFF, channel axis last, and the tags that explain them.

    Parameters
    ----------
    array : array
        (..., Y, X) or (..., Y, X, C).
    channels : int
        Length of C; 0 without one.
    samples : int
        Values per pixel in one page; C is their axis if this is more than 1.
    bits : int
        Per value, in use.
    photometric, compression : int
        As in TIFF.
    extra : tuple of int
        What samples beyond the colours are: 0 unknown, 1 and 2 transparency.
    palette : array or None
        (3, entries), or (pages, 3, entries) where pages differ.
    other_inks : bool
        Whether separated inks are not cyan, magenta, yellow and black.
    names : tuple of str
        Of the channels, empty where unknown.
    """

    array: Array
    channels: int
    samples: int
    bits: int
    photometric: int
    compression: int
    extra: tuple[int, ...]
    palette: NDArray[Any] | None
    other_inks: bool
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """Values as displayed.

    Parameters
    ----------
    array : array
        (..., Y, X) or (..., Y, X, C).
    channels : int
        Length of C; 0 without one.
    bits : int or None
        In use, where fewer than the type holds.
    names : tuple of str
        Of the channels.
    """

    array: Array
    channels: int = 0
    bits: int | None = None
    names: tuple[str, ...] = ()


def as_displayed(stored: Stored, path: Path, indices: bool) -> Shown:
    """Turn stored values into what a viewer shows.

    Parameters
    ----------
    stored : Stored
    path : Path
        For messages.
    indices : bool
        Keep the values as they are.

    Returns
    -------
    Shown

    Raises
    ------
    ReadError
        If the colours are stored in a way that is not known.
    """
    if stored.photometric in _NOT_READ:
        raise ReadError(
            f"its pixels are stored as {_NOT_READ[stored.photometric]}",
            path=path,
            advice="Convert it to RGB first.",
        )
    if indices:
        return Shown(stored.array, stored.channels, _fewer_bits(stored), stored.names)
    if stored.photometric == _Photometric.PALETTE and stored.palette is not None:
        return _from_palette(stored)
    if stored.photometric == _Photometric.WHITE_IS_ZERO:
        stored = _mapped(stored, partial(colors.invert, bits=stored.bits), stored.array.dtype)
    if stored.array.dtype == np.uint8 and 1 < stored.bits < 8:
        stored = replace(_mapped(stored, partial(colors.widen, bits=stored.bits), np.uint8), bits=8)
    if stored.samples < 2:
        return _stack_of_channels(stored)
    return _interleaved(_in_rgb(stored, path), path)


def _mapped(stored: Stored, function: Callable[..., Any], dtype: Any, after: int | None = None) -> Stored:
    after = stored.channels if after is None else after
    return replace(
        stored, array=map_pixels(stored.array, function, dtype, stored.channels, after), channels=after
    )


def _fewer_bits(stored: Stored) -> int | None:
    """Return the bits in use of unsigned integers, or None if they are all that the type has."""
    dtype = stored.array.dtype
    return stored.bits if dtype.kind == "u" and stored.bits < 8 * dtype.itemsize else None


def _from_palette(stored: Stored) -> Shown:
    palette = np.asarray(stored.palette)
    if palette.ndim == 3 and not stored.channels and len(palette) == len(stored.array):
        pages = [
            _from_palette(replace(stored, array=a, palette=p))
            for a, p in zip(stored.array, palette, strict=True)
        ]
        return _pages_in_color(pages)
    table = colors.palette_table(palette if palette.ndim == 2 else palette[0])
    after = 0 if table.ndim == 1 else 3
    if stored.channels:  # several channels with one palette: ImageJ's, which says nothing about the values
        return _stack_of_channels(stored)
    mapped = _mapped(stored, partial(colors.look_up, table=table), np.uint8, after)
    return Shown(mapped.array, after, None, COLORS if after else ())


def _pages_in_color(pages: list[Shown]) -> Shown:
    planes = [
        p.array if p.channels else map_pixels(p.array, colors.gray_to_rgb, np.uint8, 0, 3) for p in pages
    ]
    return Shown(np.stack(planes), 3, None, COLORS)


def _stack_of_channels(stored: Stored) -> Shown:
    """Channels on pages of their own: stains, unless their names say red, green and blue."""
    names = stored.names if len(stored.names) == stored.channels else ()
    if is_rgb_like(names):
        names = COLORS
    elif stored.channels:
        names = tuple(name or f"channel {i}" for i, name in enumerate(names or [""] * stored.channels, 1))
    return Shown(stored.array, stored.channels, _fewer_bits(stored), names)


def is_rgb_like(names: tuple[str, ...]) -> bool:
    """Whether three channel names are those of colours: R, G, B or red, green, blue."""
    return len(names) == 3 and all(
        name.strip().lower() in (color, color[0]) for name, color in zip(names, COLORS, strict=True)
    )


def _in_rgb(stored: Stored, path: Path) -> Stored:
    """Convert CMYK, Lab and YCbCr samples; the rest is RGB or no colour at all."""
    dtype = stored.array.dtype
    if (
        stored.photometric == _Photometric.CMYK
        and stored.samples == 4
        and not stored.other_inks
        and dtype in (np.uint8, np.uint16)
    ):
        warn_of_cmyk(path)
        stored = _mapped(stored, colors.cmyk_to_rgb, dtype, 3)
        return replace(stored, photometric=_Photometric.RGB, samples=3)
    if (
        stored.photometric in (_Photometric.LAB, _Photometric.ICC_LAB)
        and stored.samples == 3
        and dtype in (np.uint8, np.uint16)
    ):
        convert = partial(colors.lab_to_rgb, signed=stored.photometric == _Photometric.LAB)
        return replace(_mapped(stored, convert, np.uint8), photometric=_Photometric.RGB, bits=8)
    if stored.photometric == _Photometric.YCBCR and stored.samples == 3:
        if stored.compression not in _DECODED_TO_RGB:
            stored = _mapped(stored, colors.ycbcr_to_rgb, np.uint8)
        return replace(stored, photometric=_Photometric.RGB)
    if stored.photometric == _Photometric.BLACK_IS_ZERO and stored.samples == 3 and not stored.extra:
        return replace(stored, photometric=_Photometric.RGB)  # programs that forget to say that it is colour
    return stored


def _interleaved(stored: Stored, path: Path) -> Shown:
    """Sort several samples per pixel into colours, transparency and others."""
    is_rgb = stored.photometric == _Photometric.RGB
    is_gray = stored.photometric in (_Photometric.WHITE_IS_ZERO, _Photometric.BLACK_IS_ZERO)
    own = 3 if is_rgb else 1 if is_gray else stored.samples
    extra = stored.extra or ((_STRAIGHT,) if is_rgb and stored.samples == 4 else ())
    alpha = next(
        (own + i for i, kind in enumerate(extra) if kind in ALPHA and own + i < stored.channels), None
    )
    if own == 1 and alpha is None:
        return _stack_of_channels(replace(stored, names=()))
    if own not in (1, 3):
        return _stack_of_channels(
            replace(stored, names=tuple(f"channel {i + 1}" for i in range(stored.channels)))
        )
    kept = [*range(own), *([] if alpha is None else [alpha])]
    if len(kept) < stored.channels:
        _warn_of_more_channels(stored.channels - len(kept), path)
        stored = replace(stored, array=stored.array[..., kept], channels=len(kept))
    if alpha is not None and extra[alpha - own] == _PREMULTIPLIED:
        stored = _mapped(stored, colors.straighten, stored.array.dtype)
    return (
        with_alpha(stored.array, path, _fewer_bits(stored))
        if alpha is not None
        else Shown(stored.array, 3, _fewer_bits(stored), COLORS)
    )


def with_alpha(array: Array, path: Path, bits: int | None = None) -> Shown:
    """Say what the channels of a picture with transparency are; grey ones become colour.

    Parameters
    ----------
    array : array
        (..., Y, X, 2) grey and transparency, or (..., Y, X, 4).
    path : Path
        For the warning.
    bits : int, optional
        In use.

    Returns
    -------
    Shown
        Grey without a channel axis if it is grey and opaque; else four channels.

    Warns
    -----
    SpecimenWarning
        If anything is transparent.
    """
    opaque = isinstance(array, np.ndarray) and colors.is_opaque(array)
    if isinstance(array, np.ndarray) and not opaque:
        warn_about(
            path,
            "parts of the picture are transparent; they count as white",
        )
    if array.shape[-1] == 2:
        if opaque:
            return Shown(np.ascontiguousarray(array[..., 0]), 0, bits)
        array = map_pixels(array, colors.gray_alpha_to_rgba, array.dtype, 2, 4)
    return Shown(array, 4, bits, (*COLORS, "alpha"))


def warn_of_cmyk(path: Path) -> None:
    """Say that colours of inks are only approximately those of the print."""
    warn_about(
        path,
        "the picture is in CMYK; it is turned to RGB without its colour profile, "
        "so that colours are approximate",
    )


def _warn_of_more_channels(count: int, path: Path) -> None:
    warn_about(
        path,
        f"beside red, green and blue the file holds {count} more channel(s), which are left out",
    )
