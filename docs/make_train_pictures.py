"""Make the pictures of the Train dock in ``docs/images``: from open layers to a trained model and its answer.

Run it on a screen of 1366 x 768 pixels, real or virtual, with labelled pictures of beetles (those in the
documentation are from BeetleFlow, CC BY 4.0)::

    xvfb-run -s "-screen 0 1366x768x24" python docs/make_train_pictures.py --data beetles/train
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # nobody's own settings

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QPoint, QSettings, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QScrollArea, QWidget
from window_hand import draw, on_canvas, pause, until

from napari_specimen_seg.plugin.dock import PLUGIN, open_dock
from napari_specimen_seg.plugin.segment import SegmentDock
from napari_specimen_seg.plugin.stroke_layers import BACKGROUND
from napari_specimen_seg.plugin.train import TrainDock

TARGET = Path(__file__).parent / "images"
WORK = Path(tempfile.gettempdir()) / "beetles"
COUNT = 8
CLASSES = 2


def click(widget: QWidget) -> None:
    """Click a control as a person does, after scrolling to it."""
    pause(0.2)
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton)
    pause(0.2)


def grab(name: str, widget: QWidget | None = None) -> None:
    """Keep a picture of the screen, or of one window, in few colours, which is small."""
    pause()
    shot = WORK / f"{name}.png"
    taken = QApplication.primaryScreen().grabWindow(0) if widget is None else widget.grab()
    assert taken.save(str(shot))
    path = TARGET / f"{name}.png"
    with Image.open(shot) as opened:
        opened.convert("RGB").quantize(256, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size // 1000} kB")


class Walk:
    """A window, and a person in front of it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.viewer = napari.Viewer(show_welcome_screen=False)
        self.window = self.viewer.window._qt_window
        self.window.resize(1366, 768)
        self.window.move(0, 0)
        pause(1.5)
        self.dock: TrainDock

    def open(self) -> None:
        """Open pictures with their labels, and the Train dock, which takes them by itself."""
        for picture in sorted((self.data / "images").iterdir())[:COUNT]:
            labels = self.data / "labels" / f"{picture.stem}.png"
            self.viewer.open([str(picture), str(labels)], plugin=PLUGIN)
        self.viewer.reset_view()
        self.dock = open_dock(self.viewer, TrainDock, "Train")
        until(lambda: self.dock._looked is not None and self.dock.job is None)

    def choose(self, epochs: int) -> None:
        """Learn on from the model that comes with the package, with the encoder as it is."""
        self.dock.setup.start_from.choose("beetle-parts")
        self.dock.settings.set("learn", epochs=epochs, lr=2e-4, freeze_encoder=True, batch_size=4)
        grab("train-layers")

    def look(self) -> None:
        """Look at twelve samples."""
        samples = self.dock.setup.samples
        click(self.dock.setup.preview)
        until(lambda: samples.sheet is not None and not samples.is_busy)
        grab("train-preview", samples)
        samples.close()

    def unfold(self) -> None:
        """Show some of the settings."""
        settings = self.dock.settings
        click(settings.toggle)
        click(settings.toggles["Learning"])
        area = self.dock.findChild(QScrollArea)
        area.verticalScrollBar().setValue(settings.mapTo(area.widget(), QPoint(0, 0)).y())
        grab("train-settings")
        settings.toggles["Learning"].click()
        settings.toggle.click()
        area.verticalScrollBar().setValue(0)

    def train(self, epochs: int) -> None:
        """Train, and look at the curves and the answer meanwhile."""
        click(self.dock.go)
        until(lambda: len(self.dock.curves.epochs) >= epochs - 1)
        self.dock.curves.tabs.setCurrentIndex(CLASSES)
        pause(2)
        grab("train-dock")
        until(lambda: not self.dock.watcher.is_running)
        print(self.dock.status.text.text())

    def use(self) -> None:
        """Segment a picture that was never seen with the new model."""
        self.viewer.layers.clear()
        unseen = sorted((self.data / "images").iterdir())[COUNT + 1]
        self.viewer.open(str(unseen), plugin=PLUGIN)
        self.viewer.reset_view()
        click(self.dock.after.use)
        segment = self.window.findChildren(SegmentDock)[0]
        click(segment.go)
        until(lambda: segment.job is None)
        grab("train-result")
        print(segment.models.name, segment.status.text.text())

    def teach(self) -> None:
        """Draw two strokes on the same picture, and let the model learn from them."""
        open_dock(self.viewer, TrainDock, "Train")
        self.viewer.layers.pop()
        click(self.dock.mode_strokes)
        panel = self.dock.strokes
        click(panel.go)
        until(lambda: self.dock.job is None)
        for class_id, stroke in ((BACKGROUND, ((0.04, 0.2), (0.03, 0.8))), (5, ((0.5, 0.5), (0.7, 0.52)))):
            click(panel.legend.buttons[class_id])
            self._draw(*stroke)
        click(panel.go)
        until(lambda: self.dock.job is None)
        grab("train-strokes")
        print(self.dock.status.text.text())

    def _draw(self, *points: tuple[float, float]) -> None:
        """Draw with the mouse on the strokes, from place to place in parts of the picture."""
        layer = self.viewer.layers.selection.active
        before = np.array(layer.data)
        layer.brush_size = 14
        ends = (np.multiply(point, layer.data.shape) for point in points)
        draw(self.viewer, [on_canvas(self.viewer, layer, end) for end in ends])
        assert (layer.data != before).any(), "the stroke did not arrive"


def main() -> None:
    """Walk through the dock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with images and labels")
    parser.add_argument("--epochs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, place)
        os.environ["SPECIMEN_SEG_MODELS"] = str(WORK / "models")
        shutil.rmtree(WORK, ignore_errors=True)
        data = WORK / "data"  # a name that may stand in a picture
        shutil.copytree(given.data, data, ignore=shutil.ignore_patterns("masks_rgb"))
        if (given.data.parent / "classes.json").is_file():
            shutil.copy(given.data.parent / "classes.json", WORK)
        walk = Walk(data)
        walk.open()
        walk.choose(given.epochs)
        walk.look()
        walk.unfold()
        walk.train(given.epochs)
        walk.use()
        walk.teach()
        walk.viewer.close()
        shutil.rmtree(WORK, ignore_errors=True)


if __name__ == "__main__":
    main()
