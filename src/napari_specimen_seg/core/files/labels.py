"""Writing label pictures so that nothing is lost, and telling whether a file is one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..classes import ClassMap
from ..color_masks import encode_colors
from ..errors import ImageError, SpecimenError, WriteError
from ..image import PixelSize, SpecimenLabels, spacing_of, unit_name
from .atomic import atomic
from .foreign_labels import extremes
from .label_notes import LabelNotes
from .label_reading import notes_text, read_labels

__all__ = ["is_specimen_labels", "read_labels", "write_color_labels", "write_labels"]

_TIFF, _PNG = (".tif", ".tiff"), (".png",)


def write_labels(
    path: str | PathLike[str],
    labels: SpecimenLabels | Any,
    class_map: ClassMap | None = None,
    pixel_size: PixelSize | None = None,
    unit: str | None = None,
    *,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    features: Any = None,
) -> Path:
    """Write labels with everything that is known about them; `read_labels` gives the same again.

    The same labels give the same bytes: files hold no times.

    Parameters
    ----------
    path : path-like
        ``.tif`` or ``.tiff``: any number of planes, ids to 4294967295; opens in Fiji and QuPath with pixel
        size and, up to id 255, in the classes' colours. ``.ome.tif``: OME-TIFF. ``.png``: one plane, ids
        to 65535; palette indices in the classes' colours up to id 255.
    labels : SpecimenLabels or array
        (Y, X), or with leading axes; whole numbers from 0 up. Signed types and bool are stored unsigned.
        Planes of more than 134 million pixels get tiles and a pyramid, and lazy ones are written piece by
        piece.
    class_map : ClassMap, optional
        Instead of that of `labels`.
    pixel_size : float or (float, float), optional
        Edge of a pixel, or (height, width), in `unit`, instead of that of `labels`.
    unit : str, optional
        Of `pixel_size`: nm, um, mm, cm, m or inch.
    provenance : mapping, optional
        What made the labels, as plain values, instead of that of `labels`.
    overwrite : bool
        Whether an existing file is replaced.
    features : pandas.DataFrame or mapping of columns, optional
        A table to keep with the labels, instead of that of `labels`.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    WriteError
        If labels are not whole numbers from 0 up or do not fit into the format, if the file exists and
        `overwrite` is false, or it cannot be written.
    ImageError
        If `labels` has colours or too many dimensions, or the pixel size makes no sense.
    """
    path = Path(path)
    changes = {
        "class_map": class_map,
        "provenance": provenance,
        "features": None if features is None else dict(features),
    }
    return _write(path, _subject(path, labels, pixel_size, unit, changes), overwrite=overwrite)


def _write(path: Path, subject: SpecimenLabels, *, overwrite: bool) -> Path:
    stored = _stored_type(subject, path)
    suffix = path.suffix.lower()
    if suffix not in _TIFF + _PNG:
        raise WriteError(
            f"labels are not written as {suffix or 'a file without suffix'}",
            path=path,
            advice="End the name in .tif or .png.",
        )
    if suffix in _PNG:
        _refuse_for_png(path, subject, stored)
    with atomic(path, overwrite) as temporary:
        if suffix in _PNG:
            from .labels_png import write_png

            write_png(temporary, subject, stored)
        else:
            from .labels_tiff import write_tiff

            write_tiff(temporary, subject, stored, ome=path.stem.lower().endswith(".ome"))
    return path


def write_color_labels(
    path: str | PathLike[str],
    labels: SpecimenLabels | Any,
    class_map: ClassMap | None = None,
    overwrite: bool = False,
) -> Path:
    """Write labels as a PNG whose colours are those of the classes.

    Parameters
    ----------
    path : path-like
        Ends in ``.png``.
    labels : SpecimenLabels or array
        (Y, X) class ids.
    class_map : ClassMap, optional
        Which class has which colour; that of `labels` if left out.
    overwrite : bool
        Whether an existing file is replaced.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    ClassMapError
        If an id has no colour.
    WriteError
        If there is no class map, labels do not fit into the format, or the file cannot be written.
    """
    path = Path(path)
    subject = _subject(path, labels, None, None, {"class_map": class_map})
    stored = _stored_type(subject, path)
    if path.suffix.lower() not in _PNG:
        raise WriteError("colour-coded labels are written as PNG", path=path, advice="End the name in .png.")
    _refuse_for_png(path, subject, stored)
    if subject.class_map is None:
        raise WriteError("without a class map labels have no colours", path=path, advice="Give a class map.")
    values = np.asarray(subject.data)
    if subject.object_class is not None:
        values = subject.object_class[values]
    rgb = encode_colors(values, subject.class_map)
    with atomic(path, overwrite) as temporary:
        from .labels_png import write_rgb_png

        write_rgb_png(temporary, rgb, replace(subject, object_class=None), stored)
    return path


def is_specimen_labels(path: str | PathLike[str]) -> bool:
    """Whether this program wrote a file as labels. Looks at its header only.

    Parameters
    ----------
    path : path-like
        Any file or folder.

    Returns
    -------
    bool
        Also false where nothing can be read.
    """
    path = Path(path)
    try:
        text = notes_text(path)
        return text is not None and LabelNotes.parse(text) is not None
    except (SpecimenError, OSError, ValueError):
        return False


def _subject(
    path: Path, labels: Any, pixel_size: PixelSize | None, unit: str | None, changes: Mapping[str, Any]
) -> SpecimenLabels:
    """Put together what is to be written, as unsigned integers."""
    subject = SpecimenLabels.of(labels, path.stem)
    subject = replace(subject, **{key: value for key, value in changes.items() if value is not None})
    if pixel_size is None:
        return subject
    try:
        unit = subject.unit if unit is None else unit_name(unit)
    except ValueError as error:
        raise ImageError(error, path=path) from None
    spacing = spacing_of(pixel_size, subject.axes)
    if spacing is not None and subject.spacing is not None and unit == subject.unit:
        spacing = subject.spacing[:-2] + spacing[-2:]
    return replace(subject, spacing=spacing, unit=unit)


def _stored_type(labels: SpecimenLabels, path: Path) -> np.dtype[Any]:
    """Return the smallest unsigned type that holds all ids."""
    if labels.data.dtype.kind not in "biu":
        raise WriteError(
            f"labels must be whole numbers, not {labels.data.dtype}",
            path=path,
            advice="Round them to ids first.",
        )
    if 0 in labels.data.shape:
        raise WriteError("the labels have no pixels", path=path)
    if labels.data.dtype == np.uint8:
        return np.dtype(np.uint8)  # without reading all of what may be larger than the memory
    low, high = extremes(labels.data)
    if low < 0 or high > 0xFFFFFFFF:
        raise WriteError(f"labels must be 0 to 4294967295, not {low if low < 0 else high}", path=path)
    return np.dtype(np.uint8 if high < 256 else np.uint16 if high < 65536 else np.uint32)


def _refuse_for_png(path: Path, labels: SpecimenLabels, stored: np.dtype[Any]) -> None:
    if labels.data.ndim != 2:
        raise WriteError("PNG holds one plane, not a stack", path=path, advice="End the name in .tif.")
    if stored.itemsize > 2:
        raise WriteError("PNG holds ids up to 65535", path=path, advice="End the name in .tif.")
