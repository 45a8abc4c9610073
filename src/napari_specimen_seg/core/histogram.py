"""How often each value occurs in a picture of few classes, at a few times the cost of reading it.

A processor compares 64 bytes at once but counts into a table one byte after the other. So the pictures of
the single bits of the values are packed, eight pixels in a byte; for each set of bits, the pixels that have
all of them are counted as bits; and the counts of values follow by subtracting.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .parallel import cores, do_all

FEW = 64
"""From so many values on, a table is as fast."""

_BLOCK = 1 << 20  # pixels that stay in the processor's cache; with fewer, threads wait for each other
_SHARED = 1 << 22  # from so many pixels on, the cores share the work


def histogram(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count how often each value occurs.

    Parameters
    ----------
    values : array of uint8
        Any shape.

    Returns
    -------
    array of int64
        (256,).
    """
    flat = values.reshape(-1)
    shares = cores() if flat.size >= _SHARED else 1
    if shares == 1:
        return _counted(flat)
    each = -(-flat.size // (shares * _BLOCK)) * _BLOCK
    found: list[NDArray[np.int64]] = []
    do_all(lambda start: found.append(_counted(flat[start : start + each])), range(0, flat.size, each))
    total: NDArray[np.int64] = np.sum(found, axis=0)
    return total


def _counted(flat: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count in one thread; see `histogram`."""
    counts = np.zeros(256, np.int64)
    planes = _Planes()
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        largest = int(block.max())
        if block.size == _BLOCK and largest < FEW and hasattr(np, "bitwise_count"):  # not in numpy 1
            planes.add(block, largest)
        else:
            counts += np.bincount(block, minlength=256)
    return counts + planes.counts()


class _Planes:
    """Counts pixels by the bits they have in common."""

    def __init__(self) -> None:
        self._with_bits = np.zeros(256, np.int64)
        self._bit = np.empty(_BLOCK, np.uint8)
        self._sets = np.empty((1, _BLOCK // 64), np.uint64)

    def add(self, block: NDArray[np.uint8], largest: int) -> None:
        """Count the pixels of a block by sets of bits; no set is above the largest value."""
        if self._sets.shape[0] <= largest:
            self._sets = np.empty((largest + 1, _BLOCK // 64), np.uint64)
        sets = self._sets[: largest + 1]
        bit = 1
        while bit <= largest:
            np.bitwise_and(block, np.uint8(bit), out=self._bit)
            sets[bit] = np.packbits(self._bit).view(np.uint64)
            more = min(bit - 1, largest - bit)
            np.bitwise_and(sets[1 : 1 + more], sets[bit], out=sets[bit + 1 : bit + 1 + more])
            bit *= 2
        self._with_bits[0] += block.size
        found = np.bitwise_count(sets[1:])
        self._with_bits[1 : largest + 1] += np.add.reduce(found, axis=1, dtype=np.uint32)

    def counts(self) -> NDArray[np.int64]:
        """Return the count of each value: those with at least its bits, less those with one more each."""
        cube = self._with_bits.reshape((2,) * 8).copy()
        for axis in range(8):
            without, with_bit = np.moveaxis(cube, axis, 0)
            without -= with_bit
        return cube.reshape(-1)


def histogram_of(values: NDArray[Any]) -> NDArray[np.int64] | None:
    """Count the values of any integer type, if none is above 255; None otherwise."""
    if values.dtype == bool:
        values = values.view(np.uint8)
    if values.dtype == np.uint8:
        return histogram(np.ascontiguousarray(values))
    if values.size == 0 or int(values.max()) > 255:
        return None
    return histogram(values.astype(np.uint8))
