"""Open pictures with their masks in napari, with the measure dock, and save a picture of the window.

Called by `run_demo.py` in a process of its own, so that a display that does not work ends only that.
"""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari

PLUGIN = "napari-specimen-seg"


def main() -> None:
    """Show what the command line names."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("output", help="PNG to write")
    options.add_argument("paths", nargs="+", help="picture, mask, picture, mask, …")
    options.add_argument("--stay", action="store_true", help="keep the window open")
    arguments = options.parse_args()
    import napari

    viewer = napari.Viewer(title="napari-specimen-seg demo", show=True)
    viewer.window.resize(1500, 900)
    open_pairs(viewer, arguments.paths)
    viewer.window.add_plugin_dock_widget(PLUGIN, "Measure")
    settle()
    viewer.screenshot(arguments.output, canvas_only=False, flash=False)
    if arguments.stay:
        napari.run()


def open_pairs(viewer: "napari.Viewer", paths: list[str]) -> None:
    """Open pictures and masks side by side; the last mask is selected.

    Parameters
    ----------
    viewer : napari.Viewer
    paths : list of str
        Picture, mask, picture, mask.
    """
    for path in paths:
        viewer.open(path, plugin=PLUGIN)
    if len(paths) > 2:
        viewer.grid.enabled = True
        viewer.grid.stride = 2  # a picture and its mask share a field
    viewer.reset_view()


def settle(rounds: int = 50) -> None:
    """Let Qt draw what is waiting."""
    from qtpy.QtWidgets import QApplication

    for _ in range(rounds):
        QApplication.processEvents()


if __name__ == "__main__":
    main()
