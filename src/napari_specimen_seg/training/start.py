"""Learning on from a model that exists: its network, its input and, unless others are given, its classes."""

from __future__ import annotations

from typing import Any

from ..models.bundle import read_card
from ..models.library import find_model
from .config import TrainConfig

Changes = dict[str, dict[str, Any]]


def taken_over(config: TrainConfig, model: str) -> TrainConfig:
    """Return settings whose network and input are those of a model.

    Parameters
    ----------
    config : TrainConfig
    model : str
        Name or folder.

    Returns
    -------
    TrainConfig

    Raises
    ------
    ModelError
        If there is no such model.
    """
    card = read_card(find_model(model))
    seen = card.preprocessing
    changes: Changes = {
        "network": {
            "architecture": card.architecture,
            "encoder": card.encoder,
            "options": dict(card.options),
            "start_from": model,
        },
        "input": {"channels": seen.channels, "values": seen.values, "geometry": seen.geometry},
    }
    if config.data.class_map is None:
        changes["data"] = {"class_map": card.class_map}
        changes["learn"] = {"head": card.head.kind, "threshold": getattr(card.head, "threshold", 0.5)}
    return config.changed(changes)
