"""Writing the labels of a dock's result to a file that keeps names, colours, pixel size and origin."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QWidget

from ..core.image import PixelSize, SpecimenLabels
from ..core.progress import Progress, Report
from .family import labels_of
from .pictures import given_size, layer_path, picture_of
from .results import provenance_now

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

SUFFIXES = (".tif", ".tiff", ".png")
FILTERS = "TIFF with class names and pixel size (*.tif *.tiff);;PNG with palette (*.png)"


def ask_where(parent: QWidget, labels: Labels, picture: Image | None) -> Path | None:
    """Ask which file to write.

    Parameters
    ----------
    parent : QWidget
        Over which the question is shown.
    labels : napari Labels layer
    picture : napari Image layer, optional
        Gives the name and folder that are proposed.

    Returns
    -------
    Path or None
        None if the person cancelled.
    """
    path, _ = QFileDialog.getSaveFileName(parent, "Save labels", str(proposed(labels, picture)), FILTERS)
    if not path:
        return None
    _last.clear()
    _last.append(Path(path).parent)
    return Path(path) if Path(path).suffix else Path(f"{path}.tif")


_last: list[Path] = []
"""The folder that was saved to before, in this session."""


def proposed(labels: Labels, picture: Image | None) -> Path:
    """Return what labels may be saved as: the file they came from, else a name after their picture.

    Beside the picture, unless nobody keeps pictures there: samples lie in the folder of a program.
    """
    own = layer_path(labels) if picture is None else None
    if own is not None and own.suffix.lower() in SUFFIXES and _is_ours(own.parent):
        return own
    source = own if picture is None else layer_path(picture)
    name = f"{labels.name}.tif" if picture is None else f"{picture.name}_labels.tif"
    if source is not None and _is_ours(source.parent):
        return source.with_name(name)
    return (_last[0] if _last else Path.home()) / name


def _is_ours(folder: Path) -> bool:
    """Tell whether a person may write into a folder and it belongs to no program."""
    programs = {Path(path) for path in sysconfig.get_paths().values()} | {Path(sys.prefix)}
    return os.access(folder, os.W_OK) and not any(folder.is_relative_to(program) for program in programs)


def save_work(viewer: Viewer, layer: Labels, picture: Image | None, path: Path) -> Callable[[Report], Path]:
    """Return the work of writing a layer's labels as the command line writes them.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : napari Labels layer
    picture : napari Image layer, optional
        What the labels were made from.
    path : Path
        The dialog has asked whether it may be replaced.

    Returns
    -------
    callable
        Takes a report function; returns the path. The same bytes as those of ``specimen-seg predict`` with
        the same picture, model and settings, unless the labels were edited.
    """
    labels = labels_of(layer, viewer)
    source = None if picture is None else layer_path(picture)
    image = None if picture is None else picture_of(picture)
    size = (None, None) if picture is None else given_size(picture)

    def work(report: Report) -> Path:
        from ..core.files import write_labels

        report(Progress("saving", 0, 0))
        provenance = provenance_now(layer)
        subject = labels
        if image is not None:
            subject = labels.replace(axes=image.plane_axes)
        known = source is not None and source.exists() and {"model", "engine"} <= provenance.keys()
        if image is not None and source is not None and known:
            provenance = _with_input(provenance, source, image.data.shape, labels, *size)
        return Path(write_labels(path, subject, provenance=provenance, overwrite=True))

    return work


def _with_input(
    provenance: dict[str, Any],
    source: Path,
    shape: tuple[int, ...],
    labels: SpecimenLabels,
    size: PixelSize | None,
    unit: str | None,
) -> dict[str, Any]:
    """Add what the command line notes of the picture."""
    from ..batch.record import given_pixel_size
    from ..core.provenance import provenance_of

    given = given_pixel_size(size, unit)
    more = {} if given is None else {"pixel_size": given.model_dump(mode="json")}
    return provenance_of({**provenance, **more}, source, shape=tuple(shape), class_map=labels.class_map)
