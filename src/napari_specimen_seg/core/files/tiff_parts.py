"""Parts of a TIFF: only the tiles or strips that they touch are read, and decoded on all cores."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..parallel import do_all

if TYPE_CHECKING:
    from tifffile import TiffPageSeries

_ALONE_BYTES = 1 << 18
"""Less than this is decoded in the calling thread: handing it to others would cost more."""

Range = tuple[int, int]
"""Begin and end along an axis."""

Place = tuple[Range, Range, Range, Range]
"""What is wanted of a page: separate samples, rows, columns, samples of a pixel."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """A tile or strip: its page, its number in it, and where it begins."""

    page: int
    number: int
    sample: int
    row: int
    column: int


class TiffParts:
    """A level of a TIFF file that is read part by part; the file stays open.

    Parameters
    ----------
    level : tifffile.TiffPageSeries
        For which `can_read_parts` is true.
    """

    def __init__(self, level: TiffPageSeries) -> None:
        page = level.keyframe
        self.shape, self.dtype = tuple(level.shape), level.dtype
        self._pages = list(level.pages)
        self._page = page
        self._lead = self.shape[: len(self.shape) - page.ndim]
        self._file = level.parent.filehandle
        self._decode = page.decode
        self._lock = Lock()

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read a part.

        Parameters
        ----------
        index : tuple of int and slice
            As for an array, without lists and None.

        Returns
        -------
        array
        """
        index = (index if isinstance(index, tuple) else (index,))[: len(self.shape)]
        if Ellipsis in index:
            at = index.index(Ellipsis)
            fill = len(self.shape) - len(index) + 1
            index = (*index[:at], *(slice(None),) * fill, *index[at + 1 :])
        index = (*index, *(slice(None),) * (len(self.shape) - len(index)))
        found = self._read([_needed(i, n) for i, n in zip(index, self.shape, strict=True)])
        return found[tuple(slice(None, None, i.step) if isinstance(i, slice) else 0 for i in index)]

    def _read(self, ranges: list[range]) -> NDArray[Any]:
        """Return a box of the level, all axes kept."""
        lead, place = ranges[: len(self._lead)], self._place(ranges[len(self._lead) :])
        planes = [int(np.ravel_multi_index(at, self._lead)) for at in product(*lead)] if lead else [0]
        sizes = [end - begin for begin, end in place]
        out = np.empty((len(planes), *sizes), self.dtype)
        if out.size:
            self._fill(out, planes, place)
        return out.reshape([len(r) for r in ranges])

    def _place(self, ranges: list[range]) -> Place:
        """Give the wanted part of a page the four axes that every page has in `shaped`."""
        samples, _, _, _, values = self._page.shaped
        found = [(r.start, r.stop) for r in ranges]
        if len(found) == 2:
            return (0, 1), found[0], found[1], (0, 1)
        if samples > 1:
            return found[0], found[1], found[2], (0, 1)
        return (0, 1), found[0], found[1], found[2] if values == self._page.shape[-1] else (0, values)

    def _fill(self, out: NDArray[Any], planes: list[int], place: Place) -> None:
        segments = [(number, s) for number, page in enumerate(planes) for s in self._touched(page, place)]

        def work(job: tuple[int, _Segment]) -> None:
            number, segment = job
            self._put(segment, out[number], place)

        if len(segments) == 1 or out.nbytes < _ALONE_BYTES:
            for job in segments:
                work(job)
        else:
            do_all(work, segments)

    def _touched(self, page: int, place: Place) -> Iterator[_Segment]:
        """Yield the tiles or strips of a page that a part touches."""
        (first, last), rows, columns, _ = place
        height, width = self._segment_shape
        _, _, length, across, _ = self._page.shaped
        down, right = math.ceil(length / height), math.ceil(across / width)
        for sample in range(first, last):
            for y in range(rows[0] // height, math.ceil(rows[1] / height)):
                for x in range(columns[0] // width, math.ceil(columns[1] / width)):
                    number = (sample * down + y) * right + x
                    yield _Segment(page, number, sample, y * height, x * width)

    @property
    def _segment_shape(self) -> tuple[int, int]:
        page = self._page
        if page.is_tiled:
            return int(page.tilelength), int(page.tilewidth)
        return int(page.rowsperstrip), int(page.imagewidth)

    def _put(self, segment: _Segment, out: NDArray[Any], place: Place) -> None:
        """Decode a tile or strip and copy the part of it that is wanted into `out` (samples, Y, X, C)."""
        (first, _), rows, columns, values = place
        pixels = self._decoded(segment)
        height, width = self._segment_shape if pixels is None else pixels.shape[:2]
        top, bottom = max(rows[0], segment.row), min(rows[1], segment.row + height)
        left, right = max(columns[0], segment.column), min(columns[1], segment.column + width)
        target = out[segment.sample - first, top - rows[0] : bottom - rows[0]]
        target = target[:, left - columns[0] : right - columns[0]]
        if pixels is None:
            target[:] = self._page.nodata
            return
        source = pixels[
            top - segment.row : bottom - segment.row, left - segment.column : right - segment.column
        ]
        target[:] = source[..., slice(*values)]

    def _decoded(self, segment: _Segment) -> NDArray[Any] | None:
        """Return a tile or strip (Y, X, C); None where the file leaves it out."""
        page = self._pages[segment.page]
        offset, count = page.dataoffsets[segment.number], page.databytecounts[segment.number]
        with self._lock:
            self._file.seek(offset)
            content = self._file.read(count) if offset and count else None
        more = {"jpegtables": page.jpegtables, "jpegheader": self._page.jpegheader} if self._is_jpeg else {}
        pixels, _, _ = self._decode(content, segment.number, _fullsize=False, **more)
        return None if pixels is None else pixels[0]

    @property
    def _is_jpeg(self) -> bool:
        return int(self._page.compression) in (6, 7, 34892, 33007)


def can_read_parts(level: TiffPageSeries) -> bool:
    """Whether `TiffParts` understands how a level is stored: pages of tiles or strips, none missing."""
    page = level.keyframe
    lead = level.shape[: len(level.shape) - page.ndim]
    return bool(
        level.transform is None
        and not level.is_multifile
        and page.imagedepth == 1
        and page.ndim in (2, 3)
        and tuple(level.shape[len(lead) :]) == tuple(page.shape)
        and math.prod(lead) == len(level.pages)
        and all(p is not None for p in level.pages)
    )


def piece_of(level: TiffPageSeries) -> tuple[int, ...]:
    """Return the shape of a tile or strip of a level for which `can_read_parts` is true."""
    piece = tuple(int(n) for n in level.keyframe.chunks)
    return (1,) * (len(level.shape) - len(piece)) + piece


def _needed(index: Any, length: int) -> range:
    """Return the part of an axis that an index needs, without gaps."""
    if isinstance(index, slice):
        found = range(*index.indices(length))
        return range(min(found), max(found) + 1) if found else range(0)
    position = int(index)
    if not -length <= position < length:
        raise IndexError(f"index {position} is out of bounds for {length}")
    return range(position % length, position % length + 1)
