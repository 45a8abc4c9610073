"""How sure a model was of every pixel, as a TIFF of floats that Fiji opens with the right pixel size."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..image import Array, SpecimenImage
from .atomic import atomic
from .label_notes import KEY
from .labels_tiff import BUFFER_BYTES, IMAGEJ_BYTES, TILE, flat_stack, imagej_resolution, tiles_of

CONFIDENCE = "_confidence"
"""What the name of a confidence picture has after the stem of its labels."""


def is_confidence(path: Path) -> bool:
    """Tell whether a file is a confidence picture, by its name and the type of its pixels.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool
        Also false where it cannot be read.
    """
    import tifffile

    if not path.stem.endswith(CONFIDENCE):
        return False
    try:
        with tifffile.TiffFile(path) as file:
            return any(series.dtype.kind == "f" for series in file.series)
    except (OSError, ValueError, tifffile.TiffFileError):
        return False


def write_confidence(
    path: str | PathLike[str], confidence: Array, picture: SpecimenImage, overwrite: bool = False
) -> Path:
    """Write confidence as float32; the same numbers give the same bytes.

    Parameters
    ----------
    path : path-like
    confidence : array
        (Y, X) or with the leading plane axes of `picture`; 0 to 1.
    picture : SpecimenImage
        What it is about; gives axes and pixel size.
    overwrite : bool

    Returns
    -------
    Path

    Raises
    ------
    WriteError
        If it exists and `overwrite` is false, or cannot be written.
    """
    import tifffile

    if confidence.size * 4 >= IMAGEJ_BYTES:
        return _write_tiled(Path(path), confidence, picture, overwrite)
    data, axes = flat_stack(np.asarray(confidence, np.float32), picture.plane_axes)
    known = picture.spacing is not None and picture.unit != "pixel"
    unit = picture.unit if known else "pixel"
    metadata: dict[str, Any] = {"axes": axes, "unit": unit, "min": 0.0, "max": 1.0}
    with atomic(path, overwrite) as temporary:
        tifffile.imwrite(
            temporary,
            data,
            byteorder="<",
            photometric="minisblack",
            metadata=metadata,
            software=KEY,
            compression="adobe_deflate",
            imagej=True,
            **imagej_resolution(picture),
        )
    return Path(path)


def _write_tiled(path: Path, confidence: Array, picture: SpecimenImage, overwrite: bool) -> Path:
    """Write what is too large for ImageJ's format, and perhaps for the memory, piece by piece."""
    import tifffile

    known = picture.spacing is not None and picture.unit != "pixel"
    with atomic(path, overwrite) as temporary:
        tifffile.imwrite(
            temporary,
            tiles_of(confidence, np.dtype(np.float32)),
            shape=confidence.shape,
            dtype=np.float32,
            tile=(TILE, TILE),
            bigtiff=True,
            byteorder="<",
            photometric="minisblack",
            metadata={"axes": picture.plane_axes, "unit": picture.unit if known else "pixel"},
            software=KEY,
            compression="adobe_deflate",
            buffersize=BUFFER_BYTES,
            **imagej_resolution(picture),
        )
    return path
