"""A prediction that is shown while it is made: what one looks at first, tile by tile.

This is the part without a window: it runs in a worker thread, writes finished tiles where the layer reads
them, and keeps a list of what is new for the GUI thread.
"""

from __future__ import annotations

import math
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import CancelledError, ImageError, SpecimenWarning
from ..core.image import Prediction, SpecimenImage
from ..core.input_settings import Tiles
from ..core.progress import Progress, Report
from ..models.memory import refuse_to_separate
from .kept_results import content_of, forget_old, sample_of, store_folders
from .results import origin_of
from .segment_run import Predictors, Request, Result, result_of
from .view_order import PREVIEW_TILES, ViewOrder, first_look

if TYPE_CHECKING:
    from napari.layers import Labels

    from ..core.files.label_store import LabelStore
    from ..models.card import ModelCard
    from ..models.devices import Engine
    from ..models.predictor import Predictor
    from ..models.stream import Part, Spot

LIVE_TILES = 4
"""Pictures of more tiles than this are shown while they are made."""

MAX_TEXTURE = 16384
"""No graphics card need show a longer side than this at once."""

Box = tuple[tuple[int, ...], slice, slice]
"""Plane, rows and columns that changed."""


def is_live(card: ModelCard, request: Request) -> bool:
    """Tell whether a picture has so many tiles that one should see them come.

    Parameters
    ----------
    card : ModelCard
    request : Request
    """
    geometry = card.preprocessing.geometry
    if not isinstance(geometry, Tiles):
        return False
    side = request.settings.tile or geometry.size
    return request.pixels > LIVE_TILES * side * side


def is_large(image: SpecimenImage) -> bool:
    """Tell whether the labels of a picture are kept on the disk, and shown at the zoom of the screen."""
    from ..models.large import STORED_ABOVE

    pixels = math.prod(image.planes()) * image.height * image.width
    lazy = not isinstance(image.data, np.ndarray)
    too_long = max(image.height, image.width) > MAX_TEXTURE
    return pixels > STORED_ABOVE or too_long or (lazy and image.data.nbytes > STORED_ABOVE)


@dataclass(frozen=True, slots=True)
class Preview:
    """Labels of a part of the picture at the zoom of the screen.

    Parameters
    ----------
    labels : array
        (Y, X)
    step : int
        How many pixels of the picture a pixel of the preview stands for, along each axis.
    top, left : int
        Where it begins, in pixels of the picture.
    """

    labels: NDArray[Any]
    step: int
    top: int
    left: int

    def blank(self, box: Box) -> None:
        """Take out what is known better by now."""
        _, rows, columns = box
        y = slice(*(max(0, (at - self.top) // self.step) for at in (rows.start, rows.stop + self.step - 1)))
        x = slice(
            *(max(0, (at - self.left) // self.step) for at in (columns.start, columns.stop + self.step - 1))
        )
        self.labels[y, x] = 0


class Unfinished:
    """What is there of a result that was broken off, so that the next run goes on.

    Parameters
    ----------
    signature : tuple
        Of what it is the result; another run can only go on if its signature is the same.
    labels : array
    confidence : array or None
        Of the plane or planes that are segmented; None where the results are in a store.
    full : array or None
        Labels of all planes, which the layer shows.
    done : set of Spot
    engines : dict of Engine to None
        What computed, in the order in which it came.
    total : int
        How many tiles there are.
    """

    def __init__(self, signature: tuple[Any, ...], labels: Any, confidence: Any) -> None:
        self.signature, self.labels, self.confidence = signature, labels, confidence
        self.full = labels
        self.picture: Any = None  # held, so that nothing else gets the identity that is in the signature
        self.content: int | None = None  # checksum of the picture: somebody may paint into its pixels
        self.done: set[Spot] = set()
        self.engines: dict[Engine, None] = {}
        self.total = 0
        self.touched = False

    def count(self, layer: Any) -> int:
        """Return how many tiles are done, of results in memory or in the store of their layer."""
        store = getattr(layer, "store", None)
        return len(self.done) if store is None else int(store.count)

    def touch(self, event: Any = None) -> None:
        """Note that somebody has painted on what is there."""
        del event
        self.touched = True


def signature_of(request: Request) -> tuple[Any, ...]:
    """Return what has to be the same for a run to go on where another was broken off."""
    return (
        str(request.layer.unique_id),
        id(request.layer.data),
        request.plane,
        request.sealed,
        request.settings.model_dump_json(),
    )


@dataclass(eq=False)
class Live:
    """One run whose tiles are shown as they come.

    Parameters
    ----------
    request : Request
    order : ViewOrder
    state : Unfinished
        Results in memory; not used where there is a store.
    fingerprint : dict, optional
        What tells the picture from others, for results that are kept in a store and not in memory.
    """

    request: Request
    order: ViewOrder
    state: Unfinished
    fingerprint: dict[str, Any] | None = None
    store: LabelStore | None = None
    preview: Preview | None = None
    seconds: float = 0.0
    _dirty: list[Box] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    # -- asked by the GUI thread -------------------------------------------------------------------

    def take(self) -> list[Box]:
        """Return what has changed since the last time."""
        with self._lock:
            found, self._dirty = self._dirty, []
        return found

    def close(self) -> None:
        """Let no further tile in: the person has stopped the run, even if a tile is still being computed."""
        with self._lock:
            self._closed = True

    @property
    def progress(self) -> tuple[int, int]:
        """How many tiles are finished, and how many there are."""
        return len(self.state.done) if self.store is None else self.store.count, self.state.total

    # -- in the worker thread ----------------------------------------------------------------------

    def work(self, predictors: Predictors) -> Callable[[Report], Result]:
        """Return the work of the run; imports what computes when it is called."""

        def run(report: Report) -> Result:
            report(Progress("loading model", 0, 0))
            predictor = predictors.get(self.request.model, self.request.sealed)
            image, settings = self.request.picture, self.request.settings
            self._look_for_changes()
            self.order.use(predictor.plan(image, settings).tiles)
            self._make_preview(predictor, report)
            began = time.monotonic()
            if self.fingerprint is not None:
                self._into_store(predictor, report)
            else:
                self._into_memory(predictor, report)
            self.seconds = time.monotonic() - began
            report(Progress("showing", 0, 0))
            return self._result(predictor, report)

        return run

    def _look_for_changes(self) -> None:
        """Begin anew if the pixels of the picture are others than those of the tiles that are done."""
        state, image = self.state, self.request.picture
        content = content_of(image)
        if state.content in (None, content):
            state.content = content
            return
        if self.store is not None:  # whose tiles stay those of the old pixels, however often this is tried
            raise ImageError(
                f"{image.name}: its pixels were changed since this was broken off",
                advice="Remove the layer of labels, then segment it again.",
            )
        warnings.warn(
            f"{image.name}: its pixels were changed, so it was segmented from the beginning",
            SpecimenWarning,
            stacklevel=1,
        )
        state.content = content
        self._forget_tiles()

    def _forget_tiles(self) -> None:
        """Leave nothing of the tiles that are done, nor of what computed them."""
        state, image = self.state, self.request.picture
        with self._lock:
            state.done.clear()
            state.engines.clear()
            for kept in (state.labels, state.confidence):
                if kept is not None:
                    kept[...] = 0
            whole = slice(0, image.height), slice(0, image.width)
            self._dirty += [(plane, *whole) for plane in np.ndindex(*image.planes())]

    def _into_memory(self, predictor: Predictor, report: Report) -> None:
        from ..models.large import painted_over

        state, image = self.state, self.request.picture
        if self.request.settings.instances:
            refuse_to_separate((*image.planes(), image.height, image.width), image.name)
        state.total = math.prod(image.planes()) * len(predictor.plan(image, self.request.settings).tiles)
        # Closed at once when the run ends, and with it the threads that compute.
        with closing(
            predictor.stream(
                image, self.request.settings, report, order=self.order, done=frozenset(state.done)
            )
        ) as parts:
            for part in parts:
                with self._lock:
                    if self._closed:
                        raise CancelledError
                    state.labels[part.place] = painted_over(state.labels[part.place], part.labels)
                    if state.confidence is not None:
                        state.confidence[part.place] = part.confidence
                    self._note(part)

    def _into_store(self, predictor: Predictor, report: Report) -> None:
        from ..models.large import predict_into

        image, settings = self.request.picture, self.request.settings
        self.state.total = math.prod(image.planes()) * len(predictor.plan(image, settings).tiles)
        if self.store is None:
            store = self._open_store(predictor)
            try:
                if store.continued:
                    store.recover(verify=False, report=report)
            except BaseException:
                store.close()
                raise
            self.store = store
        tiles = predict_into(
            self.store, predictor, image, settings, report, order=self.order, keep_painted=True
        )
        for part in tiles:
            with self._lock:
                if self._closed:
                    raise CancelledError
                self._note(part)

    def _open_store(self, predictor: Predictor) -> LabelStore:
        """Open a store that nobody else uses: that of the same work, to go on there, if it is free."""
        from ..core.files.folder_lock import StoreInUseError
        from ..models.large import open_result

        assert self.fingerprint is not None
        image, settings = self.request.picture, self.request.settings
        fingerprint = {**self.fingerprint, "sample": sample_of(image)}
        folders = store_folders(self.request, fingerprint)
        while True:
            folder = next(folders)
            forget_old(folder.parent)
            with suppress(StoreInUseError):
                return open_result(folder, predictor, image, settings, fingerprint)

    def _note(self, part: Part) -> None:
        self.state.done.add(part.spot)
        self.state.engines[part.engine] = None
        box = (part.plane, part.rows, part.columns)
        self._dirty.append(box)
        if self.preview is not None:
            self.preview.blank(box)

    # -- a first look ------------------------------------------------------------------------------

    def _make_preview(self, predictor: Predictor, report: Report) -> None:
        """Segment what is visible at the zoom of the screen, where that is much more than a tile.

        Of a picture that is not in memory always: before its first tile can be computed, the range of its
        values may have to be found, for which all of it is read.
        """
        layout = predictor.plan(self.request.picture, self.request.settings)
        least = PREVIEW_TILES if self.fingerprint is None else 0
        found = first_look(self.request.picture, self.order.view, layout.height * layout.width, least)
        if found is None or self.state.done:
            return
        small, step, top, left = found
        settings = replace_settings(self.request)
        labels = np.array(
            predictor.predict(small, settings, lambda _: report(Progress("preview", 0, 0))).labels
        )
        with self._lock:
            self.preview = Preview(labels, step, top, left)

    # -- the end -----------------------------------------------------------------------------------

    def _result(self, predictor: Predictor, report: Report) -> Result:
        settings = self.request.settings
        if self.store is not None:
            from ..models.large import stored_prediction

            prediction = stored_prediction(self.store, predictor, settings, report)
            return Result(prediction, {}, None, self.seconds)
        prediction = Prediction(
            labels=self.state.labels,
            confidence=self.state.confidence,
            class_map=predictor.card.class_map,
            provenance=predictor.describe(settings, *(self.state.engines or [predictor.engine(settings)])),
        )
        if settings.instances:
            from ..core.instances import separate

            report(Progress("separating objects", 0, 1))
            objects, classes = separate(prediction.labels, prediction.class_map)
            prediction = replace(prediction, objects=objects, object_classes=classes)
        return result_of(self.request, prediction, self.seconds)


def told_of_a_part(layer: Labels) -> tuple[str, ...]:
    """Say it where a run was broken off."""
    origin = origin_of(layer)
    if origin is None or origin.unfinished is None or not origin.unfinished.total:
        return ()
    done, total = origin.unfinished.count(layer), origin.unfinished.total
    return (f"Only {done} of {total} tiles are segmented: this is measured on a part of the picture.",)


def replace_settings(request: Request) -> Any:
    """Return the settings of a preview: as asked for, without what is beside the labels."""
    return request.settings.model_copy(update={"tile": None, "instances": False, "confidence": False})
