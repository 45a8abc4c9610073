"""From a napari layer to the picture or labels that the core takes, and what to say about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ImageError
from ..core.image import PixelSize, SpecimenImage, label_axes, unit_name

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

CHANNEL_NAMES = ("c", "ch", "channel", "channels")
"""What an axis may be called that holds channels, not planes."""

CALIBRATED = "specimen_seg_calibrated"
"""In a layer's metadata: its pixel size was given here, whatever its file says."""


def layer_path(layer: Layer) -> Path | None:
    """Return the file that a layer was read from, or None."""
    path = getattr(layer.source, "path", None) or layer.metadata.get("specimen_source")
    return Path(path) if path else None


def layer_unit(layer: Layer) -> str:
    """Return the unit of a layer's rows and columns by our name; ``"pixel"`` where it is no length.

    Parameters
    ----------
    layer : napari layer

    Returns
    -------
    str
    """
    try:
        return unit_name(str(layer.units[-1]))
    except ValueError:
        return "pixel"


def layer_spacing(layer: Layer) -> tuple[float, ...] | None:
    """Return the distance between pixels along every axis of a layer, or None where unknown.

    Parameters
    ----------
    layer : napari layer
        A scale of 1 pixel, which napari gives to everything, means unknown.

    Returns
    -------
    tuple of float or None
    """
    spacing = tuple(abs(float(s)) for s in layer.scale)
    return None if layer_unit(layer) == "pixel" else spacing


def given_size(layer: Layer) -> tuple[PixelSize | None, str | None]:
    """Return pixel size and unit that a person gave instead of the file's own; None where nobody did.

    Parameters
    ----------
    layer : napari layer

    Returns
    -------
    (float or (float, float) or None, str or None)
    """
    if not layer.metadata.get(CALIBRATED) or layer_unit(layer) == "pixel":
        return None, None
    height, width = (abs(float(s)) for s in layer.scale[-2:])
    return (height if height == width else (height, width)), layer_unit(layer)


def channel_axis(layer: Image) -> int | None:
    """Return which axis of an image layer holds channels, or None.

    Parameters
    ----------
    layer : napari Image layer

    Returns
    -------
    int or None
        The last for RGB; one that is called so; otherwise None: napari shows it as planes.
    """
    if layer.rgb:
        return int(layer.ndim)
    if layer.ndim < 3:
        return None  # rows and columns need two axes, whatever they are called
    names = [label.lower() for label in layer.axis_labels]
    return next((i for i, name in enumerate(names) if name in CHANNEL_NAMES), None)


def picture_of(layer: Image, plane: tuple[int, ...] | None = None) -> SpecimenImage:
    """Return what an image layer shows as the picture that a model takes, at full resolution.

    Contrast limits and colour maps of the layer are how it is shown; they do not count.

    Parameters
    ----------
    layer : napari Image layer
        Lazy data stay lazy.
    plane : tuple of int, optional
        Indices into the plane axes, for one plane of a stack.

    Returns
    -------
    SpecimenImage

    Raises
    ------
    ImageError
        If the layer has more than three plane axes.
    """
    channels = channel_axis(layer)
    levels = [_indexable(level) for level in (layer.data if layer.multiscale else [layer.data])]
    if channels is not None and channels != levels[0].ndim - 1:
        levels = [np.moveaxis(level, channels, -1) for level in levels]
    data = levels[0]
    spacing = layer_spacing(layer)
    if spacing is not None and channels is not None and not layer.rgb:
        spacing = spacing[:channels] + spacing[channels + 1 :]
    letters = _plane_letters(layer, data.ndim - 2 - (channels is not None))
    axes = letters + "YX" + ("C" if channels is not None else "")
    depth = layer.metadata.get("bit_depth")
    image = SpecimenImage(
        data,
        layer.name,
        axes,
        spacing,
        layer_unit(layer),
        layer_path(layer),
        depth if depth else None,
        tuple(levels[1:]),
    )
    return image if plane is None else plane_of(image, plane)


def plane_of(image: SpecimenImage, plane: tuple[int, ...]) -> SpecimenImage:
    """Return one plane of a stack.

    Parameters
    ----------
    image : SpecimenImage
        Lazy data stay lazy.
    plane : tuple of int
        One index per plane axis; () gives the picture itself.

    Returns
    -------
    SpecimenImage
    """
    if not plane:
        return image
    return image.replace(
        data=image.data[plane],
        axes=image.axes[len(plane) :],
        spacing=None if image.spacing is None else image.spacing[len(plane) :],
        levels=tuple(level[plane] for level in image.levels),
    )


def _indexable(data: Any) -> Any:
    """Return an array that stays lazy when it is cut; a zarr array would be read as soon as it is."""
    if isinstance(data, np.ndarray) or hasattr(data, "dask"):
        return data
    import dask.array as da

    return da.from_array(data, chunks=getattr(data, "chunks", "auto"))


def _plane_letters(layer: Image, count: int) -> str:
    """Return one letter for each stacked axis: those that our reader gave, or any others."""
    if count > 3:
        raise ImageError(
            f"{layer.name}: a stack may have up to three plane axes, this one has {count}",
            advice="Split it first.",
        )
    given = "".join(layer.axis_labels).upper()[:count]
    known = len(set(given)) == count and set(given) <= set("QTZ")
    return given if known else label_axes(count + 2)[:count]


def plane_shape(layer: Image) -> tuple[int, ...]:
    """Return the lengths of the stacked axes of an image layer; () for a single picture."""
    shape = list((layer.data[0] if layer.multiscale else layer.data).shape)
    channels = channel_axis(layer)
    if channels is not None:
        del shape[channels]
    return tuple(int(n) for n in shape[:-2])


def shown_plane(layer: Image, step: tuple[int, ...]) -> tuple[int, ...]:
    """Return the indices of the plane of a stack that the viewer shows.

    Parameters
    ----------
    layer : napari Image layer
    step : tuple of int
        ``viewer.dims.point`` in data coordinates of the layer, one number per axis of the layer.

    Returns
    -------
    tuple of int
        One per stacked axis, inside the stack.
    """
    channels = channel_axis(layer)
    wanted = [int(s) for axis, s in enumerate(step) if axis != channels or layer.rgb]
    shape = plane_shape(layer)
    return tuple(min(max(0, at), n - 1) for at, n in zip(wanted, shape, strict=False))


def plane_in_view(viewer: Viewer, layer: Image) -> tuple[int, ...]:
    """Return the indices of the plane of a picture that the viewer shows; () for a single picture."""
    return shown_plane(layer, layer.world_to_data(viewer.dims.point[-layer.ndim :]))


def describe_layer(layer: Layer) -> str:
    """Return size, channels and pixel size of an image or labels layer in one line.

    Parameters
    ----------
    layer : napari Image or Labels layer

    Returns
    -------
    str
        Such as ``"4000 × 6000 px · RGB · 0.021 mm per pixel"``.
    """
    shape = (layer.data[0] if layer.multiscale else layer.data).shape
    is_image = hasattr(layer, "rgb")
    channels = channel_axis(layer) if is_image else None
    sizes = [int(n) for axis, n in enumerate(shape) if axis != channels]
    parts = [f"{sizes[-2]} × {sizes[-1]} px" if len(sizes) >= 2 else "no picture"]
    if len(sizes) > 2:
        parts.append(" × ".join(str(n) for n in sizes[:-2]) + " planes")
    if is_image:
        parts.append(_channel_text(layer, shape, channels))
    parts.append(pixel_size_text(layer))
    return " · ".join(parts)


def _channel_text(layer: Image, shape: tuple[int, ...], channels: int | None) -> str:
    if layer.rgb:
        return "RGB" if shape[-1] == 3 else "RGBA"
    return "grey" if channels is None else f"{shape[channels]} channels"


def pixel_size_text(layer: Layer) -> str:
    """Return the pixel size of a layer for people."""
    if layer_unit(layer) == "pixel":
        return "pixel size unknown"
    height, width = (abs(float(s)) for s in layer.scale[-2:])
    shown = f"{height:.4g}" if height == width else f"{height:.4g} × {width:.4g}"
    return f"{shown} {pretty_unit(layer_unit(layer))} per pixel"


def pretty_unit(unit: str) -> str:
    """Return a unit as it is printed: µm for um."""
    return {"um": "µm", "pixel": "px", "inch": "in"}.get(unit, unit)


def placement_of(layer: Image) -> dict[str, Any]:
    """Return where an image layer lies, as arguments of a layer of the same picture without channels.

    Parameters
    ----------
    layer : napari Image layer

    Returns
    -------
    dict
        ``scale``, ``translate``, ``rotate``, ``shear``, ``affine``, ``units`` and ``axis_labels``.
    """
    channels = None if layer.rgb else channel_axis(layer)
    keep = [axis for axis in range(layer.ndim) if axis != channels]
    return {
        "scale": np.asarray(layer.scale)[keep],
        "translate": np.asarray(layer.translate)[keep],
        "rotate": np.asarray(layer.rotate)[np.ix_(keep, keep)],
        "shear": layer.shear if channels is None else None,
        "affine": _affine_without(layer, channels),
        "units": tuple(layer.units[axis] for axis in keep),
        "axis_labels": tuple(layer.axis_labels[axis] for axis in keep),
    }


def _affine_without(layer: Image, axis: int | None) -> Any:
    matrix = np.asarray(layer.affine.affine_matrix)
    if axis is None:
        return matrix
    return np.delete(np.delete(matrix, axis, 0), axis, 1)


def labels_array(layer: Labels) -> Any:
    """Return the labels of a layer at full resolution; lazy where they are not in memory."""
    data = layer.data[0] if layer.multiscale else layer.data
    return data.as_dask() if hasattr(data, "as_dask") else data
