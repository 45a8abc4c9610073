"""Draw the picture of the how-to on pictures larger than memory.

    xvfb-run -s "-screen 0 1366x768x24" python docs/make_large_picture.py

A slide of 40,000 x 40,000 pixels is made of a stained section that scikit-image ships; it is segmented with a
bundled model until some tiles are done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import napari
import numpy as np
from PIL import Image
from qtpy.QtWidgets import QApplication
from skimage.data import immunohistochemistry

from napari_specimen_seg.plugin.dock import open_dock
from napari_specimen_seg.plugin.segment import SegmentDock

SIDE, TILES, ZOOM = 40_000, 7, 0.19
HERE = Path(__file__).parent / "images"


def slide(side: int) -> list[Any]:
    """Return a pyramid of a section that repeats, mirrored so that no seams show."""
    tissue = immunohistochemistry()
    half = np.concatenate([tissue, tissue[:, ::-1]], axis=1)
    piece = np.concatenate([half, half[::-1]], axis=0)
    levels = []
    while True:
        count = -(-side // piece.shape[0])
        block = da.from_array(piece, chunks=piece.shape)
        row = da.concatenate([block] * count, axis=1)
        levels.append(da.concatenate([row] * count, axis=0)[:side, :side])
        if side <= 2000:
            return levels
        side, piece = side // 2, np.ascontiguousarray(piece[::2, ::2])


def wait(until: Callable[[], bool], seconds: float) -> None:
    """Let the window work until something is so, or time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        QApplication.processEvents()
        time.sleep(0.01)


def main() -> None:
    """Open the window, segment, and save what is seen."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1366, 768)
    viewer.add_image(
        slide(SIDE), name="slide", rgb=True, multiscale=True, scale=(0.25,) * 2, units=("um",) * 2
    )
    dock = open_dock(viewer, SegmentDock, "Segment")
    dock.models.choose("nuclei")
    dock.options.on_reset()
    viewer.scene.camera.center = (0, SIDE * 0.1, SIDE * 0.125)
    viewer.scene.camera.zoom = 4 * ZOOM
    wait(lambda: False, 2)
    dock.go.click()
    wait(lambda: dock._live._view is not None and dock._live._view.live.progress[0] >= TILES, 400)
    wait(lambda: False, 0.5)
    shot = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)).convert("RGB")
    shot.quantize(200, dither=Image.Dither.NONE).save(HERE / "large-live.png", optimize=True)
    dock.cancel()
    wait(lambda: dock.job is None, 10)
    for layer in [layer for layer in viewer.layers if hasattr(layer, "store")]:
        layer.store.delete()
    viewer.close()


if __name__ == "__main__":
    main()
