"""From a row of a table to its place in the picture, and from a click in the picture to a point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

    from .measure_run import Measured

LEAST_SEEN, COMFORTABLE = 32, 96
"""Pixels of the screen: smaller things are enlarged, to this.

No box is drawn around them: napari 0.9 crashes where a layer of shapes or points has been beside labels that
were painted on, and all layers are removed.
"""

STILL = 3
"""A mouse that moves less than this between press and release has clicked; in pixels of the screen."""


def show_place(viewer: Viewer, layer: Labels, measured: Measured, number: int) -> None:
    """Show the plane that a row is about, with its object or specimen in the middle.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : napari Labels layer
        What was measured.
    measured : Measured
    number : int
        The row of the frame.
    """
    plane, centre = measured.plane_index(number), measured.centre(number)
    if plane:
        world = layer.data_to_world([*plane, 0, 0])
        for axis in range(len(plane)):
            viewer.dims.set_point(viewer.dims.ndim - layer.ndim + axis, world[axis])
    if centre is not None:
        world = layer.data_to_world(centre)
        camera = getattr(viewer, "scene", viewer).camera  # napari 0.9 moved it
        camera.center = (*camera.center[:-2], *world[-2:])
        _come_near(camera, layer, measured, number)


def _come_near(camera: Any, layer: Labels, measured: Measured, number: int) -> None:
    """Enlarge what would be a dot on the screen."""
    height, width = measured.extent(number)
    across = max(height * abs(float(layer.scale[-2])), width * abs(float(layer.scale[-1])))
    if across * camera.zoom < LEAST_SEEN:
        camera.zoom = COMFORTABLE / across


def clicks(layer: Labels, event: Any, chosen: Callable[[tuple[int, ...]], None]) -> Iterator[None]:
    """Follow a press of the mouse to its release, as napari's mouse callbacks do; tell of a click.

    Parameters
    ----------
    layer : napari Labels layer
    event : napari mouse event
        Of the press; napari changes it as the mouse goes on.
    chosen : callable
        Takes the pixel that was clicked on, in data coordinates. Not called for a drag, nor in modes in
        which a click draws.

    Yields
    ------
    None
        Until the next event.
    """
    if layer.mode not in ("pan_zoom", "pick"):
        return
    start = np.array(event.pos)
    yield
    while event.type == "mouse_move":
        yield
    if np.abs(np.array(event.pos) - start).max() <= STILL:
        chosen(tuple(int(np.round(at)) for at in layer.world_to_data(event.position))[-layer.ndim :])
