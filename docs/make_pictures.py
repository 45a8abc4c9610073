"""Make the pictures of the docks in ``docs/images``: a walk through napari, step by step.

Run it on a screen of 1366 x 768 pixels, real or virtual::

    xvfb-run -s "-screen 0 1366x768x24" python docs/make_pictures.py [--beetle PICTURE]

The tissue section is the one that scikit-image ships. With ``--beetle`` a photograph of a pinned beetle is
added; those in the documentation are from BeetleFlow (CC BY 4.0).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # nobody's own settings

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QSettings, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QFileDialog, QLineEdit
from window_hand import draw, on_canvas, pause, until

from napari_specimen_seg.plugin.dock import PLUGIN, open_dock
from napari_specimen_seg.plugin.measure import MeasureDock
from napari_specimen_seg.plugin.segment import SegmentDock

TARGET = Path(__file__).parent / "images"
WORK = Path(tempfile.gettempdir()) / "specimens"

MOST_BYTES = 300_000


def grab(name: str) -> None:
    """Keep a picture of the screen; where it would be large, in few colours."""
    pause()
    path = TARGET / f"{name}.png"
    if not QApplication.primaryScreen().grabWindow(0).save(str(path)):
        sys.exit(f"{path} cannot be written")
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture.save(path, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        picture.quantize(256, kmeans=2, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size // 1000} kB")


class Walk:
    """A window, and a person in front of it."""

    def __init__(self) -> None:
        self.viewer = napari.Viewer(show_welcome_screen=False)
        self.window = self.viewer.window._qt_window
        self.window.showMaximized()
        pause(1.5)
        self.segment: SegmentDock
        self.measure: MeasureDock

    def open(self, *paths: Path) -> None:
        """Open files with the plugin's reader."""
        self.viewer.open([str(path) for path in paths], plugin=PLUGIN)
        self.viewer.reset_view()

    def run(self, model: str) -> None:
        """Choose a model, press the button, wait."""
        self.segment.models.choose(model)
        QTest.mouseClick(self.segment.go, Qt.MouseButton.LeftButton)
        until(lambda: self.segment.job is None)

    def open_segment(self) -> None:
        """Open the Segment dock."""
        self.segment = open_dock(self.viewer, SegmentDock, "Segment")
        pause()

    def open_measure(self) -> None:
        """Press Measure in the Segment dock."""
        QTest.mouseClick(self.segment.measure, Qt.MouseButton.LeftButton)
        self.measure = self.window.findChildren(MeasureDock)[0]
        until(lambda: self.measure.job is None and self.measure.measured is not None)

    def stroke(self, *points: tuple[float, float]) -> None:
        """Draw with the mouse from one place of the picture to the next, in pixels of the picture."""
        layer = self.viewer.layers.selection.active
        draw(self.viewer, [on_canvas(self.viewer, layer, point) for point in points])

    def key(self, key: Qt.Key) -> None:
        """Press Ctrl and a key over the picture."""
        native = self.viewer.window._qt_viewer.canvas.native
        native.setFocus()
        QTest.keyClick(native, key, Qt.KeyboardModifier.ControlModifier)
        pause(0.3)

    def save(self, name: str, target: Path) -> None:
        """Press Save labels, and keep a picture of the dialog."""

        def in_dialog() -> None:
            dialog = QApplication.activeModalWidget()
            assert isinstance(dialog, QFileDialog)
            dialog.findChild(QLineEdit).setText(str(target))
            grab(name)
            box = dialog.findChild(QDialogButtonBox)
            box.button(QDialogButtonBox.StandardButton.Save).click()

        QTimer.singleShot(800, in_dialog)
        QTest.mouseClick(self.segment.save, Qt.MouseButton.LeftButton)
        until(lambda: self.segment.job is None and target.exists())


def tissue(walk: Walk) -> None:
    """Walk from a tissue section to measured nuclei, saved and opened again."""
    picture, labels = WORK / "tissue.png", WORK / "tissue_labels.tif"
    with as_file(files("skimage.data") / "ihc.png") as shipped:
        shutil.copyfile(shipped, picture)
    walk.open(picture)
    grab("01-open")
    walk.open_segment()
    walk.segment.models.choose("nuclei")
    grab("02-segment-dock")
    walk.run("nuclei")
    grab("03-result")
    result = walk.viewer.layers["tissue labels"]
    before = np.array(result.data)
    QTest.mouseClick(walk.segment.legend.buttons[1], Qt.MouseButton.LeftButton)
    result.brush_size = 14
    walk.stroke((300, 120), (330, 200), (300, 260))
    assert (result.data != before).any(), "the stroke did not arrive"
    grab("04-brush")
    walk.key(Qt.Key.Key_Z)
    assert (result.data == before).all(), "Undo did not bring the labels back"
    grab("05-undo")
    result.mode = "pan_zoom"
    walk.open_measure()
    walk.measure.levels.buttons["object"].click()
    until(lambda: walk.measure.job is None and walk.measure.measured.per == "object")
    frame = walk.measure.measured.frame
    away = np.hypot(frame["centroid_y"] - 256, frame["centroid_x"] - 256).where(frame["area"] > 100)
    walk.measure.table.selectRow(int(away.argmin()))
    grab("06-measure")
    open_dock(walk.viewer, SegmentDock, "Segment")
    walk.save("07-save", labels)
    walk.viewer.layers.clear()
    walk.open(picture, labels)
    assert (np.asarray(walk.viewer.layers[-1].data) == before).all(), "what was saved is not what is read"
    open_dock(walk.viewer, MeasureDock, "Measure")
    until(lambda: walk.measure.job is None and walk.measure.measured is not None)
    grab("08-reopen")


def beetle(walk: Walk, picture: Path) -> None:
    """Show the nine parts of a beetle, and what they measure."""
    walk.viewer.layers.clear()
    copied = WORK / "beetle.jpg"
    shutil.copyfile(picture, copied)
    walk.open(copied)
    walk.segment = open_dock(walk.viewer, SegmentDock, "Segment")
    walk.run("beetle-parts")
    grab("09-beetle-parts")
    walk.open_measure()
    walk.measure.levels.buttons["class"].click()
    until(lambda: walk.measure.job is None and walk.measure.measured.per == "class")
    grab("10-beetle-measure")


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beetle", type=Path, help="a photograph of a pinned beetle")
    chosen = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as settings:
        QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, settings)
        walk = Walk()
        tissue(walk)
        if chosen.beetle is not None:
            beetle(walk, chosen.beetle)
        walk.viewer.close()
    shutil.rmtree(WORK, ignore_errors=True)


if __name__ == "__main__":
    main()
