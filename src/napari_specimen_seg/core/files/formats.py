"""What a file is, told from its first bytes: names lie, and a picture must open all the same."""

from __future__ import annotations

from pathlib import Path

from ..errors import ReadError

_TIFF = (".tif", ".tiff", ".btf", ".tf2", ".tf8")
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".jpx")
_OTHERS = (".png", ".webp", ".bmp", ".gif", ".pbm", ".pgm", ".ppm", ".pnm", ".tga", ".zarr")
PICTURE_SUFFIXES = frozenset((*_TIFF, *_JPEG, *_OTHERS))
"""What is taken for a picture in a folder; a file given by name is read whatever it is called."""

HEAD = 64
"""How many bytes tell a format."""

_SIGNATURES = (
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
)

_NOT_PICTURES = (
    (b"\x93NUMPY", "a NumPy array", "Save it as TIFF."),
    (b"%PDF", "a PDF document", "Export the picture from it."),
    (b"PK\x03\x04", "a zip archive", "Unpack it first."),
    (b"\x1f\x8b", "a gzip archive", "Unpack it first."),
    (b"\x89HDF", "an HDF5 file", "Convert it to OME-TIFF, for example with Bio-Formats."),
    (b"8BPS", "a Photoshop document", "Save it as TIFF."),
    (b"ZISRAWFILE", "a Zeiss CZI file", "Convert it to OME-TIFF, for example with Bio-Formats."),
    (b"\xda\xce\xbe\x0a", "a Nikon ND2 file", "Convert it to OME-TIFF, for example with Bio-Formats."),
    (b"\x70\0\0\0", "a Leica LIF file", "Convert it to OME-TIFF, for example with Bio-Formats."),
    (b"\xd0\xcf\x11\xe0", "an old Microsoft container file", "Save the picture as TIFF or PNG."),
)

_CAMERA_RAW = frozenset(
    (
        *(".3fr", ".arw", ".cr2", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef"),
        *(".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".sr2", ".srw"),
    )
)
"""They are TIFF inside, but the first picture in them is a thumbnail."""


def format_of(path: Path, head: bytes) -> str:
    """Name the format of a file by its first bytes.

    Parameters
    ----------
    path : Path
        For the message; its suffix counts only for formats without a signature.
    head : bytes
        The first `HEAD` bytes.

    Returns
    -------
    str
        ``tiff``, ``png``, ``jpeg``, ``jp2``, ``webp``, ``bmp``, ``gif``, ``pnm`` or ``tga``.

    Raises
    ------
    ReadError
        If it is empty or not a picture, saying what it is instead where that can be told.
    """
    if not head:
        raise ReadError("the file is empty (0 bytes)", path=path, advice="Copy or export it again.")
    if path.suffix.lower() in _CAMERA_RAW:
        raise ReadError("it is a camera's raw picture", path=path, advice="Develop it to TIFF or JPEG first.")
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "pnm"
    if path.suffix.lower() == ".tga" and _may_be_tga(head):
        return "tga"
    for signature, what, advice in _NOT_PICTURES:
        if head.startswith(signature):
            raise ReadError(f"it is {what}, not a picture", path=path, advice=advice)
    raise ReadError(
        "it is not a picture in a format that can be read",
        path=path,
        advice="Save it as TIFF, PNG or JPEG.",
    )


def read_head(path: Path) -> bytes:
    """Return the first `HEAD` bytes of a file.

    Raises
    ------
    ReadError
        If it does not exist, is not a file or may not be read.
    """
    if not path.exists():
        raise ReadError("there is no such file", path=path, advice="Check the name.")
    if not path.is_file():  # a pipe or a device would never end
        raise ReadError("it is not a file", path=path)
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise ReadError(error.strerror or error, path=path, advice="Check that you may read it.") from error


def _may_be_tga(head: bytes) -> bool:
    # TGA has no signature: palette flag, picture type and depth must be values that exist.
    return (
        len(head) >= 18
        and head[1] in (0, 1)
        and head[2] in (1, 2, 3, 9, 10, 11)
        and head[16] in (8, 15, 16, 24, 32)
    )
