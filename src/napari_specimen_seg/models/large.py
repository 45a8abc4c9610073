"""Predicting pictures that are larger than the memory: into a store on the disk that can be gone on with."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import SpecimenWarning
from ..core.files.label_store import LabelStore, StoreShape, open_store
from ..core.files.tile_notes import TileKey
from ..core.image import Array, Prediction, SpecimenImage
from ..core.input_settings import Tiles
from ..core.progress import Progress, Report, silent
from ..core.provenance import package_versions
from .devices import Engine
from .memory import refuse_to_separate
from .settings import PredictSettings

if TYPE_CHECKING:
    from .predictor import Predictor
    from .stream import Order, Part

STORED_ABOVE = 1 << 27
"""Results of more pixels than this are kept on the disk while they are made."""


_ELSEWHERE = ("instances", "confidence", "device", "backend", "precision")
"""Settings that do not change labels, or stand in what computes or what is kept: objects are separated
afterwards, and ``auto`` is the same as what it means."""


def needs_store(image: SpecimenImage, predictor: Predictor) -> bool:
    """Tell whether a picture is predicted into a store: it, or its labels, are not to be held in memory.

    Models that look at the whole picture at once have to hold it anyway.

    Parameters
    ----------
    image : SpecimenImage
    predictor : Predictor

    Returns
    -------
    bool
    """
    is_tiled = isinstance(predictor.card.preprocessing.geometry, Tiles)
    pixels = math.prod(image.planes()) * image.height * image.width
    return is_tiled and (not isinstance(image.data, np.ndarray) or pixels > STORED_ABOVE)


def open_result(
    folder: Path,
    predictor: Predictor,
    image: SpecimenImage,
    settings: PredictSettings,
    picture: Mapping[str, Any],
    *,
    replace: bool = True,
) -> LabelStore:
    """Open the store of a prediction, to be continued if it is of the same picture, model and settings.

    Parameters
    ----------
    folder : Path
        Of the store; its name ends in ``.zarr``.
    predictor : Predictor
    image : SpecimenImage
    settings : PredictSettings
    picture : mapping
        Plain values that tell this picture from all others, such as its checksum.
    replace : bool
        Whether an unfinished result of something else may be dropped.

    Returns
    -------
    LabelStore

    Raises
    ------
    ImageError
        If objects are to be separated and there is not enough memory for it: said before the work.
    WriteError
        If an unfinished result of something else is there and may not be dropped.

    Warns
    -----
    SpecimenWarning
        If there was an unfinished result of something else, which is dropped.
    """
    shape = (*image.planes(), image.height, image.width)
    if settings.instances:
        refuse_to_separate(shape, image.name)
    holds = StoreShape(shape, str(np.dtype(predictor.card.class_map.label_dtype)), settings.confidence)
    described = predictor.describe(settings, predictor.engine(settings))
    plan = predictor.plan(image, settings)
    identity = {
        "picture": dict(picture),
        "model": described["model"],
        "settings": {key: value for key, value in described["settings"].items() if key not in _ELSEWHERE},
        "engine": described["engine"],
        "versions": package_versions(),
        "tiles": [plan.height, plan.width, len(plan.tiles)],
    }
    store = open_store(folder, holds, identity, replace=replace)
    if store.was_different:
        warnings.warn(
            f"{image.name}: an unfinished result was there, but begun otherwise ({store.was_different}); "
            "begun anew",
            SpecimenWarning,
            stacklevel=2,
        )
    return store


def predict_into(
    store: LabelStore,
    predictor: Predictor,
    image: SpecimenImage,
    settings: PredictSettings,
    report: Report = silent,
    *,
    order: Order | None = None,
    keep_painted: bool = False,
) -> Iterator[Part]:
    """Predict what a store lacks, and write it there.

    Parameters
    ----------
    store : LabelStore
        From `open_result`.
    predictor, image, settings
        As there.
    report : callable
        May raise `CancelledError`, which passes through; what is finished by then stays in the store.
    order : callable, optional
        As for `Predictor.stream`.
    keep_painted : bool
        Whether labels that are there where no tile is finished stay: somebody has painted them.

    Yields
    ------
    Part
        After it was written.
    """
    finished = store.finished()
    tiles = predictor.plan(image, settings).tiles
    done = {
        (plane, number)
        for plane in np.ndindex(*image.planes())
        for number, tile in enumerate(tiles)
        if TileKey.of(plane, tile.rows, tile.columns) in finished
    }
    try:
        for part in predictor.stream(image, settings, report, order=order, done=done):
            key = TileKey.of(part.plane, part.rows, part.columns)
            labels = part.labels
            if keep_painted:
                labels = painted_over(store.labels.read(part.plane, part.rows, part.columns), labels)
            store.write(key, labels, part.confidence, astuple(part.engine))
            yield part
    finally:
        store.flush()


def painted_over(there: NDArray[Any], found: NDArray[Any]) -> NDArray[Any]:
    """Return labels that were found, under those that somebody has painted there before."""
    return np.where(there != 0, there, found) if there.any() else found


def stored_prediction(
    store: LabelStore, predictor: Predictor, settings: PredictSettings, report: Report = silent
) -> Prediction:
    """Return what a store holds as a prediction that is read piece by piece.

    Parameters
    ----------
    store : LabelStore
        Finished, and open as long as the prediction is used.
    predictor : Predictor
    settings : PredictSettings
    report : callable
        Told of every piece that is read; may raise `CancelledError`.

    Returns
    -------
    Prediction

    Raises
    ------
    ImageError
        If objects are to be separated and there is not enough memory for it.
    """
    engines = engines_of(store) or [predictor.engine(settings)]
    prediction = Prediction(
        labels=told(store.labels.as_dask(), report),
        confidence=None if store.confidence is None else told(store.confidence.as_dask(), report),
        class_map=predictor.card.class_map,
        provenance=predictor.describe(settings, *engines),
        levels=tuple(level.as_dask() for level in store.levels[1:]),
    )
    return _with_objects(prediction, store, report) if settings.instances else prediction


def engines_of(store: LabelStore) -> list[Engine]:
    """Return what computed the labels of a store, in the order in which it came.

    More than one where a device ran out of memory, or the work was gone on with on another.
    """
    return [Engine(*maker) for maker in store.makers() if len(maker) == len(fields(Engine))]  # type: ignore[arg-type]


def _with_objects(prediction: Prediction, store: LabelStore, report: Report) -> Prediction:
    """Separate objects, which needs all labels at once: an object may reach anywhere."""
    from ..core.instances import separate

    refuse_to_separate(store.labels.shape, "labels")  # again: others may have taken memory meanwhile
    report(Progress("separating objects", 0, 1))
    objects, classes = separate(np.asarray(store.labels), prediction.class_map)
    return replace(prediction, objects=objects, object_classes=classes)


def told(array: Array, report: Report) -> Array:
    """Return an array that tells of every part that is read of it.

    Parameters
    ----------
    array : array
        (..., Y, X)
    report : callable
        Gets stage ``"saving"`` with how many rows were reached.
    """
    return array if report is silent else _Told(array, report)  # type: ignore[return-value]


class _Told:
    """A lazy array that reports; looks like an array to those who cut it."""

    def __init__(self, array: Array, report: Report) -> None:
        self._array, self._report = array, report
        self.shape, self.dtype, self.ndim, self.size = array.shape, array.dtype, array.ndim, array.size

    def __getitem__(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        rows = parts[-2] if len(parts) == self.ndim else None
        if isinstance(rows, slice) and rows.stop is not None:
            self._report(Progress("saving", min(rows.stop, self.shape[-2]), self.shape[-2]))
        return self._array[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        del copy
        return np.asarray(self._array, dtype)

    def min(self) -> Any:
        return self._array.min()

    def max(self) -> Any:
        return self._array.max()
