"""Label Studio's tasks: brush masks that can be corrected there, and what was drawn there.

Described at https://labelstud.io/guide/export and https://labelstud.io/guide/predictions. Its own
converter is part of a package that brings twenty others; what is needed of it is `brush`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from ..classes import ClassMap
from ..errors import ReadError
from ..outlines import fill
from . import brush
from .documents import file_name, size_of, without_upload
from .sketch import MAX_PIXELS, Drawn, Picture, Polygons, Region, Shape, Sketch, Window

LOCAL_FILES = "/data/local-files/?d="
"""How Label Studio calls files of a folder that it was given to serve."""

_KINDS = ("brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels")
_CORNERS_OF_ELLIPSES = 180
_TAG, _IMAGE = "label", "image"


@dataclass(frozen=True, slots=True)
class Brush:
    """A region that was painted.

    Parameters
    ----------
    packed : list of int
        See `brush.unpack`.
    """

    packed: Any

    def fill(self, height: int, width: int) -> tuple[Window, NDArray[np.bool_]]:
        """Return the mask; see `Shape`."""
        return (slice(0, height), slice(0, width)), brush.unpack(self.packed, height, width)


def is_label_studio(content: object) -> bool:
    """Tell whether a JSON document is an export of Label Studio (its full JSON)."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(task, dict) and isinstance(task.get("data"), dict) for task in content[:3])
    )


def read_label_studio(content: Any, path: Path) -> list[Sketch]:
    """Read tasks: of each its newest annotation that was not cancelled, else its newest prediction.

    Parameters
    ----------
    content : object
        The JSON document, not JSON-MIN.
    path : Path
        For messages.

    Returns
    -------
    list of Sketch
        Tasks without either are left out. Regions that have no area (points, lines) too.

    Raises
    ------
    ReadError
        If the file is none of Label Studio's.
    """
    if not is_label_studio(content):
        raise ReadError(
            "is no export of Label Studio", path=path, advice="Export as JSON there, not as JSON-MIN."
        )
    try:
        found = [_sketch(task) for task in content]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ReadError(f"is no export of Label Studio that can be used ({error!r})", path=path) from error
    return [sketch for sketch in found if sketch is not None]


def write_tasks(
    file: TextIO, pictures: Iterable[Picture], class_map: Callable[[], ClassMap], address: str = LOCAL_FILES
) -> None:
    """Write tasks with what is to be corrected as predictions.

    Parameters
    ----------
    file : text file
    pictures : iterable of Picture
        Consumed one by one.
    class_map : callable
        Asked for the names after each picture.
    address : str
        What stands before a picture's name in the address where Label Studio finds it.
    """
    file.write("[")
    for place, picture in enumerate(pictures):
        results = [
            _result(f"{place}-{number}", regions, picture.size, class_map())
            for number, regions in enumerate(_layers(picture))
        ]
        task = {
            "data": {_IMAGE: address + quote(picture.name)},
            "predictions": [{"model_version": "napari-specimen-seg", "result": results}],
        }
        file.write((",\n" if place else "\n") + json.dumps(task, ensure_ascii=False))
    file.write("\n]\n")


def labeling_config(class_map: ClassMap) -> str:
    """Return the set-up of a project for such tasks, to be pasted under Settings > Labeling Interface."""
    labels = "\n".join(
        f"    <Label value={quoteattr(item.name)} background={quoteattr(item.color)}/>"
        for item in class_map.foreground
    )
    return (
        f'<View>\n  <Image name="{_IMAGE}" value="${_IMAGE}" zoom="true"/>\n'
        f'  <BrushLabels name="{_TAG}" toName="{_IMAGE}">\n{labels}\n  </BrushLabels>\n</View>\n'
    )


def _layers(picture: Picture) -> list[list[Drawn]]:
    """Return what is one region there: an object, or all of a class, which is corrected as one."""
    if picture.numbers_objects:
        return [[region] for region in picture.regions]
    classes = defaultdict(list)
    for region in picture.regions:
        classes[region.class_id].append(region)
    return [classes[number] for number in sorted(classes)]


def _result(name: str, regions: list[Drawn], size: tuple[int, int], class_map: ClassMap) -> dict[str, Any]:
    mask = np.zeros(size, bool)
    for region in regions:
        window, inside = fill(region.polygons, *size)
        mask[window] |= inside
    value = {
        "format": "rle",
        "rle": brush.pack(mask),
        "brushlabels": [class_map.name_of(regions[0].class_id)],
    }
    return {
        "id": name,
        "type": "brushlabels",
        "from_name": _TAG,
        "to_name": _IMAGE,
        "original_height": size[0],
        "original_width": size[1],
        "image_rotation": 0,
        "value": value,
    }


def _sketch(task: dict[str, Any]) -> Sketch | None:
    annotations = [one for one in task.get("annotations") or [] if not one.get("was_cancelled")]
    chosen = annotations or task.get("predictions") or []
    if not chosen:
        return None
    newest = max(chosen, key=lambda one: str(one.get("updated_at") or one.get("created_at") or ""))
    regions, sizes = [], set()
    for result in newest["result"]:
        kind = result.get("type")
        if kind not in _KINDS or not result["value"].get(kind):
            continue
        size = size_of(result.get("original_height"), result.get("original_width"))
        if size is None or size[0] * size[1] > MAX_PIXELS:
            raise ValueError("a region does not tell the size of its picture")
        sizes.add(size)
        regions.append(Region(str(result["value"][kind][0]), _shape(kind, result["value"], size)))
    if len(sizes) > 1:
        raise ValueError("regions of one picture tell different sizes")
    return Sketch(_picture_of(task), tuple(regions), next(iter(sizes), None))


def _picture_of(task: dict[str, Any]) -> str:
    data = task["data"]
    texts = [data[_IMAGE]] if _IMAGE in data else [value for value in data.values() if isinstance(value, str)]
    if not texts:
        raise ValueError("a task names no picture")
    name = file_name(texts[0])
    return without_upload(name) if "/upload/" in str(texts[0]) else name


def _shape(kind: str, value: dict[str, Any], size: tuple[int, int]) -> Shape:
    """Return where a region lies; all but brushes are in percent of the picture."""
    if kind == "brushlabels":
        return Brush(value.get("rle"))
    scale = np.array([size[1], size[0]]) / 100
    if kind == "polygonlabels":
        points = np.asarray(value["points"], np.float64).reshape(-1, 2) * scale
    else:
        points = _turned(*_drawn_corners(kind, value, scale), float(value.get("rotation") or 0))
    if not np.isfinite(points).all():
        raise ValueError("a corner is no number")
    return Polygons([(points,)])


def _drawn_corners(
    kind: str, value: dict[str, Any], scale: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return corners in pixels, and the point around which they are turned."""
    at = np.array([value["x"], value["y"]], np.float64) * scale
    if kind == "rectanglelabels":
        across = np.array([value["width"], value["height"]], np.float64) * scale
        return at + np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * across, at
    radii = np.array([value["radiusX"], value["radiusY"]], np.float64) * scale
    angles = np.linspace(0, 2 * np.pi, _CORNERS_OF_ELLIPSES, endpoint=False)
    return at + np.stack([np.cos(angles), np.sin(angles)], 1) * radii, at


def _turned(points: NDArray[np.float64], around: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    angle = np.deg2rad(degrees)  # clockwise on the screen, where y points down
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned: NDArray[np.float64] = (points - around) @ matrix + around
    return turned
