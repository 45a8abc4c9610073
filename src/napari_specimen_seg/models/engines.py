"""Which engine computes a model: torch, onnxruntime or OpenVINO; each is imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.loading import loading
from .backends import Backend
from .card import ModelCard
from .devices import Engine, choose_engine
from .settings import PredictSettings

if TYPE_CHECKING:
    import torch


def engine_for(card: ModelCard, settings: PredictSettings, *, stored: bool = True) -> Engine:
    """Resolve every ``auto`` of the settings for a model.

    Parameters
    ----------
    card : ModelCard
    settings : PredictSettings
    stored : bool
        Whether the network lies in a model folder. One that was handed over is computed by torch as it is,
        unless something else is asked for.

    Returns
    -------
    Engine
        On a processor OpenVINO computes where it is installed: it is twice as fast as torch, and starts
        without it. A GPU is torch's.

    Raises
    ------
    DeviceError
        If this machine, or this model, does not have what is asked for.
    """
    if card.onnx is not None:
        from .onnx_run import choose_onnx_engine

        return choose_onnx_engine(settings, card.onnx)
    if card.openvino is None and settings.backend != "openvino":
        engine = choose_engine(settings)
        if engine.device == "cpu" and settings.backend == "auto" and stored and has_openvino():
            return replace(engine, backend="openvino")
        return engine
    from .openvino_run import choose_openvino_engine

    return choose_openvino_engine(settings, card.openvino)


def has_openvino() -> bool:
    """Tell whether OpenVINO is installed, without importing it."""
    try:
        return find_spec("openvino") is not None
    except ValueError:  # something else stands in its place
        return False


def open_backend(
    card: ModelCard, engine: Engine, folder: Path | None, network: Callable[[], torch.nn.Module]
) -> Backend:
    """Return what computes a model.

    Parameters
    ----------
    card : ModelCard
    engine : Engine
        From `engine_for`.
    folder : Path or None
        The model folder; None where the network was handed over.
    network : callable
        Gives the torch network; asked only by engines that need it.

    Returns
    -------
    Backend
    """
    if engine.backend == "onnxruntime" and folder is not None:
        from .onnx_run import OnnxBackend, load_onnx

        return OnnxBackend(load_onnx(folder, card), card, engine)
    if engine.backend == "openvino" and card.onnx is not None and folder is not None:
        from .onnx_openvino import OnnxByOpenVino, OnnxOpenVinoBackend
        from .onnx_run import load_onnx

        return OnnxOpenVinoBackend(load_onnx(folder, card, OnnxByOpenVino), card, engine)
    if engine.backend == "openvino" and (folder is not None or card.openvino is None):
        return _open_openvino(card, engine, folder, network)
    with loading():
        if engine.device != "cpu":
            from .torch_device import DeviceBackend

            return DeviceBackend(network(), card, engine)
        from .torch_run import TorchBackend

        return TorchBackend(network(), card, engine)


def _open_openvino(
    card: ModelCard, engine: Engine, folder: Path | None, network: Callable[[], torch.nn.Module]
) -> Backend:
    from .openvino_kept import kept_or_converted
    from .openvino_run import OpenVinoBackend, OpenVinoNet, load_openvino

    if card.openvino is not None and folder is not None:
        return OpenVinoBackend(load_openvino(folder, card), card, engine)
    model = kept_or_converted(card, folder, network)
    return OpenVinoBackend(OpenVinoNet(model, engine.precision), card, engine)
