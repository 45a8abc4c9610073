"""Open each picture with its mask in a napari window, with the Measure dock, and save a picture of it.

Called by `run_demo.py` in a process of its own, so that a display that does not work ends only that.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari

PLUGIN = "napari-specimen-seg"


def main() -> None:
    """Show what the command line names."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--shows", nargs=3, action="append", metavar=("PICTURE", "MASK", "PNG"), required=True
    )
    options.add_argument("--stay", action="store_true", help="keep the windows open")
    arguments = options.parse_args()
    import napari

    for picture, mask, png in arguments.shows:
        open_window(picture, mask).screenshot(png, canvas_only=False, flash=False)
    if arguments.stay:
        napari.run()


def open_window(picture: str, mask: str) -> napari.Viewer:
    """Open a window with a picture, the mask over it and its table.

    Parameters
    ----------
    picture, mask : str

    Returns
    -------
    napari.Viewer
    """
    import napari

    viewer = napari.Viewer(title=Path(picture).name, show=True)
    viewer.window.resize(1500, 900)
    viewer.open(picture, plugin=PLUGIN)
    for layer in viewer.open(mask, plugin=PLUGIN):
        layer.name = f"{Path(picture).stem} labels"
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Measure")
    wait_for(lambda: getattr(dock, "measured", True) is not None)
    viewer.reset_view()
    wait_for(lambda: False, seconds=1)  # what was measured is drawn only now
    return viewer


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Let Qt work until something is so, or time is up."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        QApplication.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    main()
