"""Running a network with torch on a GPU: pixels go up as they are, one byte a pixel comes back.

Normalising, choosing and how sure the network is are computed on the device. Two batches are under way at
once, each in a stream of its own, so that preparing and copying one overlaps with computing the other.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .backends import Answer, Ask, Piece
from .card import ModelCard, Softmax
from .cuda_graphs import Recorder
from .decide import id_table, later_wins, limit_of
from .devices import Engine
from .openvino_graph import can_choose, clips
from .torch_run import TorchBackend

Tensors = tuple[torch.Tensor, ...]

AS_THEY_ARE = (np.uint8, np.uint16, np.float32)
"""Types of pixels that a device normalises itself."""


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

    def lanes(self, height: int, width: int) -> int:
        """Return 2 on CUDA: while one batch is computed, the next is prepared.

        torch has one stream for an Apple GPU, and does not guard it against a second thread.
        """
        del height, width
        return 2 if self.engine.device == "cuda" else 1

    def answer(self, pieces: Sequence[Piece], ask: Ask) -> list[Answer]:
        """Choose the classes of pieces; see `Backend.answer`."""
        if ask.scores or not can_choose(self.card):
            return super().answer(pieces, ask)
        with self._stream(), torch.inference_mode():
            found = self.choose_pixels(self._together(pieces), terms_of(pieces, self.card), ask)
        dtype = id_table(self.card).dtype
        return [
            Answer(labels[piece.inner].astype(dtype), *(sure[piece.inner].copy() for sure in rest))
            for piece, labels, *rest in zip(pieces, *found, strict=True)
        ]

    def choose_pixels(self, pixels: torch.Tensor, terms: torch.Tensor, ask: Ask) -> list[NDArray[Any]]:
        """Choose the classes of a batch; all between here and the answer is the device's work.

        Parameters
        ----------
        pixels : torch.Tensor
            (N, Y, X, C) on the CPU, of one of the types `AS_THEY_ARE`.
        terms : torch.Tensor
            From `terms_of`.
        ask : Ask

        Returns
        -------
        list of array
            Class ids (N, Y, X) and, where it is asked for, confidence (N, Y, X) float32.
        """

        def compute(pixels: torch.Tensor, terms: torch.Tensor) -> Tensors:
            scores = self.forward(normalised(pixels, terms, clipped=clips(self.card)))
            return choose_on_device(scores, self.card, ask)

        given = self._up(pixels), self._up(terms)
        if self.engine.device != "cuda":
            return [one.cpu().numpy() for one in compute(*given)]
        return self._down(self._recorder()((pixels.shape, pixels.dtype, ask), compute, given))

    def _together(self, pieces: Sequence[Piece]) -> torch.Tensor:
        """Copy pieces to where the device fetches them from."""
        first = self._raw(pieces[0])
        kind = torch.from_numpy(np.empty(0, first.dtype)).dtype
        batch = torch.empty((len(pieces), *first.shape), dtype=kind, pin_memory=self._pins)
        for place, piece in zip(batch.numpy(), pieces, strict=True):
            place[:] = self._raw(piece)
        return batch

    def _raw(self, piece: Piece) -> NDArray[Any]:
        """Return the pixels of a piece, normalised here where the device does not know their type."""
        if piece.pixels.dtype in AS_THEY_ARE:
            return piece.pixels
        return np.moveaxis(self.card.preprocessing.normalise(piece.pixels, piece.values), 0, -1)

    @property
    def _pins(self) -> bool:
        """Whether memory is pinned: a copy from and to there does not wait for what is computed."""
        return self.engine.device == "cuda"

    def _up(self, values: torch.Tensor) -> torch.Tensor:
        if values.dtype == torch.uint16:  # which devices can carry, and little more
            values = values.view(torch.int16)
        return values.to(self.engine.device, non_blocking=self._pins)

    def _down(self, found: Tensors) -> list[NDArray[Any]]:
        kept = [torch.empty(one.shape, dtype=one.dtype, pin_memory=self._pins) for one in found]
        for place, one in zip(kept, found, strict=True):
            place.copy_(one, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        return [place.numpy() for place in kept]

    def _stream(self) -> Any:
        if self.engine.device != "cuda":
            return nullcontext()
        if not hasattr(self._local, "stream"):
            self._local.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        return torch.cuda.stream(self._local.stream)

    def _recorder(self) -> Recorder:
        if not hasattr(self._local, "recorder"):
            self._local.recorder = Recorder()
        recorder: Recorder = self._local.recorder
        return recorder


def terms_of(pieces: Sequence[Piece], card: ModelCard) -> torch.Tensor:
    """Return what `normalised` computes with for each piece.

    Parameters
    ----------
    pieces : sequence of Piece
        Of one type.
    card : ModelCard

    Returns
    -------
    torch.Tensor
        (N, 5, C) float32: lowest and highest value, what is subtracted, multiplied by, added. The value
        that becomes 0 is subtracted first: 32 bits are too few to do so after multiplying.
    """
    channels = card.preprocessing.in_channels
    rows = []
    for piece in pieces:
        if piece.pixels.dtype in AS_THEY_ARE:
            low, high = piece.values
            factor, shift = card.preprocessing.terms(piece.values)
            rows.append(
                np.stack([*(np.full(channels, v) for v in (low, high, low)), factor, low * factor + shift])
            )
        else:
            rows.append(np.repeat([[-np.inf], [np.inf], [0], [1], [0]], channels, axis=1))
    return torch.from_numpy(np.stack(rows).astype(np.float32))


def normalised(pixels: torch.Tensor, terms: torch.Tensor, *, clipped: bool) -> torch.Tensor:
    """Return pixels as `Preprocessing.normalise` gives them.

    Parameters
    ----------
    pixels : torch.Tensor
        (N, Y, X, C) uint8, float32, or int16 that holds the bits of uint16.
    terms : torch.Tensor
        From `terms_of`, on the same device.
    clipped : bool
        Whether values outside lowest and highest are cut off.

    Returns
    -------
    torch.Tensor
        (N, C, Y, X) float32, channels-last in memory.
    """
    low, high, start, factor, shift = (terms[:, row, None, None, :] for row in range(5))
    if pixels.dtype == torch.float32:
        values = torch.where(pixels.isfinite(), pixels, torch.where(pixels > 0, high, low))
    elif pixels.dtype == torch.int16:
        values = pixels.to(torch.int32).bitwise_and_(0xFFFF).float()
    else:
        values = pixels.float()
    if clipped:
        values = torch.minimum(torch.maximum(values, low), high)
    return ((values - start) * factor + shift).permute(0, 3, 1, 2)


def choose_on_device(scores: torch.Tensor, card: ModelCard, ask: Ask) -> Tensors:
    """Choose what `decide` chooses, where the scores are.

    Parameters
    ----------
    scores : torch.Tensor
        (N, C, Y, X) float32.
    card : ModelCard
    ask : Ask

    Returns
    -------
    tuple of torch.Tensor
        Class ids (N, Y, X), uint8 or int32 where one exceeds 255; and, where it is asked for, the
        probability of the choice as float32.
    """
    table = id_table(card)
    kind = torch.uint8 if table.dtype == np.uint8 else torch.int32
    ids = [int(number) for number in table]
    if isinstance(card.head, Softmax):
        labels, best = _first_largest(scores, ids, kind)
        return (labels, _share(scores, best, card)) if ask.confidence else (labels,)
    limit = limit_of(card, ask.threshold)
    labels, best = (_last_above if later_wins(card) else _first_largest)(scores, ids[1:], kind, limit)
    if not ask.confidence:
        return (labels,)
    sure = best if card.activation == "sigmoid" else best.sigmoid()
    return labels, torch.where(best > limit, sure, 1 - sure)


def _first_largest(
    scores: torch.Tensor, ids: list[int], kind: torch.dtype, limit: float | None = None
) -> Tensors:
    """Return the id of the first channel with the largest score, 0 where that is not above the limit.

    Not by ``argmax``, which on a GPU may name any of several equal ones.
    """
    best = scores[:, 0].clone()
    labels = torch.full(best.shape, ids[0], dtype=kind, device=scores.device)
    for index in range(1, len(ids)):
        labels.masked_fill_(scores[:, index] > best, ids[index])
        torch.maximum(best, scores[:, index], out=best)
    if limit is not None:
        labels.masked_fill_(best <= limit, 0)
    return labels, best


def _last_above(scores: torch.Tensor, ids: list[int], kind: torch.dtype, limit: float) -> Tensors:
    """Return the id of the last channel above the limit (0: none) and its score (where none: the largest)."""
    best = scores.amax(1)
    labels = torch.zeros(best.shape, dtype=kind, device=scores.device)
    for index, number in enumerate(ids):
        above = scores[:, index] > limit
        labels.masked_fill_(above, number)
        best = torch.where(above, scores[:, index], best)
    return labels, best


def _share(scores: torch.Tensor, best: torch.Tensor, card: ModelCard) -> torch.Tensor:
    """Return the probability of the largest score under softmax."""
    if card.activation == "softmax":
        return best
    largest = best if card.activation is None else torch.zeros_like(best)  # log-softmax is never above 0
    total = torch.zeros_like(best)
    for index in range(scores.shape[1]):
        total += (scores[:, index] - largest).exp()
    return (best - largest).exp() / total
