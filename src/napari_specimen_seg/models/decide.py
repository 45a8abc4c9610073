"""From a network's output to class ids: thresholds, overlaps, and how sure the network is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .card import ModelCard, Sigmoid, Softmax

if TYPE_CHECKING:
    import torch


def decide(
    output: torch.Tensor, card: ModelCard, threshold: float | None = None, *, confidence: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Choose a class for every pixel.

    Parameters
    ----------
    output : torch.Tensor
        (C, Y, X) float, what the network of `card` answered, with its activation if it has one.
    card : ModelCard
    threshold : float, optional
        Instead of the head's own; ignored for softmax.
    confidence : bool
        Whether to return the probability of the choice.

    Returns
    -------
    labels : torch.Tensor
        (Y, X) uint8, or int32 where ids exceed 255: class ids.
    confidence : torch.Tensor or None
        (Y, X) float32: probability of the chosen class; for background under sigmoid and binary heads,
        one minus the largest.
    """
    import torch

    if isinstance(card.head, Softmax):
        best, channel = _first_largest(output)
        ids = _table(card.channel_ids, output.device)[channel.long()]
        if not confidence:
            return ids, None
        if card.activation == "softmax":
            return ids, best
        return ids, torch.exp(best - torch.logsumexp(output, 0))
    level = card.head.threshold if threshold is None else threshold
    # Comparing logits with the threshold's logit saves a sigmoid for every channel and pixel.
    limit = level if card.activation == "sigmoid" else math.log(level / (1 - level))
    later = isinstance(card.head, Sigmoid) and card.head.overlap == "later"
    channel, best = _later_wins(output, limit) if later else _highest_wins(output, limit)
    ids = _table((0, *card.channel_ids), output.device)[channel.long()]
    if not confidence:
        return ids, None
    sure = best if card.activation == "sigmoid" else torch.sigmoid(best)
    return ids, torch.where(channel > 0, sure, 1 - sure)


def _table(ids: tuple[int, ...], device: torch.device) -> torch.Tensor:
    import torch

    return torch.tensor(ids, dtype=torch.uint8 if max(ids) < 256 else torch.int32, device=device)


def _first_largest(output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest value and the first channel that has it.

    A running maximum over channels: ``argmax`` over the leading axis strides through memory and takes
    many times as long on a CPU.
    """
    import torch

    best = output[0].clone()
    channel = torch.zeros(best.shape, dtype=torch.int16, device=output.device)
    for index in range(1, output.shape[0]):
        larger = output[index] > best
        channel.masked_fill_(larger, index)
        torch.maximum(best, output[index], out=best)
    return best, channel


def _later_wins(output: torch.Tensor, limit: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 1 + the last channel above the limit (0: none) and its value (where none: the largest)."""
    import torch

    best = output.amax(0)
    channel = torch.zeros(best.shape, dtype=torch.int16, device=output.device)
    for index in range(output.shape[0]):
        above = output[index] > limit
        channel.masked_fill_(above, index + 1)
        best = torch.where(above, output[index], best)
    return channel, best


def _highest_wins(output: torch.Tensor, limit: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 1 + the channel with the largest value above the limit (0: none) and that value."""
    best, first = _first_largest(output)
    return (first + 1).masked_fill(best <= limit, 0), best
