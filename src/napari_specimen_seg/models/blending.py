"""Tiles that fade into each other, for networks whose answer depends on the whole tile.

Scores of overlapping tiles are averaged with Gaussian weights. Only a band as high as one tile is held:
after each row of tiles, what no later tile touches is decided and handed on.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..core.input_settings import Tiles
from ..core.progress import Progress
from ..core.tiling import Grid, Tile, grid, piece
from .backends import Ask, Piece
from .card import ModelCard
from .cores import one_core_each
from .devices import is_out_of_memory
from .network import stride_of_card
from .stream import Job, Part

OVERLAP = 0.25
"""Share of a tile that it has in common with the next, at least."""

WIDTH = 1 / 8
"""Standard deviation of the weights, as a share of the tile's side."""

LEAST_WEIGHT = 1e-3


def blended_grid(card: ModelCard, height: int, width: int, size: int | None = None) -> Grid:
    """Return where the tiles of a picture lie when they are blended.

    Parameters
    ----------
    card : ModelCard
        Of a model that works in tiles.
    height, width : int
        Of the picture.
    size : int, optional
        Side to use instead of the card's.

    Returns
    -------
    Grid
        Tiles of the size that the network was trained with.
    """
    tiles = card.preprocessing.geometry
    assert isinstance(tiles, Tiles)
    side = size or tiles.size
    fading = tiles.model_copy(update={"halo": round(side * OVERLAP / 2), "fitted": False})
    return grid(height, width, fading, stride_of_card(card), side)


def blended_parts(job: Job, places: Grid) -> Iterator[Part]:
    """Compute all bands that are left; see `stream.tile_parts`.

    Parameters
    ----------
    job : Job
        Its layout has one tile for each row of `places`.
    places : Grid

    Yields
    ------
    Part
        Bands as wide as the picture, from top to bottom.
    """
    total = prod(job.image.planes()) * len(places.tops) * len(places.lefts)
    done = 0
    for plane in np.ndindex(*job.image.planes()):
        band = _Band(job, places)
        for number, top in enumerate(places.tops):
            if _is_needed(job, places, plane, number):
                for left, scores in _row(job, places, plane, top):
                    band.add(scores, left)
                    done += 1
                    job.report(Progress("tile", done, total))
            else:
                done += len(places.lefts)
            tile = job.layout.tiles[number]
            if (plane, number) not in job.done:
                yield _part(job, plane, number, tile, band.scores(tile, top))
            band.roll(tile.rows.stop - top)


def _is_needed(job: Job, places: Grid, plane: tuple[int, ...], number: int) -> bool:
    """Tell whether a row of tiles reaches into a band that is not done."""
    end = places.tops[number] + places.height
    reached = (k for k in range(number, len(places.tops)) if places.tops[k] < end)
    return any((plane, k) not in job.done for k in reached)


def _row(
    job: Job, places: Grid, plane: tuple[int, ...], top: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the left edge and the scores (C, Y, X) of each tile of a row."""
    shape = places.height, places.width
    whole = slice(0, places.height), slice(0, places.width)
    values = job.values(plane)

    def compute(left: int) -> NDArray[np.float32]:
        tile = Tile(top, left, slice(top, top + shape[0]), slice(left, left + shape[1]))
        pixels = job.card.preprocessing.to_channels(piece(job.image.data[plane], tile, shape))
        (answer,) = job.backend.answer([Piece(pixels, values, whole)], Ask(scores=True))
        assert answer.scores is not None
        return answer.scores

    left_over = list(places.lefts)
    count = job.backend.lanes(*shape)
    while left_over:
        try:
            for scores in one_core_each(compute, tuple(left_over), min(len(left_over), count)):
                yield left_over.pop(0), scores
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or (count == 1 and not job.fall_back(error)):
                raise
            count = 1 if count > 1 else job.backend.lanes(*shape)


def _part(job: Job, plane: tuple[int, ...], number: int, tile: Tile, scores: NDArray[np.float32]) -> Part:
    job.enter(plane)
    answer = job.backend.choose(scores, job.ask)
    if answer.scores is not None:
        job.watcher(plane).show(answer.scores, tile.rows, tile.columns)
    engine = job.backend.engine
    return Part(plane, number, tile.rows, tile.columns, answer.labels, answer.confidence, engine)


class _Band:
    """The weighted sum of scores for as many rows as a tile has.

    Weights of rows and columns multiply, so that their sums do too: no picture of weights is needed.
    """

    def __init__(self, job: Job, places: Grid) -> None:
        width = places.lefts[-1] + places.width
        self.sum = np.zeros((job.card.out_channels, places.height, width), np.float32)
        self.down, self.across = weights(places.height), weights(places.width)
        self.rows = _summed(self.down, places.tops)
        self.columns = _summed(self.across, places.lefts)

    def add(self, scores: NDArray[np.float32], left: int) -> None:
        """Add the scores of a tile whose top is the band's."""
        faded = self.down[:, None] * self.across
        target = self.sum[:, :, left : left + len(self.across)]
        for channel, values in zip(target, scores, strict=True):
            channel += values * faded

    def scores(self, tile: Tile, top: int) -> NDArray[np.float32]:
        """Return the averages (C, rows, columns) of the pixels of a tile."""
        width, rows = tile.columns.stop, slice(0, tile.rows.stop - top)
        total = self.rows[tile.rows, None] * self.columns[:width]
        return self.sum[:, rows, :width] / total

    def roll(self, rows: int) -> None:
        """Move the band down."""
        rest = self.sum.shape[1] - rows
        self.sum[:, :rest] = self.sum[:, rows:].copy()
        self.sum[:, rest:] = 0


def weights(side: int) -> NDArray[np.float32]:
    """Return how much each row (or column) of a tile counts: a Gaussian around its middle."""
    distance = (np.arange(side) - (side - 1) / 2) / (side * WIDTH)
    return np.maximum(np.exp(-(distance**2) / 2), LEAST_WEIGHT).astype(np.float32)


def _summed(one: NDArray[np.float32], starts: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the sum of the weights of all tiles along an axis."""
    total = np.zeros(starts[-1] + len(one), np.float32)
    for start in starts:
        total[start : start + len(one)] += one
    return total
