"""PNG, JPEG, JPEG 2000, WebP, GIF, BMP, PNM and TGA."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ReadError
from ..image import COLORS, SpecimenImage
from . import pixel_size
from .colors import gray_or_color
from .decoders import (
    decode,
    decode_deep,
    is_deep_jpeg,
    notes_after_pixels,
    png_depth,
    without_notes,
)
from .lazy import byte_count, refuse_too_large
from .notices import warn_about
from .orientation import oriented
from .pixel_size import PixelScale
from .tiff_colors import Shown, warn_of_cmyk, with_alpha

if TYPE_CHECKING:
    from PIL.Image import Image

_PILLOW = {
    "png": ("PNG",),
    "jpeg": ("JPEG", "MPO"),
    "jp2": ("JPEG2000",),
    "webp": ("WEBP",),
    "gif": ("GIF",),
    "bmp": ("BMP",),
    "pnm": ("PPM",),
    "tga": ("TGA",),
}
"""Only these of Pillow's formats are tried: others start programs or follow links."""

_ORIENTATION, _EXIF = 0x0112, 0x8769
_DAMAGED = "Copy or export the file again."
_lock = threading.Lock()


def read_bitmap(path: Path, kind: str, *, indices: bool = False) -> SpecimenImage:
    """Read a picture that is not TIFF.

    Parameters
    ----------
    path : Path
    kind : str
        From `formats.format_of`.
    indices : bool
        Give palette indices as stored, and leave transparency out, for label pictures.

    Returns
    -------
    SpecimenImage
        Turned as displayed. Animations are stacks with axis Q.

    Raises
    ------
    ReadError
        If the file is damaged, cut off or too large.

    Warns
    -----
    SpecimenWarning
        If parts are transparent, colours approximate or notes in the file unreadable.
    """
    with _one_line(path), _opened(path, kind) as picture:
        if picture is None:
            return _image(path, _decoded(path, kind), pixel_size.UNKNOWN, "")
        refuse_too_large(_bytes_of(picture, kind), path)
        deep = _deep(path, kind, picture)
        shown = deep if deep is not None else _shown(picture, kind, path, indices)
        stack = "Q" if shown.array.ndim - bool(shown.channels) > 2 else ""
        image = _image(path, shown, _scale(picture, path), stack)
        return oriented(image, _exif(picture, path).get(_ORIENTATION, 1))


def bitmap_size(path: Path, kind: str) -> tuple[int, int]:
    """Return height and width as displayed, without decoding where that is possible."""
    with _one_line(path), _opened(path, kind) as picture:
        if picture is None:
            height, width = _decoded(path, kind).array.shape[:2]
            return height, width
        width, height = picture.size
        turned = _exif(picture, path).get(_ORIENTATION, 1) in (5, 6, 7, 8)
        return (width, height) if turned else (height, width)


def _image(path: Path, shown: Shown, scale: PixelScale, stack: str) -> SpecimenImage:
    axes = stack + "YX" + ("C" if shown.channels else "")
    # People paint into labels, and Pillow's memory is its own.
    array = np.require(shown.array, requirements="W")
    return SpecimenImage(
        array, path.stem, axes, scale.spacing(axes), scale.unit, path, shown.bits, (), shown.names
    )


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Make one line of whatever goes wrong while decoding."""
    from PIL import UnidentifiedImageError

    try:
        yield
    except ReadError:
        raise
    except MemoryError as error:
        raise ReadError("the picture does not fit into memory", path=path) from error
    except UnidentifiedImageError as error:
        raise ReadError("the picture is damaged at its beginning", path=path, advice=_DAMAGED) from error
    except Exception as error:
        # Decoders raise all kinds of errors, down to struct.error and IndexError, at damaged files.
        raise ReadError(f"the picture is damaged or cut off ({error})", path=path, advice=_DAMAGED) from error


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[Image | None]:
    """Open a picture without decoding it; None for JPEG of 12 bits, which Pillow does not read."""
    try:
        picture = _open(path, kind)
    except Exception:
        if kind == "jpeg" and is_deep_jpeg(path):
            yield None
            return
        if kind != "png":
            raise
        picture = _open(without_notes(path), kind)
        warn_about(
            path,
            "notes in the file (a colour profile or text) are damaged and left out",
        )
    with picture:
        yield picture


def _open(file: Path | io.BytesIO, kind: str) -> Image:
    from PIL import Image

    with _lock, _own_limit():
        return Image.open(file, formats=_PILLOW[kind])


@contextmanager
def _own_limit() -> Iterator[None]:
    """Suspend Pillow's limit of pixels while the header is read: `refuse_too_large` knows the memory."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _bytes_of(picture: Image, kind: str) -> int:
    depth = 2 if picture.mode.startswith(("I;16", "I")) or kind == "jp2" else 1
    frames = 1 if kind == "jpeg" else getattr(picture, "n_frames", 1)
    return byte_count((*picture.size, max(3, len(picture.getbands())), depth, frames), np.uint8)


# -- what Pillow decodes ---------------------------------------------------------------------------


def _shown(picture: Image, kind: str, path: Path, indices: bool) -> Shown:
    frames = 1 if kind == "jpeg" or indices else getattr(picture, "n_frames", 1)
    if frames > 1:
        return _animation(picture, frames, path)
    values = decode(path, kind, picture)
    if values is None:
        return _loaded(picture, path, indices)
    transparent = values.ndim == 3 and values.shape[-1] != 3 and not indices
    return with_alpha(values, path) if transparent else _plain(values)


def _loaded(picture: Image, path: Path, indices: bool) -> Shown:
    picture.load()
    if indices:
        return _plain(np.asarray(picture))
    if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        if picture.mode == "CMYK":
            warn_of_cmyk(path)
        return Shown(np.asarray(picture.convert("RGB")), 3, None, COLORS)
    if "transparency" in picture.info or picture.mode in ("LA", "PA", "La", "RGBA", "RGBa"):
        return with_alpha(np.asarray(picture.convert("LA" if picture.mode in ("LA", "La") else "RGBA")), path)
    if picture.mode == "P":
        return _plain(_resolved(picture))
    if picture.mode == "I":
        return _plain(np.asarray(picture).astype(np.uint16))
    return _plain(np.asarray(picture.convert("RGB") if picture.mode == "RGBX" else picture))


def _plain(array: NDArray[Any]) -> Shown:
    """Describe an array of grey, colour or palette indices."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return Shown(array, 3, None, COLORS) if array.ndim == 3 else Shown(array)


def _resolved(picture: Image) -> NDArray[Any]:
    """Give palette indices their colours; grey stays grey."""
    indices = np.asarray(picture)
    table = np.zeros((256, 3), np.uint8)
    entries = np.asarray(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    table[: len(entries)] = entries
    found: NDArray[Any] = gray_or_color(table[: int(indices.max(initial=0)) + 1])[indices]
    return found


def _animation(picture: Image, frames: int, path: Path) -> Shown:
    planes = []
    for number in range(frames):
        picture.seek(number)
        planes.append(np.asarray(picture.convert("RGBA")))
    stack = np.stack(planes)
    if (stack[..., 3] == 255).all():
        return Shown(np.ascontiguousarray(stack[..., :3]), 3, None, COLORS)
    return with_alpha(stack, path)


def _exif(picture: Image, path: Path) -> Any:
    from PIL import Image

    try:
        if picture.format == "PNG" and not notes_after_pixels(path):
            # Pillow's own way for PNG decodes all of the picture, to find notes behind the pixels.
            return Image.Image.getexif(picture)
        return picture.getexif()
    except Exception:  # damaged notes do not spoil the pixels
        return {}


def _scale(picture: Image, path: Path) -> PixelScale:
    """Return the pixel size that the file states, unless it was taken through a lens."""
    density = picture.info.get("dpi")
    if density is None:
        return pixel_size.UNKNOWN
    exif = _exif(picture, path)
    photograph = exif.get_ifd(_EXIF) if hasattr(exif, "get_ifd") else {}
    if any(tag in photograph for tag in pixel_size.EXIF_CAMERA_TAGS):
        return pixel_size.UNKNOWN
    return pixel_size.from_density(float(density[0]), float(density[1]), "inch")


# -- what Pillow would cut to 8 bits or cannot open ------------------------------------------------


def _deep(path: Path, kind: str, picture: Image) -> Shown | None:
    """Decode colours of more than 8 bits, which Pillow would cut; None if there are none."""
    if kind == "png" and png_depth(path) == 16 and (picture.mode != "I;16" or "transparency" in picture.info):
        return _decoded(path, kind)
    if kind == "jp2":
        bits = _jp2_depth(path)
        if bits > 8:
            shown = _decoded(path, kind)
            return Shown(shown.array, shown.channels, bits if bits < 16 else None, shown.names)
    if kind == "pnm" and picture.mode == "RGB":
        return _deep_pnm(path)
    return None


def _decoded(path: Path, kind: str) -> Shown:
    """Decode what has more than 8 bits."""
    array = decode_deep(path, kind)
    bits = 12 if kind == "jpeg" and array.dtype == np.uint16 else None
    if array.ndim == 3 and array.shape[-1] in (2, 4):
        return with_alpha(array, path, bits)
    return Shown(array, 3, bits, COLORS) if array.ndim == 3 else Shown(array, 0, bits)


def _jp2_depth(path: Path) -> int:
    """Return the bits per value of a JPEG 2000 (SIZ marker, ISO 15444-1 A.5.1)."""
    with path.open("rb") as file:
        head = file.read(1 << 20)
    start = head.find(b"\xff\x4f\xff\x51")
    return (head[start + 42] & 0x7F) + 1 if 0 <= start < len(head) - 42 else 8


def _deep_pnm(path: Path) -> Shown | None:
    """Read a binary colour PNM of 9 to 16 bits; None for any other."""
    data = path.read_bytes()
    numbers: list[int] = []
    position = 2
    while len(numbers) < 3:
        while data[position : position + 1].isspace() or data[position : position + 1] == b"#":
            position = (
                data.find(b"\n", position) + 1 if data[position : position + 1] == b"#" else position + 1
            )
        end = position
        while data[end : end + 1].isdigit():
            end += 1
        numbers.append(int(data[position:end]))
        position = end
    width, height, top = numbers
    if data[:2] != b"P6" or top < 256:
        return None
    array = np.frombuffer(data, ">u2", width * height * 3, position + 1).reshape(height, width, 3)
    return Shown(array.astype(np.uint16), 3, top.bit_length() if top < 32768 else None, COLORS)
