"""Which engine computes a model: torch, onnxruntime or OpenVINO; each is imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .card import ModelCard
from .devices import Engine, choose_engine
from .settings import PredictSettings

if TYPE_CHECKING:
    import torch


def engine_for(card: ModelCard, settings: PredictSettings) -> Engine:
    """Resolve every ``auto`` of the settings for a model.

    Parameters
    ----------
    card : ModelCard
    settings : PredictSettings

    Returns
    -------
    Engine

    Raises
    ------
    DeviceError
        If this machine, or this model, does not have what is asked for.
    """
    if card.onnx is not None:
        from .onnx_run import choose_onnx_engine

        return choose_onnx_engine(settings, card.onnx)
    if card.openvino is not None or settings.backend == "openvino":
        from .openvino_run import choose_openvino_engine

        return choose_openvino_engine(settings, card.openvino)
    return choose_engine(settings)


def foreign_forward(
    network: torch.nn.Module, card: ModelCard, engine: Engine
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the function that computes a batch with another engine than torch.

    Parameters
    ----------
    network : torch.nn.Module
        Of the model folder; may be a torch network where OpenVINO is to compute it.
    card : ModelCard
    engine : Engine

    Returns
    -------
    callable
        Takes and gives (N, C, Y, X) float32.
    """
    if engine.backend == "onnxruntime":
        from .onnx_run import forward_of

        return forward_of(network, engine)
    from .openvino_run import openvino_forward

    return openvino_forward(network, card, engine)
