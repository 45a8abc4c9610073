"""Saving a Labels layer from napari's own dialog, with names, colours, scale, units and table.

napari has asked whether a file may be replaced before it calls these functions; so they replace it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.classes import ClassMap
from ..core.errors import WriteError
from ..core.image import UNITS_IN_MM, SpecimenLabels, label_axes, unit_name

_AXES = frozenset("QTZYX")


def write_tiff(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Save a Labels layer as TIFF that Fiji and QuPath open with the right pixel size.

    Parameters
    ----------
    path : str
        Ends in ``.tif`` or ``.tiff``.
    data : array or pyramid of arrays
        Of the layer; of a pyramid the largest is saved.
    meta : mapping
        Attributes of the layer.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    SpecimenError
        One line, which napari shows as a notification.
    """
    return _write(path, data, meta)


def write_index_png(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Save a Labels layer as PNG whose values are class ids; arguments as `write_tiff`."""
    return _write(path, data, meta)


def write_color_png(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Save a Labels layer as PNG in the colours of its classes; arguments as `write_tiff`."""
    from ..core.files import write_color_labels

    labels = labels_of(data, meta)
    class_map = labels.class_map
    if class_map is None:
        class_map = _made_up_classes(labels, path)
    return [str(write_color_labels(path, labels, class_map, overwrite=True))]


def labels_of(data: Any, meta: Mapping[str, Any]) -> SpecimenLabels:
    """Return a layer, as napari hands it to writers, as labels of the core.

    Parameters
    ----------
    data : array or pyramid of arrays
    meta : mapping
        Attributes of the layer: ``scale``, ``units``, ``axis_labels``, ``features``, and ``metadata`` with
        ``class_map``, ``object_class`` and ``provenance``.

    Returns
    -------
    SpecimenLabels
    """
    is_pyramid = meta.get("multiscale") or isinstance(data, (list, tuple))
    levels = [_lazy_or_array(level) for level in (data if is_pyramid else [data])]
    data = levels[0]
    kept = meta.get("metadata") or {}
    class_map = kept.get("class_map")
    features = meta.get("features")
    spacing, unit = _calibration(meta, data.ndim)
    return SpecimenLabels(
        data,
        str(meta.get("name") or "labels"),
        _axes(meta, data.ndim),
        spacing,
        unit,
        class_map=class_map if isinstance(class_map, ClassMap) else None,
        provenance=kept.get("provenance") or {},
        object_class=kept.get("object_class"),
        features={} if features is None else {str(name): features[name].tolist() for name in features},
        levels=tuple(levels[1:]),
    )


def _lazy_or_array(data: Any) -> Any:
    if hasattr(data, "as_dask"):
        return data.as_dask()
    return data if hasattr(data, "dask") else np.asarray(data)


def _write(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    from ..core.files import write_labels

    return [str(write_labels(path, labels_of(data, meta), overwrite=True))]


def _made_up_classes(labels: SpecimenLabels, path: str) -> ClassMap:
    """Name the values of a layer that was painted without classes."""
    ids = np.unique(np.asarray(labels.data))
    if int(ids.max(initial=0)) > 65535:
        raise WriteError(
            "there are too many values to tell them by colour",
            path=Path(path),
            advice="Save the labels as TIFF.",
        )
    return ClassMap.of_ids(ids)


def _axes(meta: Mapping[str, Any], ndim: int) -> str:
    """Take the names of the axes that our reader gave, where they still are."""
    axes = "".join(str(label).upper() for label in meta.get("axis_labels") or ())
    known = len(axes) == ndim == len(set(axes)) and set(axes) <= _AXES and axes.endswith("YX")
    return axes if known else label_axes(ndim)


def _calibration(meta: Mapping[str, Any], ndim: int) -> tuple[tuple[float, ...] | None, str]:
    """Return spacing and the one unit of rows and columns; None for the scale of 1 that all layers have."""
    given = meta.get("scale")
    scale = [1.0] * ndim if given is None else [abs(float(s)) for s in given]
    units = [_unit(unit) for unit in meta.get("units") or ()][-2:]
    height, width = units if len(units) == 2 else ("pixel", "pixel")
    if height != width and {height, width} <= set(UNITS_IN_MM):
        scale[-2] *= UNITS_IN_MM[height] / UNITS_IN_MM[width]
    elif height != width:
        width = "pixel"
    if len(scale) != ndim or (width == "pixel" and set(scale) == {1.0}):
        return None, "pixel"
    return tuple(scale), width


def _unit(unit: Any) -> str:
    try:
        return unit_name(str(unit))
    except ValueError:
        return "pixel"
