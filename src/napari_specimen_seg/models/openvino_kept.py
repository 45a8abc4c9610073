"""Torch models as OpenVINO computes them, converted on the first run and kept for the next ones."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ModelError
from ..core.loading import loading
from . import kept
from .bundle import read_checked
from .card import ModelCard
from .openvino_graph import converted, refuse_difference, require_openvino
from .openvino_run import GRAPH, check_graph

if TYPE_CHECKING:
    import torch

_CONVERSION = 1
"""To be raised whenever `openvino_graph.converted` gives something else for the same model."""


def kept_or_converted(card: ModelCard, folder: Path | None, network: Callable[[], torch.nn.Module]) -> Any:
    """Return a torch model as one of OpenVINO, without torch if it was converted before.

    Parameters
    ----------
    card : ModelCard
    folder : Path or None
        The model folder; its weights are compared with the card. None where the network was handed over:
        then nothing says what is in it, and nothing is kept.
    network : callable
        Gives the torch network; called only if it has to be converted.

    Returns
    -------
    openvino.Model

    Raises
    ------
    ModelError
        If the weights were altered, or the network cannot be converted or answers otherwise then.
    """
    if folder is None:
        return _converted(network, card)
    read_checked(folder, card)
    ov = require_openvino()
    key: kept.Key = {
        "engine": "openvino",
        "openvino": str(ov.get_version()),
        "conversion": _CONVERSION,
        "card": card.card_sha256,
        "weights": card.sha256,
    }
    model = _opened(kept.fetch(key))
    if model is not None:
        return model
    with loading():
        fresh = _converted(network, card)
    parts = _stored(fresh)
    kept.keep(key, parts)
    # Also the first time from the stored form, so that all runs compute with the same one.
    return _opened(parts) or fresh


def _converted(network: Callable[[], torch.nn.Module], card: ModelCard) -> Any:
    original = network()
    model = converted(original, card)
    refuse_difference(model, original, card)
    return model


def _stored(model: Any) -> dict[str, bytes]:
    ov = require_openvino()
    with tempfile.TemporaryDirectory() as folder:
        graph, weights = Path(folder) / GRAPH, Path(folder) / "model.bin"
        ov.serialize(model, graph, weights)
        return {"graph": graph.read_bytes(), "weights": weights.read_bytes()}


def _opened(parts: dict[str, bytes] | None) -> Any:
    """Return the model, or None where it is not there or OpenVINO does not understand it."""
    if parts is None:
        return None
    try:
        check_graph(parts["graph"], Path(GRAPH))
        return require_openvino().Core().read_model(model=parts["graph"], weights=parts["weights"])
    except (KeyError, ModelError, RuntimeError):
        return None
