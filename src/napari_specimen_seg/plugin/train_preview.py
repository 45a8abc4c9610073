"""Twelve varied samples with their labels, as the network will see them, in a window of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QDialog, QLabel, QSizePolicy, QSlider, QVBoxLayout, QWidget

from ..core.errors import SpecimenError
from ..core.progress import Progress, Report
from .dock import button, heading, quiet, row
from .family import HELPER
from .status import error_line
from .workers import Job

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from ..training.config import TrainConfig
    from ..training.samples import SampleSource, Sheet

Prepared = tuple["TrainConfig", Callable[[], Any]]
"""Settings, and what writes open layers to the files that they name."""

AFTER_MS = 350
"""How long after the last change of a setting the samples are made anew."""

OPACITY = 45


def blended(sheet: Sheet, opacity: float) -> NDArray[np.uint8]:
    """Return the samples with the colours of their classes laid over them.

    Parameters
    ----------
    sheet : Sheet
    opacity : float
        Of the colours, 0 to 1; background has none.

    Returns
    -------
    array
        (Y, X, 3) uint8.
    """
    picture = sheet.picture if sheet.picture.ndim == 3 else np.repeat(sheet.picture[..., None], 3, -1)
    colors = np.zeros((max(sheet.class_map.ids) + 1, 3), np.float32)
    for item in sheet.class_map:
        colors[item.id] = np.array(item.rgb) / 255
    share = np.where(sheet.labels > 0, opacity, 0.0)[..., None]
    mixed = picture * (1 - share) + colors[sheet.labels] * share
    return np.ascontiguousarray(np.rint(mixed * 255).clip(0, 255).astype(np.uint8))


class SampleView(QLabel):
    """A picture that fills its room without changing its shape."""

    def __init__(self) -> None:
        super().__init__()
        self._pixmap = QPixmap()
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setMinimumSize(240, 180)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)

    def show_array(self, picture: NDArray[np.uint8]) -> None:
        """Show (Y, X, 3) uint8."""
        height, width = picture.shape[:2]
        image = QImage(picture.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        self._pixmap = QPixmap.fromImage(image.copy())
        self._fit()

    def _fit(self) -> None:
        if not self._pixmap.isNull():
            keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
            self.setPixmap(self._pixmap.scaled(self.size(), keep, smooth))

    def resizeEvent(self, event: Any) -> None:
        """Fit the picture into the new room."""
        super().resizeEvent(event)
        self._fit()


class PreviewWindow(QDialog):
    """Shows samples, and makes them anew when the settings change while it is open.

    Parameters
    ----------
    viewer : napari.Viewer
    prepare : callable
        Returns the settings as they stand; raises `SpecimenError`.
    parent : QWidget
    """

    def __init__(self, viewer: Viewer, prepare: Callable[[], Prepared], parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._prepare = prepare
        self._source: SampleSource | None = None
        self._job: Job | None = None
        self._stale = False
        self.turn = 0
        self.sheet: Sheet | None = None
        self.setWindowTitle("What the network will see")
        self.setModal(False)
        self.view = SampleView()
        self.about = quiet()
        self.new = button("New samples", self.next_turn, "The same settings, other random numbers")
        self.layers = button("Open as layers", self.open_layers, "To zoom in with napari")
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setValue(OPACITY)
        self.opacity.setToolTip("How strongly the labels are laid over the pictures")
        self.opacity.setAccessibleName("Labels")
        self.opacity.valueChanged.connect(self._paint)
        box = QVBoxLayout(self)
        box.addWidget(self.view, 1)
        box.addWidget(self.about)
        box.addLayout(row(heading("Labels"), self.opacity, self.new, self.layers, stretch=1))
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(AFTER_MS)
        self._wait.timeout.connect(self._start)

    def sizeHint(self) -> QSize:
        """Ask for a size that leaves the dock visible on a small screen."""
        return QSize(880, 640)

    @property
    def is_busy(self) -> bool:
        """Whether samples are being made."""
        return self._job is not None or self._wait.isActive()

    def open(self) -> None:
        """Show the window with fresh samples."""
        self.show()
        self.raise_()
        self._start()

    def next_turn(self) -> None:
        """Make other samples."""
        self.turn += 1
        self._start()

    def on_setting(self) -> None:
        """Make the samples anew soon, if anybody looks."""
        if self.isVisible():
            self._wait.start()

    def _start(self) -> None:
        if self._job is not None:
            self._stale = True
            return
        try:
            config, write = self._prepare()
        except SpecimenError as error:
            self.about.setText(str(error))
            return
        self._stale = False
        self.about.setText("Making samples…")
        self._job = Job("Preview", self._work(config, write, self.turn), shown=False)
        self._job.succeeded.connect(self._on_sheet)
        self._job.failed.connect(lambda error: self.about.setText(error_line(error)))
        self._job.finished.connect(self._on_end)
        self._job.start()

    def _work(self, config: TrainConfig, write: Callable[[], Any], turn: int) -> Callable[[Report], Sheet]:
        def work(report: Report) -> Sheet:
            report(Progress("reading pictures", 0, 0))
            from ..training.samples import SampleSource

            if self._source is None:
                self._source = SampleSource()
            write()
            report(Progress("varying", 0, 0))
            return self._source.sheet(config, turn=turn)

        return work

    def _on_sheet(self, sheet: Sheet, warned: tuple[str, ...]) -> None:
        self.sheet = sheet
        told = " ".join(warned)
        self.about.setText(
            f"Twelve samples as they are learned from, labels in class colours. {told}".strip()
        )
        self._paint()

    def _on_end(self) -> None:
        self._job = None
        if self._stale:
            self._start()

    def _paint(self) -> None:
        if self.sheet is not None:
            self.view.show_array(blended(self.sheet, self.opacity.value() / 100))

    def open_layers(self) -> None:
        """Show the samples as two layers, for zooming in."""
        if self.sheet is not None:
            show_samples(self._viewer, self.sheet)

    def shut_down(self) -> None:
        """Stop working and close."""
        self._wait.stop()
        self._stale = False
        if self._job is not None:
            self._job.blockSignals(True)
            self._job.cancel()
            self._job = None
        self.close()


def show_samples(viewer: Viewer, sheet: Sheet) -> None:
    """Show a sheet as a picture with labels on it; an earlier one is replaced."""
    from .layers import class_colormap

    for name in ("augmented samples", "augmented labels"):
        if name in viewer.layers:
            viewer.layers.remove(name)
    helper = {HELPER: True}
    viewer.add_image(
        sheet.picture, name="augmented samples", rgb=sheet.picture.shape[-1] == 3, metadata=dict(helper)
    )
    viewer.add_labels(
        sheet.labels,
        name="augmented labels",
        colormap=class_colormap(sheet.class_map),
        opacity=0.5,
        metadata=dict(helper),
    )
    viewer.reset_view()
