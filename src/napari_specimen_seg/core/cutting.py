"""Cutting a connected part where its necks are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .necks import Necked
from .regions import connected

LARGE = 1 << 21
"""Up to so many pixels of a part, a flood of all that is left starts from everything that is not. In larger
ones it starts only where it can begin, which takes a third of the memory; where two pieces touch what is
left at corners that are equally deep, another of the two may get it."""


def cut(part: Necked) -> NDArray[Any]:
    """Cut a part at its necks.

    Parameters
    ----------
    part : Necked

    Returns
    -------
    array of int
        (Y, X), the box of the part: 0 outside of it, else 1 to `Necked.count`.
    """
    from skimage.segmentation import watershed

    mask = part.depth < 0
    pieces = np.asarray(watershed(part.depth, part.bulges, mask=mask))
    left = mask & (pieces == 0)  # what hangs on by a corner only
    if not left.any() or _given(pieces, left):
        return pieces
    seeds = pieces
    if np.count_nonzero(mask) > LARGE:
        mask = _grown(left) & mask
        seeds = np.where(mask, pieces, 0)
    flooded = watershed(part.depth, seeds, mask=mask, connectivity=2)
    np.copyto(pieces, flooded, where=left)
    return pieces


def _given(pieces: NDArray[Any], left: NDArray[np.bool_]) -> bool:
    """Give what is left to the pieces it touches, if each of it touches but one: no flood is needed then."""
    row, column = np.nonzero(left)
    number = connected(left.view(np.uint8))[0][row, column]
    beside = np.array([_at(pieces, row + down, column + right) for down, right in np.ndindex(3, 3)])
    found = beside > 0
    pairs = np.stack([np.broadcast_to(number, beside.shape)[found], beside[found]])
    touched = np.unique(pairs, axis=1)
    if touched.shape[1] > number.max():
        return False
    pieces[row, column] = touched[1][number - 1]
    return True


def _at(plane: NDArray[Any], row: NDArray[np.intp], column: NDArray[np.intp]) -> NDArray[Any]:
    """Return what is one up and one left of each place, 0 beyond the plane."""
    row, column = row - 1, column - 1
    inside = (row >= 0) & (row < plane.shape[0]) & (column >= 0) & (column < plane.shape[1])
    return np.where(inside, plane[row * inside, column * inside], 0)


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    grown: NDArray[np.bool_] = ndimage.binary_dilation(mask, np.ones((3, 3)))
    return grown
