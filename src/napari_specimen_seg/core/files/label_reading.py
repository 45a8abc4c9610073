"""Reading label pictures from wherever they come."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np

from ..classes import ClassMap
from ..errors import ReadError, SpecimenWarning, one_line
from ..image import UNITS_IN_MM, SpecimenImage, SpecimenLabels
from .foreign_labels import ForeignLabels, whole_numbers
from .formats import format_of, read_head
from .images import read_image, read_indices
from .label_notes import LabelNotes

_AGREE = 1e-4
"""How far a pixel size may be off by rounding: TIFF programs keep about six digits."""


def read_labels(path: str | PathLike[str], class_map: ClassMap | None = None) -> SpecimenLabels:
    """Read a label picture.

    Files of this program give back what was written. Of other files:

    - palette pictures give their indices, or, where all their colours are those of the class map, the
      classes of the colours;
    - masks of nothing but 0 and 255 (or 65535) become 0 and 1, unless the class map has such an id, as do
      JPEG masks, by the half;
    - colour pictures are decoded with the class map, by the nearest colour where they are not exact; with
      three equal channels they are read as grey;
    - values above 65535 number objects, of which there must be many.

    Parameters
    ----------
    path : path-like
        A file, or a sample of the Data Science Bowl 2018, whose masks are merged.
    class_map : ClassMap, optional
        What the ids or colours mean, instead of what the file says. If neither says anything, a file
        ``classes.json`` in the same folder or one of the two above is used, provided it knows all ids.

    Returns
    -------
    SpecimenLabels
        Unsigned integers, (Y, X) or with leading axes; lazy where `read_image` is.

    Raises
    ------
    ReadError
        One line with the file, what is wrong with it and what to do.

    Warns
    -----
    SpecimenWarning
        If colours are not exact, a class map beside the file does not fit, or notes are damaged.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, class_map)
    image = read_indices(path)
    notes = _notes(path)
    if notes is None or (notes.class_map is None and "C" in image.axes):
        return ForeignLabels(path, image, class_map).read()
    if "C" in image.axes:
        decoded = ForeignLabels(path, image, class_map or notes.class_map).read()
        image = image.replace(data=decoded.data, axes=decoded.axes, channel_names=())
    return _as_written(image, notes, class_map)


def notes_text(path: Path) -> str | None:
    """Return the text of a file in which notes of this program may be, or None.

    Raises
    ------
    ReadError
        If it is no picture.
    """
    kind = format_of(path, read_head(path))
    if kind == "tiff":
        from .labels_tiff import notes_text as of_tiff

        return of_tiff(path)
    if kind == "png":
        from .labels_png import notes_text as of_png

        return of_png(path)
    return None


def _read_folder(path: Path, class_map: ClassMap | None) -> SpecimenLabels:
    from .dsb2018 import is_sample, read_sample

    if not is_sample(path):
        return ForeignLabels(path, read_image(path), class_map).read()
    _, labels = read_sample(path)
    if labels is None:
        raise ReadError("the sample has no masks", path=path)
    return replace(labels, class_map=class_map)


# -- files of this program ---------------------------------------------------------------------------------


def _notes(path: Path) -> LabelNotes | None:
    """Return the notes in a file; what is damaged is left out with a warning."""
    text = notes_text(path)
    try:
        return None if text is None else LabelNotes.parse(text)
    except ValueError as error:
        warnings.warn(
            f"{path.name}: the class names in it are damaged and left out ({one_line(error, 80)})",
            SpecimenWarning,
            stacklevel=3,
        )
        return None


def _as_written(image: SpecimenImage, notes: LabelNotes, class_map: ClassMap | None) -> SpecimenLabels:
    data, axes = image.data, image.axes
    same = _without_ones(data.shape) == _without_ones(notes.shape)
    if same:
        data, axes = data.reshape(notes.shape), notes.axes
    wanted = np.dtype(notes.dtype)
    widens = data.dtype.kind == "u" and data.dtype.itemsize <= wanted.itemsize
    if widens:
        data = data.astype(wanted, copy=False)
    keeps_levels = widens and data.shape == image.data.shape
    spacing, unit = _calibration(image, notes, same)
    return SpecimenLabels(
        whole_numbers(data, image.source),
        image.name,
        axes,
        spacing,
        unit,
        image.source,
        class_map=class_map or notes.class_map,
        provenance=notes.provenance,
        object_class=notes.classes_of_objects(),
        features=notes.features,
        levels=tuple(level.astype(wanted, copy=False) for level in image.levels if keeps_levels),
    )


def _without_ones(shape: tuple[int, ...]) -> list[int]:
    """Return planes, height and width without those that are 1, which TIFF does not tell apart."""
    return [n for n in (math.prod(shape[:-2]), *shape[-2:]) if n != 1]


def _calibration(image: SpecimenImage, notes: LabelNotes, same: bool) -> tuple[tuple[float, ...] | None, str]:
    """Choose between the exact pixel size of the notes and the rounded one of the file's own fields.

    Where they differ by more than rounding, another program has set the scale since: its word counts.
    """
    stated, noted = _in_mm(image.pixel_size_yx, image.unit), _in_mm(_yx(notes.spacing), notes.unit)
    if stated is None:
        return (notes.spacing, notes.unit) if same else (None, "pixel")
    if same and noted is not None:
        tolerance = [max(_AGREE, 0.6 * size / 1000) for size in noted]  # PNG counts whole pixels per metre
        if all(abs(a - b) <= t * b for a, b, t in zip(stated, noted, tolerance, strict=True)):
            return notes.spacing, notes.unit
    return image.spacing, image.unit


def _yx(spacing: tuple[float, ...] | None) -> tuple[float, float] | None:
    return None if spacing is None else (spacing[-2], spacing[-1])


def _in_mm(size: tuple[float, float] | None, unit: str) -> tuple[float, float] | None:
    if size is None or unit not in UNITS_IN_MM:
        return None
    return size[0] * UNITS_IN_MM[unit], size[1] * UNITS_IN_MM[unit]
