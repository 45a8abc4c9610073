"""Labels as PNG: palette indices up to 255, 16-bit grey above, with notes and resolution as chunks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..image import UNITS_IN_MM, SpecimenLabels
from .label_notes import KEY, MAX_CHARS, LabelNotes, colors_by_id

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def write_png(path: Path, labels: SpecimenLabels, stored: np.dtype[Any]) -> None:
    """Write (Y, X) labels; the same labels give the same bytes.

    Parameters
    ----------
    path : Path
        Overwritten.
    labels : SpecimenLabels
        (Y, X), of unsigned type.
    stored : dtype
        uint8 or uint16: the smallest that holds all ids.
    """
    from PIL import Image

    data = np.ascontiguousarray(np.asarray(labels.data).astype(stored, copy=False))
    picture = Image.fromarray(data)
    if stored.itemsize == 1:
        ids = labels.class_map.ids if labels.class_map else ()
        count = max(int(data.max()), *(i for i in ids if i < 256), 0) + 1
        picture.putpalette(colors_by_id(labels.class_map, count).tobytes())
    _save(path, picture, LabelNotes.of(labels, stored), labels)


def write_rgb_png(path: Path, rgb: NDArray[np.uint8], labels: SpecimenLabels, stored: np.dtype[Any]) -> None:
    """Write (Y, X, 3) colours that stand for `labels`, with the same chunks.

    Parameters
    ----------
    path : Path
        Overwritten.
    rgb : array of uint8
        (Y, X, 3).
    labels : SpecimenLabels
        Where pixel size and notes come from.
    stored : dtype
        As in `write_png`.
    """
    from PIL import Image

    _save(path, Image.fromarray(np.ascontiguousarray(rgb)), LabelNotes.of(labels, stored), labels)


def _save(path: Path, picture: Any, notes: LabelNotes, labels: SpecimenLabels) -> None:
    from PIL import PngImagePlugin

    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(KEY, notes.text())
    per_metre = _pixels_per_metre(labels)
    scale = {} if per_metre is None else {"dpi": tuple(n * 0.0254 for n in per_metre)}
    picture.save(path, format="PNG", pnginfo=chunks, **scale)


def _pixels_per_metre(labels: SpecimenLabels) -> tuple[int, int] | None:
    size = labels.pixel_size_yx
    if size is None or labels.unit == "pixel":
        return None
    height, width = (round(1000 / (s * UNITS_IN_MM[labels.unit])) for s in size)
    return (width, height) if all(0 < n < 1 << 31 for n in (width, height)) else None


# -- reading ---------------------------------------------------------------------------------------------


def notes_text(path: Path) -> str | None:
    """Return the text of a PNG file in which notes of this program may be, or None.

    Parameters
    ----------
    path : Path
        A PNG file; may be damaged. Pixels are skipped, not read.

    Returns
    -------
    str or None
    """
    with path.open("rb") as file:
        for name, length in _chunks(file):
            if name == b"iTXt" and length < MAX_CHARS:
                found = _text(file.read(length))
                if found is not None:
                    return found
    return None


def _chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield name and length of each chunk, with the file at its content."""
    if file.read(8) != _SIGNATURE:
        return
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        content = file.tell()
        yield name, length
        file.seek(content + length + 4)


def _text(chunk: bytes) -> str | None:
    keyword, _, rest = chunk.partition(b"\0")
    if keyword != KEY.encode() or len(rest) < 2:
        return None
    compressed = rest[0] != 0
    text = rest[2:].split(b"\0", 2)[-1]  # behind language and translated keyword, which are empty
    if compressed:
        try:
            text = zlib.decompressobj().decompress(text, MAX_CHARS)
        except zlib.error:
            return None
    return text.decode("utf-8", errors="replace")
