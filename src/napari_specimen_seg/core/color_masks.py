"""Masks whose colours stand for classes, to class ids and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .classes import ClassMap, hex_color
from .errors import ClassMapError
from .regions import merged

_COLORS = 1 << 24
_BLOCK_PIXELS = 1 << 22


def decode_colors(
    rgb: NDArray[np.uint8], class_map: ClassMap, *, nearest: bool = False
) -> tuple[NDArray[Any], float]:
    """Turn the colours of a mask into class ids.

    Parameters
    ----------
    rgb : array of uint8
        (Y, X, 3), or (Y, X, 4), where fully transparent pixels are background.
    class_map : ClassMap
        Which colour is which class.
    nearest : bool
        Whether other colours, as softened edges and JPEG have them, become the class with the nearest
        colour (Euclidean distance of red, green and blue; of two equally near, the class that is listed
        first).

    Returns
    -------
    labels : array of uint8 or uint16
        (Y, X).
    share_not_exact : float
        Share of the pixels, 0 to 1, whose colour the map does not have.

    Raises
    ------
    ClassMapError
        If the mask has other colours and `nearest` is false, or it is not an 8-bit colour picture.
    """
    if rgb.ndim != 3 or rgb.shape[-1] not in (3, 4) or rgb.dtype != np.uint8:
        raise ClassMapError(
            f"a mask of shape {rgb.shape} and type {rgb.dtype} is no 8-bit colour picture",
            advice="Save it as RGB with 8 bits a channel.",
        )
    table = np.zeros(_COLORS, class_map.label_dtype)  # as empty pages: only what is used takes memory
    known = np.zeros(_COLORS, bool)
    for item in class_map:
        number = int(item.color[1:], 16)
        table[number], known[number] = item.id, True
    colors, counts = _other_colors(rgb, known)
    if colors.size and not nearest:
        raise _unknown_colors(colors, counts)
    table[colors] = _nearest(colors, class_map)
    labels = np.zeros(rgb.shape[:2], class_map.label_dtype)
    for rows, packed, opaque in _packed(rgb):
        labels[rows] = np.where(opaque, table[packed], 0)
    return labels, float(counts.sum() / max(1, labels.size))


def encode_colors(labels: NDArray[Any], class_map: ClassMap) -> NDArray[np.uint8]:
    """Paint class ids in the colours of their classes.

    Parameters
    ----------
    labels : array of int
        (Y, X), or with leading axes.
    class_map : ClassMap
        Which class has which colour.

    Returns
    -------
    array of uint8
        (Y, X, 3).

    Raises
    ------
    ClassMapError
        If labels hold ids that the map does not have: their colour could not be told when read again.
    """
    palette = class_map.palette()
    known = np.zeros(len(palette), bool)
    known[list(class_map.ids)] = True
    inside = (labels >= 0) & (labels < len(palette))
    if not inside.all() or not known[labels].all():
        strangers = class_map.strangers(np.unique(labels))
        raise ClassMapError(
            f"the class map has no colour for label {strangers[0]}",
            advice="Add the class, or save the labels as an index picture.",
        )
    painted: NDArray[np.uint8] = palette[labels]
    return painted


def _packed(rgb: NDArray[np.uint8]) -> Iterator[tuple[slice, NDArray[Any], NDArray[np.bool_] | bool]]:
    """Yield rows, their colours as 24-bit numbers, and where they are not fully transparent."""
    height, width = rgb.shape[:2]
    step = max(1, _BLOCK_PIXELS // max(1, width))
    for start in range(0, height, step):
        rows = slice(start, start + step)
        red, green, blue = (rgb[rows, :, c].astype(np.uint32) for c in range(3))
        opaque = rgb[rows, :, 3] > 0 if rgb.shape[-1] == 4 else True
        yield rows, (red << 16) | (green << 8) | blue, opaque


def _other_colors(rgb: NDArray[np.uint8], known: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the 24-bit colours of visible pixels that are not known, and their numbers of pixels."""
    found = merged(
        [np.unique(packed[~known[packed] & opaque], return_counts=True) for _, packed, opaque in _packed(rgb)]
    )
    return np.array(list(found), np.int64), np.array(list(found.values()), np.int64)


def _channels(colors: NDArray[Any]) -> NDArray[np.int64]:
    packed = np.asarray(colors, np.int64)
    return np.stack([packed >> 16, (packed >> 8) & 255, packed & 255], axis=-1)


def _nearest(colors: NDArray[Any], class_map: ClassMap) -> NDArray[np.int64]:
    """Return the id of the class with the nearest colour for each 24-bit colour."""
    ids = np.array(class_map.ids)
    rgb = _channels(colors)
    best = np.full(colors.size, np.iinfo(np.int64).max)
    found = np.zeros(colors.size, np.int64)
    for class_id, color in zip(ids, (c.rgb for c in class_map), strict=True):
        distance = ((rgb - np.array(color)) ** 2).sum(axis=-1)
        closer = distance < best
        best[closer], found[closer] = distance[closer], class_id
    return found


def _unknown_colors(colors: NDArray[Any], counts: NDArray[Any]) -> ClassMapError:
    """Name the commonest colours that the map does not have."""
    order = np.argsort(-counts, kind="stable")[:3]
    shown = ", ".join(hex_color([int(v) for v in row]) for row in _channels(colors[order]))
    more = f" and {colors.size - 3} more" if colors.size > 3 else ""
    return ClassMapError(
        f"{int(counts.sum())} pixels have colours that the class map does not have: {shown}{more}",
        advice="Add them to the class map, or decode by the nearest colour.",
    )
