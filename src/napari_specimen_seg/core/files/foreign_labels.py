"""Label pictures of other programs: indices, masks, palettes, colours, objects."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..classes import MAX_ID, ClassMap
from ..color_masks import decode_colors
from ..errors import ClassMapError, ReadError, SpecimenError, SpecimenWarning
from ..image import Array, SpecimenImage, SpecimenLabels
from ..regions import bands, merged, tally
from .formats import format_of, read_head
from .images import read_image

CLASS_MAP_FILE = "classes.json"
"""Looked for in the folder of a label file and in the two above it: data sets keep one for all."""

_FOLDERS = 3
_MASK_COLORS = 0.5  # the share of unknown colours above which a colour picture is no mask
_SOFT_MASK = 0.05  # the share of middle greys above which a JPEG is no mask
_FEW_VALUES = 256  # values beyond the class ids number objects, unless they are so few

_WHOLE = "Save it with whole numbers (in Fiji: Image > Type > 8-bit or 16-bit) and try again."
_COLORS = "Give the class map that says which colour is which class."


def whole_numbers(data: Array, path: Path | None) -> Array:
    """Return labels as unsigned integers of at most 32 bits.

    Parameters
    ----------
    data : array
        In memory or lazy.
    path : Path, optional
        For the message.

    Returns
    -------
    array
        Signed and 64-bit integers in the smallest type that holds them.

    Raises
    ------
    ReadError
        If they are no whole numbers from 0 to 4294967295.
    """
    if data.dtype == bool:
        return data.astype(np.uint8)
    if data.dtype.kind not in "iu":
        raise ReadError(f"labels must be whole numbers, not {data.dtype}", path=path, advice=_WHOLE)
    if data.dtype.kind == "u" and data.dtype.itemsize <= 4:
        return data
    low, high = extremes(data)
    if low < 0:
        raise ReadError(f"labels must not be negative, and {low} is", path=path, advice="Use ids from 0 up.")
    if high > 0xFFFFFFFF:
        raise ReadError(f"the label {high} is too large", path=path, advice="Number the objects anew.")
    return data.astype(np.uint8 if high < 256 else np.uint16 if high < 65536 else np.uint32)


def extremes(data: Array) -> tuple[int, int]:
    """Return the smallest and the largest of whole numbers, in memory or lazy."""
    if hasattr(data, "dask"):
        import dask

        low, high = dask.compute(data.min(), data.max())
        return int(low), int(high)
    return int(data.min()), int(data.max())


class ForeignLabels:
    """A picture of another program that is to be read as labels; see `read_labels` for the rules.

    Parameters
    ----------
    path : Path
        Where it is from.
    image : SpecimenImage
        Its values as stored.
    class_map : ClassMap, optional
        What they mean; looked for beside the file if left out.
    """

    def __init__(self, path: Path, image: SpecimenImage, class_map: ClassMap | None) -> None:
        self._path = path
        self._image = image
        self._given = class_map
        self._map = class_map or _class_map_beside(path)
        self._kind = format_of(path, read_head(path)) if path.is_file() else "folder"

    def read(self) -> SpecimenLabels:
        """Return the labels."""
        if "C" in self._image.axes:
            return self._from_colors()
        values = whole_numbers(self._image.data, self._path)
        decoded = self._from_palette()
        return self._from_values(values) if decoded is None else self._labels(decoded, self._map)

    def _labels(self, data: Array, class_map: ClassMap | None) -> SpecimenLabels:
        image = self._image
        axes = image.axes.replace("C", "")
        return SpecimenLabels(
            data, image.name, axes, image.spacing, image.unit, image.source, class_map=class_map
        )

    def _warn(self, message: str) -> None:
        warnings.warn(f"{self._path.name}: {message}", SpecimenWarning, stacklevel=5)

    # -- colours -----------------------------------------------------------------------------------

    def _from_colors(self) -> SpecimenLabels:
        rgb = np.asarray(self._image.data)
        if rgb.ndim != 3 or rgb.shape[-1] not in (3, 4) or rgb.dtype != np.uint8:
            raise ReadError(f"shape {rgb.shape} and type {rgb.dtype} make no label picture", path=self._path)
        exact = self._decoded(rgb)
        if exact is not None:
            return self._labels(exact, self._map)
        gray = _gray(rgb)
        if gray is not None:
            return self._from_values(gray)
        if self._map is None:
            raise ReadError("it is a colour picture", path=self._path, advice=_COLORS)
        return self._labels(self._by_nearest(rgb, self._map), self._map)

    def _decoded(self, rgb: NDArray[np.uint8]) -> NDArray[Any] | None:
        """Return class ids where there is a map that has all the colours."""
        if self._map is None:
            return None
        try:
            return decode_colors(rgb, self._map)[0]
        except ClassMapError:
            return None

    def _by_nearest(self, rgb: NDArray[np.uint8], class_map: ClassMap) -> NDArray[Any]:
        labels, share = decode_colors(rgb, class_map, nearest=True)
        if share > _MASK_COLORS and self._given is None:
            raise ReadError(
                f"it is a colour picture, but not in the colours of {CLASS_MAP_FILE} beside it",
                path=self._path,
                advice=_COLORS,
            )
        self._warn(
            f"{100 * share:.2g} % of the pixels lack the exact colour of a class and became the class "
            "with the nearest colour"
        )
        return labels

    def _from_palette(self) -> NDArray[Any] | None:
        """Return the classes of the colours of a palette picture, if the map has all of them."""
        if self._map is None or not self._has_palette():
            return None
        shown = np.asarray(read_image(self._path).data)
        return self._decoded(shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=-1))

    def _has_palette(self) -> bool:
        if self._kind == "tiff":
            import tifffile

            with tifffile.TiffFile(self._path, _multifile=False) as tif:
                return len(tif.pages) == 1 and tif.pages.first.colormap is not None
        if self._kind == "png":
            with self._path.open("rb") as file:
                return file.read(26)[25:] == b"\x03"
        return False

    # -- values ------------------------------------------------------------------------------------

    def _from_values(self, data: Array) -> SpecimenLabels:
        if self._kind in ("jpeg", "jp2", "webp"):
            data = self._cut_at_half(np.asarray(data))
        values = list(merged([tally(band) for _, band in bands(data.reshape(-1, data.shape[-1]))]))
        if max(values) > MAX_ID and len(values) <= _FEW_VALUES:
            raise ReadError(
                f"the label {max(values)} is beyond {MAX_ID}, the largest class id",
                path=self._path,
                advice="Give the classes smaller ids.",
            )
        if self._is_black_and_white(data, values):
            data, values = (data != 0).astype(np.uint8), [0, 1]
        return self._labels(data, self._fitting_map(values))

    def _is_black_and_white(self, data: Array, values: list[int]) -> bool:
        white = int(np.iinfo(data.dtype).max)
        known = self._map is not None and self._map.by_id(white) is not None
        return set(values) - {0} == {white} and white in (255, 65535) and not known

    def _cut_at_half(self, data: NDArray[Any]) -> NDArray[Any]:
        """Make a mask of nothing but black and white of one that was compressed with loss."""
        if data.dtype != np.uint8 or float(((data > 64) & (data < 192)).mean()) > _SOFT_MASK:
            raise ReadError(
                "JPEG changes values, so that ids cannot be told",
                path=self._path,
                advice="Save it as PNG or TIFF.",
            )
        mask: NDArray[Any] = np.where(data > 127, 255, 0).astype(np.uint8)
        changed = float((mask != data).mean())
        if changed:
            self._warn(
                f"{100 * changed:.2g} % of the pixels are neither black nor white, as JPEG leaves them; they "
                "were cut at half"
            )
        return mask

    def _fitting_map(self, values: list[int]) -> ClassMap | None:
        """Return the map that was given, or the one beside the file if it knows all ids."""
        if self._given is not None or self._map is None:
            return self._given
        strangers = self._map.strangers(np.array(values))
        if not strangers:
            return self._map
        self._warn(f"{CLASS_MAP_FILE} beside it does not have label {strangers[0]} and is not used")
        return None


def _gray(rgb: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the one channel of a picture whose colours are all grey, else None."""
    opaque = rgb.shape[-1] == 3 or bool((rgb[..., 3] == 255).all())
    same = opaque and bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all())
    return np.ascontiguousarray(rgb[..., 0]) if same else None


def _class_map_beside(path: Path) -> ClassMap | None:
    """Return the class map that a data set keeps for its label files, or None."""
    from .class_maps import read_class_map

    for folder in list(path.resolve().parents)[:_FOLDERS]:
        found = folder / CLASS_MAP_FILE
        if not found.is_file():
            continue
        try:
            return read_class_map(found)
        except SpecimenError as error:
            message = f"{path.name}: {CLASS_MAP_FILE} beside it is not used: {error.cause}"
            warnings.warn(message, SpecimenWarning, stacklevel=6)
            return None
    return None
