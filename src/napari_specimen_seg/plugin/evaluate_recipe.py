"""How to do again in a terminal what the Evaluate dock does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .evaluate_run import EvaluateRequest
from .reproduce import Recipe

REPORT = Path("report")


def evaluate_recipe(request: EvaluateRequest, *, from_layers: bool = False, note: str = "") -> Recipe:
    """Return the command line and the settings of an evaluation or comparison.

    Parameters
    ----------
    request : EvaluateRequest
        What is chosen so far; may be incomplete.
    from_layers : bool
        Whether open layers are evaluated.
    note : str
        What is to be said first.

    Returns
    -------
    Recipe
    """
    from ..batch.evaluate_command import compare_command, evaluate_command

    chosen = request.competitors
    names = [c.model or str(c.masks or c.name) for c in chosen]
    shared: dict[str, Any] = {
        "labels": Path("labels") if from_layers else request.labels or Path("labels"),
        "images": Path("images") if from_layers else request.images,
        "output": REPORT,
        "second": None if from_layers else request.second,
        "settings": request.settings,
        "predict": request.predict,
    }
    if len(chosen) > 1:
        command = compare_command(names, **shared)
    elif chosen and not chosen[0].model:
        command = evaluate_command(predictions=chosen[0].masks or Path("masks"), **shared)
    else:
        command = evaluate_command(model=names[0] if names else "MODEL", **shared)
    content = {
        "evaluated": names,
        **request.settings.model_dump(mode="json"),
        "prediction": request.predict.model_dump(mode="json", exclude_defaults=True),
    }
    return Recipe(command, json.dumps(content, indent=1), " ".join(_notes(request, from_layers, note)))


def _notes(request: EvaluateRequest, from_layers: bool, note: str) -> list[str]:
    notes = [note] if note else []
    if from_layers:
        notes.append("Save pictures, labels and masks into folders first, each called like its picture.")
    if len(request.competitors) > 1 and any(not c.model for c in request.competitors):
        notes.append("On the command line masks are evaluated one folder at a time.")
    return notes
