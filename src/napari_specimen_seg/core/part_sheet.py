"""Connected parts of a picture, laid beside each other without the background between them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Window: TypeAlias = tuple[slice, slice]


def sides(window: Window) -> list[int]:
    """Return height and width."""
    return [side.stop - side.start for side in window]


def boxes(parts: NDArray[Any], least: int) -> dict[int, Window]:
    """Return the boxes of the parts that are so high and wide at least.

    Parameters
    ----------
    parts : array of int
        (Y, X), from `regions.components`.
    least : int

    Returns
    -------
    dict of (slice, slice)
        By number.
    """
    from scipy import ndimage

    found = enumerate(ndimage.find_objects(parts), 1)
    return {number: box for number, box in found if min(sides(box)) >= least}


def on_a_sheet(parts: NDArray[Any], windows: dict[int, Window]) -> tuple[NDArray[Any], dict[int, Window]]:
    """Lay parts beside each other, without what is between them in the picture.

    Parameters
    ----------
    parts : array of int
        (Y, X).
    windows : dict of (slice, slice)
        The boxes of some parts.

    Returns
    -------
    sheet : array of int
        Rows of parts, from the highest to the lowest, with a gap between any two; the picture itself where
        it is not larger.
    places : dict of (slice, slice)
        Where each part is on it.
    """
    sizes = {number: sides(box) for number, box in windows.items()}
    area = sum((height + 1) * (width + 1) for height, width in sizes.values())
    if area >= parts.size:  # a net with something in each mesh, stripes across the picture
        return parts, windows
    across = max(int(area**0.5), *(width for _, width in sizes.values()), 1)
    places: dict[int, Window] = {}
    top = left = deep = 0
    for number, (height, width) in sorted(sizes.items(), key=lambda item: -item[1][0]):
        if left + width > across:
            top, left, deep = top + deep, 0, 0
        places[number] = slice(top, top + height), slice(left, left + width)
        left, deep = left + width + 1, max(deep, height + 1)
    sheet = np.zeros((top + deep, across), parts.dtype)
    for number, place in places.items():
        box = parts[windows[number]]
        np.copyto(sheet[place], box, where=box == number)
    return sheet, places
