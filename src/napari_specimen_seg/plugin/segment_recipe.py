"""How to do on the command line what the Segment dock would do now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..models.settings import PredictSettings
from .pictures import given_size, layer_path
from .reproduce import Recipe

if TYPE_CHECKING:
    from napari.layers import Image

RESULTS = "results"
"""The folder that the command proposes."""


def segment_recipe(layer: Image | None, model: str, settings: PredictSettings, *, one_plane: bool) -> Recipe:
    """Return the command line and the settings of a segmentation.

    Parameters
    ----------
    layer : napari Image layer or None
    model : str
        Name or folder.
    settings : PredictSettings
    one_plane : bool
        Whether only one plane of a stack is meant.

    Returns
    -------
    Recipe
        The command leaves the same labels as the dock, byte by byte, once the picture is in a file.
    """
    from ..batch.commands import predict_command

    path = None if layer is None else layer_path(layer)
    name = "picture" if layer is None else layer.name
    size, unit = (None, None) if layer is None else given_size(layer)
    command = predict_command(
        [path or f"{name}.tif"], model or "MODEL", RESULTS, settings, pixel_size=size, unit=unit
    )
    chosen = {"model": model, **settings.model_dump(mode="json")}
    if size is not None:
        chosen |= {"pixel_size": size, "unit": unit}
    return Recipe(command, json.dumps(chosen, indent=1), " ".join(_notes(layer, name, one_plane=one_plane)))


def _notes(layer: Image | None, name: str, *, one_plane: bool) -> list[str]:
    """Say what must be done first, and what the command does differently."""
    notes = []
    if layer is not None and layer_path(layer) is None:
        notes.append(f"“{name}” has no file yet: save it as {name}.tif (File > Save Selected Layers) first.")
    if layer is not None and "channel" in layer.metadata:
        notes.append("This layer is one channel of its file: save it as a file of its own first.")
    if one_plane:
        notes.append("The command segments every plane of the file.")
    return notes
