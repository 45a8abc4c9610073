"""Pictures that a run leaves: what it learned from, and what it answers where it was not told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap
from ..core.files.atomic import atomic
from ..core.image import SpecimenImage
from ..core.preprocessing import Preprocessing
from ..core.resizing import resize, resize_nearest
from .losses import IGNORE

SIDE = 256
"""The longer side of a small picture."""

ROWS = 6
"""How many validation pictures are shown."""

GAP = 4
OPACITY = 0.45


@dataclass(frozen=True, slots=True)
class Triple:
    """A validation picture in small, with truth and answer.

    Parameters
    ----------
    picture : array
        (Y, X, 3) uint8.
    truth, answer : array
        (Y, X): class ids.
    """

    picture: NDArray[np.uint8]
    truth: NDArray[Any]
    answer: NDArray[Any]


def triple(
    image: SpecimenImage,
    target: NDArray[np.int32],
    answer: NDArray[Any],
    class_map: ClassMap,
    preprocessing: Preprocessing,
) -> Triple:
    """Make a small picture of a validation picture, its truth and the answer.

    Parameters
    ----------
    image : SpecimenImage
    target : array
        (Y, X): positions in the class map, `IGNORE` where nobody labelled.
    answer : array
        (Y, X): class ids.
    class_map : ClassMap
    preprocessing : Preprocessing
        Gives the range of values.
    """
    plane = np.asarray(image.data)
    values = preprocessing.value_range(plane, name=image.name, bit_depth=image.bit_depth)
    scale = min(1.0, SIDE / max(target.shape))
    rows, columns = (max(1, round(n * scale)) for n in target.shape)
    unit = preprocessing.unit(preprocessing.to_channels(plane, name=image.name), values)
    truth = np.array(class_map.ids)[np.where(target == IGNORE, 0, target)]
    return Triple(
        _as_bytes(resize(np.clip(unit, 0, 1), rows, columns)),
        resize_nearest(truth, rows, columns),
        resize_nearest(answer, rows, columns),
    )


def write_triples(triples: Sequence[Triple], class_map: ClassMap, path: Path) -> None:
    """Write picture, truth and answer side by side, one validation picture a row."""
    rows = []
    for item in triples:
        parts = [
            item.picture,
            overlay(item.picture, item.truth, class_map),
            overlay(item.picture, item.answer, class_map),
        ]
        rows.append(np.concatenate([_padded(part, SIDE + GAP) for part in parts], 1))
    if rows:
        _write(np.concatenate(rows), path)


def write_sheet(picture: NDArray[np.float32], labels: NDArray[Any], class_map: ClassMap, path: Path) -> None:
    """Write samples with their labels drawn over them.

    Parameters
    ----------
    picture : array
        (Y, X) or (Y, X, C), 0 to 1.
    labels : array
        (Y, X): class ids.
    class_map : ClassMap
    path : Path
        A PNG file; replaced if it exists.
    """
    step = max(1, picture.shape[1] // 1200)
    small = picture[::step, ::step]
    _write(overlay(_as_bytes(small), labels[::step, ::step], class_map), path)


def overlay(picture: NDArray[np.uint8], labels: NDArray[Any], class_map: ClassMap) -> NDArray[np.uint8]:
    """Return a picture (Y, X, 3) uint8 with classes other than background in their colours over it."""
    table = np.zeros((max(class_map.ids) + 1, 3), np.float32)
    for item in class_map:
        table[item.id] = item.rgb
    mixed = (1 - OPACITY) * picture + OPACITY * table[labels]
    return np.where((labels > 0)[..., None], mixed, picture).astype(np.uint8)


def _as_bytes(unit: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return values 0 to 1 as colours; of other numbers of channels than three the first is shown."""
    plane = unit if unit.ndim == 3 else unit[..., None]
    shown = plane if plane.shape[-1] == 3 else np.repeat(plane[..., :1], 3, axis=-1)
    return (shown * 255).round().astype(np.uint8)


def _padded(part: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    out = np.full((side, side, 3), 255, np.uint8)
    out[: part.shape[0], : part.shape[1]] = part
    return out


def _write(picture: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    with atomic(path, overwrite=True) as draft:
        Image.fromarray(picture).save(draft, format="PNG")
