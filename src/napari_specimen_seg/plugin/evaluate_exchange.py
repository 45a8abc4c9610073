"""Giving a layer another content: napari removes a layer in most of a second, and exchanges data at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Layer


def fits(old: Layer, new: Layer) -> bool:
    """Tell whether a layer can take the content of another one.

    Parameters
    ----------
    old : napari layer
        Whose content may be exchanged.
    new : napari layer
        Which need not be in a viewer.

    Returns
    -------
    bool
        Whether kind, number of axes, type of values and number of levels are the same.
    """
    return type(old) is type(new) and _nature(old) == _nature(new)


def _nature(layer: Any) -> tuple[Any, ...]:
    levels = len(layer.data) if layer.multiscale else 0
    return layer.ndim, layer.dtype, levels, getattr(layer, "rgb", None)


def exchange(old: Any, new: Any) -> None:
    """Give a layer the content, place, name and colours of another one; the opacity stays as it was set.

    What could be undone is forgotten: it was done to something else.

    Parameters
    ----------
    old : napari Image or Labels layer
    new : napari layer
        That `fits`; is not needed any more.
    """
    if old.visible != new.visible:  # first: nothing that is hidden is drawn
        old.visible = new.visible
    old.mode = "pan_zoom"
    old.data = new.data
    _place_like(old, new)
    if hasattr(old, "contrast_limits"):
        _color_like(old, new)
    else:
        _class_like(old, new)
    old.metadata = new.metadata
    old.name = new.name


def _place_like(old: Any, new: Any) -> None:
    """Put a layer where another one lies; each step that changes something measures the whole scene anew."""
    if not old.visible:
        old.scale = new.scale  # or napari takes a hidden layer for as large as it was when it was seen last
    for what in ("scale", "translate", "units", "axis_labels"):
        if tuple(getattr(old, what)) != tuple(getattr(new, what)):
            setattr(old, what, getattr(new, what))


def _color_like(old: Any, new: Any) -> None:
    if not old.rgb:
        old.contrast_limits_range = new.contrast_limits_range
        old.contrast_limits = new.contrast_limits


def _class_like(old: Any, new: Any) -> None:
    if old.metadata.get("class_map") != new.metadata.get("class_map"):
        old.colormap = new.colormap
    old.features = new.features
    if hasattr(old, "_reset_history"):  # napari has no public way
        old._reset_history()
