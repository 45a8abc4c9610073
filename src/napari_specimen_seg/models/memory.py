"""Whether a picture and what is made of it fit into memory, asked before the work and not after."""

from __future__ import annotations

import numpy as np

from ..core.errors import ImageError
from ..core.image import SpecimenImage


def refuse_too_large(image: SpecimenImage, confidence: bool, *, whole: bool = True) -> None:
    """Refuse a picture whose planes, labels and confidence together exceed the free memory.

    Parameters
    ----------
    image : SpecimenImage
    confidence : bool
        Whether a confidence is kept for every pixel.
    whole : bool
        Whether a whole plane is looked at at once, and not a tile.

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
