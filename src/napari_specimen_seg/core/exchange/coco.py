"""COCO's annotation files: polygons and run lengths.

Described at https://cocodataset.org/#format-data. Run lengths and the filling of polygons are those of
pycocotools, so that areas are what everybody else finds in these files.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from ..classes import MAX_ID, ClassMap, free_color
from ..errors import ReadError
from ..outlines import fill
from .documents import file_name, size_of
from .sketch import Drawn, Picture, Region, Sketch, Window


@dataclass(frozen=True, slots=True)
class CocoShape:
    """A region as COCO has it.

    Parameters
    ----------
    segmentation : object
        Polygons ``[[x1, y1, x2, y2, …], …]``, of which a pixel may be in several, or run lengths
        ``{"size": [height, width], "counts": …}``.
    """

    segmentation: object

    def fill(self, height: int, width: int) -> tuple[Window, NDArray[np.bool_]]:
        """Return what is inside; see `Shape`."""
        if isinstance(self.segmentation, dict):
            return _filled_runs(_lengths(self.segmentation, height, width), height)
        from pycocotools import mask as coco_mask

        rings = _rings_of(self.segmentation)
        if not rings:
            return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), bool)
        points = np.concatenate(rings)
        low = np.clip(np.floor(points.min(0)).astype(np.int64), 0, (width, height))
        high = np.maximum(low, np.clip(np.ceil(points.max(0)).astype(np.int64) + 1, 0, (width, height)))
        w, h = high - low
        if not w * h:
            return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), bool)
        # Far outside of the picture nothing changes inside, and pycocotools counts in 32 bits.
        moved = [np.clip(ring - low, -1e6, 1e6).ravel().tolist() for ring in rings]
        runs = coco_mask.merge(coco_mask.frPyObjects(moved, int(h), int(w)))
        lengths = np.asarray(_decoded(runs["counts"]), np.int64)
        (rows, columns), mask = _filled_runs(lengths, int(h))
        left, top = int(low[0]), int(low[1])
        return (_moved(rows, top), _moved(columns, left)), mask


def read_coco(content: Any, path: Path) -> tuple[list[Sketch], ClassMap]:
    """Read a COCO document.

    Parameters
    ----------
    content : object
        JSON with ``images``, ``annotations`` and ``categories``.
    path : Path
        For messages.

    Returns
    -------
    sketches : list of Sketch
        One for every image, in the file's order; regions in the order of the file.
    class_map : ClassMap
        The categories, with the file's ids where these can be class ids, else 1, 2, … in their order.

    Raises
    ------
    ReadError
        If the file is not COCO's.
    """
    try:
        return _sketches(content), categories_of(content, path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReadError(f"is no COCO file that can be used ({error!r})", path=path) from error


def is_coco(content: object) -> bool:
    """Tell whether a JSON document is COCO's."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= set(content)


def categories_of(content: dict[str, Any], path: Path) -> ClassMap:
    """Return the categories of a COCO document as a class map; see `read_coco`."""
    categories = sorted(content["categories"], key=lambda category: category["id"])
    ids = category_ids(content)
    classes: list[dict[str, Any]] = [{"id": 0, "name": "background", "color": "#000000"}]
    taken = {"#000000"}
    for category in categories:
        number = ids[category["id"]]
        color = free_color(category.get("color"), number, taken)
        taken.add(color)
        classes.append({"id": number, "name": str(category["name"]), "color": color})
    return ClassMap.parse({"classes": classes}, source=str(path))


def category_ids(content: dict[str, Any]) -> dict[Any, int]:
    """Return the class id of each category's id."""
    found = sorted(category["id"] for category in content["categories"])
    usable = all(type(number) is int and 0 < number <= MAX_ID for number in found)
    return {number: number if usable else place for place, number in enumerate(found, start=1)}


def write_coco(file: TextIO, pictures: Iterable[Picture], class_map: Callable[[], ClassMap]) -> None:
    """Write a COCO file, one picture after the other.

    Parameters
    ----------
    file : text file
    pictures : iterable of Picture
        Consumed one by one.
    class_map : callable
        Asked at the end for the class map of all pictures.
    """
    images = []
    number = 0
    file.write('{"annotations": [')
    for image_id, picture in enumerate(pictures, start=1):
        height, width = picture.size
        images.append({"id": image_id, "file_name": picture.name, "height": height, "width": width})
        for region in picture.regions:
            number += 1
            noted = {"object": region.number} if picture.numbers_objects else {}
            written = json.dumps(
                {"id": number, "image_id": image_id, **_annotation(region, picture.size), **noted}
            )
            file.write(("\n" if number == 1 else ",\n") + written)
    rest = {"images": images, "categories": _categories(class_map())}
    file.write("\n],\n" + json.dumps(rest, indent=1, ensure_ascii=False)[1:] + "\n")


def _annotation(region: Drawn, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "category_id": region.class_id,
        "segmentation": _segmentation(region, size),
        "area": region.area,
        "bbox": list(region.box),
        "iscrowd": 0,
    }


def _segmentation(region: Drawn, size: tuple[int, int]) -> object:
    """Return polygons, or run lengths where there are holes, which COCO's polygons cannot have."""
    if all(len(polygon) == 1 for polygon in region.polygons):
        return [polygon[0].ravel().tolist() for polygon in region.polygons]
    from pycocotools import mask as coco_mask

    counts: Any = {"size": list(size), "counts": _runs(region, size)}
    runs = coco_mask.frPyObjects(counts, size[0], size[1])
    return {"size": list(size), "counts": runs["counts"].decode("ascii")}


def _runs(region: Drawn, size: tuple[int, int]) -> list[int]:
    """Return run lengths column by column, which begin outside."""
    (rows, columns), mask = fill(region.polygons, *size)
    x, y = np.nonzero(mask.T)
    flat = (x + columns.start) * size[0] + y + rows.start
    breaks = np.flatnonzero(np.diff(flat) != 1)
    begins = flat[np.concatenate([[0], breaks + 1])]
    ends = flat[np.concatenate([breaks, [flat.size - 1]])] + 1
    edges = np.stack([begins, ends], 1).ravel()
    return [int(n) for n in np.diff(np.concatenate([[0], edges, [size[0] * size[1]]]))]


def _categories(class_map: ClassMap) -> list[dict[str, Any]]:
    return [
        {"id": item.id, "name": item.name, "supercategory": "", "color": item.color}
        for item in class_map.foreground
    ]


def _sketches(content: Any) -> list[Sketch]:
    if not is_coco(content):
        raise ValueError("it needs images, annotations and categories")
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    ids = category_ids(content)
    regions: dict[Any, list[Region]] = defaultdict(list)
    for item in content["annotations"]:
        shape, number = item.get("segmentation"), item.get("object")
        if not item.get("iscrowd") or isinstance(shape, dict):
            known = number if type(number) is int and number > 0 else None
            category = item["category_id"]
            regions[item["image_id"]].append(Region(names[category], CocoShape(shape), ids[category], known))
    return [
        Sketch(
            file_name(item["file_name"]),
            tuple(regions[item["id"]]),
            size_of(item.get("height"), item.get("width")),
        )
        for item in content["images"]
    ]


def _moved(range_: slice, by: int) -> slice:
    return slice(range_.start + by, range_.stop + by)


def _rings_of(segmentation: object) -> list[NDArray[np.float64]]:
    """Return the polygons that have an inside."""
    rings = []
    for flat in segmentation if isinstance(segmentation, list) else []:
        try:
            ring = np.asarray(flat, np.float64)
        except (TypeError, ValueError):
            raise ReadError("a polygon in it is no list of numbers") from None
        if ring.ndim != 1 or ring.size % 2 or not np.isfinite(ring).all():
            raise ReadError("a polygon in it is no list of x and y")
        if ring.size >= 6:
            rings.append(ring.reshape(-1, 2))
    return rings


def _lengths(runs: dict[str, Any], height: int, width: int) -> NDArray[np.int64]:
    """Return run lengths, column by column and outside first, after they were found to fit."""
    counts = runs.get("counts")
    try:
        lengths = np.asarray(_decoded(counts) if isinstance(counts, (str, bytes)) else counts, np.int64)
    except (TypeError, ValueError, OverflowError):
        raise ReadError("run lengths in it are no numbers") from None
    fit = lengths.ndim == 1 and not (lengths < 0).any() and lengths.sum() == height * width
    if not fit or runs.get("size") != [height, width]:
        raise ReadError(f"run lengths of size {runs.get('size')} do not fit {height} x {width} pixels")
    return lengths


def _filled_runs(lengths: NDArray[np.int64], height: int) -> tuple[Window, NDArray[np.bool_]]:
    """Return what run lengths are about, in the columns that it takes."""
    ends = np.cumsum(lengths)
    inside = np.arange(lengths.size) % 2 == 1
    used = np.flatnonzero(inside & (lengths > 0))
    if not used.size:
        return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), bool)
    left = int(ends[used[0]] - lengths[used[0]]) // height
    right = -(-int(ends[used[-1]]) // height)
    edges = np.clip(np.concatenate([[0], ends]) - left * height, 0, (right - left) * height)
    mask = np.repeat(inside, np.diff(edges)).reshape(right - left, height).T
    return (slice(0, height), slice(left, right)), mask


def _decoded(text: str | bytes) -> list[int]:
    """Decode compressed run lengths: 5 bits a character, from the third on as differences.

    pycocotools does so without looking at how many there may be. Source: its maskApi.c, rleFrString.
    """
    counts: list[int] = []
    value = shift = 0
    for code in text.encode("ascii", "replace") if isinstance(text, str) else text:
        code -= 48
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value |= -1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts
