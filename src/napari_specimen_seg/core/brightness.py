"""What the values of a picture are: extremes, percentiles, moments, the range of a number type."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ImageError, SpecimenWarning
from .image import loaded
from .progress import Progress, Report, silent


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


SIDE = 1024
"""Side of the squares in which a plane is looked at. Always the same, however the plane is stored: sums of
fractions depend on their order."""

READ_BYTES = 16 << 20
"""About how much of a plane on the disk is read at once."""


STAGE = "reading values"

POLL_SECONDS = 0.2
"""How often those who wait for a part look whether they should stop."""

AT_ONCE = 1 << 17
"""How many values are counted in one go: numpy keeps Python's lock meanwhile, and a window would wait."""


class Pixels:
    """The values of a plane, square by square: the same in memory and from the disk, never all at once.

    Parameters
    ----------
    plane : numpy, dask or zarr array
        (Y, X) or (Y, X, C).
    on_paper : bool
        Whether the last channel is transparency, and the others are to be laid on white.
    report : callable
        Called before every part that is read from the disk, several times a second while one is waited
        for, and between parts of large planes in memory; may raise `CancelledError`.
    """

    def __init__(self, plane: Any, *, on_paper: bool = False, report: Report = silent) -> None:
        self.plane, self.on_paper, self.report = plane, on_paper, report
        self.dtype: np.dtype[Any] = np.dtype(plane.dtype)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield squares row by row."""
        parts = self._from_memory() if isinstance(self.plane, np.ndarray) else self._from_disk()
        for part in parts:
            for top in range(0, part.shape[0], SIDE):
                for left in range(0, part.shape[1], SIDE):
                    square = part[top : top + SIDE, left : left + SIDE]
                    yield on_white(square) if self.on_paper else square

    def _from_memory(self) -> Iterator[NDArray[Any]]:
        """Cut a plane into bands of whole squares; it may be a memory map."""
        each = max(1, self.plane.nbytes // max(1, self.plane.shape[0]))
        high = max(1, READ_BYTES // each // SIDE) * SIDE
        tops = range(0, self.plane.shape[0], high)
        for number, top in enumerate(tops):
            if len(tops) > 1:
                self.report(Progress(STAGE, number, len(tops)))
            yield self.plane[top : top + high]

    def _from_disk(self) -> Iterator[NDArray[Any]]:
        """Read parts of whole squares, a few ahead in other threads."""
        high, wide = self._step()
        places = [
            (slice(top, top + high), slice(left, left + wide))
            for top in range(0, self.plane.shape[0], high)
            for left in range(0, self.plane.shape[1], wide)
        ]
        pool = ThreadPoolExecutor(2, "brightness")
        waiting: deque[Future[NDArray[Any]]] = deque()
        try:
            for number, place in enumerate(places):
                self.report(Progress(STAGE, number, len(places)))
                waiting.append(pool.submit(_read, self.plane, place))
                if len(waiting) > 2:
                    yield self._waited(waiting.popleft(), Progress(STAGE, number, len(places)))
            while waiting:
                yield self._waited(waiting.popleft(), Progress(STAGE, len(places), len(places)))
        finally:  # not waited for: whoever stops must not wait for a slow disk
            pool.shutdown(wait=False, cancel_futures=True)

    def _waited(self, part: Future[NDArray[Any]], progress: Progress) -> NDArray[Any]:
        while not wait([part], POLL_SECONDS).done:
            self.report(progress)
        return part.result()

    def _step(self) -> tuple[int, int]:
        """Return height and width of a part: whole squares, no smaller than what the file gives at once."""
        chunks = getattr(self.plane, "chunks", None) or (SIDE, SIDE)
        high, wide = (max(one) if isinstance(one, tuple) else int(one) for one in chunks[:2])
        high, wide = (-(-side // SIDE) * SIDE for side in (high, wide))
        each = self.dtype.itemsize * int(np.prod(self.plane.shape[2:]))
        while wide > SIDE and high * wide * each > 2 * READ_BYTES:
            wide = -(-wide // 2 // SIDE) * SIDE
        return high, wide


def _read(plane: Any, place: tuple[slice, slice]) -> NDArray[Any]:
    return loaded(plane[place])


def is_flat(pixels: Pixels) -> bool:
    """Tell whether all values are the same; looks no further than the first that differs."""
    first: Any = None
    for square in pixels:
        first = square.flat[0] if first is None else first
        if (square != first).any():
            return False
    return True


def extremes(pixels: Pixels, name: str) -> tuple[float, float]:
    """Return the smallest and largest finite value; refuse what has none, warn of what is missing."""
    low, high, missing = np.inf, -np.inf, 0
    for square in pixels:
        if pixels.dtype.kind == "f":
            finite = square[np.isfinite(square)]
            missing += square.size - finite.size
            if not finite.size:
                continue
            square = finite
        low, high = min(low, float(square.min())), max(high, float(square.max()))
    if low > high:
        raise ImageError(f"{name}: no pixel has a finite value (all are NaN or infinite)")
    if missing:
        warnings.warn(
            f"{name}: {missing} values are NaN or infinite and count as the darkest",
            SpecimenWarning,
            stacklevel=3,
        )
    return low, high


def range_of_type(
    dtype: np.dtype[Any], bit_depth: int | None, found: tuple[float, float], name: str
) -> tuple[float, float]:
    """Return what becomes 0 and 1 by the type of the numbers alone; fractions outside 0 to 1 are scaled.

    Parameters
    ----------
    dtype : dtype
    bit_depth : int, optional
        Bits in use where fewer than the type holds.
    found : (float, float)
        The smallest and the largest value; of no interest for whole numbers without sign.
    name : str
        For warnings.
    """
    lowest, highest = found
    if dtype.kind == "b":
        return 0.0, 1.0
    if dtype.kind in "iu":
        return integer_range(dtype, bit_depth, lowest, name)
    if lowest < 0 or highest > 1:
        warnings.warn(
            f"{name}: float values from {lowest:g} to {highest:g} are scaled to 0-1 by these extremes",
            SpecimenWarning,
            stacklevel=3,
        )
        return lowest, max(highest, np.nextafter(lowest, np.inf))
    return 0.0, 1.0


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


def moments(pixels: Pixels) -> tuple[float, float]:
    """Return the mean of all finite values, and it plus their standard deviation."""
    count, total = 0, []
    for square in pixels:
        finite = _finite(square)
        count += finite.size
        total.append(float(finite.sum(dtype=np.float64)))
    mean = math.fsum(total) / count
    squares = [float(np.square(_finite(square).astype(np.float64) - mean).sum()) for square in pixels]
    return mean, mean + math.sqrt(math.fsum(squares) / count)


def _finite(square: NDArray[Any]) -> NDArray[Any]:
    return square[np.isfinite(square)] if square.dtype.kind == "f" else square


def percentiles(pixels: Pixels, low: float, high: float) -> tuple[float, float]:
    """Return two percentiles of all finite values, each a value that occurs: exact, in little memory.

    Numbers of 8 and 16 bits are counted in one pass. Of wider ones the upper 16 bits are counted first,
    then, among the values that agree in them with the one looked for, the next 16, and so on.
    """
    if pixels.dtype == bool:
        return 0.0, 1.0
    bits = 8 * _key_type(pixels.dtype).itemsize
    shift = max(0, bits - 16)
    counts = _counts(pixels, shift, [0, 0])
    ranks = [int(np.rint(percent / 100 * (int(counts[0].sum()) - 1))) for percent in (low, high)]
    keys = [0, 0]
    while True:
        for which in (0, 1):
            place, ranks[which] = _locate(counts[which], ranks[which])
            keys[which] = keys[which] << 16 | place
        if not shift:
            return _value(keys[0], pixels.dtype), _value(keys[1], pixels.dtype)
        shift -= 16
        counts = _counts(pixels, shift, keys)


def _locate(counts: NDArray[np.int64], rank: int) -> tuple[int, int]:
    """Return which bin a rank falls into, and the rank within that bin."""
    below = np.cumsum(counts)
    place = int(np.searchsorted(below, rank, side="right"))
    return place, rank - int(below[place - 1] if place else 0)


def _counts(pixels: Pixels, shift: int, prefixes: list[int]) -> list[NDArray[np.int64]]:
    """Count 16 bits of all keys, those above `shift`; for each prefix among the keys that begin with it."""
    bits = 8 * _key_type(pixels.dtype).itemsize
    counts = {prefix: np.zeros(1 << min(16, bits), np.int64) for prefix in prefixes}
    for square in pixels:
        if pixels.dtype == np.uint8:
            counts[0] += _count_bytes(square)
            continue
        keys = _keys(_finite(square).ravel())
        for prefix, bins in counts.items():
            inside = keys if shift + 16 >= bits else keys[keys >> (shift + 16) == prefix]
            inside = inside >> shift & 0xFFFF if bits > 16 else inside
            for start in range(0, inside.size, AT_ONCE):
                bins += np.bincount(inside[start : start + AT_ONCE], minlength=bins.size)
    return [counts[prefix] for prefix in prefixes]


def _count_bytes(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count bytes as Pillow does: nine times as fast as numpy, and without Python's lock."""
    from PIL import Image

    flat = np.ascontiguousarray(values).reshape(1, -1)
    return np.asarray(Image.fromarray(flat).histogram(), np.int64)


def _key_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the unsigned type in which values of a type are put in order."""
    return np.dtype(f"u{dtype.itemsize}")


def _keys(values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers without sign that are in the same order as the values.

    Of fractions the sign bit is turned, and of negative ones all other bits as well (IEEE 754).
    """
    kind = _key_type(values.dtype)
    if values.dtype.kind == "u":
        return values
    top = kind.type(1 << (8 * kind.itemsize - 1))
    bits = np.ascontiguousarray(values).view(kind)
    keys: NDArray[Any] = bits ^ top if values.dtype.kind == "i" else np.where(bits & top, ~bits, bits | top)
    return keys


def _value(key: int, dtype: np.dtype[Any]) -> float:
    """Return the value that a key stands for."""
    kind = _key_type(dtype)
    bits = np.array([key], kind)
    if dtype.kind != "u":
        top = kind.type(1 << (8 * kind.itemsize - 1))
        bits = bits ^ top if dtype.kind == "i" else np.where(bits & top, bits ^ top, ~bits)
    return float(bits.astype(kind).view(dtype)[0])
