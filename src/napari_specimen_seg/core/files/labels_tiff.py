"""Labels as TIFF: ids that every program reads, colours and pixel size for Fiji and QuPath.

Up to 16 bits it is an ImageJ TIFF: Fiji and Bio-Formats take the pixel size from resolution and unit,
Fiji keeps the notes in its Info property, and the ids of 8 bits are palette indices, so that classes show
in colour in any viewer. ImageJ's format has no 32-bit integers and no more than 2 GB in one piece;
such labels become OME-TIFF. Planes of more than `PYRAMID_PIXELS` become OME-TIFF in tiles with a pyramid,
which QuPath, napari and Bio-Formats show without reading all of it; they are written piece by piece.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..image import UNITS_IN_MM, Array, SpecimenImage, SpecimenLabels, loaded
from .label_notes import KEY, LabelNotes, colors_by_id

IMAGEJ_BYTES = 1 << 31
"""The most bytes that an ImageJ TIFF may take before compression; above, Fiji opens it no more."""

CLASSIC_BYTES = (1 << 32) - (1 << 25)
TILE = 512

PYRAMID_PIXELS = 1 << 27
"""Planes of more pixels (11,585 x 11,585) get tiles and a pyramid: all of them at once are too much to
write in little memory, and for many a graphics card to show."""

BAND = 16 * TILE
"""How many columns are read at once."""

COARSEST = 1024
"""Pyramids end when a level is not larger than this."""

_SOFTWARE = KEY
_OME_UNITS = {"nm": "nm", "um": "µm", "mm": "mm", "cm": "cm", "m": "m", "inch": "in"}


def write_tiff(path: Path, labels: SpecimenLabels, stored: np.dtype[Any], *, ome: bool = False) -> None:
    """Write labels; the same labels give the same bytes.

    Parameters
    ----------
    path : Path
        Overwritten.
    labels : SpecimenLabels
        Of unsigned type, in memory or lazy.
    stored : dtype
        uint8, uint16 or uint32: the smallest that holds all ids.
    ome : bool
        Write OME-TIFF even where an ImageJ TIFF would do.
    """
    size = int(np.prod(labels.data.shape, dtype=np.int64)) * stored.itemsize
    narrow = labels.data.shape[-1] == 1  # tifffile takes a single column for no axis at all
    if math.prod(labels.data.shape[-2:]) > PYRAMID_PIXELS:
        _write_pyramid(path, labels, stored, size)
    elif ome or stored.itemsize > 2 or size > IMAGEJ_BYTES or narrow:
        _write_ome(path, labels, stored, size)
    else:
        _write_imagej(path, labels, stored)


def _write_imagej(path: Path, labels: SpecimenLabels, stored: np.dtype[Any]) -> None:
    import tifffile

    data, axes = flat_stack(np.asarray(labels.data).astype(stored, copy=False), labels.axes)
    known = labels.spacing is not None and labels.unit != "pixel"
    metadata: dict[str, Any] = {"axes": axes, "unit": labels.unit if known else "pixel"}
    if known and "Z" in axes and labels.spacing is not None:
        metadata["spacing"] = labels.spacing[-3]
    metadata |= {"min": 0, "max": 255 if stored.itemsize == 1 else max(1, int(data.max()))}
    colors = colors_by_id(labels.class_map, 256).T.astype(np.uint16) * 257
    palette = (
        {"photometric": "palette", "colormap": colors}
        if stored.itemsize == 1
        else {"photometric": "minisblack"}
    )
    tifffile.imwrite(
        path,
        data,
        imagej=True,
        byteorder="<",
        metadata={**metadata, "Info": LabelNotes.of(labels, stored).text()},
        software=_SOFTWARE,
        **palette,
        **_DEFLATE,
        **imagej_resolution(labels),
    )


_DEFLATE: dict[str, Any] = {"compression": "adobe_deflate", "compressionargs": {"level": 6}}

BUFFER_BYTES = 16 << 20
"""How much is compressed ahead of writing; tifffile would take a quarter of a gigabyte."""


def flat_stack(data: NDArray[Any], axes: str) -> tuple[NDArray[Any], str]:
    """Name stack axes as ImageJ and OME know them; the notes keep shape and letters.

    Parameters
    ----------
    data : array
        (Y, X), or with up to three leading axes, of which the first two become one.
    axes : str
        One letter per dimension.

    Returns
    -------
    data : array
    axes : str
        ``YX``, ``ZYX``, ``TYX`` or ``TZYX``.
    """
    lead = len(axes) - 2
    if lead == 0:
        return data, "YX"
    if lead == 1:
        return data, "TYX" if axes[0] == "T" else "ZYX"
    return data.reshape((-1, *data.shape[-3:])), "TZYX"


def imagej_resolution(labels: SpecimenLabels | SpecimenImage) -> dict[str, Any]:
    """Pixels per unit. The unit's name is in ImageJ's own description, which Bio-Formats reads as well.

    Bio-Formats multiplies where the tag says inch or cm, and does not know the name inch; so inches are
    told by the tag alone, everything else by the name alone.

    Parameters
    ----------
    labels : SpecimenLabels or SpecimenImage

    Returns
    -------
    dict
        Arguments of `tifffile.imwrite`; empty where the pixel size is unknown.
    """
    size = labels.pixel_size_yx
    if size is None or labels.unit == "pixel":
        return {}
    return _resolution(1 / size[1], 1 / size[0], 2 if labels.unit == "inch" else 1)


def _resolution(x: float, y: float, unit: int) -> dict[str, Any]:
    """Return TIFF's resolution, unless it is beyond what two 32-bit numbers can say."""
    sayable = all(1e-6 < density < 1e9 for density in (x, y))
    return {"resolution": (x, y), "resolutionunit": unit} if sayable else {}


def _write_ome(path: Path, labels: SpecimenLabels, stored: np.dtype[Any], size: int) -> None:
    import tifffile

    axes, shape = _ome_shape(labels)
    if size > IMAGEJ_BYTES:
        layout = {
            "data": tiles_of(labels.data, stored),
            "tile": (TILE, TILE),
            "buffersize": BUFFER_BYTES,
        }
    else:  # in strips, which ImageJ opens even without Bio-Formats
        layout = {"data": np.asarray(labels.data).astype(stored, copy=False).reshape(shape)}
    tifffile.imwrite(
        path,
        **layout,
        shape=shape,
        dtype=stored,
        ome=True,
        bigtiff=size > CLASSIC_BYTES,
        byteorder="<",
        photometric="minisblack",
        metadata={"axes": axes, **_ome_metadata(labels, LabelNotes.of(labels, stored).text())},
        software=_SOFTWARE,
        **_DEFLATE,
        **_ome_resolution(labels),
    )


def _ome_shape(labels: SpecimenLabels) -> tuple[str, tuple[int, ...]]:
    """Return the axes that OME knows, and the lengths along them."""
    lead = labels.data.shape[:-2]
    axes = ("", "T" if labels.axes[0] == "T" else "Z", "TZ", "TZ")[len(lead)] + "YX"
    planes = lead if len(lead) < 3 else (lead[0] * lead[1], lead[2])
    return axes, (*planes, *labels.data.shape[-2:])


def _write_pyramid(path: Path, labels: SpecimenLabels, stored: np.dtype[Any], size: int) -> None:
    """Write tiles and smaller levels, which take every second row and column of the one before.

    Labels cannot be averaged. Which of four pixels is taken does not matter for looking, and the first is the
    same for whoever makes the levels.
    """
    import tifffile

    axes, shape = _ome_shape(labels)
    levels = list(_levels(labels))
    kinds: dict[str, Any] = {"dtype": stored, "tile": (TILE, TILE), "photometric": "minisblack", **_DEFLATE}
    kinds["buffersize"] = BUFFER_BYTES
    with tifffile.TiffWriter(path, ome=True, bigtiff=size * 4 // 3 > CLASSIC_BYTES, byteorder="<") as file:
        file.write(
            tiles_of(levels[0], stored),
            shape=shape,
            subifds=len(levels) - 1,
            metadata={"axes": axes, **_ome_metadata(labels, LabelNotes.of(labels, stored).text())},
            software=_SOFTWARE,
            **kinds,
            **_ome_resolution(labels),
        )
        for level in levels[1:]:
            reduced = (*shape[:-2], *level.shape[-2:])
            file.write(tiles_of(level, stored), shape=reduced, subfiletype=1, metadata=None, **kinds)


def _levels(labels: SpecimenLabels) -> Iterator[Array]:
    """Yield all levels, largest first: those that the labels bring along, or every second pixel."""
    level, number = labels.data, 0
    yield level
    while max(level.shape[-2:]) > COARSEST:
        level = labels.levels[number] if number < len(labels.levels) else level[..., ::2, ::2]
        number += 1
        yield level


def _ome_metadata(labels: SpecimenLabels, text: str) -> dict[str, Any]:
    # OME wants an id that differs from file to file; a random one would differ from run to run.
    found: dict[str, Any] = {
        "UUID": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{KEY} {labels.name} {text}")),
        "Name": labels.name,
        "MapAnnotation": {"Namespace": KEY, "Notes": text},
    }
    if labels.spacing is None or labels.unit == "pixel":
        return found
    sizes = dict(zip(labels.axes, labels.spacing, strict=True))
    for axis in "XYZ":
        if axis in sizes:
            found[f"PhysicalSize{axis}"] = sizes[axis]
            found[f"PhysicalSize{axis}Unit"] = _OME_UNITS[labels.unit]
    return found


def _ome_resolution(labels: SpecimenLabels) -> dict[str, Any]:
    """Pixels per cm, for programs that read no OME metadata."""
    size = labels.pixel_size_yx
    if size is None or labels.unit == "pixel":
        return {}
    per_cm = UNITS_IN_MM["cm"] / UNITS_IN_MM[labels.unit]
    return _resolution(per_cm / size[1], per_cm / size[0], 3)


def tiles_of(data: Array, stored: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yield the tiles of all planes, row by row of tiles, so that little of a lazy array is in memory.

    Parameters
    ----------
    data : array
        (..., Y, X)
    stored : dtype

    Yields
    ------
    array
        (`TILE`, `TILE`), filled up with zeros at the edges.
    """
    height, width = data.shape[-2:]
    for index in np.ndindex(data.shape[:-2]):
        for top in range(0, height, TILE):
            for start in range(0, width, BAND):
                rows, columns = slice(top, top + TILE), slice(start, min(start + BAND, width))
                band = loaded(data[(*index, rows, columns)]).astype(stored, copy=False)
                band = np.pad(band, ((0, TILE - band.shape[0]), (0, -band.shape[1] % TILE)))
                for left in range(0, band.shape[1], TILE):
                    yield np.ascontiguousarray(band[:, left : left + TILE])


# -- reading ---------------------------------------------------------------------------------------------


def notes_text(path: Path) -> str | None:
    """Return the text of a TIFF file in which notes of this program may be, or None.

    Parameters
    ----------
    path : Path
        A TIFF file; may be damaged.

    Returns
    -------
    str or None
    """
    import tifffile

    try:
        with tifffile.TiffFile(path, _multifile=False) as tif:
            tags = tif.pages.first.tags
            info = (tags.valueof("IJMetadata") or {}).get("Info")
            return info if info is not None else _ome_notes(tif.ome_metadata)
    except Exception:  # what is damaged is told when the pixels are read
        return None


def _ome_notes(xml: str | None) -> str | None:
    if not xml or KEY not in xml:
        return None
    from xml.etree import ElementTree

    root = ElementTree.fromstring(xml)
    texts = (e.text or "" for e in root.iter() if e.tag.rpartition("}")[2] == "M" and e.get("K") == "Notes")
    return next((text for text in texts if KEY in text), None)
