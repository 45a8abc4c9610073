"""The Segment dock's runs: shown while they are made, broken off and gone on with, or shown at their end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.progress import Report
from .kept_results import fingerprint_of
from .live import Live, Unfinished, is_large, is_live, signature_of
from .live_view import LiveView, array_for, put_stored_confidence, view_of
from .pictures import layer_path
from .results import find_result, origin_of, put_confidence, put_labels, put_objects
from .segment_run import Predictors, Request, Result, segment_work
from .view_order import ViewOrder
from .workers import behind_the_window

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

    from ..models.card import ModelCard


class LiveRuns:
    """At most one run at a time, and what earlier ones left unfinished.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer, self.predictors = viewer, Predictors()
        self._view: LiveView | None = None

    def unfinished(self, request: Request, card: ModelCard | None) -> Labels | None:
        """Return the layer of a run that was broken off, if this request would go on with it."""
        layer = find_result(self.viewer, request.layer, "labels", card.class_map if card else None)
        origin = None if layer is None else origin_of(layer)
        left = None if origin is None else origin.unfinished
        return layer if left is not None and left.signature == signature_of(request) else None

    def may_replace(self, layer: Labels | None) -> bool:
        """Tell whether a result may get other content: not if it is unfinished, or larger than the memory."""
        origin = None if layer is None else origin_of(layer)
        return origin is not None and origin.unfinished is None and not hasattr(layer, "store")

    def work(self, request: Request, card: ModelCard | None) -> Callable[[Report], Result]:
        """Return the work of a run, for another thread; what takes long is shown while it is made."""
        if card is not None and is_live(card, request):
            return self.begin(request, card)
        return segment_work(request, self.predictors)

    def begin(self, request: Request, card: ModelCard) -> Callable[[Report], Result]:
        """Prepare a run and begin to show it.

        Parameters
        ----------
        request : Request
        card : ModelCard

        Returns
        -------
        callable
            The work, for another thread.
        """
        large = is_large(request.picture)
        layer = self.unfinished(request, card)
        live = self._goes_on(request, layer) if layer is not None else self._new(request, card, large)
        self._view = LiveView(self.viewer, live, card.class_map, layer)
        self._view.start()
        return behind_the_window(live.work(self.predictors))

    def _goes_on(self, request: Request, layer: Labels) -> Live:
        origin = origin_of(layer)
        assert origin is not None
        state: Unfinished = origin.unfinished
        store = getattr(layer, "store", None)
        return Live(request, self._order(request), state, None if store is None else {}, store)

    def _new(self, request: Request, card: ModelCard, large: bool) -> Live:
        state = Unfinished(signature_of(request), None, None)
        state.picture = request.layer.data
        live = Live(request, self._order(request), state)
        if large:
            live.fingerprint = fingerprint_of(request, layer_path(request.layer))
            return live
        full = array_for(request, card.class_map.label_dtype)
        sure = array_for(request, "float32") if request.settings.confidence else None
        state.full = full
        state.labels = full if request.plane is None else full[request.plane]
        state.confidence = sure if sure is None or request.plane is None else sure[request.plane]
        return live

    def _order(self, request: Request) -> ViewOrder:
        return ViewOrder(view_of(self.viewer, request.layer, request.plane))

    # -- the end -----------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether tiles are being shown."""
        return self._view is not None

    def show(self, request: Request, result: Result) -> Labels:
        """Put the result of a run into the viewer; return its layer."""
        return self.finish(request, result) if self.is_running else self._put(request, result)

    def finish(self, request: Request, result: Result) -> Labels:
        """Show a finished run as what it is; return its layer."""
        assert self._view is not None
        view, self._view = self._view, None
        view.stop()
        layer = view.layer if view.layer is not None and view.layer in self.viewer.layers else None
        if request.onto is not None and layer is not None:
            view.remove()
            layer = request.onto
        elif layer is not None:
            view.settle()
        if view.live.store is None:
            put_confidence(self.viewer, request.layer, result.prediction, request.plane)
        else:
            put_stored_confidence(self.viewer, request.layer, view.live.store)
        labels = put_labels(
            self.viewer,
            request.layer,
            result.prediction,
            {} if view.live.state.touched else result.sums,  # what was painted is no result of a run
            plane=request.plane,
            onto=layer,
        )
        origin = origin_of(labels)
        if origin is not None:
            origin.unfinished = None
        put_objects(self.viewer, request.layer, result.prediction, request.plane)
        labels.refresh()  # the thumbnail; tiles were drawn one by one
        return labels

    def _put(self, request: Request, result: Result) -> Labels:
        put_confidence(self.viewer, request.layer, result.prediction, request.plane)
        labels = put_labels(
            self.viewer, request.layer, result.prediction, result.sums, plane=request.plane, onto=request.onto
        )
        put_objects(self.viewer, request.layer, result.prediction, request.plane)
        return labels

    def stop(self) -> str:
        """End a run that was broken off; return what to say about it, or "" if nothing is left of it."""
        if self._view is None:
            return ""
        view, self._view = self._view, None
        view.live.close()
        view.stop()
        layer = view.layer if view.layer is not None and view.layer in self.viewer.layers else None
        done, total = view.live.progress
        if layer is None or view.request.onto is not None or not done:
            view.remove()
            return ""
        origin = origin_of(layer)
        if origin is not None:
            origin.unfinished = view.live.state
        layer.refresh()
        return f"Stopped with {done} of {total} tiles done. Press Continue to go on."
