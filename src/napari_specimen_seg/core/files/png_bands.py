"""Large PNG in bands: while one is unpacked, libpng undoes the filters of the one before.

Of a scan, whose noise packs badly, unpacking takes longer than all the rest. Here it is done beside the rest,
and by isal, which is twice as fast as zlib. libpng decodes whole files only: each band is handed to it as a
small PNG of its own, not packed, that begins with the last row of the band before, because filters look at
the row above (ISO 15948, 9.2).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from struct import pack, unpack
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"

LEAST_BYTES = 8 << 20
"""Of pixels: smaller pictures take no longer than starting a thread."""

LEAST_PACKED = 0.4
"""Of the size unpacked: files that are packed better than this are unpacked in no time."""

BAND_BYTES = 4 << 20
"""Of pixels in a band: they should stay in the processor's cache from one step to the next."""

_READ_BYTES = 1 << 20
_STORED_BYTES = 65535
"""The most that a block of deflate holds without being packed (RFC 1951, 3.2.4)."""
_AHEAD = 2
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's number for a count of channels."""

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


def pays(path: Path, shape: tuple[int, ...], bits: int) -> bool:
    """Tell whether a PNG is so large, and packed so badly, that it is read faster in bands."""
    size = math.prod(shape) * bits // 8
    return size >= LEAST_BYTES and path.stat().st_size >= LEAST_PACKED * size


def decode_in_bands(path: Path, shape: tuple[int, ...], bits: int) -> Pixels | None:
    """Decode a PNG that is not interlaced and has no palette.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        (Y, X) or (Y, X, C), as its header says.
    bits : {8, 16}
        Per value.

    Returns
    -------
    array or None
        None if its pixels are cut off or too many.

    Raises
    ------
    RuntimeError, ValueError
        If they are damaged.
    """
    picture: Pixels = np.empty(shape, np.uint8) if bits == 8 else np.empty(shape, np.uint16)
    row = 1 + picture[:1].nbytes  # one byte names the filter
    done = 0
    waiting: deque[Future[None]] = deque()
    with path.open("rb") as file, ThreadPoolExecutor(1, "png") as pool:
        try:
            for band in _bands(_packed(file), max(1, BAND_BYTES // row) * row, shape[0] * row):
                rows = slice(done, done + len(band) // row)
                done = rows.stop
                waiting.append(pool.submit(_unfilter, band, picture, rows))
                if len(waiting) > _AHEAD:
                    waiting.popleft().result()
            while waiting:
                waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
    return picture if done == shape[0] else None


def _bands(packed: Iterator[bytes], size: int, total: int) -> Iterator[bytes]:
    """Yield `total` bytes of unpacked rows, `size` at a time; fewer if something is wrong with them."""
    from isal import isal_zlib

    inflater = isal_zlib.decompressobj()
    parts: list[bytes] = []
    left, wanted = total, min(size, total)
    data: bytes | None = b""
    holds_more = False
    while not inflater.eof:
        data = data if holds_more else next(packed, None)
        if data is None:
            raise ValueError("the pixels are cut off")
        parts.append(_inflated(inflater, data, wanted))
        data = inflater.unconsumed_tail
        holds_more = bool(data) or len(parts[-1]) == wanted
        wanted -= len(parts[-1])
        if not wanted:
            if not left:
                raise ValueError("there are too many pixels")
            yield b"".join(parts)
            left -= min(size, left)
            parts, wanted = [], min(size, left) or 1  # a byte more than there should be is noticed
    if left:
        raise ValueError("there are too few pixels")


def _inflated(inflater: Any, data: bytes, most: int) -> bytes:
    try:
        part: bytes = inflater.decompress(data, most)
    except Exception as error:  # its own error has no base but this
        raise ValueError(str(error)) from error
    return part


def _packed(file: BinaryIO) -> Iterator[bytes]:
    """Yield the packed pixels of a PNG. As in Pillow, only the checksum inside of them counts."""
    file.seek(len(SIGNATURE))
    seen = False
    while len(head := file.read(8)) == 8:
        length, kind = unpack(">I4s", head)
        if kind == b"IDAT":
            seen = True
            for begin in range(0, length, _READ_BYTES):
                yield file.read(min(_READ_BYTES, length - begin))
            file.seek(4, 1)
        elif seen:
            return
        else:
            file.seek(length + 4, 1)


def _unfilter(band: bytes, picture: Pixels, rows: slice) -> None:
    """Undo the filters of some rows and put them into `picture`."""
    import imagecodecs

    target = picture[max(0, rows.start - 1) : rows.stop]
    above = b"\0" + target[0].astype(target.dtype.newbyteorder(">")).tobytes() if rows.start else b""
    imagecodecs.png_decode(_small_png(above, band, target), out=target)


def _small_png(above: bytes, band: bytes, target: Pixels) -> bytes:
    """Return rows with filters as a PNG of the size of `target`, not packed."""
    from isal import isal_zlib

    height, width = target.shape[:2]
    colors = _COLOR_TYPES[target.shape[2] if target.ndim == 3 else 1]
    header = pack(">IIBBBBB", width, height, 8 * target.dtype.itemsize, colors, 0, 0, 0)
    check = isal_zlib.adler32(band, isal_zlib.adler32(above))
    stream = [b"\x78\x01", *_stored(above, last=False), *_stored(band, last=True), pack(">I", check)]
    chunks = (_chunk(b"IHDR", [header]), _chunk(b"IDAT", stream), _chunk(b"IEND", []))
    return b"".join([SIGNATURE, *(part for chunk in chunks for part in chunk)])


def _stored(data: bytes, *, last: bool) -> Iterator[bytes | memoryview]:
    """Yield `data` as blocks of deflate that are not packed."""
    view = memoryview(data)
    for begin in range(0, len(data), _STORED_BYTES):
        block = view[begin : begin + _STORED_BYTES]
        is_end = last and begin + _STORED_BYTES >= len(data)
        yield pack("<BHH", is_end, len(block), len(block) ^ 0xFFFF)
        yield block


def _chunk(kind: bytes, parts: list[bytes | memoryview]) -> list[bytes | memoryview]:
    from isal import isal_zlib

    check = isal_zlib.crc32(kind)
    for part in parts:
        check = isal_zlib.crc32(part, check)
    return [pack(">I", sum(map(len, parts))), kind, *parts, pack(">I", check)]
