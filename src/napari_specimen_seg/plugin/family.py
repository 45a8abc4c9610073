"""Which layers belong together: a picture, the labels made from it, and those read from beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.image import SpecimenLabels
from .pictures import channel_axis, layer_path
from .results import origin_of

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer


HELPER = "specimen_seg_helper"
"""In the metadata of layers that a dock made for looking at: they are nobody's labels."""


def family_of(viewer: Viewer, labels: Labels) -> list[Layer]:
    """Return the layers that show the same specimen at the same scale: labels, picture, other results.

    Parameters
    ----------
    viewer : napari.Viewer
    labels : napari Labels layer

    Returns
    -------
    list of napari layers
        `labels` first. A picture belongs to labels that were made from it, or that were read from a file
        of the same name, and have its size.
    """
    picture = picture_for(viewer, labels)
    if picture is None:
        return [labels]
    results = [layer for layer in viewer.layers if _made_from(layer, picture) and layer is not labels]
    return [labels, picture, *results]


def picture_for(viewer: Viewer, labels: Labels) -> Layer | None:
    """Return the picture that labels belong to, or None. See `family_of`."""
    from napari.layers import Image

    pictures = [layer for layer in viewer.layers if isinstance(layer, Image) and origin_of(layer) is None]
    made = next((picture for picture in pictures if _made_from(labels, picture)), None)
    if made is not None:
        return made
    path = layer_path(labels)
    stems = {path.stem if path else "", labels.name.removesuffix(" labels")}
    return next((p for p in pictures if p.name in stems and _same_size(p, labels)), None)


def picture_below(viewer: Viewer, labels: Labels) -> Image | None:
    """Return the nearest picture below labels that has their size; no result and no helper of a dock.

    Parameters
    ----------
    viewer : napari.Viewer
    labels : napari Labels layer

    Returns
    -------
    napari Image layer or None
    """
    from napari.layers import Image

    layers = viewer.layers
    below = reversed(layers[: layers.index(labels)])
    return next((p for p in below if isinstance(p, Image) and _is_plain(p) and _same_size(p, labels)), None)


def _is_plain(layer: Layer) -> bool:
    return origin_of(layer) is None and HELPER not in layer.metadata


def _made_from(layer: Layer, picture: Layer) -> bool:
    origin = origin_of(layer)
    return origin is not None and origin.picture == str(picture.unique_id)


def _same_size(picture: Any, labels: Any) -> bool:
    data = picture.data[0] if picture.multiscale else picture.data
    channels = channel_axis(picture)
    spatial = [n for axis, n in enumerate(data.shape) if axis != channels]
    return tuple(spatial[-2:]) == tuple((labels.data[0] if labels.multiscale else labels.data).shape[-2:])


def labels_of(layer: Labels, viewer: Viewer) -> SpecimenLabels:
    """Return a labels layer as the core takes it, named for its picture.

    Parameters
    ----------
    layer : napari Labels layer
    viewer : napari.Viewer
        Where its picture may be.

    Returns
    -------
    SpecimenLabels
        Shares the layer's data.
    """
    from . import writer

    picture = picture_for(viewer, layer)
    path = layer_path(layer)
    data, attributes, _ = layer.as_layer_data_tuple()
    name = picture.name if picture is not None else path.stem if path else layer.name
    return writer.labels_of(data, attributes).replace(name=name, source=path, features={})


def label_colors(layer: Labels, values: NDArray[Any]) -> tuple[str, ...]:
    """Return the colours in which napari shows some values of a layer, as ``#rrggbb``.

    Parameters
    ----------
    layer : napari Labels layer
    values : array of int

    Returns
    -------
    tuple of str
        Empty while the layer hides all values but one.
    """
    if layer.show_selected_label or not values.size:
        return ()
    shown = (np.clip(np.asarray(layer.colormap.map(values))[:, :3], 0, 1) * 255).round().astype(int)
    return tuple("#{:02x}{:02x}{:02x}".format(*color) for color in shown.tolist())
