"""A network of another engine in the shape of a torch module, for those who ask for one."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray


class Net(Protocol):
    """What computes batches of numpy arrays."""

    def scores(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute (N, C, Y, X) float32."""
        ...


class NetModule(torch.nn.Module):
    """Calls a `Net` like a torch network; it has no parameters and learns nothing.

    Parameters
    ----------
    net : Net
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Compute a batch (N, C, Y, X) float32, on the CPU."""
        return torch.from_numpy(self.net.scores(batch.detach().cpu().numpy()))
