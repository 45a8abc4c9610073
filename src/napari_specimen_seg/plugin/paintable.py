"""Labels that are read from the disk bit by bit, which napari only shows: a copy that can be painted on."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..core.files.tile_notes import TileKey
from ..core.progress import Progress, Report
from .dock import Dock, button, quiet
from .kept_results import results_folder
from .live_view import keep_painted
from .pictures import labels_array, layer_path
from .results import KEY

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

    from ..core.files.label_store import LabelStore

BAND = 16384
"""Columns that are copied at a time, of as many rows as a chunk of the store has."""

RETRY_MS = 200

SAME = (
    "name", "scale", "translate", "rotate", "affine", "units", "axis_labels", "opacity", "blending",
    "visible", "colormap", "features",
)  # fmt: skip
"""What the copy takes over from the layer."""


def can_only_be_shown(layer: Labels) -> bool:
    """Tell whether napari lets nobody paint on a layer because it is not in memory."""
    return not hasattr(layer, "store") and (layer.multiscale or not isinstance(layer.data, np.ndarray))


def copy_work(layer: Labels) -> Callable[[Report], LabelStore]:
    """Return the work that copies the labels of a layer to where they can be painted on.

    Parameters
    ----------
    layer : napari Labels layer

    Returns
    -------
    callable
        A copy of the same file that was broken off, or painted on and not saved, is gone on with.
    """
    data, identity = labels_array(layer), _identity(layer)

    def work(report: Report) -> LabelStore:
        report(Progress("copying", 0, 0))
        store = _open(identity, data)
        try:
            done = store.finished()
            parts = list(_parts(data.shape))
            for number, key in enumerate(parts):
                report(Progress("copying", number, len(parts)))
                if key not in done:
                    rows, columns = slice(key.top, key.bottom), slice(key.left, key.right)
                    store.write(key, np.asarray(data[(*key.plane, rows, columns)]))
            store.flush()
        except BaseException:
            store.close()
            raise
        return store

    return work


def _identity(layer: Labels) -> dict[str, Any]:
    """Return what tells labels from others: their file, or in this session only their layer."""
    path = layer_path(layer)
    with suppress(OSError):
        if path is not None:
            status = path.stat()
            return {"labels": str(path), "bytes": status.st_size, "changed": status.st_mtime_ns}
    return {"layer": str(layer.unique_id)}


def _open(identity: dict[str, Any], data: Any) -> LabelStore:
    from ..core.files.folder_lock import StoreInUseError
    from ..core.files.label_store import StoreShape, open_store

    holds = StoreShape(tuple(int(n) for n in data.shape), str(data.dtype))
    for folder in _folders(identity):
        with suppress(StoreInUseError):
            store = open_store(folder, holds, identity)
            store.recover(verify=False)
            return store
    raise AssertionError("there is always another name")


def _folders(identity: dict[str, Any]) -> Iterator[Path]:
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    return (results_folder() / f"{name}-copy{number}.zarr" for number in itertools.count())


def _parts(shape: tuple[int, ...]) -> Iterator[TileKey]:
    from ..core.files.label_store import CHUNK

    height, width = shape[-2:]
    for plane in np.ndindex(*shape[:-2]):
        for top in range(0, height, CHUNK):
            for left in range(0, width, BAND):
                yield TileKey(plane, top, min(top + CHUNK, height), left, min(left + BAND, width))


def paintable_layer(layer: Labels, store: LabelStore) -> Labels:
    """Return a layer on a copy, which looks like the layer that it is a copy of."""
    from .large_labels import LargeLabels

    attributes = layer.as_layer_data_tuple()[1]
    metadata = {key: value for key, value in layer.metadata.items() if key != KEY}
    made = LargeLabels(store, **{key: attributes[key] for key in SAME}, metadata=metadata)
    keep_painted(made, store)
    return made


class PaintableOffer(QWidget):
    """Says that labels can only be looked at, with a button that changes that.

    Parameters
    ----------
    dock : Dock
        Whose job copies.
    """

    def __init__(self, dock: Dock) -> None:
        super().__init__()
        self._dock = dock
        self._layer: Labels | None = None
        self.go = button("Make paintable", self.copy, "Copy them to where napari can change them")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(quiet("These labels are too large to be painted on as they are."))
        box.addWidget(self.go)
        self.setVisible(False)

    def show_layer(self, layer: Layer | None) -> None:
        """Offer a copy of a layer, if it needs one."""
        self._layer = layer if layer is not None and can_only_be_shown(layer) else None
        self.setVisible(self._layer is not None)

    def copy(self) -> None:
        """Copy the labels, and show the copy instead of them; what the dock does meanwhile is stopped."""
        layer = self._layer
        if layer is None:
            return
        if self._dock.job is not None:
            self._dock.cancel()
            QTimer.singleShot(RETRY_MS, self.copy)
            return
        self.go.setEnabled(False)
        job = self._dock.run(
            f"Copy {layer.name}", copy_work(layer), lambda store, _: self._show(layer, store)
        )
        job.finished.connect(lambda: self.go.setEnabled(True))

    def _show(self, layer: Labels, store: LabelStore) -> None:
        layers = self._dock.viewer.layers
        if layer not in layers:
            store.close()
            return
        made = paintable_layer(layer, store)
        place = layers.index(layer)
        layers.remove(layer)
        layers.insert(place, made)
        layers.selection.active = made
