"""Open pictures and labels as what a training reads: files of the same name in two folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap
from ..core.image import SpecimenImage
from .family import picture_for
from .pictures import labels_array, picture_of, plane_shape
from .results import origin_of

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

HELPER = "specimen_seg_helper"
"""In the metadata of layers that a dock made for looking at: they are nobody's labels."""


_MARK = ".open-layers"
"""A file that is there where `write_snapshots` wrote."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A plane that is open with its labels.

    Parameters
    ----------
    stem : str
        What its files are called; unique.
    picture : Image
    labels : Labels
    plane : tuple of int
        () for a picture that is no stack.
    """

    stem: str
    picture: Image
    labels: Labels
    plane: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Picture and labels as they were at one moment.

    Parameters
    ----------
    stem : str
    image : SpecimenImage
        Lazy data stay lazy.
    labels : array
        (Y, X), a copy.
    class_map : ClassMap, optional
    """

    stem: str
    image: SpecimenImage
    labels: NDArray[Any]
    class_map: ClassMap | None


def labelled_planes(viewer: Viewer) -> list[Labelled]:
    """Return what is open with labels; of stacks the planes that have any label.

    Parameters
    ----------
    viewer : napari.Viewer

    Returns
    -------
    list of Labelled
        From the topmost layer downwards. A picture counts once, with the topmost of its Labels layers.
    """
    from napari.layers import Labels

    found: list[Labelled] = []
    seen: set[Any] = set()
    names: set[str] = set()
    for labels in reversed(viewer.layers):
        if not isinstance(labels, Labels) or not _is_truth(labels):
            continue
        picture = picture_for(viewer, labels) or _below(viewer, labels)
        if picture is None or picture in seen or plane_shape(picture) != labels_array(labels).shape[:-2]:
            continue
        seen.add(picture)
        stem = _free("".join(c if c.isalnum() or c in "-." else "_" for c in picture.name)[:60], names)
        for plane in np.ndindex(*plane_shape(picture)):
            if not plane or np.any(labels_array(labels)[plane]):
                ending = "".join(f"_{at:03}" for at in plane)
                found.append(Labelled(stem + ending, picture, labels, plane))
    return found


def _is_truth(labels: Labels) -> bool:
    """Tell whether somebody may vouch for a layer: it numbers no objects and was not made for looking at."""
    origin = origin_of(labels)
    return HELPER not in labels.metadata and (origin is None or origin.role == "labels")


def _below(viewer: Viewer, labels: Labels) -> Image | None:
    """Return the nearest picture below labels that has their size."""
    from napari.layers import Image

    for layer in reversed(viewer.layers[: viewer.layers.index(labels)]):
        if isinstance(layer, Image) and HELPER not in layer.metadata and origin_of(layer) is None:
            picture = picture_of(layer)
            if (picture.height, picture.width) == tuple(labels_array(labels).shape[-2:]):
                return layer
    return None


def _free(stem: str, taken: set[str]) -> str:
    name = next(n for n in (stem, *(f"{stem}-{i}" for i in range(2, len(taken) + 3))) if n not in taken)
    taken.add(name)
    return name


def snapshots(planes: list[Labelled]) -> list[Snapshot]:
    """Take pictures and labels as they are now; quick, for the GUI thread."""
    taken = []
    for item in planes:
        stored = item.labels.metadata.get("class_map")
        taken.append(
            Snapshot(
                item.stem,
                picture_of(item.picture, item.plane or None),
                np.array(labels_array(item.labels)[item.plane]),
                stored if isinstance(stored, ClassMap) else None,
            )
        )
    return taken


def write_snapshots(taken: list[Snapshot], folder: Path) -> tuple[Path, Path]:
    """Write pictures and labels as the files that a training reads.

    Parameters
    ----------
    taken : list of Snapshot
    folder : Path
        Made; what an earlier call left there is replaced, and nothing else.

    Returns
    -------
    images, labels : Path
        The two folders.

    Raises
    ------
    WriteError
        If the disk is full or may not be written to, or the folder holds pictures of somebody else.
    """
    from ..core.files import write_labels
    from ..core.files.atomic import atomic

    images, masks = folders_in(folder)
    _take(folder)
    for item in taken:
        data = np.asarray(item.image.data)
        color = data.ndim == 3 and data.shape[-1] in (3, 4)
        with atomic(images / f"{item.stem}.tif", overwrite=True) as path:
            import tifffile

            tifffile.imwrite(path, data, photometric="rgb" if color else "minisblack")
        write_labels(masks / f"{item.stem}.tif", item.labels, item.class_map, overwrite=True)
    _forget_others(folder, {f"{item.stem}.tif" for item in taken})
    return images, masks


def folders_in(folder: Path) -> tuple[Path, Path]:
    """Return where `write_snapshots` puts pictures and labels."""
    return folder / "images", folder / "labels"


def _take(folder: Path) -> None:
    """Make the folders, unless somebody else keeps pictures where they would be."""
    from ..core.errors import WriteError

    mark, places = folder / _MARK, folders_in(folder)
    try:
        if not mark.exists() and any(place.exists() and any(place.iterdir()) for place in places):
            raise WriteError(
                "it holds pictures that were not written here",
                path=folder,
                advice="Choose another name for the model.",
            )
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise WriteError(f"cannot be written ({error.strerror})", path=folder) from error


def _forget_others(folder: Path, names: set[str]) -> None:
    """Remove the pictures of an earlier time: they would be learned from too.

    At the end, because layers that are written may be read from them.
    """
    from ..core.errors import WriteError

    for place in folders_in(folder):
        try:
            for old in place.glob("*.tif"):
                if old.name not in names:
                    old.unlink()
        except OSError as error:
            raise WriteError(f"cannot be written ({error.strerror})", path=place) from error
