"""The list of finished tiles beside labels being made: a line each, with a checksum of its pixels."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

Maker = tuple[str, ...]
"""What computed a tile, in words of whoever computes."""

FINISHED = "finished.jsonl"


class TileKey(NamedTuple):
    """The pixels that a tile is for: its plane, and where its rows and columns begin and end."""

    plane: tuple[int, ...]
    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def of(cls, plane: tuple[int, ...], rows: slice, columns: slice) -> TileKey:
        """Return the key of a part of a plane."""
        return cls(
            tuple(int(n) for n in plane),
            *(int(n) for n in (rows.start, rows.stop, columns.start, columns.stop)),
        )

    @property
    def rows(self) -> slice:
        """Its rows."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """Its columns."""
        return slice(self.left, self.right)


class TileNote(NamedTuple):
    """What is noted of a finished tile: the checksum of its pixels, and what computed it."""

    crc: int
    maker: Maker = ()


def noted_tiles(folder: Path) -> Iterator[tuple[TileKey, TileNote]]:
    """Yield the tiles that are noted as finished; a line that was cut off counts for nothing."""
    with suppress(FileNotFoundError):
        text = (folder / FINISHED).read_text(encoding="ascii", errors="replace")
        if text and not text.endswith("\n"):
            with (folder / FINISHED).open("a", encoding="ascii") as file:
                file.write("\n")
        for line in text.splitlines():
            with suppress(ValueError, TypeError):
                plane, top, bottom, left, right, crc, *maker = json.loads(line)
                yield TileKey(tuple(plane), top, bottom, left, right), TileNote(crc, tuple(map(str, maker)))


def line_of(key: TileKey, note: TileNote) -> str:
    """Return the line of a finished tile."""
    return json.dumps([list(key.plane), *key[1:], note.crc, *note.maker], separators=(",", ":")) + "\n"


def crc_of(values: NDArray[Any], start: int = 0) -> int:
    """Return the checksum of pixels in C order, after that of others."""
    return zlib.crc32(values.data if values.size else b"", start)
