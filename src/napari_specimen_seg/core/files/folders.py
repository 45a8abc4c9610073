"""Folders that are pictures: OME-Zarr, competition samples, many files of one size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ReadError
from ..image import Array, SpecimenImage
from .images import read_file, read_image, read_size
from .inputs import pictures_in
from .lazy import LAZY_BYTES, OnDisk, as_dask, byte_count

MAX_SEPARATE = 50
"""How many pictures of different sizes are opened side by side."""


def read_folder(folder: Path) -> SpecimenImage:
    """Read a folder that makes one picture or stack.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    SpecimenImage

    Raises
    ------
    ReadError
        If it holds nothing to read, or pictures of different sizes.
    """
    from .dsb2018 import is_sample, read_sample
    from .ome_zarr import is_zarr, read_ome_zarr

    if is_zarr(folder):
        return read_ome_zarr(folder)
    if is_sample(folder):
        return read_sample(folder)[0]
    stack = read_stack(pictures_in(folder), folder.name)
    if stack is None:
        raise ReadError(
            "the pictures in this folder have different sizes or types",
            path=folder,
            advice="Open them one by one.",
        )
    return stack


def read_stack(paths: Sequence[Path], name: str) -> SpecimenImage | None:
    """Read pictures of one size and type as a stack.

    Parameters
    ----------
    paths : sequence of Path
        In the order of the planes.
    name : str
        Of the stack.

    Returns
    -------
    SpecimenImage or None
        A leading axis Q has one plane per file; lazy if all together take more than `LAZY_BYTES`.
        The picture itself if there is one only; None if sizes or types differ.

    Raises
    ------
    ReadError
        If there are no files, or one of them cannot be read.
    """
    if not paths:
        raise ReadError("there are no pictures in this folder", path=name)
    first = read_image(paths[0])
    if len(paths) == 1:
        return first
    shape = first.height, first.width
    if "Q" in first.axes or len(first.planes()) > 2 or any(path.is_dir() for path in paths):
        return None
    if any(read_size(path) != shape for path in paths[1:]):
        return None
    is_large = len(paths) * byte_count(first.data.shape, first.data.dtype) > LAZY_BYTES
    data = _lazy_stack(paths, first) if is_large else _stack_now(paths, first)
    if data is None:
        return None
    spacing = None if first.spacing is None else (1.0, *first.spacing)
    return first.replace(
        data=data, name=name, axes="Q" + first.axes, spacing=spacing, source=paths[0].parent, levels=()
    )


def _stack_now(paths: Sequence[Path], first: SpecimenImage) -> Array | None:
    planes = [np.asarray(first.data)]
    for path in paths[1:]:
        plane = np.asarray(read_image(path).data)
        if plane.shape != planes[0].shape or plane.dtype != planes[0].dtype:
            return None
        planes.append(plane)
    return np.stack(planes)


def _lazy_stack(paths: Sequence[Path], first: SpecimenImage) -> Array:
    import dask.array as da

    shape, dtype = tuple(first.data.shape), np.dtype(first.data.dtype)
    rows = first.axes.index("Y"), first.axes.index("X")
    planes = [
        as_dask(OnDisk(path, partial(_read_plane, path, shape, dtype), shape, dtype), shape, rows)
        for path in paths
    ]
    stack: Array = da.stack(planes)
    return stack


def _read_plane(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    plane = read_file(path).data
    if tuple(plane.shape) != shape or plane.dtype != dtype:
        raise ReadError(
            f"its shape {tuple(plane.shape)} and type {plane.dtype} differ from those of the first picture, "
            f"{shape} and {dtype}",
            path=path,
        )
    return plane
