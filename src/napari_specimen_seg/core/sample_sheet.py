"""A drawn sheet of pinned beetles with a ruler: a picture whose areas are known to the pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .classes import PRESETS
from .image import SpecimenImage, SpecimenLabels

HEIGHT, WIDTH = 640, 1000
MM_PER_PIXEL = 0.05
_SEED = 20250301

Point: TypeAlias = tuple[float, float]
Mask: TypeAlias = NDArray[np.bool_]
Picture: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class _Beetle:
    """Where a beetle is pinned.

    Parameters
    ----------
    x, y : float
        Tip of the head, in pixels.
    length : float
        Of the body, in pixels.
    turn : float
        Clockwise, in degrees.
    """

    x: float
    y: float
    length: float
    turn: float


# Large enough for the bundled model, which learned from photographs that one beetle fills: a third beetle
# would have to be smaller, and its parts are taken for others then.
_BEETLES = (_Beetle(270, 90, 400, 4), _Beetle(715, 102, 380, -5))

_COLORS = {
    "head": (30, 27, 28),
    "eyes": (74, 62, 54),
    "mouthparts": (62, 38, 26),
    "pronotum": (34, 30, 32),
    "elytra": (27, 25, 29),
    "tail": (52, 33, 24),
    "legs": (46, 30, 22),
    "antennas": (80, 48, 30),
    "pin": (208, 188, 138),
}

# Joints of the right side in body lengths: across, and down from the tip of the head; then half thickness.
_LEGS = (
    (((0.12, 0.31), (0.25, 0.26), (0.32, 0.15), (0.37, 0.06)), (0.022, 0.014, 0.008)),
    (((0.15, 0.45), (0.29, 0.46), (0.41, 0.57), (0.46, 0.68)), (0.022, 0.014, 0.008)),
    (((0.16, 0.58), (0.30, 0.67), (0.37, 0.85), (0.42, 0.98)), (0.022, 0.014, 0.008)),
)
_ANTENNA = (((0.05, 0.07), (0.13, 0.01), (0.23, -0.02), (0.32, 0.03), (0.37, 0.11)), (0.009,) * 4)
_JAW = (((0.035, 0.06), (0.012, 0.0)), (0.016,))


def draw_sheet() -> tuple[SpecimenImage, SpecimenLabels]:
    """Draw the sheet, the same every time.

    Returns
    -------
    image : SpecimenImage
        640 x 1000 RGB, 0.05 mm per pixel: two beetles, a label and a ruler of 40 mm.
    truth : SpecimenLabels
        The parts of the beetles, with the classes of the preset ``beetle-parts``.
    """
    from scipy.ndimage import gaussian_filter

    class_map = PRESETS["beetle-parts"]
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    picture = _paper()
    shades = np.ones((HEIGHT, WIDTH), np.float32)
    for beetle in _BEETLES:
        box = _box_of(beetle)
        for name, mask, gloss in _parts(beetle, box):
            found = class_map.by_name(name)
            labels[box][mask] = 0 if found is None else found.id
            picture[box][mask] = _COLORS[name]
            shades[box][mask] = gloss[mask]
    shadow = gaussian_filter((labels > 0).astype(np.float32), 9, mode="nearest")
    shades *= np.where(labels == 0, 1 - 0.45 * shadow, 1)
    picture = gaussian_filter(picture * shades[..., None], (0.8, 0.8, 0), mode="nearest")
    picture += np.random.default_rng(_SEED).normal(0, 2.5, picture.shape)
    pixels = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    spacing = (MM_PER_PIXEL, MM_PER_PIXEL)
    return (
        SpecimenImage(pixels, "specimen-sheet", "YXC", spacing, "mm"),
        SpecimenLabels(labels, "specimen-sheet", "YX", spacing, "mm", class_map=class_map),
    )


def write_sheet(path: str | PathLike[str], overwrite: bool = False) -> Path:
    """Write the drawn sheet as TIFF with its pixel size.

    Parameters
    ----------
    path : path-like
        Ends in ``.tif``.
    overwrite : bool
        Whether an existing file is replaced.

    Returns
    -------
    Path

    Raises
    ------
    WriteError
        If it exists or cannot be written.
    """
    import tifffile

    from .files.atomic import atomic

    path = Path(path)
    per_cm = 10 / MM_PER_PIXEL
    with atomic(path, overwrite) as temporary:
        tifffile.imwrite(
            temporary,
            draw_sheet()[0].data,
            photometric="rgb",
            compression="zlib",
            resolution=(per_cm, per_cm),
            resolutionunit="CENTIMETER",
        )
    return path


# -- beetles ---------------------------------------------------------------------------------------


def _box_of(beetle: _Beetle) -> tuple[slice, slice]:
    """Return the rows and columns that a beetle reaches: half its length to the sides, legs included."""
    margin = beetle.length * 0.1
    top, left = beetle.y - margin, beetle.x - beetle.length / 2 - margin
    return (
        slice(max(0, int(top)), int(top + beetle.length + 2 * margin)),
        slice(max(0, int(left)), int(left + beetle.length + 2 * margin)),
    )


def _parts(beetle: _Beetle, box: tuple[slice, slice]) -> Iterator[tuple[str, Mask, Picture]]:
    """Give the parts from the bottom up, with where in a box they are and how bright the gloss makes them."""
    across, down = _body_axes(beetle, box)
    side = np.abs(across)
    plain = np.ones_like(across)
    for joints, widths in _LEGS:
        yield "legs", _limb(side, down, joints, widths), plain
    yield "antennas", _limb(side, down, *_ANTENNA), plain
    yield "tail", _oval(across, down - 0.965, 0.075, 0.04), plain
    stripes = 1 + 0.25 * np.sin(side * 320) + 2.2 * _gloss(side - 0.08, (down - 0.55) / 3)
    yield "elytra", _oval(across, down - 0.67, 0.2, 0.31, 2.4), np.where(side < 0.006, 0.5, stripes)
    yield (
        "pronotum",
        _oval(across, down - 0.27, 0.155, 0.115, 2.8),
        1 + 2.5 * _gloss(side - 0.06, down - 0.24),
    )
    yield "mouthparts", _limb(side, down, *_JAW), plain
    yield "head", _oval(across, down - 0.115, 0.078, 0.068), 1 + 2 * _gloss(across, down - 0.1)
    yield "eyes", _oval(side - 0.07, down - 0.11, 0.022, 0.028), plain
    yield (
        "pin",
        _oval(across - 0.08, down - 0.52, 0.042, 0.042),
        0.75 + 0.5 * _gloss(across - 0.07, down - 0.51),
    )


def _body_axes(beetle: _Beetle, box: tuple[slice, slice]) -> tuple[Picture, Picture]:
    """Return for each pixel of a box how far across and down the body it is, in body lengths."""
    rows, columns = np.mgrid[box].astype(np.float32)
    angle = np.deg2rad(beetle.turn)
    x, y = (columns - beetle.x) / beetle.length, (rows - beetle.y) / beetle.length
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def _oval(x: Picture, y: Picture, half_width: float, half_height: float, power: float = 2.0) -> Mask:
    inside: Mask = np.abs(x / half_width) ** power + np.abs(y / half_height) ** power <= 1
    return inside


def _limb(x: Picture, y: Picture, joints: Sequence[Point], widths: Sequence[float]) -> Mask:
    inside = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1), width in zip(joints[:-1], joints[1:], widths, strict=True):
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        inside |= np.hypot(x - x0 - along * dx, y - y0 - along * dy) <= width
    return inside


def _gloss(x: Picture, y: Picture) -> Picture:
    light: Picture = np.exp(-(x * x + y * y) / 0.002).astype(np.float32)
    return light


# -- what lies around them -------------------------------------------------------------------------


def _paper() -> Picture:
    """Draw the ground, a label with lines of writing, and the ruler."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    picture = np.empty((HEIGHT, WIDTH, 3), np.float32)
    picture[:] = (226, 221, 212)
    picture *= (1 - 0.06 * np.hypot(rows / HEIGHT - 0.4, columns / WIDTH - 0.45))[..., None]
    _write(picture[24:84, 660:960])
    _rule(picture[566:626, 100:921])
    return picture


def _write(card: NDArray[Any]) -> None:
    card[:] = (247, 246, 241)
    random = np.random.default_rng(_SEED)
    for top in (10, 26, 42):
        left = 14
        while left < card.shape[1] - 40:
            width = int(random.integers(4, 14))
            card[top : top + 8, left : left + width : 3] = 70
            left += width + 6


def _rule(ruler: NDArray[Any]) -> None:
    """Draw a scale of 40 mm: a stroke per millimetre, longer ones every 5 and 10."""
    ruler[:] = (250, 249, 244)
    step = round(1 / MM_PER_PIXEL)
    for millimetre in range(41):
        length = 30 if millimetre % 10 == 0 else 22 if millimetre % 5 == 0 else 14
        left = millimetre * step
        ruler[:length, left : left + 2] = 40
