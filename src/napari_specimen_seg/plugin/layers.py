"""Pictures and labels of the core as napari layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap
from ..core.image import SpecimenImage, SpecimenLabels

if TYPE_CHECKING:
    from napari.utils.colormaps import DirectLabelColormap
    from pandas import DataFrame

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]
"""Data, attributes and type of a layer, as npe2 passes them."""

UNNAMED_COLOR = (0.6, 0.6, 0.6, 1.0)
"""How ids look that no class has, such as one that was just painted: grey, which no preset uses."""

_STAINS = ("cyan", "magenta", "yellow", "green", "red", "blue")
"""Colours of separate channels, which add up to white in this order."""


def image_layers(image: SpecimenImage) -> list[LayerData]:
    """Turn a picture into layers.

    Parameters
    ----------
    image : SpecimenImage

    Returns
    -------
    list of LayerData
        One layer; one for each channel where the channels are signals of their own. They carry pixel
        size, unit and axis names, and in ``metadata`` the file, the bits in use and the channel's number.
    """
    common = {**_placement(image), "multiscale": bool(image.levels)}
    if "C" not in image.axes or image.is_color:
        attributes = {"name": image.name, "rgb": "C" in image.axes, "metadata": _image_metadata(image)}
        return [(_pyramid(image), {**common, **attributes}, "image")]
    return [
        (_pyramid(image, channel), {**common, **_stain(image, channel)}, "image")
        for channel in range(image.channels)
    ]


def _pyramid(image: SpecimenImage, channel: int | None = None) -> Any:
    levels = [image.data, *image.levels]
    if channel is not None:
        levels = [level[..., channel] for level in levels]
    return levels if image.levels else levels[0]


def _stain(image: SpecimenImage, channel: int) -> dict[str, Any]:
    name = image.channel_names[channel] if image.channel_names else ""
    return {
        "name": f"{image.name} {name or f'channel {channel + 1}'}",
        "rgb": False,
        "colormap": _STAINS[channel % len(_STAINS)] if image.channels > 1 else "gray",
        "blending": "additive",
        "metadata": {**_image_metadata(image), "channel": channel},
    }


def _image_metadata(image: SpecimenImage) -> dict[str, Any]:
    return {
        "specimen_source": None if image.source is None else str(image.source),
        "bit_depth": image.bit_depth,
    }


def _placement(picture: SpecimenImage | SpecimenLabels) -> dict[str, Any]:
    """Return scale, units and names of the axes as layer attributes."""
    axes = picture.plane_axes
    placed: dict[str, Any] = {"axis_labels": tuple(axis.lower() for axis in axes)}
    if picture.spacing is not None:
        placed["scale"] = picture.spacing
        # Neither time nor the number of a picture is a length.
        placed["units"] = tuple(picture.unit if axis in "ZYX" else "pixel" for axis in axes)
    return placed


def labels_layer(labels: SpecimenLabels) -> LayerData:
    """Turn labels into a layer that knows its classes.

    Parameters
    ----------
    labels : SpecimenLabels

    Returns
    -------
    LayerData
        With the colours of the classes (objects keep napari's, which tell neighbours apart), with
        ``features`` that show the class under the pointer, and in ``metadata`` the class map
        (``class_map``), the classes of objects (``object_class``), ``provenance`` and the file.
    """
    attributes: dict[str, Any] = {"name": labels.name, **_placement(labels)}
    attributes["metadata"] = {
        "class_map": labels.class_map,
        "object_class": labels.object_class,
        "provenance": dict(labels.provenance),
        "specimen_source": None if labels.source is None else str(labels.source),
    }
    features = label_features(labels)
    if features is not None:
        attributes["features"] = features
    if labels.class_map is not None and labels.object_class is None:
        attributes["colormap"] = class_colormap(labels.class_map)
    data = _for_display(labels.data)
    if labels.levels:
        attributes["multiscale"] = True
        data = [data, *(_for_display(level) for level in labels.levels)]
    return data, attributes, "labels"


def class_colormap(class_map: ClassMap) -> DirectLabelColormap:
    """Return the colours of the classes for a Labels layer.

    Parameters
    ----------
    class_map : ClassMap

    Returns
    -------
    DirectLabelColormap
        Background is transparent; ids without a class are grey, so that painting one shows.
    """
    from napari.utils.colormaps import DirectLabelColormap

    colors: dict[int | None, Any] = {None: UNNAMED_COLOR, 0: (0.0, 0.0, 0.0, 0.0)}
    for item in class_map.foreground:
        colors[item.id] = (*(value / 255 for value in item.rgb), 1.0)
    return DirectLabelColormap(color_dict=colors)


def label_features(labels: SpecimenLabels) -> DataFrame | None:
    """Return the table that napari looks names up in: columns index and class_name, then any others.

    Parameters
    ----------
    labels : SpecimenLabels

    Returns
    -------
    DataFrame or None
        One row per class, or per object where the labels number objects; None where nothing is known.
    """
    import pandas as pd

    columns: dict[str, Any] = {str(name): np.asarray(values) for name, values in labels.features.items()}
    if "index" not in columns and labels.class_map is not None and not columns:
        columns["index"] = _ids(labels)
    if "index" not in columns:
        return pd.DataFrame(columns) if columns else None
    if labels.class_map is not None and "class_name" not in columns:
        columns["class_name"] = _names(labels, columns["index"])
    first = [name for name in ("index", "class_name") if name in columns]
    return pd.DataFrame({name: columns[name] for name in [*first, *(c for c in columns if c not in first)]})


def _ids(labels: SpecimenLabels) -> NDArray[Any]:
    if labels.object_class is not None:
        return np.arange(len(labels.object_class))
    return np.asarray([] if labels.class_map is None else sorted(labels.class_map.ids))


def _names(labels: SpecimenLabels, ids: NDArray[Any]) -> list[str]:
    if labels.class_map is None:
        return []
    table = labels.object_class
    classes = ids if table is None else [int(table[i]) if 0 <= int(i) < len(table) else 0 for i in ids]
    return [labels.class_map.name_of(int(class_id)) for class_id in classes]


def _for_display(data: Any) -> Any:
    """Give labels a type that napari paints in: bool and big-endian integers are none."""
    if data.dtype == bool:
        return data.astype(np.uint8)
    return data
