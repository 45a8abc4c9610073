"""Which tiles cover a picture, and which pixels of each tile are used.

Every pixel of the answer comes from exactly one tile: neighbouring tiles overlap by at least twice the
halo and are cut in the middle of the overlap. No buffer of class scores is needed, and the cost of
joining is that of writing the answer once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .image import loaded
from .input_settings import Tiles


@dataclass(frozen=True, slots=True)
class Tile:
    """A piece of a picture, in pixels of the picture.

    Parameters
    ----------
    top, left : int
        Of the piece that the network sees; it may reach over the right and bottom edge.
    rows, columns : slice
        The pixels of the picture whose answer is taken from this piece.
    """

    top: int
    left: int
    rows: slice
    columns: slice

    @property
    def inner(self) -> tuple[slice, slice]:
        """`rows` and `columns` counted from the piece's own corner."""
        return (
            slice(self.rows.start - self.top, self.rows.stop - self.top),
            slice(self.columns.start - self.left, self.columns.stop - self.left),
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """All tiles of a picture; they have one size.

    Parameters
    ----------
    height, width : int
        Of every tile.
    tiles : tuple of Tile
        Row by row.
    """

    height: int
    width: int
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """Tiles in rows and columns, all of one size.

    Parameters
    ----------
    height, width : int
        Of every tile.
    tops, lefts : tuple of int
        Where rows and columns of tiles begin.
    """

    height: int
    width: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]


def grid(height: int, width: int, tiles: Tiles, stride: int, size: int | None = None) -> Grid:
    """Return where tiles lie; as `layout`, which also says which of their pixels are used."""
    wanted = max(stride, _up(size or tiles.size, stride))
    side_y, tops = _along(height, wanted, tiles.halo, stride, tiles.fitted)
    side_x, lefts = _along(width, wanted, tiles.halo, stride, tiles.fitted)
    return Grid(side_y, side_x, tuple(tops), tuple(lefts))


def band_layout(places: Grid, height: int, width: int) -> Layout:
    """Return the bands of a picture that are finished after each row of tiles, when tiles are blended.

    Parameters
    ----------
    places : Grid
        Whose neighbours overlap by no more than half.
    height, width : int
        Of the picture.

    Returns
    -------
    Layout
        One tile for each row of tiles, as wide as the picture.
    """
    edges = [*places.tops, height]
    return Layout(
        places.height,
        places.width,
        tuple(Tile(a, 0, slice(a, b), slice(0, width)) for a, b in pairwise(edges)),
    )


def layout(height: int, width: int, tiles: Tiles, stride: int, size: int | None = None) -> Layout:
    """Cover a picture with as few tiles as possible.

    Parameters
    ----------
    height, width : int
        Of the picture, in pixels.
    tiles : Tiles
        Side, halo and whether the side may be fitted to the picture.
    stride : int
        Sides and positions of tiles are multiples of this, so that every tile meets the network's
        pooling grid in the same phase.
    size : int, optional
        Side to use instead of the card's.

    Returns
    -------
    Layout
        With ``fitted`` tiles the side is at most the wanted one, and the smallest that needs no more
        tiles; a picture that fits into one tile is one tile of its own size.
    """
    places = grid(height, width, tiles, stride, size)
    rows = _cuts(places.tops, places.height, height)
    columns = _cuts(places.lefts, places.width, width)
    return Layout(
        places.height,
        places.width,
        tuple(
            Tile(top, left, row, column)
            for top, row in zip(places.tops, rows, strict=True)
            for left, column in zip(places.lefts, columns, strict=True)
        ),
    )


def piece(plane: NDArray[np.generic], tile: Tile, shape: tuple[int, int]) -> NDArray[np.generic]:
    """Cut a tile out of a picture; what lies over the edge is mirrored.

    Parameters
    ----------
    plane : numpy or dask array
        (Y, X) or (Y, X, C); only the tile's pixels are read.
    tile : Tile
    shape : (int, int)
        Height and width of the tile.

    Returns
    -------
    array
        (height, width) or (height, width, C).
    """
    cut = loaded(plane[tile.top : tile.top + shape[0], tile.left : tile.left + shape[1]])
    missing = shape[0] - cut.shape[0], shape[1] - cut.shape[1]
    if not any(missing):
        return cut
    pad = [(0, missing[0]), (0, missing[1])] + [(0, 0)] * (cut.ndim - 2)
    return np.pad(cut, pad, mode="symmetric")


def _along(extent: int, wanted: int, halo: int, stride: int, fitted: bool) -> tuple[int, list[int]]:
    """Return the side of the tiles and their positions along one axis."""
    padded = _up(extent, stride)
    if padded <= wanted:
        return (padded if fitted else wanted), [0]
    side, count = wanted, _count(padded, wanted, halo, stride)
    while fitted and side > stride and _count(padded, side - stride, halo, stride) == count:
        side -= stride
    steps = (padded - side) // stride
    return side, [(i * steps) // (count - 1) * stride for i in range(count)]


def _count(padded: int, side: int, halo: int, stride: int) -> int:
    """Return how many tiles of a side are needed so that neighbours overlap by two halos."""
    step = max(stride, (side - 2 * halo) // stride * stride)
    return 1 + -(-(padded - side) // step)


def _cuts(starts: tuple[int, ...], side: int, extent: int) -> list[slice]:
    edges = [0, *((a + side + b) // 2 for a, b in pairwise(starts)), extent]
    return [slice(a, b) for a, b in pairwise(edges)]


def _up(number: int, stride: int) -> int:
    return -(-number // stride) * stride
