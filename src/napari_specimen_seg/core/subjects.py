"""Labels that are about to be measured: checked, plane by plane, with the meaning of their values."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .classes import MAX_ID, ClassMap
from .errors import MeasureError, SpecimenWarning
from .image import COLORS, Array, SpecimenImage, SpecimenLabels
from .regions import Regions, bands, regions_of, require_ids, tally


@dataclass(frozen=True)
class Subject:
    """Labels and picture that fit together."""

    labels: SpecimenLabels
    class_map: ClassMap | None
    image: Array | None
    channels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the labels."""
        return self.labels.name

    def planes(self) -> Iterator[tuple[Array, Array | None]]:
        """Yield each plane's labels (Y, X) and picture (Y, X, C)."""
        for index in np.ndindex(self.labels.data.shape[:-2]):
            picture = None if self.image is None else _plane(self.image, index)
            if picture is not None and picture.ndim == 2:
                picture = _plane(picture, (..., None))
            yield _plane(self.labels.data, index), picture

    def means(self, values: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
        """Name the columns of (rows, C) mean values."""
        if values is None:
            return {}
        return {f"mean_{name}": values[:, c] for c, name in enumerate(self.channels)}

    @cached_property
    def number_objects(self) -> bool:
        """Whether values number objects rather than name classes."""
        if self.labels.object_class is not None or self.class_map is not None:
            return self.labels.object_class is not None
        return len(self._two_values()) > 1

    def _two_values(self) -> set[int]:
        found: set[int] = set()
        for plane, _ in self.planes():
            for _, band in bands(plane):
                found.update(tally(require_ids(band, self.name))[0].tolist())
                if len(found - {0}) > 1:
                    return found - {0}
        return found - {0}

    def class_ids(self) -> set[int]:
        """Return the class ids that occur in any plane, background included."""
        found: set[int] = set()
        for plane, _ in self.planes():
            for _, band in bands(plane):
                found.update(tally(self.classes_of(require_ids(band, self.name)))[0].tolist())
        return found

    def classes_of(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """Return the class ids of object numbers; of class ids, themselves."""
        table = self.labels.object_class
        if table is None:
            return numbers
        if numbers.size and int(numbers.max()) >= len(table):
            raise MeasureError(
                f"{self.name}: object {int(numbers.max())} has no class",
                advice="Number the objects anew, with their classes.",
            )
        classes: NDArray[Any] = np.asarray(table)[numbers]
        return classes

    def map_for(self, ids: set[int]) -> ClassMap:
        """Return the class map, or a made-up one; warn of ids that it does not have."""
        if self.class_map is None:
            if max(ids, default=0) > MAX_ID:
                raise MeasureError(
                    f"{self.name}: {max(ids)} is too large for a class id",
                    advice="If the values number objects, measure per object.",
                )
            return ClassMap.of_ids(sorted(ids))
        strangers = self.class_map.strangers(np.array(sorted(ids | {0}), np.int64))
        if strangers:
            shown = ", ".join(map(str, strangers[:5])) + (" …" if len(strangers) > 5 else "")
            warnings.warn(
                f"{self.name}: the class map does not have label {shown}; it is measured all the same",
                SpecimenWarning,
                stacklevel=4,
            )
        return self.class_map

    def regions(self, plane: Array, picture: Array | None) -> tuple[Regions, NDArray[Any], NDArray[Any]]:
        """Return the objects of one plane, their numbers and their class ids."""
        regions = regions_of(plane, picture, name=self.name, parts=not self.number_objects)
        if self.number_objects:
            return regions, regions.value, self.classes_of(regions.value)
        return regions, np.arange(1, regions.count + 1), regions.value


def _plane(array: Array, index: tuple[Any, ...]) -> Array:
    """Return a plane without reading it, where it is not in memory."""
    chunks = getattr(array, "chunks", None)
    if index and isinstance(chunks, tuple) and not hasattr(array, "dask"):
        import dask.array as da

        array = da.from_array(array, chunks=chunks)  # of zarr and HDF5, whose indices read
    return array[index] if index else array


def subject_of(
    labels: Any, class_map: ClassMap | None = None, name: str | None = None, image: Any = None
) -> Subject:
    """Check labels and a picture and put them together; arguments and errors as in `measure`."""
    subject = SpecimenLabels.of(labels, name or "labels")
    subject = subject.replace(name=name) if name else subject
    if 0 in subject.data.shape:
        raise MeasureError(f"{subject.name}: the label picture has no pixels")
    require_ids(np.zeros(0, subject.data.dtype), subject.name)
    picture = image.data if isinstance(image, SpecimenImage) else image
    if picture is not None:
        _check_fit(picture, subject)
    channels: tuple[str, ...] = ()
    if picture is not None:
        known = image.channel_names if isinstance(image, SpecimenImage) else ()
        channels = _channel_names(1 if picture.ndim == subject.data.ndim else int(picture.shape[-1]), known)
    return Subject(subject, class_map or subject.class_map, picture, channels)


def _channel_names(count: int, known: tuple[str, ...]) -> tuple[str, ...]:
    """Say what the columns with mean values are about."""
    if len(known) == count == len(set(known)):
        return known
    if count in (3, 4):  # as everywhere, three or four unnamed channels are colour
        return (*COLORS, "alpha")[:count]
    return ("intensity",) if count == 1 else tuple(f"channel_{c + 1}" for c in range(count))


def _check_fit(image: Array, labels: SpecimenLabels) -> None:
    shape = labels.data.shape
    if image.shape[: len(shape)] != shape or image.ndim > len(shape) + 1:
        raise MeasureError(
            f"{labels.name}: labels of shape {shape} do not fit a picture of shape {image.shape}",
            advice="Choose the picture that the labels were made from.",
        )
    if image.dtype.kind not in "biuf":
        raise MeasureError(f"{labels.name}: pixels of type {image.dtype} have no mean")
