"""The layout of the Data Science Bowl 2018: a folder per picture, a mask file per nucleus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ReadError
from ..image import SpecimenImage, SpecimenLabels
from .images import read_file
from .inputs import natural_key, pictures_in
from .notices import warn_about


def picture_of(sample: Path) -> Path:
    """Return the picture of a sample.

    Raises
    ------
    ReadError
        If there is none.
    """
    for picture in pictures_in(sample / "images") if (sample / "images").is_dir() else []:
        if picture.stem == sample.name:
            return picture
    raise ReadError("there is no picture images/" + sample.name, path=sample)


def is_sample(folder: Path) -> bool:
    """Whether a folder holds ``images/<its own name>.png``."""
    try:
        return picture_of(folder).is_file()
    except ReadError:
        return False


def samples_in(folder: Path) -> list[Path]:
    """Return the folder itself if it is a sample, or the samples in it, in natural order."""
    if is_sample(folder):
        return [folder]
    return sorted(
        (child for child in folder.iterdir() if child.is_dir() and is_sample(child)), key=natural_key
    )


def read_sample(sample: Path) -> tuple[SpecimenImage, SpecimenLabels | None]:
    """Read a picture and its masks, merged to one label picture.

    Parameters
    ----------
    sample : Path
        ``<ID>`` with ``images/<ID>.png`` and ``masks/*.png``.

    Returns
    -------
    image : SpecimenImage
    labels : SpecimenLabels or None
        Objects 1, 2, … in the order of the masks' names; None without masks.

    Raises
    ------
    ReadError
        If a file is damaged, or a mask has another size than the picture.

    Warns
    -----
    SpecimenWarning
        If masks overlap: the first keeps its pixels.
    """
    image = read_file(picture_of(sample))
    masks = pictures_in(sample / "masks") if (sample / "masks").is_dir() else []
    if not masks:
        return image, None
    labels = np.zeros((image.height, image.width), np.uint16 if len(masks) < 1 << 16 else np.uint32)
    shared = 0
    for number, path in enumerate(masks, 1):
        mask = _read_mask(path, labels.shape)
        shared += int((mask & (labels != 0)).sum())
        labels[mask & (labels == 0)] = number
    if shared:
        warn_about(
            sample,
            f"masks overlap in {shared} pixels, which stay with the first",
        )
    return image, SpecimenLabels(labels, image.name, "YX", image.spacing, image.unit, sample)


def _read_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    values = np.asarray(read_file(path).data)
    mask: NDArray[np.bool_] = np.asarray(values[..., :3].any(axis=-1) if values.ndim == 3 else values != 0)
    if mask.shape != shape:
        raise ReadError(f"the mask has {mask.shape} pixels, its picture {shape}", path=path)
    return mask
