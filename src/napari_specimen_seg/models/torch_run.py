"""Running a network with torch, on a CPU or a GPU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .backends import Backend
from .cores import FLOATS_PER_PIXEL
from .devices import Engine
from .fusing import fused

if TYPE_CHECKING:
    from .card import ModelCard

MOST_PIXELS = 1 << 24
"""Of a batch: a large GPU is busy with fewer, and what one looks at first should not wait for more."""


class TorchBackend(Backend):
    """Computes a torch network.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode, on the CPU; it stays as it is.
    card : ModelCard
    engine : Engine
    """

    def __init__(self, network: torch.nn.Module, card: ModelCard, engine: Engine) -> None:
        super().__init__(card, engine)
        own = fused(network, card)
        own = copy.deepcopy(own) if own is network else own
        self.network = to_device(own if engine.precision == "fp32" else with_halved_weights(own), engine)

    def scores(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a batch; see `Backend.scores`."""
        return self.forward(torch.from_numpy(batch)).contiguous().cpu().numpy()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Compute a batch (N, C, Y, X) anywhere; the answer is float32, on the device."""
        batch = batch.to(self.engine.device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            if self.engine.precision == "fp32":
                answer: torch.Tensor = self.network(batch)
            else:
                with torch.autocast(self.engine.device, torch.bfloat16):
                    answer = self.network(batch)
            return answer.float()

    def batch_size(self, height: int, width: int) -> int:
        """Return how many pieces to compute as one batch; see `batch_size`."""
        return batch_size(self.engine.device, (height, width), self.channels)


class LiveBackend(Backend):
    """Computes with a function of torch tensors, as it is.

    Parameters
    ----------
    forward : callable
        Takes (N, C, Y, X) float32 on the CPU, gives scores anywhere.
    card : ModelCard
    engine : Engine
    """

    def __init__(
        self, forward: Callable[[torch.Tensor], torch.Tensor], card: ModelCard, engine: Engine
    ) -> None:
        super().__init__(card, engine)
        self.forward = forward

    def scores(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a batch; see `Backend.scores`."""
        with torch.no_grad():  # in threads of their own, where the caller's no_grad does not count
            return self.forward(torch.from_numpy(batch)).contiguous().cpu().numpy()


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
        1 on a CPU, where a batch gains nothing and costs memory; on a GPU as many as a quarter of its memory
        holds, at an estimated 256 floats a pixel, and at most `MOST_PIXELS`. What happens to be free counts
        only where it is too little, because the last bits of an answer depend on the size of the batch.
    """
    if device != "cuda":
        return 1
    free, total = torch.cuda.mem_get_info()
    pixels = tile[0] * tile[1]
    room = min(total // 4, free // 2) // (pixels * 4 * (FLOATS_PER_PIXEL + 2 * channels))
    return int(max(1, min(32, room, MOST_PIXELS // pixels)))


def with_halved_weights(network: torch.nn.Module) -> torch.nn.Module:
    """Give layers that compute in bf16 their weights in bf16, which are halved for every batch otherwise.

    Parameters
    ----------
    network : torch.nn.Module
        To be run under autocast, with the same answer; it is changed.

    Returns
    -------
    torch.nn.Module
        The same.
    """
    for module in network.modules():
        if type(module) in (nn.Conv2d, nn.ConvTranspose2d, nn.Linear):  # others may look at their weights
            module.to(torch.bfloat16)
    return network


def to_device(network: torch.nn.Module, engine: Engine) -> torch.nn.Module:
    """Return the network on its device, in channels-last memory order."""
    moved: torch.nn.Module = network.to(engine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved
