"""Writing the labels of a dock's result to a file that keeps names, colours, pixel size and origin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from ..core.errors import SpecimenError
from .family import labels_of
from .pictures import layer_path

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from .dock import Dock

FILTERS = "TIFF with class names and pixel size (*.tif);;PNG with palette (*.png)"


def save_labels(dock: Dock, labels: Labels, picture: Image | None) -> Path | None:
    """Ask for a file and write labels to it.

    Parameters
    ----------
    dock : Dock
        Over which the question is shown; errors go to its status line.
    labels : napari Labels layer
    picture : napari Image layer, optional
        Gives the name and folder that are proposed.

    Returns
    -------
    Path or None
        None if the person cancelled, or it could not be written.
    """
    from ..core.files import write_labels

    source = None if picture is None else layer_path(picture)
    name = f"{labels.name if picture is None else picture.name}.tif"
    proposed = str(source.parent / "results" / name) if source is not None else name
    path, _ = QFileDialog.getSaveFileName(dock, "Save labels", proposed, FILTERS)
    if not path:
        return None
    content = labels_of(labels, dock.viewer)
    try:
        written: Path = write_labels(path, content, provenance=dict(content.provenance), overwrite=True)
    except SpecimenError as error:
        dock.show_error(error)
        return None
    return written
