"""What the scripts that make pictures of the window share: waiting, and a hand on the mouse."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication


def pause(seconds: float = 0.8) -> None:
    """Let the window do what it has to."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
        time.sleep(0.005)


def until(condition: Callable[[], bool], seconds: float = 1800) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not condition():
        pause(0.05)
        if time.monotonic() > end:
            raise TimeoutError("the dock did not finish")


def on_canvas(viewer: napari.Viewer, layer: napari.layers.Layer, point: Sequence[float]) -> QPoint:
    """Return where a pixel of a layer is on the canvas."""
    y, x = layer.data_to_world(point)[-2:]
    camera = viewer.scene.camera
    size = viewer.window._qt_viewer.canvas.native.size()
    _, centre_y, centre_x = camera.center
    return QPoint(
        round(size.width() / 2 + (x - centre_x) * camera.zoom),
        round(size.height() / 2 + (y - centre_y) * camera.zoom),
    )


def draw(viewer: napari.Viewer, places: Sequence[QPoint]) -> None:
    """Draw with the mouse from one place of the canvas to the next."""
    native, left = viewer.window._qt_viewer.canvas.native, Qt.MouseButton.LeftButton
    QTest.mouseMove(native, places[0])
    pause(0.1)
    QTest.mousePress(native, left, pos=places[0])
    for start, end in pairwise(places):
        for share in np.linspace(0.1, 1, 10):
            QTest.mouseMove(native, start + (end - start) * share)
            pause(0.02)
    QTest.mouseRelease(native, left, pos=places[-1])
    pause(0.3)
