"""The pixel size of a picture and all that belongs to it: shown, typed in, or taken from a drawn line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QVBoxLayout, QWidget

from ..core.errors import ImageError, SpecimenError
from .dock import button, heading, quiet, row
from .family import family_of
from .pictures import CALIBRATED, layer_unit, pretty_unit

if TYPE_CHECKING:
    from napari.layers import Labels, Layer, Shapes
    from napari.viewer import Viewer

UNITS = ("mm", "um", "nm", "cm", "m", "inch")
RULER = "ruler"


def set_pixel_size(layers: list[Layer], size: float, unit: str) -> None:
    """Give layers a pixel size. What lay on top of each other still does.

    Parameters
    ----------
    layers : list of napari layers
    size : float
        Edge of a pixel in `unit`; must be positive.
    unit : str
        nm, um, mm, cm, m or inch.

    Raises
    ------
    ImageError
        If the size is not a positive number.
    """
    if not (math.isfinite(size) and size > 0):
        raise ImageError(f"a pixel size of {size:g} makes no sense", advice="Type a number above zero.")
    for layer in layers:
        scale, translate = np.array(layer.scale), np.array(layer.translate)
        ratio = size / np.abs(scale[-2:])
        scale[-2:] = np.sign(scale[-2:]) * size
        translate[-2:] *= ratio
        layer.scale = scale
        layer.translate = translate
        layer.units = (*layer.units[:-2], unit, unit)
        layer.metadata[CALIBRATED] = True


def keep_view(viewer: Viewer, ratio: NDArray[np.float64]) -> None:
    """Go on showing the same part of a picture that has grown by these factors (rows, columns)."""
    camera = getattr(viewer, "scene", viewer).camera  # napari 0.9 moved it
    center = np.array(camera.center)
    center[-2:] *= ratio
    camera.center = tuple(float(at) for at in center)
    camera.zoom = camera.zoom / float(np.sqrt(ratio.prod()))


class PixelSize(QWidget):
    """The line with the pixel size, and the ruler to unfold.

    Parameters
    ----------
    viewer : napari.Viewer

    Signals
    -------
    size_set
        The pixel size was changed by the person.
    refused
        It could not be; carries the error.
    """

    size_set = Signal()
    refused = Signal(object)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._labels: Labels | None = None
        self.value = _length_box("Edge of a pixel; type a number to set it")
        self.value.setSpecialValueText("unknown")
        self.unit = _unit_box()
        self.set = button("Set", self.apply, "Give this pixel size to the labels and their picture")
        self.ruler = button(
            "Calibrate…", lambda: None, "Find the pixel size with a line of known length", checkable=True
        )
        self.panel = QWidget()
        self.length = _length_box("How long the drawn line is in nature")
        self.length_unit = _unit_box()
        self.draw = button("Draw line", self.start_line, "Draw a line on a scale bar or ruler in the picture")
        self.use = button("Use", self.apply_line, "Compute the pixel size from line and length")
        self._arrange()
        self.value.valueChanged.connect(lambda _: self._note_change(changed=True))
        self.unit.currentIndexChanged.connect(lambda _: self._note_change(changed=True))
        self.ruler.toggled.connect(self._turn)

    def _arrange(self) -> None:
        inner = QVBoxLayout(self.panel)
        inner.setContentsMargins(12, 0, 0, 0)
        inner.addWidget(quiet("Draw a line along something of known length, type the length, press Use."))
        inner.addLayout(row(self.draw, self.length, self.length_unit, self.use, stretch=1))
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addLayout(row(heading("Pixel size"), self.value, self.unit, self.set, self.ruler, stretch=1))
        self._note_change(changed=False)
        box.addWidget(self.panel)
        self.panel.setVisible(False)

    def show_layer(self, labels: Labels | None) -> None:
        """Show the pixel size of a layer.

        Parameters
        ----------
        labels : napari Labels layer or None
        """
        self._labels = labels
        self.setEnabled(labels is not None)
        unit = "pixel" if labels is None else layer_unit(labels)
        with QSignalBlocker(self.value), QSignalBlocker(self.unit):
            if labels is None or unit == "pixel":
                self.value.setValue(0)
            else:
                self.value.setValue(float(np.sqrt(np.prod(np.abs(labels.scale[-2:])))))
                self.unit.setCurrentIndex(UNITS.index(unit))
        self._note_change(changed=False)

    def _note_change(self, *, changed: bool) -> None:
        """Offer Set once something was typed; there is no room for both buttons in a narrow dock."""
        self.set.setVisible(changed)
        self.ruler.setVisible(not changed)

    def apply(self) -> None:
        """Give the typed pixel size to the labels and their picture."""
        self._apply(self.value.value(), UNITS[self.unit.currentIndex()], [])

    def _apply(self, size: float, unit: str, more: list[Layer]) -> None:
        if self._labels is None:
            return
        before = np.abs(np.array(self._labels.scale[-2:]))
        try:
            set_pixel_size([*family_of(self._viewer, self._labels), *more], size, unit)
        except SpecimenError as error:
            self.refused.emit(error)
            return
        keep_view(self._viewer, size / before)
        self.show_layer(self._labels)
        self.size_set.emit()

    # -- the ruler ---------------------------------------------------------------------------------

    def start_line(self) -> None:
        """Add a layer with the line tool, in the labels' pixels, or go on with the one there is."""
        if self._labels is None:
            return
        ruler = self.find_ruler()
        if ruler is None:
            ruler = self._viewer.add_shapes(
                ndim=2,
                name=RULER,
                scale=self._labels.scale[-2:],
                translate=self._labels.translate[-2:],
                units=self._labels.units[-2:],
                edge_width=max(1.0, min(self._labels.data.shape[-2:]) / 300),
                edge_color="red",
                face_color="transparent",
            )
        self._viewer.layers.selection.active = ruler
        ruler.mode = "add_line"

    def find_ruler(self) -> Shapes | None:
        """Return the ruler's layer, if there is one."""
        return next(
            (la for la in self._viewer.layers if la.name == RULER and hasattr(la, "shape_type")), None
        )

    def apply_line(self) -> None:
        """Compute the pixel size from the last line and its length, and set it."""
        ruler = self.find_ruler()
        lines = [] if ruler is None else [
            data for data, kind in zip(ruler.data, ruler.shape_type, strict=True) if kind == "line"
        ]  # fmt: skip
        length = self.length.value()
        try:
            if not lines:
                raise ImageError(
                    "there is no line yet", advice="Press Draw line and draw one in the picture."
                )
            if length <= 0:
                raise ImageError("the length of the line is missing", advice="Type it in.")
            pixels = float(np.linalg.norm(np.diff(lines[-1][:, -2:], axis=0)))
            if pixels < 1:
                raise ImageError("the line is shorter than a pixel", advice="Draw a longer one.")
        except SpecimenError as error:
            self.refused.emit(error)
            return
        assert ruler is not None
        self._apply(length / pixels, UNITS[self.length_unit.currentIndex()], [ruler])

    def _turn(self, on: bool) -> None:
        self.panel.setVisible(on)


class _LengthBox(QDoubleSpinBox):
    """A number box that shows no more digits than there are."""

    def textFromValue(self, value: float) -> str:
        """Return the number as text."""
        return f"{value:.6g}"


def _length_box(tip: str) -> QDoubleSpinBox:
    box = _LengthBox()
    box.setDecimals(9)
    box.setRange(0, 1e6)
    box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
    box.setToolTip(tip)
    box.setStyleSheet("QAbstractSpinBox { min-width: 34px; padding: 1px 6px; }")  # narrower than napari's
    return box


def _unit_box() -> QComboBox:
    combo = QComboBox()
    combo.addItems([pretty_unit(unit) for unit in UNITS])
    return combo
