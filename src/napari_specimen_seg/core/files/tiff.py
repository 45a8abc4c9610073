"""TIFF in all its kinds: where the pixels are, which axis is which, how far apart they are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ReadError
from ..image import Array, SpecimenImage
from ..parallel import cores
from . import pixel_size
from .lazy import LAZY_BYTES, OnDisk, as_dask, byte_count, refuse_too_large
from .notices import warn_about
from .orientation import oriented
from .tiff_colors import Stored, as_displayed
from .tiff_log import complaints
from .tiff_parts import TiffParts, can_read_parts, piece_of

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

    from .pixel_size import OmeImage, PixelScale

_DAMAGED = "Copy or export the file again."
_PER_UNIT = {2: "inch", 3: "cm", 4: "mm", 5: "um"}
"""TIFF resolution units: 2 and 3 by the standard, 4 and 5 as tifffile writes them."""
_BUFFER_BYTES = 16 << 20
"""How much of a file is held while it is decoded; tifffile would take up to 256 MB."""


def read_tiff(path: Path, *, indices: bool = False) -> SpecimenImage:
    """Read the first picture or stack of a TIFF file.

    Parameters
    ----------
    path : Path
    indices : bool
        Give the values as stored (palette indices, unscaled bits, no inversion), for label pictures.

    Returns
    -------
    SpecimenImage
        Lazy above `LAZY_BYTES`; `levels` holds the rest of a pyramid.

    Raises
    ------
    ReadError
        If the file is damaged, cut off, too large to decode at once or stored in an unknown way.

    Warns
    -----
    SpecimenWarning
        If something of the file is left out or had to be converted with loss.
    """
    with _opened(path) as tif:
        found = _levels(tif, path)
        _warn_of_others(tif, found, path)
        axes, order = _axes(found[0], path)
        stored = [_stored(path, number, level, order) for number, level in enumerate(found)]
        page = found[0].keyframe
        ome = pixel_size.from_ome(tif.ome_metadata) if tif.is_ome else pixel_size.OmeImage()
        scale = _scale(tif, page, ome)
        orientation = page.tags.valueof("Orientation", 1)
        palette = _palette(found[0])
        pictures = [
            as_displayed(_describe(array, axes, page, palette, ome), path, indices) for array in stored
        ]
    first = pictures[0]
    axes = axes.replace("C", "") + ("C" if first.channels else "")
    image = SpecimenImage(
        first.array,
        path.stem,
        axes,
        scale.spacing(axes),
        scale.unit,
        path,
        first.bits,
        tuple(picture.array for picture in pictures[1:]),
        first.names,
    )
    return oriented(image, orientation)


def tiff_size(path: Path) -> tuple[int, int]:
    """Return height and width as displayed, without decoding."""
    with _opened(path) as tif:
        series = _levels(tif, path)[0]
        height, width = (int(series.shape[series.axes.index(axis)]) for axis in "YX")
        turned = series.keyframe.tags.valueof("Orientation", 1) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


@contextmanager
def _opened(path: Path) -> Iterator[TiffFile]:
    """Open a TIFF file, and make one line of whatever goes wrong with it."""
    try:
        with complaints() as heard, _tiff_file(path) as tif:
            yield tif
    except ReadError:
        raise
    except MemoryError as error:
        raise ReadError("the picture does not fit into memory", path=path) from error
    except Exception as error:
        raise _damaged(error, path) from error
    if heard:
        raise _damaged(heard[0], path)


def _damaged(cause: object, path: Path) -> ReadError:
    return ReadError(f"the TIFF file is damaged or cut off ({cause})", path=path, advice=_DAMAGED)


def _tiff_file(path: Path) -> TiffFile:
    import tifffile

    # One file, one picture: what other files of a set hold is not read, nor named files opened.
    tif = tifffile.TiffFile(path, _multifile=False)
    if tif.is_ome and tif.series and any(page is None for page in tif.series[0].pages):
        tif.close()
        warn_about(
            path,
            "other files of this OME-TIFF set hold further planes; those of this file are read",
        )
        tif = tifffile.TiffFile(path, _multifile=False, is_ome=False)
    return tif


# -- which part of the file ------------------------------------------------------------------------


def _levels(tif: TiffFile, path: Path) -> list[TiffPageSeries]:
    """Return the first picture, and its smaller versions, largest first."""
    if not tif.series:
        raise ReadError("the TIFF file holds no picture", path=path, advice=_DAMAGED)
    first = tif.series[0]
    if first.keyframe.tags.valueof("SamplesPerPixel", 1) == 0:
        raise ReadError("its pixels have no values (0 samples)", path=path, advice=_DAMAGED)
    if 0 in first.shape:
        raise ReadError(f"the picture is empty (shape {first.shape})", path=path, advice=_DAMAGED)
    levels = [level for level in first.levels if level.axes == first.axes]
    # Pyramids whose small levels lack the mark "reduced" arrive as pictures of their own.
    levels += [s for s in tif.series[1:] if s.keyframe.is_subifd and _is_reduced(s, first)]
    return sorted(levels, key=lambda level: -math.prod(level.shape))


def _is_reduced(small: TiffPageSeries, large: TiffPageSeries) -> bool:
    if small.axes != large.axes or small.dtype != large.dtype:
        return False
    factors = [b / a for axis, a, b in zip(small.axes, small.shape, large.shape, strict=True) if axis in "YX"]
    return bool(min(factors) > 1 and max(factors) / min(factors) < 1.1)


def _warn_of_others(tif: TiffFile, levels: list[TiffPageSeries], path: Path) -> None:
    others = [
        s
        for s in tif.series[1:]
        if s not in levels and not s.keyframe.is_subifd and not s.keyframe.is_reduced
    ]
    if others and not tif.is_svs:  # slides bring a label and an overview
        warn_about(
            path,
            f"the file holds {len(others)} more picture(s) of other sizes or positions, which are left out",
        )


# -- axes ------------------------------------------------------------------------------------------


def _axes(series: TiffPageSeries, path: Path) -> tuple[str, tuple[int, ...]]:
    """Name the axes of a series our way.

    Returns
    -------
    axes : str
        Stack axes, ``YX``, and ``C`` if there are channels.
    order : tuple of int
        The axes of the series in that order.
    """
    letters = list(series.axes)
    if letters.count("Y") != 1 or letters.count("X") != 1:
        raise ReadError(f"its axes {series.axes!r} are not those of a picture", path=path)
    channel = _channel_axis(letters, series.shape, series.keyframe.samplesperpixel)
    stack = [i for i, letter in enumerate(letters) if letter not in "YX" and i != channel]
    if len(stack) > 3:
        raise ReadError(
            f"it has {len(stack)} stack axes, three are the most",
            path=path,
            advice="Split it into several files.",
        )
    order = [*stack, letters.index("Y"), letters.index("X")] + ([] if channel is None else [channel])
    names = _stack_names([letters[i] for i in stack])
    return names + "YX" + ("" if channel is None else "C"), tuple(order)


def _channel_axis(letters: list[str], shape: tuple[int, ...], samples: int) -> int | None:
    if "S" in letters:
        return letters.index("S")
    if "C" in letters:
        return letters.index("C")
    # Files of some programs call the samples of a pixel Q.
    last = len(letters) - 1
    return last if samples > 1 and shape[last] == samples and letters[last] not in "YX" else None


def _stack_names(letters: list[str]) -> str:
    """Keep T and Z; everything else becomes Q, or what is free where Q is taken."""
    names: list[str] = []
    for letter in letters:
        wanted = letter if letter in "TZ" else "Q"
        taken = {*names, *(other for other in letters if other in "TZ")}
        names.append(wanted if wanted not in names else next(n for n in "QTZ" if n not in taken))
    return "".join(names)


# -- pixels ----------------------------------------------------------------------------------------


def _stored(path: Path, number: int, level: TiffPageSeries, order: tuple[int, ...]) -> Array:
    """Return a level as stored, in memory or lazy, its axes in `order`."""
    if level.dtype is None or level.dtype.kind not in "biuf":
        raise ReadError(f"pixels of type {level.dtype} are not numbers that can be shown", path=path)
    _refuse_incomplete(level, path)
    array = _lazy(path, number, level) if byte_count(level.shape, level.dtype) > LAZY_BYTES else None
    if array is None:
        array = level.asarray(maxworkers=cores(), buffersize=_BUFFER_BYTES)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    array = array.transpose(order)
    return np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array


def _lazy(path: Path, number: int, level: TiffPageSeries) -> Array | None:
    """Leave a large level on the disk; None if it is one large piece, which is better read at once."""
    size = byte_count(level.shape, level.dtype)
    plane = level.axes.index("Y"), level.axes.index("X")
    if level.dataoffset is not None:
        stored = level.dtype.newbyteorder(level.parent.byteorder)
        opener = partial(_map, path, stored.str, level.dataoffset, level.shape)
        piece = tuple(n if axis in "XS" else 1 for axis, n in zip(level.axes, level.shape, strict=True))
        return as_dask(OnDisk(path, opener, level.shape, level.dtype), piece, plane)
    piece = piece_of(level) if can_read_parts(level) else _as_zarr(level).chunks
    if byte_count(piece, level.dtype) * 2 < size:
        refuse_too_large(byte_count(piece, level.dtype), path)
        return as_dask(OnDisk(path, partial(_Level, path, number), level.shape, level.dtype), piece, plane)
    refuse_too_large(size, path)
    warn_about(
        path,
        f"{' x '.join(map(str, level.shape))} pixels are stored in one compressed piece, which "
        f"takes {size / 1e9:.1f} GB of memory; a tiled TIFF is read piece by piece",
    )
    return None


def _map(path: Path, dtype: str, offset: int, shape: tuple[int, ...]) -> Any:
    return np.memmap(path, np.dtype(dtype), "r", offset, shape)


def _as_zarr(level: TiffPageSeries) -> Any:
    import zarr

    return zarr.open(level.aszarr(level=0), mode="r")


class _Level:
    """A level of a file, opened again to be read piece by piece."""

    def __init__(self, path: Path, number: int) -> None:
        self._tif = _tiff_file(path)
        level = _levels(self._tif, path)[number]
        self._array = TiffParts(level) if can_read_parts(level) else _as_zarr(level)

    def __getitem__(self, index: Any) -> Any:
        return self._array[index]

    def __del__(self) -> None:
        tif = getattr(self, "_tif", None)
        if tif is not None:
            tif.close()


def _refuse_incomplete(level: TiffPageSeries, path: Path) -> None:
    """Refuse a level whose pixels are not all in the file: what is missing would be read as black."""
    size = path.stat().st_size
    if level.dataoffset is not None and level.dataoffset + byte_count(level.shape, level.dtype) > size:
        raise _cut_off(path)
    for page in level.pages:
        if page is None:
            raise ReadError("planes are missing from the file", path=path, advice=_DAMAGED)
        offsets, counts = np.asarray(page.dataoffsets, np.uint64), np.asarray(page.databytecounts, np.uint64)
        offsets, counts = _needed(level.keyframe, offsets), _needed(level.keyframe, counts)
        empty = (offsets == 0) | (counts == 0)
        too_few = len(page.dataoffsets) < math.prod(level.keyframe.chunked)
        # Slide scanners leave out empty tiles; nobody leaves out strips.
        if too_few or empty.all() or (empty.any() and not level.keyframe.is_tiled):
            raise ReadError("pixels are missing from the file", path=path, advice=_DAMAGED)
        if ((offsets + counts)[~empty] > size).any() or (offsets > size).any():
            raise _cut_off(path)


def _needed(page: TiffPage, parts: NDArray[Any]) -> NDArray[Any]:
    """Leave out the planes of samples beyond the colours, which some programs declare but do not write."""
    if int(page.planarconfig) == 1 or not page.extrasamples:
        return parts
    return parts[: len(parts) * (page.samplesperpixel - len(page.extrasamples)) // page.samplesperpixel]


def _cut_off(path: Path) -> ReadError:
    return ReadError("the file is cut off: pixels are missing at its end", path=path, advice=_DAMAGED)


def _palette(level: TiffPageSeries) -> NDArray[Any] | None:
    """Return the colour map of a level, or one for each page where they differ."""
    if level.keyframe.colormap is None:
        return None
    pages = [page if hasattr(page, "colormap") else page.aspage() for page in level.pages if page is not None]
    palettes = [np.asarray(page.colormap) for page in pages]
    if all(np.array_equal(palette, palettes[0]) for palette in palettes):
        return palettes[0]
    return np.stack(palettes)


def _describe(array: Array, axes: str, page: TiffPage, palette: NDArray[Any] | None, ome: OmeImage) -> Stored:
    """Say how the values of an array are to be understood."""
    return Stored(
        array,
        channels=int(array.shape[-1]) if "C" in axes else 0,
        samples=int(page.samplesperpixel),
        bits=_bits(page, ome),
        photometric=int(page.photometric),
        compression=int(page.compression),
        extra=tuple(int(sample) for sample in page.extrasamples),
        palette=palette,
        other_inks=page.tags.valueof("InkSet", 1) != 1,
        names=ome.channel_names,
    )


def _bits(page: TiffPage, ome: OmeImage) -> int:
    """Return how many bits are in use: of the page, or fewer if the metadata say so."""
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    largest = page.tags.valueof("MaxSampleValue")
    if isinstance(largest, int) and largest in (1023, 4095, 16383):
        bits = min(bits, largest.bit_length())
    return (
        min(bits, ome.bits) if ome.bits and page.dtype is not None and page.dtype.kind == "u" else int(bits)
    )


# -- calibration -----------------------------------------------------------------------------------


def _scale(tif: TiffFile, page: TiffPage, ome: OmeImage) -> PixelScale:
    """Return the pixel size from the most telling source that the file has."""
    x, y = (_rational(page.tags.valueof(f"{axis}Resolution")) for axis in "XY")
    if tif.is_imagej:
        named = pixel_size.from_imagej(tif.imagej_metadata or {}, x, y)
    elif tif.is_shaped:
        named = pixel_size.from_imagej((tif.shaped_metadata or ({},))[0], x, y)
    elif tif.is_svs:
        named = pixel_size.from_aperio(page.description)
    else:
        named = ome.scale
    if named.sizes:
        return named
    unit = page.tags.valueof("ResolutionUnit", 2)
    if int(unit) not in _PER_UNIT or _is_photograph(page):
        return pixel_size.UNKNOWN
    return pixel_size.from_density(x, y, _PER_UNIT[int(unit)])


def _rational(value: Any) -> float | None:
    if isinstance(value, tuple) and len(value) == 2 and value[1]:
        return float(value[0] / value[1])
    return float(value) if isinstance(value, (int, float)) else None


def _is_photograph(page: TiffPage) -> bool:
    exif = page.tags.valueof("ExifTag")
    return isinstance(exif, dict) and any(name in exif for name in ("ExposureTime", "FNumber", "FocalLength"))
