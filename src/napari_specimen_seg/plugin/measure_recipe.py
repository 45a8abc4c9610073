"""How to do on the command line what the Measure dock has done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..core.measurements import Per
from .pictures import layer_path
from .reproduce import Recipe

if TYPE_CHECKING:
    from napari.layers import Labels

    from ..core.image import SpecimenLabels


def measure_recipe(layer: Labels | None, labels: SpecimenLabels | None, per: Per) -> Recipe:
    """Return the command line and the settings of a measurement.

    Parameters
    ----------
    layer : napari Labels layer or None
    labels : SpecimenLabels or None
        What was measured.
    per : {"class", "object", "specimen"}

    Returns
    -------
    Recipe
        The command makes the same table from the saved labels.
    """
    from ..batch.commands import measure_command

    path = None if layer is None else layer_path(layer)
    name = "labels" if labels is None else labels.name
    note = "" if path else f"Save the labels first, as {name}.tif (Segment > Save labels…)."
    size = None if labels is None else labels.pixel_size_yx
    unit = None if labels is None else labels.unit
    known = size is not None and unit != "pixel"
    text = measure_command(
        [path or f"{name}.tif"],
        f"{name}.csv",
        per=per,
        pixel_size=size if path and known else None,
        unit=unit if path and known else None,
    )
    settings = {"per": per, "pixel_size": size if known else None, "unit": unit if known else None}
    return Recipe(text, json.dumps(settings, indent=1), note)
