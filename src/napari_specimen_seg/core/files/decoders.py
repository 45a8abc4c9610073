"""PNG and JPEG decoded straight into an array, without the copies that Pillow makes on the way.

libpng and libjpeg-turbo (through imagecodecs) give bit for bit what Pillow gives: PNG is lossless, and both
use the accurate transform and smooth upsampling for JPEG. Pillow still opens every file and says what is in
it; whatever is unusual or damaged is left to it altogether.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path
from struct import unpack
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .png_bands import decode_in_bands, pays

if TYPE_CHECKING:
    from PIL.Image import Image

# Remarks of libpng about profiles and the like must not reach the screen as if by themselves.
logging.getLogger("imagecodecs").addHandler(logging.NullHandler())

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
    if not getattr(picture, "filename", ""):  # it was opened without its damaged notes
        return None
    try:
        if kind == "png":
            return _decode_png(path, picture)
        return _decode_jpeg(path, picture) if kind == "jpeg" else None
    except (RuntimeError, ValueError):  # the decoders' own errors are of these
        return None


def _decode_png(path: Path, picture: Image) -> NDArray[Any] | None:
    bits, channels = _PNG_MODES.get(picture.mode, (0, ()))
    plain = "transparency" not in picture.info and "interlace" not in picture.info
    if not plain or getattr(picture, "n_frames", 1) > 1 or png_depth(path) != bits:
        return None
    shape = (picture.height, picture.width, *channels)
    if pays(path, shape, bits):
        return decode_in_bands(path, shape, bits)
    import imagecodecs

    return _of_shape(imagecodecs.png_decode(path.read_bytes()), shape)


def _decode_jpeg(path: Path, picture: Image) -> NDArray[Any] | None:
    if picture.mode not in _JPEG_MODES:
        return None
    import imagecodecs

    content = path.read_bytes()
    if not _is_whole_jpeg(content):
        return None
    shape = (picture.height, picture.width, *_JPEG_MODES[picture.mode])
    return _of_shape(imagecodecs.jpeg8_decode(content), shape)


def _of_shape(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any] | None:
    return array if array.shape == shape else None


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


# -- PNG -------------------------------------------------------------------------------------------


def png_depth(path: Path) -> int:
    """Return the bits per value of a PNG."""
    with path.open("rb") as file:
        return file.read(25)[24]


def notes_after_pixels(path: Path) -> bool:
    """Whether a PNG has a camera's notes behind its pixels, where Pillow finds them only by decoding."""
    with path.open("rb", buffering=0) as file:
        behind = dropwhile(lambda chunk: chunk[0] != b"IDAT", _chunks(file))
        return any(
            kind == b"eXIf" or (kind in _NOTES and file.read(80).startswith(_CAMERA_NOTES))
            for kind, _, _ in behind
        )


def without_notes(path: Path) -> io.BytesIO:
    """Return a PNG without its colour profile and texts, which keep Pillow from opening it if damaged."""
    content = path.read_bytes()
    kept = [content[at:end] for kind, at, end in _chunks(io.BytesIO(content)) if kind not in _NOTES]
    return io.BytesIO(b"".join([content[:8], *kept]))


def _chunks(file: io.RawIOBase | io.BytesIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, begin and end of each chunk of a PNG (ISO 15948, 5.3); `file` stands at its content."""
    position = 8
    file.seek(position)
    while len(head := file.read(8) or b"") == 8:
        length, kind = unpack(">I4s", head)
        end = position + 12 + length
        yield kind, position, end
        position = end
        file.seek(position)


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
