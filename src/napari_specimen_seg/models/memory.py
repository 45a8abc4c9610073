"""Whether a picture and what is made of it fit into memory, asked before the work and not after."""

from __future__ import annotations

import math

import numpy as np

from ..core.errors import ImageError
from ..core.image import SpecimenImage

BYTES_TO_NUMBER = 5
"""What objects take for every pixel of all planes: labels and numbers."""

BYTES_TO_SEPARATE = 45
"""About what is needed beside for every pixel of one plane: distances, parts, the order of flooding. It is
so much where one part that is cut, a net or cells that all touch, fills the plane (35 to 50, by how rough it
is), and under 20 where all parts are small; which it is nobody knows before the labels are there."""


def refuse_too_large(
    image: SpecimenImage, confidence: bool, *, whole: bool = True, objects: bool = False
) -> None:
    """Refuse a picture whose planes, labels and confidence together exceed the free memory.

    Parameters
    ----------
    image : SpecimenImage
    confidence : bool
        Whether a confidence is kept for every pixel.
    whole : bool
        Whether a whole plane is looked at at once, and not a tile.
    objects : bool
        Whether objects are to be separated afterwards.

    Raises
    ------
    ImageError
        With how much is needed and how much is free.
    """
    import psutil

    planes = int(np.prod(image.planes(), dtype=np.int64))
    pixels = image.height * image.width
    plane_bytes = pixels * image.channels * image.data.dtype.itemsize
    loaded = isinstance(image.data, np.ndarray)
    need = pixels * planes * (1 + 4 * confidence) + plane_bytes * (whole + (whole and not loaded))
    free = psutil.virtual_memory().available
    if need > 0.9 * free:
        raise ImageError(
            f"{image.name}: {image.height} x {image.width} pixels need {need / 1e9:.1f} GB of memory, "
            f"{free / 1e9:.1f} GB are free",
            advice="Close other programs, cut the picture into parts, or use a smaller version of it.",
        )
    if objects:
        refuse_to_separate((*image.planes(), image.height, image.width), image.name)


def refuse_to_separate(shape: tuple[int, ...], name: str) -> None:
    """Refuse to separate the objects of labels that do not fit into memory with all that it takes.

    An object may reach anywhere, and where it is cut depends on all of it: so it is not done in pieces.

    Parameters
    ----------
    shape : tuple of int
        Of the labels, (..., Y, X).
    name : str
        Of the picture.

    Raises
    ------
    ImageError
        With how much is needed and how much is free.
    """
    import psutil

    need = math.prod(shape) * BYTES_TO_NUMBER + math.prod(shape[-2:]) * BYTES_TO_SEPARATE
    free = psutil.virtual_memory().available
    if need > 0.9 * free:
        raise ImageError(
            f"{name}: separating objects needs {need / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free",
            advice="Segment without separating objects and measure per object, which takes connected parts; "
            "what is segmented already is kept.",
        )
