"""COCO annotations as training labels: polygons and run lengths, in core Python and scikit-image."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap, LabelClass, default_color
from ..core.errors import ReadError
from .pair import Pair, PairList

MAX_BYTES = 2_000_000_000


def read_coco(path: Path, images: Path) -> PairList:
    """Read the annotations of a COCO file.

    Parameters
    ----------
    path : Path
        JSON with ``images``, ``annotations`` and ``categories``.
    images : Path
        Folder that ``file_name`` is relative to.

    Returns
    -------
    PairList
        Pairs with regions in the order of the file, so that later ones lie on top.

    Raises
    ------
    ReadError
        If the file is not COCO's.
    """
    content = _load(path)
    order = {category["id"]: n + 1 for n, category in enumerate(_categories(content))}
    regions: dict[Any, list[tuple[int, object]]] = defaultdict(list)
    for item in content["annotations"]:
        if not item.get("iscrowd") or isinstance(item.get("segmentation"), dict):
            regions[item["image_id"]].append((order[item["category_id"]], item["segmentation"]))
    result = PairList()
    for item in content["images"]:
        picture = images / Path(str(item["file_name"])).name
        if not (images / str(item["file_name"])).resolve().is_relative_to(images.resolve()):
            result.problems.append((picture, "lies outside of the folder of pictures"))
        elif not (images / str(item["file_name"])).is_file():
            result.problems.append((picture, "is named in the COCO file but does not exist"))
        elif not regions[item["id"]]:
            result.problems.append((picture, "has no region in the COCO file"))
        else:
            picture = images / str(item["file_name"])
            result.pairs.append(Pair(picture.stem, picture, regions=tuple(regions[item["id"]])))
    return result


def categories_of(path: Path) -> ClassMap:
    """Return the categories of a COCO file as a class map; ids are 1, 2, … in the file's order."""
    classes = [LabelClass(id=0, name="background", color="#000000")]
    for number, category in enumerate(_categories(_load(path)), start=1):
        classes.append(LabelClass(id=number, name=str(category["name"]), color=default_color(number)))
    return ClassMap(classes=tuple(classes))


def paint(regions: tuple[tuple[int, object], ...], height: int, width: int) -> NDArray[np.uint16]:
    """Draw regions into labels; later ones lie on top.

    Parameters
    ----------
    regions : tuple of (int, object)
        Class id and polygons ``[[x1, y1, x2, y2, …], …]`` or run lengths ``{"size", "counts"}``.
    height, width : int
        Of the picture.

    Returns
    -------
    array
        (height, width) uint16.

    Raises
    ------
    ReadError
        If run lengths do not fit the picture.
    """
    from skimage.draw import polygon2mask

    labels = np.zeros((height, width), np.uint16)
    for class_id, region in regions:
        if isinstance(region, dict):
            labels[_from_runs(region, height, width)] = class_id
            continue
        for flat in region if isinstance(region, list) else []:
            points = np.asarray(flat, float).reshape(-1, 2)[:, ::-1]
            # COCO counts from the corner of the first pixel, scikit-image from its centre.
            labels[polygon2mask((height, width), points - 0.5)] = class_id
    return labels


def _from_runs(region: dict[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    counts = region.get("counts")
    if isinstance(counts, str):
        counts = _decode_counts(counts.encode("ascii"))
    lengths = np.asarray(counts, np.int64)
    if (
        list(region.get("size", ())) != [height, width]
        or lengths.sum() != height * width
        or (lengths < 0).any()
    ):
        raise ReadError(f"run lengths of size {region.get('size')} do not fit {height} x {width} pixels")
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return flat.reshape(width, height).T


def _decode_counts(text: bytes) -> list[int]:
    """Decode COCO's compressed run lengths: 5 bits a character, from the third on as differences.

    Source: the description of the format in the COCO API (maskApi.c, rleFrString).
    """
    counts: list[int] = []
    position = 0
    while position < len(text):
        value, shift, more = 0, 0, True
        while more and position < len(text):
            code = text[position] - 48
            value |= (code & 31) << shift
            more = bool(code & 32)
            position, shift = position + 1, shift + 5
            if not more and code & 16:
                value |= -1 << shift
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
    return counts


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReadError("is too large for a COCO file", path=path)
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ReadError(f"cannot be read ({error.strerror})", path=path) from error
    except (ValueError, RecursionError) as error:
        raise ReadError(f"is not valid JSON ({error})", path=path) from error
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= set(content):
        raise ReadError("is no COCO file: it needs images, annotations and categories", path=path)
    return content


def _categories(content: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(content["categories"], key=lambda category: category["id"])
