"""The one predict, on a network that is still learning."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch

from ..models.card import ModelCard
from ..models.devices import Engine
from ..models.predictor import Predictor


class LivePredictor(Predictor):
    """Predicts with a network in memory as it is, on the device that it lies on.

    Parameters
    ----------
    card : ModelCard
    network : torch.nn.Module
        In evaluation mode.
    device : torch.device
    wrap : callable
        Gives the context to compute in, such as autocast.
    """

    def __init__(
        self,
        card: ModelCard,
        network: torch.nn.Module,
        device: torch.device,
        wrap: Callable[[], Any] = nullcontext,
    ) -> None:
        super().__init__(card, network)
        self._live = network
        self._device = device
        self._wrap = wrap

    def _forward(self, engine: Engine) -> Any:
        del engine

        def forward(batch: torch.Tensor) -> torch.Tensor:
            # Whether gradients are recorded is decided by thread, and tiles are computed in several.
            with torch.no_grad(), self._wrap():
                placed = batch.to(self._device).contiguous(memory_format=torch.channels_last)
                answer: torch.Tensor = self._live(placed).float()
            return answer

        return forward
