"""Opening pictures and labels in napari."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..core.errors import ReadError, SpecimenError
from ..core.image import SpecimenImage
from .layers import LayerData, image_layers, labels_layer

PathOrPaths: TypeAlias = str | Sequence[str]
Reader: TypeAlias = Callable[[PathOrPaths], list[LayerData]]

LABEL_FOLDERS = ("labels", "label", "masks", "mask")
"""What folders of labels are called; pictures of whole numbers in them are opened as labels."""

MAX_SAMPLES = 20
"""How many samples of a competition folder are opened side by side, two layers each."""


def get_reader(path: PathOrPaths) -> Reader | None:
    """Say who reads a path: `read_layers`, or somebody else.

    Parameters
    ----------
    path : str or list of str
        Several paths are wanted as one stack.

    Returns
    -------
    callable or None
        None for what is no picture by its name (tables, arrays, films), for addresses, and for folders
        without pictures.
    """
    paths = [path] if isinstance(path, str) else list(path)
    ours = bool(paths) and all("://" not in one and _is_ours(Path(one)) for one in paths)
    return read_layers if ours else None


def _is_ours(path: Path) -> bool:
    from ..core.files.formats import PICTURE_SUFFIXES

    if path.is_dir():
        return _holds_pictures(path)
    return path.suffix.lower() in PICTURE_SUFFIXES


def _holds_pictures(folder: Path) -> bool:
    from ..core.files.dsb2018 import samples_in
    from ..core.files.inputs import pictures_in
    from ..core.files.ome_zarr import is_ome_zarr, is_zarr

    if is_zarr(folder):
        return is_ome_zarr(folder)
    try:
        return bool(pictures_in(folder) or samples_in(folder))
    except (SpecimenError, OSError):
        return False


def read_layers(path: PathOrPaths) -> list[LayerData]:
    """Read pictures or labels as layers.

    Parameters
    ----------
    path : str or list of str
        A file or folder, or several files that make one stack.

    Returns
    -------
    list of LayerData

    Raises
    ------
    ReadError
        One line, which napari shows as a notification.

    Warns
    -----
    SpecimenWarning
        As `core.files.images.read_image`.
    """
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    if len(paths) > 1:
        return _stack(paths)
    return _folder(paths[0]) if paths[0].is_dir() else _file(paths[0])


def _stack(paths: list[Path]) -> list[LayerData]:
    from ..core.files.folders import read_stack

    stack = read_stack(paths, paths[0].stem)
    if stack is None:
        raise ReadError(
            "these pictures have different sizes or types and make no stack",
            path=paths[0].parent,
            advice="Open them without stacking.",
        )
    return image_layers(stack)


# -- one file --------------------------------------------------------------------------------------


def _file(path: Path) -> list[LayerData]:
    from ..core.files.images import read_image
    from ..core.files.labels import is_specimen_labels, read_labels

    if is_specimen_labels(path):
        return [labels_layer(read_labels(path))]
    image = read_image(path)
    if _may_be_labels(image) or _is_called_labels(path, image):
        try:
            return [labels_layer(read_labels(path))]
        except SpecimenError:
            pass
    return image_layers(image)


def _may_be_labels(image: SpecimenImage) -> bool:
    """Whether napari itself would take such numbers for labels: integers of 32 and 64 bits."""
    dtype = np.dtype(image.data.dtype)
    return "C" not in image.axes and dtype.kind in "iu" and dtype.itemsize >= 4


def _is_called_labels(path: Path, image: SpecimenImage) -> bool:
    """Whether a plain picture of whole numbers is called labels: by its folder, or behind its name."""
    from ..core.files.names import LABEL_ENDINGS

    named = path.parent.name.lower() in LABEL_FOLDERS or path.stem.endswith(LABEL_ENDINGS)
    return named and "C" not in image.axes and np.dtype(image.data.dtype).kind in "iu"


# -- folders ---------------------------------------------------------------------------------------


def _folder(folder: Path) -> list[LayerData]:
    from ..core.files.dsb2018 import samples_in
    from ..core.files.inputs import pictures_in
    from ..core.files.ome_zarr import is_zarr, read_ome_zarr

    if is_zarr(folder):
        return image_layers(read_ome_zarr(folder))
    samples = samples_in(folder)
    return _samples(samples, folder) if samples else _pictures(pictures_in(folder), folder)


def _samples(samples: list[Path], folder: Path) -> list[LayerData]:
    from ..core.files.dsb2018 import read_sample

    if len(samples) > MAX_SAMPLES:
        raise ReadError(
            f"it holds {len(samples)} samples, too many to show at once",
            path=folder,
            advice="Open the folder of one of them.",
        )
    layers = []
    for sample in samples:
        image, labels = read_sample(sample)
        layers += image_layers(image)
        if labels is not None:
            layers.append(labels_layer(labels.replace(name=f"{image.name} labels")))
    return layers


def _pictures(paths: list[Path], folder: Path) -> list[LayerData]:
    """Open a folder as a stack if the pictures have one size, else one layer each."""
    from ..core.files.folders import MAX_SEPARATE, read_stack

    stack = read_stack(paths, folder.name)
    if stack is not None:
        return image_layers(stack)
    if len(paths) > MAX_SEPARATE:
        raise ReadError(
            f"it holds {len(paths)} pictures of different sizes, too many to show at once",
            path=folder,
            advice="Open some of them.",
        )
    return [layer for path in paths for layer in (_folder(path) if path.is_dir() else _file(path))]
