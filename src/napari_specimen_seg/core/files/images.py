"""Reading pictures of any kind."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ..image import SpecimenImage
from .formats import format_of, read_head


def read_image(path: str | PathLike[str]) -> SpecimenImage:
    """Read a picture, or a stack of them.

    What the file is is told from its content, not from its name.

    Parameters
    ----------
    path : path-like
        A file; an OME-Zarr folder; a folder of pictures of one size, which become a stack; or a sample of
        the Data Science Bowl 2018 (a folder with ``images`` and ``masks``).

    Returns
    -------
    SpecimenImage
        (Y, X) or (Y, X, C), with leading stack axes where the file has several planes; turned and coloured
        as displayed. Large pictures are lazy where their format allows it; `levels` holds the rest of
        pyramids. Pixel size and unit where the file states them in earnest (not 72 or 96 dpi).

    Raises
    ------
    ReadError
        One line with the file, what is wrong with it and what to do.

    Warns
    -----
    SpecimenWarning
        If something is left out, approximate or transparent.
    """
    path = Path(path)
    if path.is_dir():
        from .folders import read_folder

        return read_folder(path)
    return read_file(path)


def read_indices(path: str | PathLike[str]) -> SpecimenImage:
    """Read a file whose values are labels: as stored, but turned as displayed.

    Palette indices are not resolved, bits not scaled, black and white not exchanged.

    Parameters
    ----------
    path : path-like
        A file.

    Returns
    -------
    SpecimenImage
        Its data are what stands in the file.

    Raises
    ------
    ReadError
        As `read_image`.
    """
    return read_file(Path(path), indices=True)


def read_file(path: Path, *, indices: bool = False) -> SpecimenImage:
    """Read one file by its content; see `read_image` and `read_indices`."""
    kind = format_of(path, read_head(path))
    if kind == "tiff":
        from .tiff import read_tiff

        return read_tiff(path, indices=indices)
    from .bitmaps import read_bitmap

    return read_bitmap(path, kind, indices=indices)


def read_size(path: Path) -> tuple[int, int]:
    """Return height and width of a file as displayed, from its header.

    Raises
    ------
    ReadError
        If it is no picture.
    """
    kind = format_of(path, read_head(path))
    if kind == "tiff":
        from .tiff import tiff_size

        return tiff_size(path)
    from .bitmaps import bitmap_size

    return bitmap_size(path, kind)
