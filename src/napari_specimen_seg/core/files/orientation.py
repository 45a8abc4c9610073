"""Turning a picture the way it is displayed."""

from __future__ import annotations

import numpy as np

from ..image import Array, SpecimenImage

_FLIPPED = {1: "", 2: "X", 3: "YX", 4: "Y", 5: "", 6: "X", 7: "YX", 8: "Y"}
"""Axes to reverse, after rows and columns have changed places for 5 to 8 (EXIF 2.32, tag 0x0112)."""


def oriented(image: SpecimenImage, orientation: int) -> SpecimenImage:
    """Return `image` as a viewer shows it.

    Parameters
    ----------
    image : SpecimenImage
        As stored.
    orientation : int
        1 to 8, as in EXIF and TIFF; anything else counts as 1.

    Returns
    -------
    SpecimenImage
        Rows and columns, their spacing and all pyramid levels turned.
    """
    if orientation not in range(2, 9):
        return image
    spacing = image.spacing
    if spacing is not None and orientation >= 5:
        spacing = (*spacing[:-2], spacing[-1], spacing[-2])
    return image.replace(
        data=_turned(image.data, image.axes, orientation),
        levels=tuple(_turned(level, image.axes, orientation) for level in image.levels),
        spacing=spacing,
    )


def _turned(array: Array, axes: str, orientation: int) -> Array:
    rows, columns = axes.index("Y"), axes.index("X")
    if orientation >= 5:
        array = np.swapaxes(array, rows, columns)
    flips = tuple({"Y": rows, "X": columns}[axis] for axis in _FLIPPED[orientation])
    if flips:
        array = np.flip(array, flips)
    return np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array
