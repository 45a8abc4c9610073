"""Make the pictures of the Evaluate dock and of the report in ``docs/images``.

Run it on a screen of 1366 x 768 pixels, real or virtual, with labelled pictures of beetles (those in the
documentation are from BeetleFlow, CC BY 4.0), a smaller copy of the model, and Chromium for the report::

    specimen-seg export beetle-parts -o beetle-parts-int8 --format openvino --precision int8 \
        --calibrate beetles/train/images
    xvfb-run -s "-screen 0 1366x768x24" python docs/make_evaluate_pictures.py \
        --data beetles/val --small beetle-parts-int8
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # nobody's own settings

import napari
from PIL import Image
from qtpy.QtCore import QSettings
from window_hand import pause, until

from napari_specimen_seg.evaluation.output import write_results
from napari_specimen_seg.plugin.dock import open_dock
from napari_specimen_seg.plugin.evaluate import EvaluateDock

TARGET = Path(__file__).parent / "images"
WORK = Path(tempfile.gettempdir()) / "beetles"
SCORES, CONFUSION, COMPARE = 0, 1, 4


def store(picture: Image.Image, name: str) -> None:
    """Write a picture as it is: few colours would mix up those of classes."""
    picture.convert("RGB").save(TARGET / f"{name}.png", optimize=True)


def grab(viewer: napari.Viewer, name: str) -> None:
    """Take a picture of the window."""
    pause()
    store(Image.fromarray(viewer.window.screenshot(canvas_only=False, flash=False)), name)


def run(dock: EvaluateDock) -> None:
    """Press the button and wait."""
    dock.evaluate()
    until(lambda: dock.job is None)
    print(dock.status.text.text())


def report_picture(dock: EvaluateDock, place: Path) -> None:
    """Take a picture of the report in a browser, if there is one."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert dock.tabs.evaluated is not None
    page = write_results(place / "report", dock.tabs.evaluated.evaluation)[0]
    if browser is None:
        print("no Chromium here: the picture of the report stays as it is")
        return
    shot = place / "report.png"
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1200,1150"]
    subprocess.run(
        [browser, *options, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True
    )
    store(Image.open(shot), "evaluate-report")


def main() -> None:
    """Walk through the dock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with images and labels")
    parser.add_argument("--small", type=Path, required=True, help="smaller copy of beetle-parts")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, place)
        data = WORK / given.data.name  # a name that may stand in a picture
        shutil.copytree(given.data, data, dirs_exist_ok=True)
        if (given.data.parent / "classes.json").is_file():
            shutil.copy(given.data.parent / "classes.json", WORK)
        viewer = napari.Viewer()
        viewer.window._qt_window.resize(1366, 768)
        dock = open_dock(viewer, EvaluateDock, "Evaluate")
        dock.data.labels.choose(data / "labels")
        dock.competitors.add_model("beetle-parts")
        run(dock)
        grab(viewer, "evaluate-scores")
        dock.tabs.setCurrentIndex(CONFUSION)
        names = [item.name for item in dock.tabs.evaluated.evaluation.class_map]
        dock.tabs.grid.cell_chosen.emit(names.index("legs"), names.index("antennas"))
        grab(viewer, "evaluate-confusion")
        report_picture(dock, Path(place))
        dock.competitors.add_model(str(given.small))
        run(dock)
        dock.tabs.setCurrentIndex(COMPARE)
        grab(viewer, "evaluate-compare")
        viewer.close()


if __name__ == "__main__":
    main()
