"""Numbers of 16 bits where the device computes faster with them, 32 bits everywhere else."""

from __future__ import annotations

import platform
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

FASTER_FLAGS = ("avx512_bf16", "amx_bf16")
"""Processors with one of these compute in bf16; without, torch does it in steps, several times slower."""


def cpu_has_bf16() -> bool:
    """Tell whether the processor computes in bf16 itself.

    torch's own answer is not asked: it says yes on processors that only emulate it.
    """
    if platform.system() != "Linux":
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return any(flag in flags for flag in FASTER_FLAGS)


def autocast(device: str) -> Any:
    """Return a context that computes in bf16 where that is faster, and does nothing elsewhere.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"``, …
    """
    if device == "cpu":
        faster = cpu_has_bf16()
    else:
        faster = device.startswith("cuda") and torch.cuda.is_bf16_supported()
    return torch.autocast(device.split(":")[0], torch.bfloat16) if faster else nullcontext()
