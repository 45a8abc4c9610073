"""The layers of a run that is shown while it is made, and where one looks meanwhile; in the GUI thread."""

from __future__ import annotations

import atexit
import threading
import warnings
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer

from ..core.classes import ClassMap
from ..core.image import SpecimenLabels
from .kept_results import EDITED_MARK
from .live import Box, Live
from .pictures import placement_of, plane_shape, shown_plane
from .results import (
    EDITED,
    Role,
    axes_of,
    find_result,
    insert,
    insert_confidence,
    labels_layer_of,
    origin_of,
)
from .undo import forget_under
from .view_order import View

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from ..core.files.label_store import LabelStore
    from .segment_run import Request

EVERY_MS = 100
"""How often new tiles are drawn, and the view is looked at."""

FLUSH_AFTER_MS = 1500
"""How long after a stroke what was painted goes to the disk."""


class LiveView(QObject):
    """Shows the tiles of a run as they come, and tells it where one looks.

    Parameters
    ----------
    viewer : napari.Viewer
    live : Live
    class_map : ClassMap
    layer : napari Labels layer, optional
        Of a run that was broken off, which goes on.
    parent : QObject, optional
    """

    def __init__(
        self,
        viewer: Viewer,
        live: Live,
        class_map: ClassMap,
        layer: Labels | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer, self.live, self.class_map = viewer, live, class_map
        self.layer = layer
        self.preview: Labels | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.update)

    @property
    def request(self) -> Request:
        """What is being segmented."""
        return self.live.request

    @property
    def _name(self) -> str:
        return f"{self.request.layer.name} labels"

    def start(self) -> None:
        """Begin to look."""
        self._note_running(on=True)
        self._timer.start()

    def stop(self) -> None:
        """Draw what has come, take the preview away, and look no more."""
        self._timer.stop()
        if self.request.layer in self.viewer.layers:
            self.update()
        self._note_running(on=False)
        if self.preview is not None and self.preview in self.viewer.layers:
            self.viewer.layers.remove(self.preview)
        self.preview = None

    def _note_running(self, *, on: bool) -> None:
        """Let others know that what is in the layer is about to change."""
        origin = None if self.layer is None else origin_of(self.layer)
        if origin is not None:
            origin.running = on

    def remove(self) -> None:
        """Take the layer away; for runs whose result goes into another one."""
        if self.layer is not None and self.layer in self.viewer.layers:
            self.viewer.layers.remove(self.layer)
        self.layer = None

    def settle(self) -> None:
        """Make the layer the result of its picture, if it was only to show the run."""
        origin = None if self.layer is None else origin_of(self.layer)
        if self.layer is not None and origin is not None and origin.role == "running":
            origin.role = "labels"
            self.layer.name = self._name

    def update(self) -> None:
        """Draw what is new and visible."""
        if self.request.layer not in self.viewer.layers:
            return
        self.live.order.look(view_of(self.viewer, self.request.layer, self.request.plane))
        boxes = self.live.take()
        self._show_preview(boxes)
        if boxes or self.live.store is not None:
            self._make_layer()
        for plane, rows, columns in boxes:
            if self.layer is None or self.layer not in self.viewer.layers:
                return  # somebody took it away; the run goes on all the same
            box = (*_lead(self.layer, self.request, plane), rows, columns)
            forget_under(self.layer, box)
            show_changed(self.layer, box)

    def _show_preview(self, boxes: list[Box]) -> None:
        found = self.live.preview
        if found is None:
            return
        if self.preview is None:
            self.preview = preview_layer(self.request, found.labels, self.class_map)
            placed = placement_2d(self.request.layer)
            self.preview.scale = np.asarray(placed["scale"]) * found.step
            middle = (np.array([found.top, found.left]) + (found.step - 1) / 2) * placed["scale"]
            self.preview.translate = np.asarray(placed["translate"]) + middle
            active = self.viewer.layers.selection.active
            self.viewer.layers.insert(self.viewer.layers.index(self.request.layer) + 1, self.preview)
            self.viewer.layers.selection.active = active
            self.preview.editable = False
        elif boxes and self.preview in self.viewer.layers:
            self.preview.refresh(extent=False, thumbnail=False)

    def _make_layer(self) -> None:
        """Put the layer into the viewer, when there is something to see."""
        if self.layer is not None:
            return
        with warnings.catch_warnings():
            # napari hides a warning of its colours, but the filters are one for all threads of a program.
            warnings.simplefilter("ignore")
            self._insert_layer()

    def _insert_layer(self) -> None:
        active = self.viewer.layers.selection.active
        store = self.live.store
        name = self._name
        self.layer = (
            memory_layer(self.request, self.live.state.full, self.class_map, name)
            if store is None
            else store_layer(self.request, store, self.class_map, name)
        )
        self.layer.events.paint.connect(self.live.state.touch)
        role: Role = "labels" if self.request.onto is None or store is not None else "running"
        if role == "running":
            self.layer.name = f"{name} (new)"
        insert(self.viewer, self.request.layer, self.layer, role)
        self._note_running(on=self._timer.isActive())
        if self.preview is not None and self.preview in self.viewer.layers:
            layers = self.viewer.layers
            layers.move(layers.index(self.layer), layers.index(self.preview) + 1)
        self.viewer.layers.selection.active = active


def view_of(viewer: Viewer, layer: Layer, plane: tuple[int, ...] | None = None) -> View:
    """Return what of a picture is visible.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : napari Image layer
    plane : tuple of int, optional
        The only plane that is segmented; the one that is shown if left out.

    Returns
    -------
    View
        All of the picture where the viewer does not tell, as in three dimensions.
    """
    shown = () if plane is not None else shown_plane(layer, layer.world_to_data(_point(viewer, layer)))
    try:
        return _seen(viewer, layer, shown)
    except (AttributeError, ValueError, ZeroDivisionError):
        height, width = (int(n) for n in layer.level_shapes[0][_yx(layer)])
        return View(0, height, 0, width, shown)


def _seen(viewer: Viewer, layer: Layer, shown: tuple[int, ...]) -> View:
    if viewer.dims.ndisplay != 2:
        raise ValueError("a picture in space has no rows and columns on the screen")
    camera = getattr(viewer, "scene", viewer).camera  # napari 0.9 moved both
    size = viewer.canvas.size if hasattr(viewer, "canvas") else viewer._canvas_size
    half = np.asarray(size, float)[-2:] / camera.zoom / 2
    middle = np.asarray(camera.center, float)[-2:]
    axes = list(viewer.dims.displayed)[-2:]
    corners = []
    for signs in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        point = np.array(viewer.dims.point, float)
        point[axes] = middle + half * signs
        corners.append(np.asarray(layer.world_to_data(point[-layer.ndim :]))[_yx(layer)])
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    return View(float(low[0]), float(high[0]), float(low[1]), float(high[1]), shown)


def _point(viewer: Viewer, layer: Layer) -> Any:
    return viewer.dims.point[-layer.ndim :]


def _yx(layer: Layer) -> list[int]:
    """Return which axes of a layer are rows and columns."""
    from .pictures import channel_axis

    channels = None if getattr(layer, "rgb", False) else channel_axis(layer)
    return [axis for axis in range(layer.ndim) if axis != channels][-2:]


# -- layers ------------------------------------------------------------------------------------------


def memory_layer(request: Request, labels: Any, class_map: ClassMap, name: str) -> Labels:
    """Return a layer on labels in memory, which may still be written."""
    return labels_layer_of(
        SpecimenLabels(labels, name, axes_of(labels), class_map=class_map), placement_of(request.layer)
    )


def preview_layer(request: Request, labels: Any, class_map: ClassMap) -> Labels:
    """Return a layer of a coarse preview."""
    found = SpecimenLabels(labels, f"{request.layer.name} preview", "YX", class_map=class_map)
    layer = labels_layer_of(found, placement_2d(request.layer))
    layer.opacity = 0.5
    return layer


def store_layer(request: Request, store: LabelStore, class_map: ClassMap, name: str) -> Labels:
    """Return a layer on labels on the disk, which can be painted on.

    Parameters
    ----------
    request : Request
    store : LabelStore
        The layer keeps it until the layer is removed from its viewer, or the program ends.
    class_map : ClassMap
    name : str

    Returns
    -------
    napari Labels layer
    """
    from .large_labels import LargeLabels
    from .layers import labels_layer

    empty = SpecimenLabels(np.zeros((1,) * store.labels.ndim, np.uint8), name, class_map=class_map,
                           axes=axes_of(store.labels))  # fmt: skip
    attributes = labels_layer(empty)[1]
    layer = LargeLabels(store, **{**attributes, **_placement_of_store(request.layer, store)})
    keep_painted(layer, store)
    return layer


def _placement_of_store(picture: Image, store: LabelStore) -> dict[str, Any]:
    """Return where results lie that are of all planes of a picture, or of one."""
    return placement_of(picture) if store.labels.ndim == picture.ndim else placement_2d(picture)


def put_stored_confidence(viewer: Viewer, picture: Image, store: LabelStore) -> Layer | None:
    """Show how sure the model is, from the disk at the zoom of the screen; hidden at first.

    Parameters
    ----------
    viewer : napari.Viewer
    picture : napari Image layer
    store : LabelStore
        Where it keeps no confidence, nothing is shown.

    Returns
    -------
    napari Image layer or None
        In the place of an earlier one.
    """
    if store.confidence is None:
        return None
    old = find_result(viewer, picture, "confidence")
    if old is not None:
        viewer.layers.remove(old)
    levels = [level.as_dask() for level in store.confidence_levels]
    return insert_confidence(viewer, picture, levels, _placement_of_store(picture, store), multiscale=True)


def placement_2d(layer: Image) -> dict[str, Any]:
    """Return where rows and columns of a picture lie."""
    placed = placement_of(layer)
    return {key: placed[key][-2:] for key in ("scale", "translate", "units", "axis_labels")} | {
        "rotate": placed["rotate"][-2:, -2:],
        "affine": np.asarray(placed["affine"])[-3:, -3:] if np.ndim(placed["affine"]) == 2 else None,
    }


def show_changed(layer: Labels, box: tuple[slice, ...]) -> None:
    """Draw a part of a layer anew whose labels were changed behind its back.

    Parameters
    ----------
    layer : napari Labels layer
    box : tuple of slice
        One for each axis.
    """
    if hasattr(layer, "show_changed"):
        layer.show_changed(box)
    elif layer.visible and not _draw_part(layer, box):
        layer.refresh(extent=False, thumbnail=False)


def _draw_part(layer: Labels, box: tuple[slice, ...]) -> bool:
    """Send only a part to the graphics card, as a brush does; False where this napari cannot."""
    try:
        displayed = list(layer._slice_input.displayed)
        hidden = layer._get_pt_not_disp()
        if any(not box[axis].start <= at < box[axis].stop for axis, at in hidden.items()):
            return True  # another plane is shown
        is_plain = len(displayed) == 2 and displayed == sorted(displayed)
        if not is_plain or not np.may_share_memory(layer.data, layer._slice.image.view):
            return False
        layer._updated_slice = box
        layer._partial_labels_refresh()
    except AttributeError:
        return False
    return True


def _lead(layer: Labels, request: Request, plane: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the plane of a tile as slices of the layer's stacked axes."""
    full = (*(request.plane or ()), *plane)[-(layer.ndim - 2) :] if layer.ndim > 2 else ()
    return tuple(slice(at, at + 1) for at in full)


def array_for(request: Request, dtype: Any) -> Any:
    """Return labels of zeros for a request: of the whole stack, even if one plane is segmented."""
    image = request.picture
    lead = plane_shape(request.layer) if request.plane is not None else image.planes()
    return np.zeros((*lead, image.height, image.width), dtype)


# -- what was painted goes to the disk -----------------------------------------------------------------

_open: weakref.WeakSet[Any] = weakref.WeakSet()


def keep_painted(layer: Labels, store: LabelStore) -> None:
    """Write strokes to the disk when the hand rests; close the store when the program ends."""
    timer = QTimer()
    timer.setSingleShot(True)
    timer.setInterval(FLUSH_AFTER_MS)
    timer.timeout.connect(lambda: threading.Thread(target=_flush, args=(store,), daemon=True).start())

    # In the folder too, for whoever goes on with it: the labels are not only the model's any more.
    mark = store.folder / EDITED_MARK
    if mark.exists():
        layer.metadata[EDITED] = True

    def painted(event: Any = None) -> None:
        del event
        if not layer.metadata.get(EDITED):
            layer.metadata[EDITED] = True
            with suppress(OSError):
                mark.touch()
        timer.start()

    layer.events.paint.connect(painted)
    _open.add(store)


def _flush(store: LabelStore) -> None:
    with suppress(Exception):  # a full disk is told when the labels are saved
        store.flush()
        (store.folder / EDITED_MARK).touch()  # what was painted is kept from now on


@atexit.register
def _close_all() -> None:
    for store in list(_open):
        with suppress(Exception):
            store.close()
