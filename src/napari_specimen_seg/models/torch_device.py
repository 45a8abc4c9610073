"""Running a network with torch on a GPU: pixels go up as they are, one byte a pixel comes back.

Normalising and choosing are done on the device, and two batches are under way at once, each in a stream of
its own, so that copying one overlaps with computing the other.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from .backends import Answer, Ask, Piece
from .card import ModelCard, Softmax
from .decide import id_table, later_wins, limit_of
from .devices import Engine
from .openvino_graph import can_choose, clips
from .torch_run import TorchBackend


class DeviceBackend(TorchBackend):
    """Computes a torch network on a device that is not the processor.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode, on the CPU; it stays as it is.
    card : ModelCard
    engine : Engine
    """

    def __init__(self, network: torch.nn.Module, card: ModelCard, engine: Engine) -> None:
        super().__init__(network, card, engine)
        self._local = threading.local()
        self._table = id_table(card)

    def lanes(self, height: int, width: int) -> int:
        """Return 2: while one batch is computed, the next is copied."""
        del height, width
        return 2

    def answer(self, pieces: Sequence[Piece], ask: Ask) -> list[Answer]:
        """Choose the classes of pieces; see `Backend.answer`."""
        if ask.confidence or ask.scores or not can_choose(self.card):
            return super().answer(pieces, ask)
        with self._stream(), torch.inference_mode():
            scores = self.forward(torch.cat([self._input(piece) for piece in pieces]))
            chosen = choose_on_device(scores, self.card, ask.threshold).cpu().numpy()
        return [Answer(self._table[one[piece.inner]]) for one, piece in zip(chosen, pieces, strict=True)]

    def _input(self, piece: Piece) -> torch.Tensor:
        """Return a piece on the device as `Preprocessing.normalise` gives it, (1, C, Y, X)."""
        preprocessing, device = self.card.preprocessing, self.engine.device
        if piece.pixels.dtype != np.uint8:
            values = preprocessing.normalise(piece.pixels, piece.values)[None]
            return self._up(torch.from_numpy(np.ascontiguousarray(values)))
        pixels = self._up(torch.from_numpy(np.ascontiguousarray(piece.pixels))).float()
        if clips(self.card):
            pixels.clamp_(*piece.values)
        terms = (torch.from_numpy(term.astype(np.float32)) for term in preprocessing.terms(piece.values))
        factor, shift = (term.to(device) for term in terms)
        return (pixels * factor + shift).permute(2, 0, 1)[None]  # which is channels-last in memory

    def _up(self, values: torch.Tensor) -> torch.Tensor:
        """Copy to the device; from pinned memory a copy does not wait for what is computed."""
        if self.engine.device != "cuda":
            return values.to(self.engine.device)
        return values.pin_memory().to("cuda", non_blocking=True)

    def _stream(self) -> Any:
        if self.engine.device != "cuda":
            return nullcontext()
        if not hasattr(self._local, "stream"):
            self._local.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        return torch.cuda.stream(self._local.stream)


def choose_on_device(scores: torch.Tensor, card: ModelCard, threshold: float | None) -> torch.Tensor:
    """Return the rows of `decide.id_table` that `decide` chooses, where the scores are.

    Parameters
    ----------
    scores : torch.Tensor
        (N, C, Y, X).
    card : ModelCard
    threshold : float, optional

    Returns
    -------
    torch.Tensor
        (N, Y, X) uint8.
    """
    if isinstance(card.head, Softmax):
        return _first_largest(scores)[0]
    limit = limit_of(card, threshold)
    if later_wins(card):
        numbers = torch.arange(1, scores.shape[1] + 1, dtype=torch.uint8, device=scores.device)
        return ((scores > limit) * numbers[:, None, None]).amax(1)
    first, best = _first_largest(scores)
    return (first + 1) * (best > limit)


def _first_largest(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first channel with the largest score, and that score.

    Not by ``argmax``, which on a GPU may name any of several equal ones.
    """
    best = scores[:, 0].clone()
    channel = torch.zeros(best.shape, dtype=torch.uint8, device=scores.device)
    for index in range(1, scores.shape[1]):
        channel.masked_fill_(scores[:, index] > best, index)
        torch.maximum(best, scores[:, index], out=best)
    return channel, best
