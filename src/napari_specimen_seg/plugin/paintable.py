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
from .choices import Role, ask_which
from .dock import Dock, button, quiet
from .kept_results import EDITED_MARK, forget_old, results_folder, sample_of_array
from .live_view import keep_painted
from .pictures import labels_array, layer_path
from .results import KEY
from .workers import Job

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

    from ..core.files.label_store import LabelStore

BAND = 16384
"""Columns that are copied at a time, of as many rows as a chunk of the store has."""

RETRY_MS = 200

PAINTED = "Goes on with what was painted earlier and not saved."

SAME = (
    "name", "scale", "translate", "rotate", "affine", "units", "axis_labels", "opacity", "blending",
    "visible", "colormap", "features",
)  # fmt: skip
"""What the copy takes over from the layer."""


def can_only_be_shown(layer: Labels) -> bool:
    """Tell whether napari lets nobody paint on a layer because it is not in memory."""
    return not hasattr(layer, "store") and (layer.multiscale or not isinstance(layer.data, np.ndarray))


def copy_work(layer: Labels, *, instead_of: Path | None = None) -> Callable[[Report], LabelStore]:
    """Return the work that copies the labels of a layer to where they can be painted on.

    Parameters
    ----------
    layer : napari Labels layer
    instead_of : Path, optional
        An earlier copy that is not to be gone on with; it is removed.

    Returns
    -------
    callable
        A copy of the same file that was broken off, or painted on and not saved, is gone on with.
    """
    data, identity = labels_array(layer), _identity(layer)

    def work(report: Report) -> LabelStore:
        from ..core.files.label_store import remove_unused

        report(Progress("copying", 0, 0))
        forget_old(results_folder())
        if instead_of is not None:
            remove_unused(instead_of)
        store = _open({**identity, "sample": sample_of_array(data, data.shape[:-2])}, data, report)
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
    """Return what tells labels from others: file and name, or in this session only their layer.

    One file may give several layers; what is in them, and whether a folder has changed, only a look at the
    pixels tells.
    """
    path = layer_path(layer)
    with suppress(OSError):
        if path is not None:
            status = path.stat()
            file = {"labels": str(path), "bytes": status.st_size, "changed": status.st_mtime_ns}
            return {**file, "name": layer.name}
    return {"layer": str(layer.unique_id)}


def _open(identity: dict[str, Any], data: Any, report: Report) -> LabelStore:
    from ..core.files.folder_lock import StoreInUseError
    from ..core.files.label_store import StoreShape, open_store

    holds = StoreShape(tuple(int(n) for n in data.shape), str(data.dtype))
    for folder in _folders(identity):
        with suppress(StoreInUseError):
            return _in_order(open_store(folder, holds, identity), report)
    raise AssertionError("there is always another name")


def _in_order(store: LabelStore, report: Report) -> LabelStore:
    try:
        store.recover(verify=False, report=report)
    except BaseException:
        store.close()
        raise
    return store


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
        self._copying: Job | None = None
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
        if self._layer is not None:
            self.go.setEnabled(False)
            self._copy_when_free(self._layer)

    def _copy_when_free(self, layer: Labels) -> None:
        if self._dock.job is not None:
            self._dock.cancel()
            QTimer.singleShot(RETRY_MS, lambda: self._copy_when_free(layer))
        elif layer in self._dock.viewer.layers:
            self._copy(layer)
        else:
            self.go.setEnabled(True)

    def _copy(self, layer: Labels, instead_of: Path | None = None) -> None:
        self.go.setEnabled(False)
        work = copy_work(layer, instead_of=instead_of)
        job = self._dock.run(f"Copy {layer.name}", work, lambda store, _: self._show(layer, store))
        self._copying = job
        job.finished.connect(lambda: self._on_end(job))

    def _on_end(self, job: Job) -> None:
        if job is self._copying:  # else its end has begun another copy
            self._copying = None
            self.go.setEnabled(True)

    def _show(self, layer: Labels, store: LabelStore) -> None:
        layers = self._dock.viewer.layers
        if layer not in layers:
            store.close()
            return
        painted = store.continued and (store.folder / EDITED_MARK).exists()
        if painted and not self._goes_on(layer, store):
            return
        made = paintable_layer(layer, store)
        place = layers.index(layer)
        layers.remove(layer)
        layers.insert(place, made)
        layers.selection.active = made
        if painted:
            self._dock.status.show_hint(PAINTED)

    def _goes_on(self, layer: Labels, store: LabelStore) -> bool:
        """Ask whether what was painted earlier is to be there again; do what is wanted instead of it."""
        answer = ask_to_go_on(self, layer.name)
        if answer != "go on":
            store.close()
        if answer == "begin anew":
            self._copy(layer, instead_of=store.folder)
        return answer == "go on"


def ask_to_go_on(parent: QWidget, name: str) -> str:
    """Ask what is to happen to what was painted on a copy of labels and not saved.

    Parameters
    ----------
    parent : QWidget
        Over which the question is shown.
    name : str
        Of the layer.

    Returns
    -------
    {"go on", "begin anew", "cancel"}
    """
    question = f"“{name}” was painted on earlier, and that was not saved."
    told = "Go on with what was painted, or begin from the file? What was painted is lost then."
    answers = {
        "go on": ("Go on", Role.AcceptRole),
        "begin anew": ("Begin from the file", Role.DestructiveRole),
        "cancel": ("Cancel", Role.RejectRole),
    }
    return ask_which(parent, "Go on painting?", question, told, answers)
