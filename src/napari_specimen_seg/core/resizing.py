"""Pictures and labels brought to another size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def resize(plane: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize bilinearly; shrinking averages over all pixels covered, so that thin parts stay.

    Parameters
    ----------
    plane : array
        (Y, X, C), any real type.
    height, width : int
        Wanted.

    Returns
    -------
    array
        (height, width, C); uint8 stays uint8, everything else becomes float32.
    """
    if plane.shape[:2] == (height, width):
        return plane
    from PIL import Image

    mode = "L" if plane.dtype == np.uint8 else "F"
    target = np.uint8 if plane.dtype == np.uint8 else np.float32
    out = np.empty((height, width, plane.shape[-1]), target)
    for channel in range(plane.shape[-1]):
        layer = np.ascontiguousarray(plane[..., channel], target)
        if target is np.float32 and not np.isfinite(layer).all():
            layer = np.nan_to_num(layer)
        picture = Image.frombuffer(mode, (layer.shape[1], layer.shape[0]), layer.tobytes(), "raw", mode, 0, 1)
        out[..., channel] = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    return out


def resize_nearest(labels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize (Y, X) by taking, for each new pixel, the old one under its centre.

    Parameters
    ----------
    labels : array
        (Y, X), any type.
    height, width : int
        Wanted.

    Returns
    -------
    array
        (height, width), same type, no new values.
    """
    if labels.shape == (height, width):
        return labels
    rows = (2 * np.arange(height) + 1) * labels.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * labels.shape[1] // (2 * width)
    taken: NDArray[Any] = labels[rows[:, None], columns[None, :]]
    return taken
