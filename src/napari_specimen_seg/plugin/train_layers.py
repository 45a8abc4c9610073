"""Open pictures and labels as what a training reads: files of the same name in two folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap
from ..core.errors import SpecimenError, WriteError
from ..core.files import write_labels
from ..core.files.atomic import atomic
from ..core.image import SpecimenImage
from .family import HELPER, picture_below, picture_for
from .pictures import labels_array, picture_of, plane_of, plane_shape
from .results import origin_of

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

MAX_SAMPLE_VALUE = 281
"""TIFF tag: the largest value that the picture's bits allow."""

_MARK = ".open-layers"
"""A file that is there where `write_snapshots` wrote."""


@dataclass(frozen=True, slots=True)
class OpenPair:
    """A picture that is open with its labels; of a stack every plane with labels is a pair to learn from.

    Parameters
    ----------
    stem : str
        What its files are called, for planes with their numbers behind it; unique.
    picture : Image
    labels : Labels
    """

    stem: str
    picture: Image
    labels: Labels

    @property
    def planes(self) -> tuple[int, ...]:
        """The lengths of the stacked axes; () for a single picture."""
        return plane_shape(self.picture)

    def plane_called(self, stem: str) -> tuple[int, ...] | None:
        """Return the plane whose files are called so; None if it is none of these."""
        return next((at for at in np.ndindex(*self.planes) if stem_of(self.stem, at) == stem), None)


@dataclass(frozen=True, slots=True)
class Held:
    """Picture and labels of a pair, as they are read in another thread; nothing is copied yet.

    Parameters
    ----------
    stem : str
    image : SpecimenImage
        With all planes.
    labels : array
        (Y, X) or with the leading axes of the picture.
    class_map : ClassMap, optional
    """

    stem: str
    image: SpecimenImage
    labels: Any
    class_map: ClassMap | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Picture and labels of a plane as they were at one moment.

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


def open_pairs(viewer: Viewer) -> list[OpenPair]:
    """Return which pictures are open with labels; no pixel is read.

    Parameters
    ----------
    viewer : napari.Viewer

    Returns
    -------
    list of OpenPair
        From the topmost layer downwards. A picture counts once, with the topmost of its Labels layers.
    """
    from napari.layers import Labels

    found: list[OpenPair] = []
    seen: set[Any] = set()
    names: list[Stem] = []
    for labels in reversed(viewer.layers):
        if not isinstance(labels, Labels) or not _is_truth(labels):
            continue
        picture = picture_for(viewer, labels) or picture_below(viewer, labels)
        if picture is None or picture in seen or HELPER in picture.metadata:
            continue
        if plane_shape(picture) != labels_array(labels).shape[:-2]:
            continue
        seen.add(picture)
        found.append(OpenPair(free_stem(picture, names), picture, labels))
    return found


def free_stem(picture: Image, taken: list[Stem]) -> str:
    """Return what the files of a layer are called, and note it among the stems that are taken."""
    stem = "".join(c if c.isalnum() or c in "-." else "_" for c in picture.name)[:60]
    planes = len(plane_shape(picture))
    for free in (stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 3))):
        wanted = Stem(free.casefold(), planes)  # some disks take two names for one that differ only in case
        if not any(_clash(wanted, other) for other in taken):
            taken.append(wanted)
            break
    return free


class Stem(NamedTuple):
    """What files are called, in lower case, and how many numbers of planes follow."""

    text: str
    planes: int


def _clash(one: Stem, other: Stem) -> bool:
    """Tell whether a file of one may be called like a file of the other; see `stem_of`."""
    more, fewer = (one, other) if one.planes > other.planes else (other, one)
    numbers = "_[0-9]{3,}" * (more.planes - fewer.planes)
    return one.text == other.text or re.fullmatch(re.escape(more.text) + numbers, fewer.text) is not None


def stem_of(stem: str, plane: tuple[int, ...]) -> str:
    """Return what the files of a plane are called."""
    return stem + "".join(f"_{at:03}" for at in plane)


def _is_truth(labels: Labels) -> bool:
    """Tell whether somebody may vouch for a layer: it numbers no objects and was not made for looking at."""
    origin = origin_of(labels)
    return HELPER not in labels.metadata and (origin is None or origin.role == "labels")


def hold(pairs: list[OpenPair]) -> list[Held]:
    """Take hold of what is open, for another thread; to be called in the GUI thread."""
    found = []
    for pair in pairs:
        stored = pair.labels.metadata.get("class_map")
        class_map = stored if isinstance(stored, ClassMap) else None
        found.append(Held(pair.stem, picture_of(pair.picture), labels_array(pair.labels), class_map))
    return found


def snapshots(held: list[Held], *, blank: bool = True) -> Iterator[Snapshot]:
    """Take pictures and labels as they are now, one after the other; of stacks the planes with any label.

    Parameters
    ----------
    held : list of Held
    blank : bool
        Whether single pictures without any label count too.
    """
    for item in held:
        for plane in np.ndindex(*item.labels.shape[:-2]):
            labels = np.array(item.labels[plane])
            if (blank and not plane) or labels.any():
                yield Snapshot(stem_of(item.stem, plane), plane_of(item.image, plane), labels, item.class_map)


def write_open(held: list[Held], folder: Path) -> tuple[Path, Path]:
    """Write what is open as the files that a training reads; see `write_snapshots`.

    Raises
    ------
    TooFewError
        If less than two pictures or planes have labels.
    """
    places = write_snapshots(snapshots(held), folder)
    if len(list(places[0].glob("*.tif"))) < 2:
        raise TooFewError
    return places


class TooFewError(SpecimenError):
    """A training has not enough to learn from; says what to do."""

    def __init__(self) -> None:
        super().__init__(
            "training needs at least two pictures with a Labels layer each, or planes with labels",
            advice="Label another picture, or learn from strokes, for which one is enough.",
        )


def write_snapshots(taken: Iterable[Snapshot], folder: Path) -> tuple[Path, Path]:
    """Write pictures and labels as the files that a training reads.

    Parameters
    ----------
    taken : iterable of Snapshot
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
    images, masks = folders_in(folder)
    _take(folder)
    names = set()
    for item in taken:
        name = f"{item.stem}.tif"
        names.add(name)
        _write_picture(item.image, images / name)
        write_labels(masks / name, item.labels, item.class_map, overwrite=True)
    _forget_others(folder, names)
    return images, masks


def _write_picture(image: SpecimenImage, path: Path) -> None:
    """Write one plane, with how many of its bits count, on which its brightness depends."""
    import tifffile

    data = np.asarray(image.data)
    color = data.ndim == 3 and data.shape[-1] in (3, 4)
    bits = image.bit_depth
    tags = [] if bits is None or bits > 15 else [(MAX_SAMPLE_VALUE, "H", 1, (1 << bits) - 1, True)]
    with atomic(path, overwrite=True) as draft:
        tifffile.imwrite(draft, data, photometric="rgb" if color else "minisblack", extratags=tags)


def folders_in(folder: Path) -> tuple[Path, Path]:
    """Return where `write_snapshots` puts pictures and labels."""
    return folder / "images", folder / "labels"


def _take(folder: Path) -> None:
    """Make the folders, unless somebody else keeps pictures where they would be."""
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
    for place in folders_in(folder):
        try:
            for old in place.glob("*.tif"):
                if old.name not in names:
                    old.unlink()
        except OSError as error:
            raise WriteError(f"cannot be written ({error.strerror})", path=place) from error
