"""COCO annotations as training labels."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap, LabelClass, default_color
from ..core.errors import ReadError
from ..core.exchange.coco import CocoShape, is_coco
from ..core.exchange.documents import load
from .pair import Pair, PairList


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
    labels = np.zeros((height, width), np.uint16)
    for class_id, region in regions:
        window, mask = CocoShape(region).fill(height, width)
        labels[window][mask] = class_id
    return labels


def _load(path: Path) -> dict[str, Any]:
    content = load(path)
    if not is_coco(content):
        raise ReadError("is no COCO file: it needs images, annotations and categories", path=path)
    return dict(content)


def _categories(content: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(content["categories"], key=lambda category: category["id"])
