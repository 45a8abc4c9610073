"""PNG and JPEG decoded straight into an array, without the copies that Pillow makes on the way.

libpng and libjpeg-turbo (through imagecodecs) give bit for bit what Pillow gives: PNG is lossless, and both
use the accurate transform and smooth upsampling for JPEG. Pillow still opens every file and says what is in
it; whatever is unusual or damaged is left to it altogether.
"""

from __future__ import annotations

import io
import logging
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import dropwhile
from pathlib import Path
from struct import unpack_from
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

# Remarks of libpng about profiles and the like must not reach the screen as if by themselves.
logging.getLogger("imagecodecs").addHandler(logging.NullHandler())

Content = bytes | mmap.mmap

_PNG_MODES = {"L": (8, ()), "LA": (8, (2,)), "RGB": (8, (3,)), "RGBA": (8, (4,)), "I;16": (16, ())}
"""Pillow's modes whose values are as in the file: bits per value, and the channel axis if there is one."""

_JPEG_MODES: dict[str, tuple[int, ...]] = {"L": (), "RGB": (3,)}
_NOTES = (b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"eXIf")
_CAMERA_NOTES = (b"Raw profile type", b"XML:com.adobe.xmp")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, b"\xff\xd9"


def decode(path: Path, kind: str, picture: Image) -> NDArray[Any] | None:
    """Decode a common PNG or JPEG.

    Parameters
    ----------
    path : Path
    kind : str
        From `formats.format_of`.
    picture : PIL.Image.Image
        The same file, opened but not loaded.

    Returns
    -------
    array or None
        (Y, X) or (Y, X, C), the values of ``numpy.asarray(picture)`` in native byte order; None where
        Pillow has to do it, because the file is of another kind, or to say what is wrong with it.
    """
    channels = _png_channels(path, picture) if kind == "png" else _jpeg_channels(picture, kind)
    if channels is None or not getattr(picture, "filename", ""):  # or it was opened without its damaged notes
        return None
    import imagecodecs

    content = path.read_bytes()
    if kind == "jpeg" and not _is_whole_jpeg(content):
        return None
    function = imagecodecs.png_decode if kind == "png" else imagecodecs.jpeg8_decode
    try:
        array: NDArray[Any] = function(content)
    except (RuntimeError, ValueError):  # the decoders' own errors are of these
        return None
    return array if array.shape == (picture.height, picture.width, *channels) else None


def decode_deep(path: Path, kind: str) -> NDArray[Any]:
    """Decode PNG of 16 bits, JPEG of 12 and JPEG 2000, which Pillow would cut to 8 or does not open.

    Parameters
    ----------
    path : Path
    kind : {"png", "jpeg", "jp2"}

    Returns
    -------
    array
        (Y, X) or (Y, X, C) with one to four channels.
    """
    import imagecodecs

    decoders = {
        "png": imagecodecs.png_decode,
        "jp2": imagecodecs.jpeg2k_decode,
        "jpeg": imagecodecs.jpeg_decode,
    }
    array: NDArray[Any] = decoders[kind](path.read_bytes())
    return array


def _png_channels(path: Path, picture: Image) -> tuple[int, ...] | None:
    bits, channels = _PNG_MODES.get(picture.mode, (0, ()))
    plain = "transparency" not in picture.info and "interlace" not in picture.info
    plain = plain and getattr(picture, "n_frames", 1) == 1
    return channels if plain and png_depth(path) == bits else None


def _jpeg_channels(picture: Image, kind: str) -> tuple[int, ...] | None:
    return _JPEG_MODES.get(picture.mode) if kind == "jpeg" else None


# -- PNG -------------------------------------------------------------------------------------------


def png_depth(path: Path) -> int:
    """Return the bits per value of a PNG."""
    with path.open("rb") as file:
        return file.read(25)[24]


def notes_after_pixels(path: Path) -> bool:
    """Whether a PNG has a camera's notes behind its pixels, where Pillow finds them only by decoding."""
    with _mapped(path) as content:
        behind = dropwhile(lambda chunk: chunk[0] != b"IDAT", _chunks(content))
        return any(
            kind == b"eXIf" or (kind in _NOTES and content[at + 8 : at + 88].startswith(_CAMERA_NOTES))
            for kind, at, _ in behind
        )


def without_notes(path: Path) -> io.BytesIO:
    """Return a PNG without its colour profile and texts, which keep Pillow from opening it if damaged."""
    with _mapped(path) as content:
        kept = [content[:8], *(content[at:end] for kind, at, end in _chunks(content) if kind not in _NOTES)]
    return io.BytesIO(b"".join(kept))


def _chunks(content: Content) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, begin and end of each chunk of a PNG (ISO 15948, 5.3); large files have thousands."""
    position, size = 8, len(content)
    while position + 12 <= size:
        length, kind = unpack_from(">I4s", content, position)
        yield kind, position, position + 12 + length
        position += 12 + length


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


# -- JPEG ------------------------------------------------------------------------------------------


def is_deep_jpeg(path: Path) -> bool:
    """Whether a JPEG that Pillow does not open is whole and has 12 bits."""
    content = path.read_bytes()
    return _jpeg_depth(content) == 12 and _is_whole_jpeg(content)


def _is_whole_jpeg(content: bytes) -> bool:
    """Whether the end mark follows the pixels: the decoder fills what is cut off with grey.

    Previews before the pixels have end marks of their own; among pixels the mark cannot occur.
    """
    scan = next((at for marker, at in _segments(content) if marker == _START_OF_SCAN), None)
    return scan is not None and content.rfind(_END_OF_IMAGE, scan) >= 0


def _jpeg_depth(content: bytes) -> int:
    """Return the bits per value in the first frame header of a JPEG; 0 if there is none."""
    for marker, at in _segments(content):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return content[at + 4]
    return 0


def _segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield marker and begin of each segment of a JPEG up to its pixels (ITU-T T.81, annex B)."""
    position = 2
    while position + 5 < len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        yield marker, position
        if marker == _START_OF_SCAN:
            return
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
