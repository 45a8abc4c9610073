"""GeoJSON as QuPath writes and reads it: a feature for each region, in pixels from the upper left corner.

Geometries are those of RFC 7946; the properties ``objectType`` and ``classification`` are QuPath's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ..classes import ClassMap, hex_color
from ..errors import ReadError
from ..outlines import Polygon
from .sketch import Drawn, Picture, Polygons, Region, Sketch

UNCLASSIFIED = "unclassified"
"""The class of regions that have none."""

_OURS = "specimen_seg"


def is_geojson(content: object) -> bool:
    """Tell whether a JSON document is GeoJSON: a collection, a feature, or a list of features."""
    if isinstance(content, list):
        return bool(content) and all(is_geojson(item) for item in content[:3])
    return isinstance(content, dict) and content.get("type") in ("FeatureCollection", "Feature")


def read_geojson(content: Any, path: Path) -> tuple[Sketch, dict[str, str]]:
    """Read the regions of one picture.

    Parameters
    ----------
    content : object
        The JSON document. It does not tell how large the picture is.
    path : Path
        Named like the picture.

    Returns
    -------
    sketch : Sketch
        Polygons only; points and lines have no area and are left out.
    colors : dict of str to str
        Of the classes that have one.

    Raises
    ------
    ReadError
        If the file is not GeoJSON.
    """
    if not is_geojson(content):
        raise ReadError("is no GeoJSON with features", path=path)
    features = content if isinstance(content, list) else content.get("features", [content])
    colors: dict[str, str] = {}
    regions = []
    try:
        for feature in features:
            polygons = _polygons_of(feature["geometry"])
            if polygons:
                regions.append(_region(feature.get("properties") or {}, polygons, colors))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ReadError(f"is no GeoJSON that can be used ({error!r})", path=path) from error
    return Sketch(path.name, tuple(regions)), colors


def write_geojson(file: TextIO, picture: Picture, class_map: ClassMap) -> None:
    """Write the regions of one picture.

    Parameters
    ----------
    file : text file
    picture : Picture
    class_map : ClassMap
    """
    file.write('{"type": "FeatureCollection", "features": [')
    for place, region in enumerate(picture.regions):
        file.write(",\n" if place else "\n")
        file.write(json.dumps(_feature(region, picture, class_map), ensure_ascii=False))
    file.write("\n]}\n")


def _feature(region: Drawn, picture: Picture, class_map: ClassMap) -> dict[str, Any]:
    known = class_map.by_id(region.class_id)
    classification: dict[str, Any] = {"name": class_map.name_of(region.class_id)}
    if known is not None:
        classification["color"] = list(known.rgb)
    noted = {"class_id": region.class_id}
    named = {}
    if picture.numbers_objects:
        noted["object"] = region.number
        named = {"name": str(region.number)}
    polygons = [[[*ring.tolist(), ring[0].tolist()] for ring in polygon] for polygon in region.polygons]
    single = len(polygons) == 1
    return {
        "type": "Feature",
        "geometry": {
            "type": "Polygon" if single else "MultiPolygon",
            "coordinates": polygons[0] if single else polygons,
        },
        "properties": {
            # QuPath shows thousands of detections smoothly, and of annotations each can be changed.
            "objectType": "detection" if picture.numbers_objects else "annotation",
            **named,
            "classification": classification,
            _OURS: noted,
        },
    }


def _region(properties: dict[str, Any], polygons: list[Polygon], colors: dict[str, str]) -> Region:
    classification = properties.get("classification")
    classification = classification if isinstance(classification, dict) else {}
    name = str(classification.get("name") or UNCLASSIFIED)
    color = _color_of(classification)
    if color is not None:
        colors.setdefault(name, color)
    noted = properties.get(_OURS)
    noted = noted if isinstance(noted, dict) else {}
    class_id, number = (
        noted.get(key) if type(noted.get(key)) is int else None for key in ("class_id", "object")
    )
    return Region(name, Polygons(polygons), class_id, number)


def _color_of(classification: dict[str, Any]) -> str | None:
    """Return the colour: three numbers, or in older versions one that holds them."""
    packed = classification.get("colorRGB")
    if type(packed) is int:
        return f"#{packed & 0xFFFFFF:06x}"
    try:
        return hex_color(classification.get("color"))
    except ValueError:
        return None


def _polygons_of(geometry: dict[str, Any]) -> list[Polygon]:
    kind = geometry["type"]
    if kind == "GeometryCollection":
        return [polygon for one in geometry["geometries"] for polygon in _polygons_of(one)]
    if kind not in ("Polygon", "MultiPolygon"):
        return []
    found = geometry["coordinates"] if kind == "MultiPolygon" else [geometry["coordinates"]]
    return [tuple(_ring(ring) for ring in polygon) for polygon in found if polygon]


def _ring(points: Any) -> Any:
    ring = np.asarray(points, np.float64)
    if ring.ndim != 2 or ring.shape[1] < 2 or not np.isfinite(ring).all():
        raise ValueError("a ring is no list of points")
    return ring[:-1, :2] if len(ring) > 1 and (ring[0] == ring[-1]).all() else ring[:, :2]
