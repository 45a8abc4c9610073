"""The steps that the borders of regions are made of, for all pixels of a block at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .blocks import inner
from .scratch import Scratch

_scratch = Scratch()

STEPS = np.array([1, math.sqrt(2), (1 + math.sqrt(2)) / 2])
"""How long the line through a border pixel is: straight, across a corner, one of each.

K. Benkrid, D. Crookes, "Design and FPGA implementation of a perimeter estimator" (2000); the weights of
`skimage.measure.perimeter` with four neighbours.
"""


def _kinds() -> NDArray[np.uint8]:
    """Return which of `STEPS` (from 1) a pixel is, by 1 + 2 x straight + 10 x diagonal neighbours."""
    kinds = np.zeros(50, np.uint8)
    kinds[[5, 7, 15, 17, 25, 27]] = 1
    kinds[[21, 33]] = 2
    kinds[[13, 23]] = 3
    return kinds


_KINDS = _kinds()
_STRAIGHT = ((0, 1), (2, 1), (1, 0), (1, 2))
_DIAGONAL = ((0, 0), (0, 2), (2, 0), (2, 2))


def border_steps(window: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Find the border pixels of a block and what step each is.

    Neighbours of a pixel with the same value count as the same region. That is right for connected parts of
    classes too, as pixels that touch, if only at a corner, are of one part.

    Parameters
    ----------
    window : array
        The block with its margin, see `blocks.windows`.

    Returns
    -------
    where : array of int
        Positions in the flattened block, ascending; without those whose step has no length.
    kind : array of uint8
        1 to 3: which of `STEPS`.
    """
    is_edge, edge = _edge(window)
    core = inner(window)
    straight = _scratch.array("straight", core.shape, np.uint8)
    diagonal = _scratch.array("diagonal", core.shape, np.uint8)
    same = _scratch.array("same", core.shape, bool)
    straight[...] = diagonal[...] = 0
    for total, neighbours in ((straight, _STRAIGHT), (diagonal, _DIAGONAL)):
        for down, right in neighbours:
            np.equal(edge[down : down + core.shape[0], right : right + core.shape[1]], core, out=same)
            total += same.view(np.uint8)
    diagonal *= np.uint8(5)
    diagonal += straight
    where = np.flatnonzero(is_edge)
    kind = _KINDS[2 * diagonal.ravel()[where] + 1]
    counts = kind > 0
    return where[counts], kind[counts]


def _edge(window: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Find the pixels on the border of their region.

    Returns
    -------
    is_edge : array of bool
        Of the block.
    edge : array
        The block with one pixel around it, 0 where a pixel is none of those.
    """
    ring = window[1:-1, 1:-1]
    differs = np.not_equal(ring, window[:-2, 1:-1], out=_scratch.array("differs", ring.shape, bool))
    other = _scratch.array("other", ring.shape, bool)
    for neighbour in (window[2:, 1:-1], window[1:-1, :-2], window[1:-1, 2:]):
        np.not_equal(ring, neighbour, out=other)
        differs |= other
    edge = np.multiply(ring, differs, out=_scratch.array("edge", ring.shape, ring.dtype))
    core = edge[1:-1, 1:-1]
    return np.not_equal(core, 0, out=_scratch.array("is edge", core.shape, bool)), edge
