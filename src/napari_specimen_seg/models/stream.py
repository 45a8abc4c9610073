"""The loop over the tiles of a picture: which comes next, what is read, what is computed side by side.

Pixels are read in one thread, classes computed in others, and each finished part is handed on at once, so
that reading, computing and whatever is done with the parts overlap, and no more than a few tiles are held.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..core.errors import SpecimenWarning
from ..core.image import SpecimenImage
from ..core.progress import COMPUTING, Progress, Report, silent
from ..core.tiling import Layout, Tile, piece
from .backends import Answer, Ask, Backend, Piece
from .card import ModelCard
from .cores import lanes
from .devices import Engine, is_out_of_memory
from .watching import Watch, Watcher

Spot: TypeAlias = tuple[tuple[int, ...], int]
"""A tile of a picture: the index of its plane (``()`` where there is one only), and which of the layout."""

Order: TypeAlias = Callable[[Collection[Spot]], Spot]
"""Asked for the next of the tiles that are left, in their usual order; may change its mind every time."""


@dataclass(frozen=True, slots=True)
class Part:
    """A finished part of a picture.

    Parameters
    ----------
    plane : tuple of int
        Index into the leading axes; () for a single picture.
    number : int
        Which tile of the layout.
    rows, columns : slice
        Which pixels; every pixel comes once.
    labels : array
        (rows, columns) class ids.
    confidence : array of float32 or None
        (rows, columns), where it was asked for.
    engine : Engine
        What computed it.
    """

    plane: tuple[int, ...]
    number: int
    rows: slice
    columns: slice
    labels: NDArray[Any]
    confidence: NDArray[np.float32] | None
    engine: Engine

    @property
    def spot(self) -> Spot:
        """Plane and number."""
        return self.plane, self.number

    @property
    def place(self) -> tuple[int | slice, ...]:
        """Index of the part in an array of the picture's planes, rows and columns."""
        return (*self.plane, self.rows, self.columns)


@dataclass(slots=True)
class Job:
    """All that the loop needs to know.

    Parameters
    ----------
    card : ModelCard
    backend : Backend
        May be exchanged while the job runs: for the processor's where a device runs out of memory.
    image : SpecimenImage
        May be lazy: only a tile's pixels are read at once.
    layout : Layout
    ask : Ask
    report : callable
    watch : callable, optional
    order : callable, optional
    done : collection of Spot
    fallback : callable, optional
        Gives the processor's backend.
    """

    card: ModelCard
    backend: Backend
    image: SpecimenImage
    layout: Layout
    ask: Ask
    report: Report = silent
    watch: Watch | None = None
    order: Order | None = None
    done: Collection[Spot] = frozenset()
    fallback: Callable[[], Backend] | None = None
    _values: dict[tuple[int, ...], tuple[float, float]] = field(default_factory=dict)
    _seen: set[tuple[int, ...]] = field(default_factory=set)

    def spots(self) -> list[Spot]:
        """Return all tiles of all planes."""
        planes = np.ndindex(*self.image.planes())
        return [(plane, number) for plane in planes for number in range(len(self.layout.tiles))]

    def left(self) -> dict[Spot, None]:
        """Return the tiles that are not done, in their usual order."""
        return {spot: None for spot in self.spots() if spot not in self.done}

    def values(self, plane: tuple[int, ...]) -> tuple[float, float]:
        """Return the range of values of a plane, found once."""
        if plane not in self._values:
            image, pixels = self.image, self.image.data[plane]
            self.card.preprocessing.to_channels(np.asarray(pixels[:1, :1]), name=image.name)  # refuses
            self._values[plane] = self.card.preprocessing.value_range(
                pixels, name=image.name, bit_depth=image.bit_depth, report=self.report
            )
        return self._values[plane]

    def enter(self, plane: tuple[int, ...]) -> None:
        """Report a plane when its first part is there."""
        if plane and plane not in self._seen:
            self.report(Progress("plane", len(self._seen), prod(self.image.planes())))
        self._seen.add(plane)

    def watcher(self, plane: tuple[int, ...]) -> Watcher:
        """Return what shows probabilities of a plane."""
        return Watcher(self.card, plane, self.watch)

    def fall_back(self, error: BaseException) -> bool:
        """Go on with the processor if a device ran out of memory and that is possible."""
        if self.fallback is None or self.backend.engine.device == "cpu":
            return False
        warnings.warn(
            f"{self.backend.engine.device} ran out of memory; the rest is computed on the processor "
            f"({str(error).partition('.')[0]})",
            SpecimenWarning,
            stacklevel=2,
        )
        self.backend, self.fallback = self.fallback(), None
        self.report(Progress(f"{COMPUTING} {self.backend.engine}", 0, 1))  # now, not when all is done
        return True


@dataclass(frozen=True, slots=True)
class _Batch:
    """Tiles whose answers are under way."""

    spots: list[Spot]
    answers: Future[list[Answer]]
    engine: Engine


def tile_parts(job: Job) -> Iterator[Part]:
    """Compute all tiles that are left.

    Parameters
    ----------
    job : Job

    Yields
    ------
    Part
        In the order in which they were begun.
    """
    left = job.left()
    total = len(job.spots())
    size, count = _at_once(job, total)
    job.report(Progress("tile", total - len(left), total))
    while left:
        try:
            for part in _with_lanes(job, left, size, count):
                job.report(Progress("tile", total - len(left), total))
                yield part
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if size > 1 or count > 1:
                size, count = max(1, size // 2), max(1, count // 2)
            elif not job.fall_back(error):
                raise
            else:
                size, count = _at_once(job, total)


def _at_once(job: Job, total: int) -> tuple[int, int]:
    """Return how many tiles are a batch, and how many batches are computed side by side.

    At least two batches for each lane, where there are as many tiles: with fewer, nothing overlaps.
    """
    shape = job.layout.height, job.layout.width
    count = job.backend.lanes(*shape)
    return max(1, min(job.backend.batch_size(*shape), total // (2 * count))), count


def _with_lanes(job: Job, left: dict[Spot, None], size: int, count: int) -> Iterator[Part]:
    """Yield parts and take them out of `left`, until one fails or nothing is left."""
    waiting: deque[_Batch] = deque()
    begun = dict(left)
    count = max(1, min(count, -(-len(left) // size)))
    with ThreadPoolExecutor(1, "read") as reader, lanes(count) as pool:
        try:
            while begun or waiting:
                while begun and len(waiting) <= count:
                    waiting.append(_begin(job, _take(job, begun, size), reader, pool))
                batch = waiting.popleft()
                for spot, answer in zip(batch.spots, batch.answers.result(), strict=True):
                    part = _part(job, spot, answer, batch.engine)
                    del left[spot]
                    yield part
        finally:
            reader.shutdown(wait=False, cancel_futures=True)


def _take(job: Job, left: dict[Spot, None], size: int) -> list[Spot]:
    """Take the next tiles out of those that are left."""
    taken: list[Spot] = []
    while left and len(taken) < size:
        spot = next(iter(left)) if job.order is None else job.order(left.keys())
        del left[spot]
        taken.append(spot)
    return taken


def _begin(job: Job, spots: list[Spot], reader: ThreadPoolExecutor, pool: ThreadPoolExecutor) -> _Batch:
    for plane, _ in spots:
        job.values(plane)  # here and not in a thread: it may warn, and the warning is the caller's
    pixels = reader.submit(lambda: [_read(job, spot) for spot in spots])
    backend = job.backend
    answers = pool.submit(lambda: backend.answer(pixels.result(), job.ask))
    return _Batch(spots, answers, backend.engine)


def _read(job: Job, spot: Spot) -> Piece:
    plane, number = spot
    tile = job.layout.tiles[number]
    cut = piece(job.image.data[plane], tile, (job.layout.height, job.layout.width))
    return Piece(job.card.preprocessing.to_channels(cut), job.values(plane), tile.inner)


def _part(job: Job, spot: Spot, answer: Answer, engine: Engine) -> Part:
    plane, number = spot
    tile = job.layout.tiles[number]
    job.enter(plane)
    if answer.scores is not None:
        job.watcher(plane).show(answer.scores, tile.rows, tile.columns)
    return Part(plane, number, tile.rows, tile.columns, answer.labels, answer.confidence, engine)


# -- the whole picture at the network's scale --------------------------------------------------------


def whole_layout(card: ModelCard, height: int, width: int) -> Layout:
    """Return the layout of a model that looks at the whole picture: one tile that gives every pixel."""
    seen = card.preprocessing.placement(height, width).shape
    return Layout(*seen, (Tile(0, 0, slice(0, height), slice(0, width)),))


def whole_parts(job: Job) -> Iterator[Part]:
    """Compute all planes that are left, each as one part.

    Parameters
    ----------
    job : Job

    Yields
    ------
    Part
    """
    left = job.left()
    total = len(job.spots())
    while left:
        spot = _take(job, left, 1)[0]
        job.enter(spot[0])
        job.report(Progress("picture", total - len(left) - 1, total))
        yield _whole_part(job, spot)
        job.report(Progress("picture", total - len(left), total))


def _whole_part(job: Job, spot: Spot) -> Part:
    plane, number = spot
    preprocessing, rows = job.card.preprocessing, slice(0, job.image.height)
    batch = preprocessing.fit(np.asarray(job.image.data[plane]), job.values(plane))[None]
    with lanes(1) as pool:
        scores = pool.submit(_scores_or_fallback, job, batch).result()[0]
    place = preprocessing.placement(job.image.height, job.image.width)
    inner = scores[:, place.top : place.top + place.height, place.left : place.left + place.width]
    nearest = getattr(preprocessing.geometry, "answer", "nearest") == "nearest"
    answer = _nearest(job, plane, inner) if nearest else _smooth(job, plane, inner)
    columns = slice(0, job.image.width)
    return Part(plane, number, rows, columns, answer.labels, answer.confidence, job.backend.engine)


def _scores_or_fallback(job: Job, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    try:
        return job.backend.scores(batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or not job.fall_back(error):
            raise
        return job.backend.scores(batch)


def _nearest(job: Job, plane: tuple[int, ...], inner: NDArray[np.float32]) -> Answer:
    from ..core.resizing import resize_nearest

    height, width = job.image.height, job.image.width
    small = job.backend.choose(inner, replace(job.ask, scores=False))
    job.watcher(plane).show_enlarged(inner, height, width)
    sure = small.confidence
    return Answer(
        resize_nearest(small.labels, height, width),
        None if sure is None else resize_nearest(sure, height, width),
    )


def _smooth(job: Job, plane: tuple[int, ...], inner: NDArray[np.float32]) -> Answer:
    """Enlarge scores and choose classes, a band of rows at a time, several bands side by side."""
    from .cores import cores, one_core_each
    from .resample import bands, smooth_band

    height, width = job.image.height, job.image.width
    rows = bands(len(inner), height, width)
    chosen = one_core_each(
        lambda band: job.backend.choose(smooth_band(inner, band, height, width), job.ask),
        rows,
        min(len(rows), cores()),
    )
    labels = sure = None
    for band, answer in zip(rows, chosen, strict=True):
        labels = np.empty((height, width), answer.labels.dtype) if labels is None else labels
        labels[band] = answer.labels
        if answer.confidence is not None:
            sure = np.empty((height, width), np.float32) if sure is None else sure
            sure[band] = answer.confidence
        if answer.scores is not None:
            job.watcher(plane).show(answer.scores, band, slice(0, width))
    assert labels is not None
    return Answer(labels, sure)
