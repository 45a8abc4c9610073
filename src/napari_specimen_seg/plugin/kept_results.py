"""Results that are too large for the memory: where they are kept until they are saved, and for how long."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..core.image import SpecimenImage
    from .segment_run import Request

KEPT_DAYS = 14
"""How long results that were neither finished nor saved are kept on the disk, in days."""

SAMPLE_SIDE = 64
"""Side of the parts of a picture that tell it from others."""


EDITED_MARK = "edited"
"""A file in a store that somebody painted on, as old as the last stroke."""

SUMMED_BYTES = 1 << 30
"""Of larger pictures only a sample is looked at: the sum of all would take seconds."""


def results_folder() -> Path:
    """Return where results are kept that are too large for the memory, until they are saved."""
    from platformdirs import user_cache_path

    return Path(user_cache_path("napari-specimen-seg", appauthor=False)) / "results"


def forget_old(folder: Path) -> None:
    """Remove results that nobody has touched for `KEPT_DAYS`, and that nobody uses."""
    from ..core.files.label_store import remove_unused

    for store in folder.glob("*.zarr"):
        with suppress(OSError):  # another napari has just removed it
            # Painting changes no list of tiles, so all count that lies in the store.
            touched = max(path.stat().st_mtime for path in (store, *store.iterdir()))
            if time.time() - touched > KEPT_DAYS * 86400:
                remove_unused(store)


def fingerprint_of(request: Request, path: Path | None) -> dict[str, Any]:
    """Return what tells a picture from others: its file, or in this session only its layer."""
    plane = None if request.plane is None else list(request.plane)
    try:
        if path is not None:
            status = path.stat()
            return {"file": str(path), "bytes": status.st_size, "changed": status.st_mtime_ns, "plane": plane}
    except OSError:
        pass
    return {"layer": str(request.layer.unique_id), "data": id(request.layer.data), "plane": plane}


def sample_of(image: SpecimenImage) -> int:
    """Return a checksum of a few small parts of a picture.

    One file may give several layers, such as one for each channel, and a layer's pixels may have been changed
    since they were read: for both the file alone does not tell which picture it is.

    Parameters
    ----------
    image : SpecimenImage
        May be lazy: three parts of one plane are read.

    Returns
    -------
    int
    """
    return sample_of_array(image.data, image.planes())


def sample_of_array(data: Any, planes: tuple[int, ...]) -> int:
    """Return the same of an array.

    Parameters
    ----------
    data : array
        (..., Y, X) or (..., Y, X, C)
    planes : tuple of int
        The lengths of the axes before the rows.

    Returns
    -------
    int
    """
    plane = data[tuple(n // 2 for n in planes)]
    height, width = plane.shape[:2]
    crc = zlib.crc32(repr((data.shape, str(data.dtype))).encode())
    for quarter in (1, 2, 3):
        top, left = height * quarter // 4, width * quarter // 4
        part = np.asarray(plane[top : top + SAMPLE_SIDE, left : left + SAMPLE_SIDE])
        crc = zlib.crc32(np.ascontiguousarray(part).tobytes(), crc)
    return crc


def content_of(image: SpecimenImage) -> int:
    """Return a checksum of all pixels of a picture in memory; of others, and of huge ones, `sample_of`.

    Parameters
    ----------
    image : SpecimenImage

    Returns
    -------
    int
    """
    data = image.data
    if not isinstance(data, np.ndarray) or data.nbytes > SUMMED_BYTES:
        return sample_of(image)
    crc = 0
    for part in np.array_split(data, max(1, min(len(data), data.nbytes >> 24))):
        crc = zlib.crc32(np.ascontiguousarray(part).data, crc)
    return crc


def store_folders(request: Request, fingerprint: dict[str, Any]) -> Iterator[Path]:
    """Yield where the store of a request may be: the same for the same work, then names beside it."""
    text = json.dumps([fingerprint, request.sealed, request.settings.model_dump(mode="json")], sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    yield results_folder() / f"{name}.zarr"
    yield from (results_folder() / f"{name}-{number}.zarr" for number in itertools.count(2))
