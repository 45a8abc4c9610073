"""OME-Zarr (versions 0.1 to 0.5, Zarr formats 2 and 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ReadError
from ..image import COLORS, Array, SpecimenImage
from .lazy import LAZY_BYTES, MAX_BYTES, OnDisk, as_dask, byte_count
from .pixel_size import PixelScale, from_lengths
from .tiff_colors import is_rgb_like

_MARKS = (".zgroup", ".zattrs", ".zarray", "zarr.json")
_OLD_AXES = "tczyx"
_RGB_COLORS = ("FF0000", "00FF00", "0000FF")


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return any((folder / mark).is_file() for mark in _MARKS)


def is_ome_zarr(folder: Path) -> bool:
    """Whether a folder is a Zarr group that says how its arrays make a picture."""
    try:
        return is_zarr(folder) and bool(_multiscales(folder))
    except ReadError:
        return False


def read_ome_zarr(folder: Path) -> SpecimenImage:
    """Read the first multiscale picture of an OME-Zarr.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    SpecimenImage
        Channel axis last. Three channels that are red, green and blue make a colour picture; others are
        signals of their own with names. Lazy above `LAZY_BYTES`.

    Raises
    ------
    ReadError
        If it is no OME-Zarr picture, or damaged.
    """
    try:
        return _read(folder)
    except ReadError:
        raise
    except Exception as error:
        raise ReadError(
            f"the OME-Zarr is damaged ({type(error).__name__}: {error})", path=folder, advice="Copy it again."
        ) from error


def _read(folder: Path) -> SpecimenImage:
    where, meta = _picture(folder)
    names = [str(part["path"]) for part in meta["datasets"]]
    letters, units = _axes(meta)
    arrays = [_array(where, name, folder) for name in names]
    shape = arrays[0].shape
    if len(letters) != len(shape):
        raise ReadError(f"axes {''.join(letters)!r} do not describe shape {shape}", path=folder)
    order, axes = _order(letters, shape, folder)
    levels = [
        _arranged(_pixels(array, partial(_open_array, where, name), letters, folder), order)
        for array, name in zip(arrays, names, strict=True)
    ]
    channels = int(levels[0].shape[-1]) if "C" in axes else 0
    scale = _scale(meta, letters, units)
    return SpecimenImage(
        levels[0],
        folder.name.removesuffix(".zarr").removesuffix(".ome"),
        axes,
        scale.spacing(axes),
        scale.unit,
        folder,
        levels=tuple(levels[1:]),
        channel_names=_channel_names(meta, channels, levels[0].dtype),
    )


# -- metadata --------------------------------------------------------------------------------------


def _attributes(folder: Path) -> dict[str, Any]:
    import zarr

    try:
        found = dict(zarr.open_group(str(folder), mode="r").attrs.asdict())
    except Exception as error:
        raise ReadError(
            "it is no Zarr group that can be read", path=folder, advice="Copy it again."
        ) from error
    inner = found.get("ome")
    return {**found, **inner} if isinstance(inner, dict) else found


def _multiscales(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return where the picture is and its attributes, or None if there is no picture."""
    attributes = _attributes(folder)
    if "bioformats2raw.layout" in attributes and not attributes.get("multiscales"):
        folder = folder / "0"  # one file converted, which may hold several pictures
        attributes = _attributes(folder)
    return (folder, attributes) if attributes.get("multiscales") else None


def _picture(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of the picture, and its first multiscale entry with the channels beside it."""
    found = _multiscales(folder)
    if found is None:
        is_plate = "plate" in _attributes(folder)
        raise ReadError(
            "it is a plate of many pictures" if is_plate else "it is a Zarr without OME metadata",
            path=folder,
            advice="Open one of its fields, such as A/1/0." if is_plate else "Save it as OME-Zarr.",
        )
    where, attributes = found
    return where, {**attributes["multiscales"][0], "omero": attributes.get("omero") or {}}


def _axes(meta: Mapping[str, Any]) -> tuple[list[str], list[str | None]]:
    """Return a letter and a unit for each axis, in the order of the file."""
    letters: list[str] = []
    units: list[str | None] = []
    for axis in meta.get("axes") or _OLD_AXES:
        entry = axis if isinstance(axis, dict) else {"name": axis}
        name = str(entry["name"]).upper()
        is_channel = entry.get("type") == "channel" or name == "C"
        letters.append("C" if is_channel else name if name in ("T", "Z", "Y", "X") else "Q")
        units.append(entry.get("unit"))
    return letters, units


def _order(letters: Sequence[str], shape: tuple[int, ...], folder: Path) -> tuple[list[int], str]:
    """Return the axes of the file to keep, in our order, and their letters."""
    if letters.count("Y") != 1 or letters.count("X") != 1 or 0 in shape:
        raise ReadError(f"axes {''.join(letters)!r} with shape {shape} are no picture", path=folder)
    kept = [i for i, letter in enumerate(letters) if shape[i] > 1 or letter in "YX"]
    stack = [i for i in kept if letters[i] not in "CYX"]
    order = [*stack, letters.index("Y"), letters.index("X"), *(i for i in kept if letters[i] == "C")]
    return order, "".join(letters[i] for i in order)


def _scale(meta: Mapping[str, Any], letters: Sequence[str], units: Sequence[str | None]) -> PixelScale:
    """Return the pixel size of the first level: its own scale times that of the whole."""
    factors = np.ones(len(letters))
    for owner in (meta, meta["datasets"][0]):
        for step in owner.get("coordinateTransformations") or ():
            if step.get("type") == "scale" and len(step.get("scale", ())) == len(letters):
                factors *= np.asarray(step["scale"], float)
    return from_lengths(
        {
            letter: (float(f), unit)
            for letter, f, unit in zip(letters, factors, units, strict=True)
            if letter in "ZYX"
        }
    )


def _channel_names(meta: Mapping[str, Any], channels: int, dtype: np.dtype[Any]) -> tuple[str, ...]:
    if not channels:
        return ()
    entries = [entry for entry in meta["omero"].get("channels") or () if isinstance(entry, dict)]
    names = [str(entry.get("label") or "") for entry in entries] or [
        str(n) for n in meta.get("channel_names") or ()
    ]
    shades = tuple(str(entry.get("color", "")).upper().removeprefix("#") for entry in entries)
    # 8 bits and just these three colours: a photograph that was converted. Stains have more bits.
    is_photograph = channels == 3 and dtype == np.uint8 and (shades == _RGB_COLORS or not (shades or names))
    if is_rgb_like(tuple(names)) or is_photograph:
        return COLORS
    names = names if len(names) == channels else [""] * channels
    return tuple(name or f"channel {i}" for i, name in enumerate(names, 1))


# -- pixels ----------------------------------------------------------------------------------------


def _open_array(where: Path, name: str) -> Any:
    import zarr

    return zarr.open_group(str(where), mode="r")[name]


def _array(where: Path, name: str, folder: Path) -> Any:
    """Open one level, and refuse what would run code or fill the memory when it is read."""
    array = _open_array(where, name)
    if not hasattr(array, "chunks"):
        raise ReadError(f"{name!r} is a group, not an array", path=folder)
    steps = (*(getattr(array.metadata, "filters", None) or ()), getattr(array.metadata, "compressor", None))
    if any("pickle" in str(getattr(step, "codec_id", "")) for step in steps):
        raise ReadError("its chunks are pickled objects, which could run code", path=folder)
    if array.dtype.kind not in "biuf":
        raise ReadError(f"pixels of type {array.dtype} are not numbers that can be shown", path=folder)
    if byte_count(array.chunks, array.dtype) > MAX_BYTES:
        raise ReadError(
            "its chunks are too large to be read", path=folder, advice="Save it with smaller chunks."
        )
    return array


def _pixels(array: Any, opener: partial[Any], letters: Sequence[str], folder: Path) -> Any:
    if byte_count(array.shape, array.dtype) <= LAZY_BYTES:
        return np.asarray(array[...])
    source = OnDisk(folder, opener, array.shape, np.dtype(array.dtype))
    return as_dask(source, array.chunks, (letters.index("Y"), letters.index("X")))


def _arranged(array: Any, order: Sequence[int]) -> Array:
    """Drop axes of length 1 and put the others in order."""
    dropped = tuple(i for i in range(array.ndim) if i not in order)
    shape = tuple(array.shape[i] for i in order)
    arranged: Array = array.transpose((*order, *dropped)).reshape(shape)
    if isinstance(arranged, np.ndarray):
        arranged = np.ascontiguousarray(arranged.astype(arranged.dtype.newbyteorder("="), copy=False))
    return arranged
