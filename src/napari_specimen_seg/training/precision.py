"""Numbers of 16 bits where the device computes faster with them, 32 bits everywhere else."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch

from ..models.devices import has_bf16


def autocast(device: str) -> Any:
    """Return a context that computes in bf16 where that is faster, and does nothing elsewhere.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"``, …
    """
    on_gpu = device.startswith("cuda") and torch.cuda.is_bf16_supported()
    faster = has_bf16() if device == "cpu" else on_gpu
    return torch.autocast(device.split(":")[0], torch.bfloat16) if faster else nullcontext()
