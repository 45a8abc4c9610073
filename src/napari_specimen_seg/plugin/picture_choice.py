"""Which picture to segment, and which plane of a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QWidget

from .dock import Dock, heading, quiet, slim
from .family import HELPER
from .layer_picker import LayerPicker
from .pictures import describe_layer, plane_in_view, plane_shape
from .results import Plane, origin_of

if TYPE_CHECKING:
    from napari.layers import Image, Layer

ONE, WHOLE = "this plane", "whole stack"


class PictureChoice(QWidget):
    """A picker of pictures with a line about the chosen one; for stacks also: this plane, or all.

    Parameters
    ----------
    dock : Dock
        Whose viewer's layers can be chosen.

    Signals
    -------
    layer_changed
        Another picture, or none, is chosen; carries it.
    changed
        Another plane is chosen, or the picture's pixel size or data changed.
    """

    layer_changed = Signal(object)
    changed = Signal()

    def __init__(self, dock: Dock) -> None:
        super().__init__()
        self._dock = dock
        self._watched: Layer | None = None
        self.picker = LayerPicker(dock, _is_picture, "picture")
        self.about = quiet()
        self.planes = slim(QComboBox())
        self.planes.addItems([ONE, WHOLE])
        self.planes.setToolTip("A stack can be segmented plane by plane, or all at once")
        self.planes_head = heading("Planes")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        grid.addWidget(heading("Picture"), 0, 0)
        grid.addWidget(self.picker, 0, 1)
        grid.addWidget(self.about, 1, 1)
        grid.addWidget(self.planes_head, 2, 0)
        grid.addWidget(self.planes, 2, 1)
        self.picker.layer_changed.connect(self._on_layer)
        self.planes.currentTextChanged.connect(lambda _: self.changed.emit())
        self._on_layer(self.layer)

    @property
    def layer(self) -> Image | None:
        """The chosen picture."""
        return self.picker.layer

    @property
    def is_one_plane(self) -> bool:
        """Whether one plane of a stack is meant, not all of a picture."""
        return self.layer is not None and bool(plane_shape(self.layer)) and self.planes.currentText() == ONE

    def plane(self) -> Plane | None:
        """Return the indices of the plane that the viewer shows, or None if all of the picture is meant."""
        layer = self.layer
        if layer is None or not self.is_one_plane:
            return None
        return plane_in_view(self._dock.viewer, layer)

    def pixels(self) -> int:
        """Return how many pixels are to be segmented."""
        layer = self.layer
        if layer is None:
            return 0
        data = layer.data[0] if layer.multiscale else layer.data
        pixels = int(data.size) // (data.shape[-1] if layer.rgb else 1)
        for count in plane_shape(layer) if self.is_one_plane else ():
            pixels //= max(1, count)
        return pixels

    def _on_layer(self, layer: Layer | None) -> None:
        self._watch(layer)
        self.about.setText("" if layer is None else describe_layer(layer))
        is_stack = layer is not None and bool(plane_shape(layer))
        for widget in (self.planes, self.planes_head):
            widget.setVisible(is_stack)
        self.layer_changed.emit(layer)

    def _watch(self, layer: Layer | None) -> None:
        """Keep the line about the picture true when its scale or data change."""
        for watched, listen in ((self._watched, False), (layer, True)):
            if watched is None:
                continue
            for emitter in (watched.events.scale, watched.events.units, watched.events.data):
                if listen:
                    self._dock.follow(emitter, self._on_change)
                else:
                    self._dock.unfollow(emitter)
        self._watched = layer

    def _on_change(self, event: Any = None) -> None:
        del event
        if self.layer is not None:
            self.about.setText(describe_layer(self.layer))
            self.changed.emit()


def _is_picture(layer: Layer) -> bool:
    """Tell whether a layer is a picture, and neither a result of this dock nor a helper of another."""
    from napari.layers import Image

    return isinstance(layer, Image) and origin_of(layer) is None and HELPER not in layer.metadata
