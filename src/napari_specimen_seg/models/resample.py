"""Class scores of a network brought to the size of the picture, a band of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BAND_BYTES = 32_000_000
"""About how much one band may take; a whole photograph of scores would take gigabytes."""


def smooth_bands(
    scores: NDArray[np.float32], height: int, width: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Enlarge (or shrink) class scores bilinearly.

    Parameters
    ----------
    scores : array of float32
        (C, y, x).
    height, width : int
        Wanted.

    Yields
    ------
    rows : slice
        Of the wanted picture.
    scores : array of float32
        (C, rows, width); the same numbers whatever the bands are.
    """
    for rows in bands(len(scores), height, width):
        yield rows, smooth_band(scores, rows, height, width)


def bands(channels: int, height: int, width: int) -> list[slice]:
    """Return the bands of rows that scores of a picture are made in."""
    step = max(1, BAND_BYTES // (channels * width * 4))
    return [slice(start, min(height, start + step)) for start in range(0, height, step)]


def smooth_band(scores: NDArray[np.float32], rows: slice, height: int, width: int) -> NDArray[np.float32]:
    """Enlarge one band: `rows` of `height`; as `smooth_bands`."""
    return _lerp(_lerp(scores, 1, rows, height), 2, slice(0, width), width)


def _lerp(scores: NDArray[np.float32], axis: int, part: slice, full: int) -> NDArray[np.float32]:
    """Take the samples `part` of `full` along an axis, pixel centres on pixel centres."""
    extent = scores.shape[axis]
    if extent == full:
        return scores[:, part] if axis == 1 else scores[:, :, part]
    where = (np.arange(part.start, part.stop) + 0.5) * extent / full - 0.5
    where = where.clip(0, extent - 1)
    below = where.astype(np.int64)
    above = np.minimum(below + 1, extent - 1)
    share = (where - below).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(scores.ndim)])
    low = scores.take(below, axis)
    step = scores.take(above, axis)
    step -= low
    step *= share
    low += step
    return np.asarray(low, np.float32)
