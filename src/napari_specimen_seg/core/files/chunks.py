"""Arrays on the disk that are read and written anywhere, through a little memory.

A zarr array alone reads, changes and writes a whole chunk again for every stroke of a brush and for every
tile of a prediction that does not end where the chunk ends. Here chunks stay in memory for a while: several
writes become one, the other levels of a pyramid are no slower, and what is looked at is not decoded twice.
"""

from __future__ import annotations

import math
import operator
import sys
import threading
from collections import OrderedDict
from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

CACHE_BYTES = 16 << 20
"""How many bytes of chunks are kept; as much may wait to be written."""

WRITERS = 2
"""How many chunks are encoded and written at once."""

_SWAPPED = sys.byteorder == "big"
"""Chunks on the disk are little-endian."""

Key: TypeAlias = tuple[str, tuple[int, ...], int, int]
"""Name of the array, plane, row and column of a chunk."""


@dataclass(slots=True)
class _Chunk:
    """A chunk in memory; `version` counts its changes, `stored` says which of them is on the disk."""

    values: NDArray[Any]
    version: int = 0
    stored: int = 0

    @property
    def is_dirty(self) -> bool:
        return self.version != self.stored


class ChunkCache:
    """The chunks of some arrays that are in memory. Safe to use from several threads.

    Parameters
    ----------
    limit : int
        Bytes to keep.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self.limit = limit
        self.lock = threading.RLock()
        self._writing = threading.Lock()
        self._chunks: OrderedDict[Key, _Chunk] = OrderedDict()
        self._spare: list[NDArray[Any]] = []  # used again: memory that is given back and taken crumbles
        self._arrays: dict[str, ChunkedArray] = {}

    def add(self, array: ChunkedArray) -> None:
        """Make an array known by its name."""
        self._arrays[array.name] = array

    def chunk(self, array: ChunkedArray, key: Key, *, whole: bool) -> _Chunk:
        """Return a chunk; its old values are of no interest where `whole` is true. Call under the lock."""
        found = self._chunks.get(key)
        if found is None:
            self._make_room()
            found = _Chunk(self._slot(array))
            if whole:
                found.values.fill(0)  # beyond the edge of the array too
            else:
                array.load(key, found.values)
            self._chunks[key] = found
        else:
            self._chunks.move_to_end(key)
        return found

    @property
    def waiting(self) -> int:
        """Bytes that are not on the disk yet."""
        with self.lock:
            return sum(chunk.values.nbytes for chunk in self._chunks.values() if chunk.is_dirty)

    def flush(self, names: Container[str] | None = None) -> None:
        """Write what is not on the disk yet. Others read and write meanwhile: the lock is free.

        Parameters
        ----------
        names : container of str, optional
            Of the arrays that matter; all if left out.
        """
        with self._writing:
            with self.lock:
                dirty = [
                    (key, chunk, chunk.version)
                    for key, chunk in self._chunks.items()
                    if chunk.is_dirty and (names is None or key[0] in names)
                ]
            with ThreadPoolExecutor(WRITERS, "chunk") as pool:
                for _ in pool.map(lambda entry: self._write(*entry), dirty):
                    pass

    def _write(self, key: Key, chunk: _Chunk, version: int) -> None:
        self._arrays[key[0]].store(key, chunk.values)
        chunk.stored = version  # a later change has another version, so the chunk stays dirty

    def _slot(self, array: ChunkedArray) -> NDArray[Any]:
        """Return memory for a chunk of an array."""
        for at, spare in enumerate(self._spare):
            if spare.shape == array.chunks[-2:] and spare.dtype == array.dtype:
                return self._spare.pop(at)
        self._spare.clear()
        return np.empty(array.chunks[-2:], array.dtype)

    def _make_room(self) -> None:
        """Forget clean chunks, the longest unused first."""
        used = sum(chunk.values.nbytes for chunk in self._chunks.values())
        for key in [key for key, chunk in self._chunks.items() if not chunk.is_dirty]:
            if used < self.limit:
                return
            forgotten = self._chunks.pop(key).values
            used -= forgotten.nbytes
            self._spare.append(forgotten)


class ChunkedArray:
    """An array of planes on the disk that is indexed with numbers and slices, for reading and writing.

    On the disk it is a Zarr array (format 3), whose chunks are encoded here: through the library's own event
    loop a chunk takes three times as long, which a prediction on a fast device would notice.

    Parameters
    ----------
    folder : Path
        Of an array that `create_array` made.
    shape, chunks : tuple of int
        (..., Y, X); a chunk is of one plane.
    dtype : dtype
    cache : ChunkCache
    """

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        dtype: np.dtype[Any],
        cache: ChunkCache,
    ) -> None:
        self.folder, self.name, self.cache = folder, folder.name, cache
        self.shape, self.chunks, self.dtype = shape, chunks, dtype
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)
        cache.add(self)

    def __getitem__(self, index: Any) -> Any:
        """Read a part; very many planes stay on the disk until one is picked."""
        part = _Part.of(index, self.shape)
        if self.ndim > 2 and math.prod(part.shape) * self.dtype.itemsize > CACHE_BYTES:
            return PlanesOf(self, part)
        return self.read_part(part)

    def __setitem__(self, index: Any, values: Any) -> None:
        """Write a part; `values` are repeated where they are fewer."""
        part = _Part.of(index, self.shape)
        picked = [n for axis, n in enumerate(part.shape) if axis not in part.dropped]
        spread = np.broadcast_to(np.asarray(values, self.dtype), picked).reshape(part.shape)
        for place, plane in part.planes():
            self.write(plane, part.box[-2], part.box[-1], spread[place])

    def boxes(self, index: Any) -> Iterator[tuple[tuple[int, ...], slice, slice]]:
        """Yield plane, rows and columns that an index asks for."""
        part = _Part.of(index, self.shape)
        yield from ((plane, part.box[-2], part.box[-1]) for _, plane in part.planes())

    def read_part(self, part: _Part) -> Any:
        """Return what an index asks for."""
        out = np.empty(part.shape, self.dtype)
        for place, plane in part.planes():
            out[place] = self.read(plane, *part.box[-2:])
        return out[part.steps].squeeze(axis=part.dropped)[()]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read everything."""
        del copy
        return np.asarray(self.as_dask().compute(scheduler="synchronous"), dtype)

    def as_dask(self) -> Any:
        """Return the array for whatever reads it piece by piece."""
        import dask.array as da

        pieces = (*[1] * (self.ndim - 2), *(4 * n for n in self.chunks[-2:]))
        meta = np.empty((0,) * self.ndim, self.dtype)
        return da.from_array(self, chunks=pieces, meta=meta, name=f"{self.name}-{id(self):x}", lock=False)

    # -- one plane ---------------------------------------------------------------------------------

    def read(self, plane: tuple[int, ...], rows: slice, columns: slice) -> NDArray[Any]:
        """Return a copy of a part of a plane.

        Parameters
        ----------
        plane : tuple of int
        rows, columns : slice
            With start and stop inside the plane.

        Returns
        -------
        array
            (rows, columns)
        """
        out = np.empty((rows.stop - rows.start, columns.stop - columns.start), self.dtype)
        for key, inside, place, _ in self._pieces(plane, rows, columns):
            with self.cache.lock:
                out[place] = self.cache.chunk(self, key, whole=False).values[inside]
        return out

    def write(self, plane: tuple[int, ...], rows: slice, columns: slice, values: NDArray[Any]) -> None:
        """Change a part of a plane; it reaches the disk with the next `ChunkCache.flush`."""
        for key, inside, place, whole in self._pieces(plane, rows, columns):
            with self.cache.lock:
                chunk = self.cache.chunk(self, key, whole=whole)
                chunk.values[inside] = values[place]
                chunk.version += 1

    # -- what the cache asks -----------------------------------------------------------------------

    def load(self, key: Key, values: NDArray[Any]) -> None:
        """Read a chunk into `values`, which has the size of all chunks; what was never written is 0."""
        try:
            encoded = self._file(key).read_bytes()
        except FileNotFoundError:
            values.fill(0)
            return
        _codec().decode(encoded, out=values)
        if _SWAPPED:
            values.byteswap(inplace=True)

    def store(self, key: Key, values: NDArray[Any]) -> None:
        """Write a chunk to the disk, at once or not at all."""
        path = self._file(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_bytes(_codec().encode(values.byteswap() if _SWAPPED else values))
        temporary.replace(path)

    def _file(self, key: Key) -> Path:
        _, plane, row, column = key
        return self.folder.joinpath("c", *map(str, (*plane, row, column)))

    def _pieces(
        self, plane: tuple[int, ...], rows: slice, columns: slice
    ) -> Iterator[tuple[Key, tuple[slice, slice], tuple[slice, slice], bool]]:
        """Yield the chunks under a part: key, place in the chunk, place in the part, whether all of it."""
        (high, wide), (height, width) = self.chunks[-2:], self.shape[-2:]
        for row, y in _steps(rows, high):
            for column, x in _steps(columns, wide):
                inside = (
                    slice(y.start - row * high, y.stop - row * high),
                    slice(x.start - column * wide, x.stop - column * wide),
                )
                place = (
                    slice(y.start - rows.start, y.stop - rows.start),
                    slice(x.start - columns.start, x.stop - columns.start),
                )
                whole = y.stop - y.start == min(high, height - row * high) and x.stop - x.start == min(
                    wide, width - column * wide
                )
                yield (self.name, plane, row, column), inside, place, whole


@dataclass(frozen=True, slots=True)
class _Part:
    """What an index of numbers and slices asks for.

    Parameters
    ----------
    box : tuple of slice
        One for each axis, with start, stop and no step.
    steps : tuple of slice
        What to take of that box.
    dropped : tuple of int
        The axes that were picked by a number.
    """

    box: tuple[slice, ...]
    steps: tuple[slice, ...]
    dropped: tuple[int, ...]

    @classmethod
    def of(cls, index: Any, shape: tuple[int, ...]) -> _Part:
        parts = list(index) if isinstance(index, tuple) else [index]
        if any(part is Ellipsis for part in parts):
            at = next(i for i, part in enumerate(parts) if part is Ellipsis)
            parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
        parts += [slice(None)] * (len(shape) - len(parts))
        box, steps, dropped = [], [], []
        for axis, (part, length) in enumerate(zip(parts, shape, strict=True)):
            if not isinstance(part, slice):
                at = operator.index(part) + (length if part < 0 else 0)
                if not 0 <= at < length:
                    raise IndexError(f"{part} is outside an axis of {length}")
                dropped.append(axis)
                part = slice(at, at + 1)
            start, stop, step = part.indices(length)
            if step < 1:
                raise IndexError("a part of an array on the disk is read forwards")
            box.append(slice(start, max(start, stop)))
            steps.append(slice(None, None, step))
        return cls(tuple(box), tuple(steps), tuple(dropped))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the box."""
        return tuple(at.stop - at.start for at in self.box)

    def planes(self) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Yield for each plane its place in the box, and its place in the array."""
        lead = self.box[:-2]
        for place in np.ndindex(*self.shape[:-2]):
            yield place, tuple(at.start + p for at, p in zip(lead, place, strict=True))


class PlanesOf:
    """A part of many planes that stays on the disk; napari cuts rows and columns first, then picks a plane.

    Parameters
    ----------
    array : ChunkedArray
    part : _Part
    """

    def __init__(self, array: ChunkedArray, part: _Part) -> None:
        self._array, self._part = array, part
        self.shape, self.dtype, self.ndim = part.shape, array.dtype, array.ndim

    def __getitem__(self, index: Any) -> Any:
        """Read a part of the part."""
        inner = _Part.of(index, self.shape)
        box = tuple(
            slice(a.start + b.start, a.start + b.stop) for a, b in zip(self._part.box, inner.box, strict=True)
        )
        return self._array.read_part(_Part(box, inner.steps, inner.dropped))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read all of it."""
        del copy
        return np.asarray(self._array.read_part(self._part), dtype)


def create_array(
    group: Any, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    """Make an array of zeros in a zarr group as `ChunkedArray` wants it.

    Parameters
    ----------
    group : zarr.Group
        Of format 3.
    name : str
    shape, chunks : tuple of int
    dtype : dtype
    """
    from zarr.codecs import BloscCodec, BytesCodec

    group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=0,
        serializer=BytesCodec(endian="little"),
        compressors=[BloscCodec(cname="zstd", clevel=1, shuffle="noshuffle", typesize=1)],
    )


@cache
def _codec() -> Any:
    from numcodecs.blosc import Blosc

    return Blosc(cname="zstd", clevel=1, shuffle=Blosc.NOSHUFFLE)


def _steps(part: slice, size: int) -> Iterator[tuple[int, slice]]:
    """Cut a part of an axis where chunks end; yield the number of each chunk and what of it is meant."""
    for number in range(part.start // size, -(-part.stop // size)):
        yield number, slice(max(part.start, number * size), min(part.stop, (number + 1) * size))
