"""Which device and precision a prediction uses, decided once and written down with the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..core.errors import DeviceError
from .settings import PredictSettings

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Engine:
    """What computes: the choices of `PredictSettings` without any ``auto`` left.

    Parameters
    ----------
    device : {"cpu", "cuda", "mps"}
    backend : {"torch", "onnxruntime", "openvino"}
    precision : {"fp32", "bf16", "int8"}
    """

    device: Literal["cpu", "cuda", "mps"]
    backend: Literal["torch", "onnxruntime", "openvino"]
    precision: Literal["fp32", "bf16", "int8"]


def choose_engine(settings: PredictSettings) -> Engine:
    """Resolve every ``auto`` for a model that torch computes, and refuse what this machine does not have.

    Parameters
    ----------
    settings : PredictSettings

    Returns
    -------
    Engine
        ``auto`` means a GPU where there is one, and float32: the same mask on every machine counts more
        than speed until a person asks for it.

    Raises
    ------
    DeviceError
        If the device is absent, or backend and precision do not go together.
    """
    if settings.precision == "int8":
        raise DeviceError(
            "int8 is for models that were shrunk to it",
            advice="Run: specimen-seg export MODEL -o DIR --format openvino --precision int8 "
            "--calibrate PICTURES, then use DIR as the model.",
        )
    device = _choose_device(settings.device)
    precision = "fp32" if settings.precision == "auto" else settings.precision
    return Engine(device, "torch", "bf16" if precision == "bf16" else "fp32")


def _choose_device(wanted: str) -> Literal["cpu", "cuda", "mps"]:
    import torch

    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if wanted == "cuda" and not has_cuda:
        raise DeviceError("no CUDA GPU is available here", advice="Use --device cpu.")
    if wanted == "mps" and not has_mps:
        raise DeviceError("no Apple GPU (MPS) is available here", advice="Use --device cpu.")
    if wanted == "cuda" or (wanted == "auto" and has_cuda):
        return "cuda"
    return "mps" if wanted == "mps" or (wanted == "auto" and has_mps) else "cpu"


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that a device or the machine ran out of memory."""
    import torch

    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def batch_size(device: str, tile: tuple[int, int], channels: int) -> int:
    """Return how many tiles to compute at once.

    Parameters
    ----------
    device : str
    tile : (int, int)
        Height and width in pixels.
    channels : int
        The larger of input and output channels.

    Returns
    -------
    int
        1 on a CPU, where a batch gains nothing and costs memory; on a GPU as many as a third of the free
        memory holds, at an estimated 256 floats a pixel.
    """
    if device != "cuda":
        return 1
    import torch

    free, _ = torch.cuda.mem_get_info()
    per_tile = tile[0] * tile[1] * 4 * (256 + 2 * channels)
    return int(max(1, min(32, free // 3 // per_tile)))


def to_device(network: torch.nn.Module, engine: Engine) -> torch.nn.Module:
    """Return the network on its device, in channels-last memory order."""
    import torch

    moved: torch.nn.Module = network.to(engine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def forward_on(network: torch.nn.Module, engine: Engine) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the function that computes a batch with a network that is on the engine's device.

    Parameters
    ----------
    network : torch.nn.Module
    engine : Engine

    Returns
    -------
    callable
        Takes and gives (N, C, Y, X); the answer is float32, on the device.
    """
    import torch

    def forward(batch: torch.Tensor) -> torch.Tensor:
        batch = batch.to(engine.device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            if engine.precision == "fp32":
                answer: torch.Tensor = network(batch)
            else:
                with torch.autocast(engine.device, torch.bfloat16):
                    answer = network(batch)
            return answer.float()

    return forward
