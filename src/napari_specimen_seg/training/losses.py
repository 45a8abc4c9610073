"""What is minimised: sums of losses, over labelled pixels only.

One set of probabilities serves all terms. Targets hold channel numbers, with -1 where nobody labelled.

References
----------
Dice: Milletari et al. 2016, V-Net (arXiv:1606.04797). Jaccard: Rahman & Wang 2016, ISVC. Tversky: Salehi
et al. 2017 (arXiv:1706.05721). Focal: Lin et al. 2017 (arXiv:1708.02002). Lovász: Berman et al. 2018
(arXiv:1705.08790).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

Head = Literal["softmax", "sigmoid", "binary"]

IGNORE = -1
"""The target of pixels that nobody labelled, and of those outside of the picture."""

SHARES = {"dice": (0.5, 0.5), "jaccard": (1.0, 1.0), "tversky": (0.3, 0.7)}
"""Weights of false positives and false negatives in the Tversky index; Dice and Jaccard are two of them."""


class SumOfLosses(torch.nn.Module):
    """Weighted sum of named losses.

    Parameters
    ----------
    terms : mapping of str to float
        Names out of dice, jaccard, tversky, cross_entropy, focal, lovasz, with weights.
    head : {"softmax", "sigmoid", "binary"}
        Sigmoid: target 0 is background, target n is channel n - 1.
    class_weights : torch.Tensor, optional
        (C,): how much each channel's pixels count in cross-entropy.
    """

    def __init__(self, terms: Mapping[Any, float], head: Head, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.terms = dict(terms)
        self.head = head
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", class_weights)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss.

        Parameters
        ----------
        logits : torch.Tensor
            (N, C, Y, X).
        target : torch.Tensor
            (N, Y, X) int64; `IGNORE` where nothing is to be learned.

        Returns
        -------
        torch.Tensor
            Scalar; 0, with a gradient of 0, where no pixel is labelled.
        """
        logits = logits.float()
        seen = target != IGNORE
        if not bool(seen.any()):
            return logits.sum() * 0.0
        total = logits.new_zeros(())
        for name, weight in self.terms.items():
            total = total + weight * self._term(name, logits, target, seen)
        return total

    def _term(self, name: str, logits: Tensor, target: Tensor, seen: Tensor) -> Tensor:
        if name in SHARES:
            return self._overlap(logits, target, seen, *SHARES[name])
        if name == "lovasz":
            return self._lovasz(logits, target, seen)
        pixel = self._entropy(logits, target)
        if name == "focal":
            pixel = (1 - torch.exp(-pixel)) ** 2 * pixel
        if self.head == "softmax":  # what is not labelled is 0 already
            return pixel.sum() / seen.sum()
        return (pixel * seen[:, None]).sum() / (seen.sum() * pixel.shape[1])

    def _entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return cross-entropy by pixel: (N, Y, X) for softmax, (N, C, Y, X) for the others."""
        weights = self.class_weights
        if self.head == "softmax":
            return functional.cross_entropy(
                logits, target, weight=weights, reduction="none", ignore_index=IGNORE
            )
        truth = self._truth(logits, target)
        positive = None if weights is None else weights[:, None, None]
        return functional.binary_cross_entropy_with_logits(
            logits, truth, reduction="none", pos_weight=positive
        )

    def _truth(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return targets one by channel, (N, C, Y, X) of 0 and 1."""
        first = 0 if self.head == "softmax" else 1
        channels = torch.arange(first, first + logits.shape[1], device=target.device)
        return (target[:, None] == channels[None, :, None, None]).to(logits.dtype)

    def _overlap(
        self, logits: Tensor, target: Tensor, seen: Tensor, false_positive: float, false_negative: float
    ) -> Tensor:
        """Return one minus the Tversky index, mean over the channels that occur in the batch."""
        chance = logits.softmax(1) if self.head == "softmax" else logits.sigmoid()
        channel = target if self.head == "softmax" else target - 1
        shown = channel >= 0
        # Picking each pixel's own channel is several times quicker than a truth of all channels would be.
        picked = chance.gather(1, channel.clamp(min=0)[:, None])[:, 0] * shown
        place, size = channel.clamp(min=0).ravel(), chance.shape[1]
        hit = chance.new_zeros(size).index_add(0, place, picked.ravel())
        truth = torch.bincount(channel[shown], minlength=size).to(chance.dtype)
        extra = (chance * seen[:, None]).sum((0, 2, 3)) - hit
        missed = truth - hit
        index = (hit + 1) / (hit + false_positive * extra + false_negative * missed + 1)
        present = truth > 0
        # Absent classes say nothing about overlap; one head with nothing present still learns "nothing".
        return (1 - index[present]).mean() if bool(present.any()) else (1 - index).mean()

    def _lovasz(self, logits: Tensor, target: Tensor, seen: Tensor) -> Tensor:
        from segmentation_models_pytorch.losses import LovaszLoss

        if self.head == "softmax":
            loss: Tensor = LovaszLoss("multiclass", ignore_index=IGNORE, from_logits=True)(logits, target)
            return loss
        truth = self._truth(logits, target).masked_fill(~seen[:, None], 255)
        parts = [
            LovaszLoss("binary", ignore_index=255)(logits[:, c], truth[:, c]) for c in range(logits.shape[1])
        ]
        return torch.stack(parts).mean()


def drift(now: Tensor, before: Tensor, target: Tensor, head: Any) -> Tensor:
    """Return how far an answer moved where nobody labelled: the Kullback-Leibler divergence from before.

    Parameters
    ----------
    now, before : torch.Tensor
        (N, C, Y, X) logits. Where `before` was unsure, it counts less: by its entropy, as a part of the
        largest possible.
    target : torch.Tensor
        (N, Y, X); only where it is `IGNORE` the answer is held.
    head : {"softmax", "sigmoid", "binary"}

    Returns
    -------
    torch.Tensor
        Scalar, mean over the pixels that nobody labelled.
    """
    rest = target == IGNORE
    if head == "softmax":
        old = before.log_softmax(1)
        entropy = -(old.exp() * old).sum(1)
        apart = -(old.exp() * now.log_softmax(1)).sum(1) - entropy
        held = apart * (1 - entropy / math.log(before.shape[1]))
    else:
        chance, measure = before.sigmoid(), functional.binary_cross_entropy_with_logits
        entropy = measure(before, chance, reduction="none")
        apart = measure(now, chance, reduction="none") - entropy
        held = (apart * (1 - entropy / math.log(2))).sum(1)
    return (held * rest).sum() / rest.sum().clamp(min=1)


def balanced_weights(pixels: Tensor) -> Tensor:
    """Return weights for classes from their pixel counts: the square root of rarity, mean 1.

    Parameters
    ----------
    pixels : torch.Tensor
        (C,) counts; absent classes get the largest weight of those present.

    Returns
    -------
    torch.Tensor
        (C,) float32.
    """
    share = pixels.double() / pixels.sum().clamp(min=1)
    weights = share.clamp(min=1e-12).rsqrt()
    weights[pixels == 0] = weights[pixels > 0].max() if bool((pixels > 0).any()) else 1.0
    return (weights / weights.mean()).float()
