"""A combo box of layers that follows the layer selected in napari until it is pinned."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from .dock import Dock, NameBox, slim

if TYPE_CHECKING:
    from napari.layers import Layer


class LayerPicker(QWidget):
    """Which layer a dock works on.

    Parameters
    ----------
    dock : Dock
        Whose viewer is listened to, for as long as it is open.
    accepts : callable
        Tells whether a layer may be chosen.
    what : str
        What the layer is called in tool tips, such as ``"picture"``.

    Signals
    -------
    layer_changed
        Another layer, or none, is chosen; carries it.
    """

    layer_changed = Signal(object)

    def __init__(self, dock: Dock, accepts: Callable[[Layer], bool], what: str) -> None:
        super().__init__()
        self._viewer = dock.viewer
        self._accepts = accepts
        self._layers: list[Layer] = []
        self._told: Layer | None = None
        self.combo = slim(NameBox())
        self.combo.setToolTip(f"The {what} to work on")
        self.combo.setAccessibleName(what.capitalize())
        self.pin = QPushButton()
        self.pin.setObjectName("lockButton")  # napari draws its lock on buttons of this name
        self.pin.setCheckable(True)
        self.pin.setToolTip("Locked: stay with this layer. Open: follow the layer selected in napari.")
        self.pin.setAccessibleName("Lock")
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.combo, 1)
        box.addWidget(self.pin)
        self.combo.activated.connect(self._on_chosen)
        self.pin.toggled.connect(lambda on: None if on else self._follow_selection())
        self._listen(dock)
        self.refresh()
        self._follow_selection()

    def _listen(self, dock: Dock) -> None:
        layers = self._viewer.layers
        for emitter in (layers.events.inserted, layers.events.removed, layers.events.reordered):
            dock.follow(emitter, self.refresh)
        dock.follow(layers.events.renamed, self.refresh)
        dock.follow(layers.selection.events.active, self._follow_selection)

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        index = self.combo.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    @property
    def layers(self) -> list[Layer]:
        """All layers that can be chosen, topmost first."""
        return list(self._layers)

    def choose(self, layer: Layer, *, pin: bool = True) -> None:
        """Choose a layer, and keep it until the pin is taken out."""
        if layer not in self._layers:
            return
        self.combo.setCurrentIndex(self._layers.index(layer))
        if pin:
            self.pin.setChecked(True)
        self._tell()

    def refresh(self, event: Any = None) -> None:
        """Bring the list up to date with the viewer."""
        del event
        before = self.layer
        self._layers = [layer for layer in reversed(self._viewer.layers) if self._accepts(layer)]
        with QSignalBlocker(self.combo):
            self.combo.clear()
            self.combo.addItems([layer.name for layer in self._layers])
            for index, layer in enumerate(self._layers):
                self.combo.setItemData(index, layer.name, 3)  # tool tip: names may be longer than the box
            if before in self._layers:
                self.combo.setCurrentIndex(self._layers.index(before))
        if before is not None and before not in self._layers:
            self.pin.setChecked(False)
            self._follow_selection()
        self._tell()

    def _follow_selection(self, event: Any = None) -> None:
        del event
        active = self._viewer.layers.selection.active
        if not self.pin.isChecked() and active in self._layers:
            self.combo.setCurrentIndex(self._layers.index(active))
        self._tell()

    def _on_chosen(self) -> None:
        self.pin.setChecked(True)
        self._tell()

    def _tell(self) -> None:
        if self.layer is not self._told:
            self._told = self.layer
            self.layer_changed.emit(self.layer)
