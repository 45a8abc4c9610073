"""Which device and precision a prediction uses, decided once and written down with the result."""

from __future__ import annotations

import os
import platform
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ..core.errors import DeviceError, SpecimenWarning
from .settings import PredictSettings


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

    def __str__(self) -> str:
        """Say it in one line: ``OpenVINO on the processor, fp32``."""
        names = {"torch": "torch", "onnxruntime": "onnxruntime", "openvino": "OpenVINO"}
        places = {"cpu": "the processor", "cuda": "the GPU", "mps": "the GPU"}
        return f"{names[self.backend]} on {places[self.device]}, {self.precision}"


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
    return Engine(device, "torch", choose_precision(settings, device))


def choose_precision(settings: PredictSettings, device: str = "cpu") -> Literal["fp32", "bf16"]:
    """Return the precision for a float model: bf16 only where asked for, and where it is any faster.

    Warns
    -----
    SpecimenWarning
        If the processor does not compute with bf16 itself, where it takes three to five times as long.
    """
    if settings.precision != "bf16":
        return "fp32"
    if device == "cpu" and not has_bf16():
        warnings.warn(
            "this processor does not compute with bf16 itself, which would take several times as long: "
            "fp32 is used",
            SpecimenWarning,
            stacklevel=2,
        )
        return "fp32"
    return "bf16"


@lru_cache
def has_bf16() -> bool:
    """Tell whether the processor has instructions for bf16.

    What torch answers when asked whether oneDNN supports it is no help: that is true without them too.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
            return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)
    import torch

    asked = (
        getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(ask is not None and ask() for ask in asked)


def _choose_device(wanted: str) -> Literal["cpu", "cuda", "mps"]:
    if wanted == "cpu" or (wanted == "auto" and not may_have_gpu()):
        return "cpu"
    import torch

    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if wanted == "cuda" and not has_cuda:
        raise _no_cuda(torch.backends.cuda.is_built())  # type: ignore[no-untyped-call]
    if wanted == "mps" and not has_mps:
        raise DeviceError("no Apple GPU (MPS) is available here", advice="Use --device cpu.")
    if wanted == "cuda" or (wanted == "auto" and has_cuda):
        return "cuda"
    return "mps" if wanted == "mps" or (wanted == "auto" and has_mps) else "cpu"


def _no_cuda(built: bool) -> DeviceError:
    if built:
        return DeviceError("no CUDA GPU is available here", advice="Use --device cpu.")
    return DeviceError(
        "the installed torch is for processors only, so there is no CUDA GPU for it",
        advice="Use --device cpu, or install torch for your card as pytorch.org shows.",
    )


def may_have_gpu() -> bool:
    """Tell whether it is worth asking torch for a GPU, which costs its import of more than a second.

    Returns
    -------
    bool
        False only where the driver of no GPU that torch can use is installed.
    """
    if "torch" in sys.modules:
        return True
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", "C:/Windows")) / "System32" / "nvcuda.dll").exists()
    drivers = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA, any GPU under WSL, AMD
    return any(Path(driver).exists() for driver in drivers)


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "_status_alloc_failed")
"""What torch and the libraries of a GPU say, in small letters."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that a device or the machine ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)
