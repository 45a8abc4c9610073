"""What the values of a picture are: extremes, percentiles, moments, the range of a number type."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ImageError, SpecimenWarning


def on_white(piece: NDArray[Any]) -> NDArray[Any]:
    """Lay a picture with transparency (last channel) on white, the colour of paper."""
    full = (
        1.0 if piece.dtype.kind == "f" else 1.0 if piece.dtype == bool else float(np.iinfo(piece.dtype).max)
    )
    color, alpha = piece[..., :-1], piece[..., -1:]
    if (alpha == full).all():
        return color
    share = alpha.astype(np.float32) / full
    mixed: NDArray[Any] = color.astype(np.float32) * share + full * (1.0 - share)
    if piece.dtype.kind in "iu":
        np.rint(mixed, out=mixed)
    return mixed.astype(piece.dtype)


def extremes(plane: NDArray[Any], name: str) -> tuple[float, float]:
    """Return the smallest and largest finite value; refuse what has none, warn of what is missing."""
    if plane.dtype.kind not in "biuf":
        raise ImageError(f"{name}: pixels of type {plane.dtype} are not numbers that can be segmented")
    if plane.dtype.kind != "f":
        return float(plane.min()), float(plane.max())
    finite = np.isfinite(plane)
    if not finite.any():
        raise ImageError(f"{name}: no pixel has a finite value (all are NaN or infinite)")
    if not finite.all():
        missing = plane.size - int(finite.sum())
        warnings.warn(
            f"{name}: {missing} values are NaN or infinite and count as the darkest",
            SpecimenWarning,
            stacklevel=3,
        )
        return float(plane[finite].min()), float(plane[finite].max())
    return float(plane.min()), float(plane.max())


def integer_range(
    dtype: np.dtype[Any], bit_depth: int | None, lowest: float, name: str
) -> tuple[float, float]:
    """Return the range of a whole-number type, or of the bits in use; warn where that is a poor guess."""
    if lowest < 0:
        warnings.warn(
            f"{name}: values below zero; the full range of {dtype} is used", SpecimenWarning, stacklevel=3
        )
        return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    if bit_depth is not None and 0 < bit_depth < 8 * dtype.itemsize:
        return 0.0, float(2**bit_depth - 1)
    if dtype.itemsize > 2:
        warnings.warn(
            f"{name}: the full range of {dtype} is used, which makes most pictures black; "
            "convert to 16 bits or use a model that scales by percentiles",
            SpecimenWarning,
            stacklevel=3,
        )
    return 0.0, float(np.iinfo(dtype).max)


def moments(plane: NDArray[Any]) -> tuple[float, float]:
    """Return the mean of all finite values, and it plus their standard deviation."""
    finite = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
    mean = float(finite.mean(dtype=np.float64))
    return mean, mean + float(finite.std(dtype=np.float64))


def percentiles(plane: NDArray[Any], low: float, high: float) -> tuple[float, float]:
    """Return two percentiles of all finite values; exact, by a histogram for 8 and 16 bits."""
    if plane.dtype == bool:
        return 0.0, 1.0
    if plane.dtype in (np.dtype(np.uint8), np.dtype(np.uint16)):
        counts = np.zeros(np.iinfo(plane.dtype).max + 1, np.int64)
        rows = max(1, (1 << 20) // max(1, plane[0].size))
        for start in range(0, plane.shape[0], rows):  # bincount widens its input: keep that small
            counts += np.bincount(plane[start : start + rows].ravel(), minlength=counts.size)
        below = np.cumsum(counts)
        ranks = np.array([low, high]) / 100 * (below[-1] - 1)
        first, second = np.searchsorted(below, np.rint(ranks), side="right")
    else:
        finite = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane.ravel()
        first, second = np.percentile(finite.astype(np.float64), [low, high], method="nearest")
    return float(first), float(second)
