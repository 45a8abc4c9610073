"""What is read at once, what is read piece by piece, and what is too much."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ReadError
from ..image import Array

LAZY_BYTES = 512 << 20
"""Decoded pictures above this stay on the disk, where their format allows it."""

PIECE_BYTES = 16 << 20
"""About how much of a lazy picture is read at a time."""

MAX_BYTES = 2 << 30
"""The most that is decoded at once: 700 million pixels in colour. Guards against files that lie."""


def byte_count(shape: tuple[int, ...], dtype: Any) -> int:
    """Return how many bytes an array takes, without overflow."""
    return math.prod(int(n) for n in shape) * int(np.dtype(dtype).itemsize)


def refuse_too_large(count: int, path: Path) -> None:
    """Refuse to decode a picture that does not fit.

    Parameters
    ----------
    count : int
        Bytes that it takes decoded.
    path : Path
        For the message.

    Raises
    ------
    ReadError
        If it is more than `MAX_BYTES`, or than the memory that is free.
    """
    import psutil

    free = int(psutil.virtual_memory().available)
    if count > MAX_BYTES or 2 * count > free:
        raise ReadError(
            f"the picture takes {_gigabytes(count)} of memory, more than the "
            + (f"{_gigabytes(MAX_BYTES)} that are allowed" if count > MAX_BYTES else "machine has free"),
            path=path,
            advice="Convert it to a tiled TIFF or OME-Zarr, which are read piece by piece.",
        )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


class OnDisk:
    """An array that is opened when it is first indexed, for `dask.array.from_array`.

    Nothing is kept open in between processes, so that a dask cluster can send it around.

    Parameters
    ----------
    path : Path
        For messages.
    opener : callable
        Returns what is indexed: a memory map or a zarr array. Must be picklable.
    shape, dtype
        Of the array.
    """

    def __init__(
        self, path: Path, opener: Callable[[], Any], shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self.path, self.opener, self.shape, self.dtype = path, opener, shape, dtype
        self.ndim = len(shape)
        self._opened: Any = None

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read a part.

        Raises
        ------
        ReadError
            If the file has changed or is damaged there.
        """
        try:
            if self._opened is None:
                self._opened = self.opener()
            return np.asarray(self._opened[index])
        except Exception as error:
            raise ReadError(
                f"a part of the picture cannot be read ({error})",
                path=self.path,
                advice="Copy the file again.",
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file behind."""
        return {**self.__dict__, "_opened": None}

    def __dask_tokenize__(self) -> tuple[str, int, str]:
        """Name the content by file and date, so that dask need not read it."""
        return str(self.path), self.path.stat().st_mtime_ns, repr((self.opener, self.shape, self.dtype))


def as_dask(source: OnDisk, piece: tuple[int, ...], plane: tuple[int, int]) -> Array:
    """Wrap what is on the disk as a dask array.

    Parameters
    ----------
    source : OnDisk
    piece : tuple of int
        The smallest part that the file can give, per axis; chunks are multiples of it.
    plane : (int, int)
        The axes of rows and columns, along which chunks grow; nobody wants many planes at once.

    Returns
    -------
    dask array
    """
    import dask.array as da

    # Without `meta` dask would open the file to see what comes out.
    meta = np.empty((0,) * source.ndim, source.dtype)
    array: Array = da.from_array(source, chunks=_chunks(source, piece, plane), meta=meta)
    return array


def _chunks(source: OnDisk, piece: tuple[int, ...], plane: tuple[int, int]) -> tuple[int, ...]:
    """Grow the smallest piece until it holds about `PIECE_BYTES`."""
    shape = source.shape
    chunks = [min(p, n) for p, n in zip(piece, shape, strict=True)]
    while 2 * math.prod(chunks) * source.dtype.itemsize <= PIECE_BYTES:
        growing = [axis for axis in plane if chunks[axis] < shape[axis]]
        if not growing:
            break
        grown = min(growing, key=lambda axis: chunks[axis])
        chunks[grown] = min(2 * chunks[grown], shape[grown])
    return tuple(chunks)


def map_pixels(
    array: Any, function: Callable[[NDArray[Any]], NDArray[Any]], dtype: Any, before: int, after: int
) -> Array:
    """Apply a function of the pixels to an array in memory, or later to each chunk of a lazy one.

    Parameters
    ----------
    array : array
        (..., Y, X), or (..., Y, X, C) where `before` is not 0.
    function : callable
        Changes values and channels, but no other axis. Must be picklable.
    dtype
        Of the result.
    before, after : int
        How many channels the array has and the result will have; 0 for no channel axis.

    Returns
    -------
    array
    """
    return (
        function(array) if isinstance(array, np.ndarray) else _map_lazy(array, function, dtype, before, after)
    )


def _map_lazy(array: Any, function: Any, dtype: Any, before: int, after: int) -> Array:
    if before:
        array = array.rechunk({array.ndim - 1: -1})
    planes = array.chunks[:-1] if before else array.chunks
    mapped: Array = array.map_blocks(
        function,
        dtype=dtype,
        chunks=(*planes, (after,)) if after else planes,
        drop_axis=[array.ndim - 1] if before and not after else None,
        new_axis=[array.ndim] if after and not before else None,
        meta=np.empty((0,) * (len(planes) + bool(after)), dtype),
    )
    return mapped
