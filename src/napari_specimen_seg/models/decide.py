"""From a network's output to class ids: thresholds, overlaps, and how sure the network is.

Everything goes over blocks of rows that stay in the processor's cache, one channel after the other: a
running maximum reads the output once, where ``argmax`` over the leading axis strides through memory and
takes fifty times as long.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .card import ModelCard, Sigmoid, Softmax

Scores = NDArray[np.float32]

BLOCK_BYTES = 1 << 18
"""Of one channel of one block: a quarter of a megabyte, so that a handful fit a core's own cache."""


def decide(
    output: Scores, card: ModelCard, threshold: float | None = None, *, confidence: bool = False
) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """Choose a class for every pixel.

    Parameters
    ----------
    output : array of float32
        (C, Y, X), what the network of `card` answered, with its activation if it has one.
    card : ModelCard
    threshold : float, optional
        Instead of the head's own; ignored for softmax.
    confidence : bool
        Whether to return the probability of the choice.

    Returns
    -------
    labels : array
        (Y, X) uint8, or uint16 where ids exceed 255: class ids.
    confidence : array of float32 or None
        (Y, X): probability of the chosen class; for background under sigmoid and binary heads, one minus
        the largest.
    """
    table = id_table(card)
    labels = np.empty(output.shape[1:], table.dtype)
    sure = np.empty(output.shape[1:], np.float32) if confidence else None
    plain = bool((table == np.arange(len(table))).all())
    for rows in _blocks(output):
        block = output[:, rows]
        channel, best = _channels(block, card, threshold)
        labels[rows] = channel if plain else table[channel]
        if sure is not None:
            sure[rows] = _confidence(block, channel, best, card)
    return labels, sure


def id_table(card: ModelCard) -> NDArray[Any]:
    """Return the class id for every choice: a channel, or under sigmoid and binary heads 1 + a channel."""
    ids = card.channel_ids if isinstance(card.head, Softmax) else (0, *card.channel_ids)
    return np.array(ids, np.uint8 if max(ids) < 256 else np.uint16)


def limit_of(card: ModelCard, threshold: float | None) -> float:
    """Return what the output of a sigmoid or binary head is compared with.

    Comparing logits with the threshold's logit saves a sigmoid for every channel and pixel.
    """
    assert not isinstance(card.head, Softmax)
    level = card.head.threshold if threshold is None else threshold
    return level if card.activation == "sigmoid" else math.log(level / (1 - level))


def later_wins(card: ModelCard) -> bool:
    """Tell whether the later of several channels above the limit is chosen, not the largest."""
    return isinstance(card.head, Sigmoid) and card.head.overlap == "later"


def _blocks(output: Scores) -> Iterator[slice]:
    _, height, width = output.shape
    step = max(1, BLOCK_BYTES // (4 * max(1, width)))
    for start in range(0, height, step):
        yield slice(start, min(height, start + step))


def _channels(block: Scores, card: ModelCard, threshold: float | None) -> tuple[NDArray[Any], Scores]:
    """Return which row of `id_table` is chosen, and the output that it was chosen for."""
    if isinstance(card.head, Softmax):
        return _first_largest(block)
    limit = limit_of(card, threshold)
    if later_wins(card):
        return _last_above(block, limit)
    channel, best = _first_largest(block)
    channel += 1
    channel[best <= limit] = 0
    return channel, best


def _first_largest(block: Scores) -> tuple[NDArray[Any], Scores]:
    """Return the first channel that has the largest value, and that value.

    Branch-free: where a later channel is larger, its number is too, so a maximum of numbers is enough.
    """
    best = block[0].astype(np.float32, order="C")
    channel = np.zeros(best.shape, _number_type(len(block)))
    larger = np.empty(best.shape, bool)
    number = larger.view(np.uint8) if channel.itemsize == 1 else np.empty(best.shape, channel.dtype)
    for index in range(1, len(block)):
        np.greater(block[index], best, out=larger)
        np.maximum(best, block[index], out=best)
        np.multiply(larger.view(np.uint8), channel.dtype.type(index), out=number)
        np.maximum(channel, number, out=channel)
    return channel, best


def _last_above(block: Scores, limit: float) -> tuple[NDArray[Any], Scores]:
    """Return 1 + the last channel above the limit (0: none) and its value (where none: the largest)."""
    best = block.max(axis=0)
    channel = np.zeros(best.shape, _number_type(len(block) + 1))
    for index in range(len(block)):
        above = block[index] > limit
        np.copyto(channel, index + 1, where=above)
        np.copyto(best, block[index], where=above)
    return channel, best


def _number_type(count: int) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if count <= 255 else np.uint16


def _confidence(block: Scores, channel: NDArray[Any], best: Scores, card: ModelCard) -> NDArray[np.float32]:
    if isinstance(card.head, Softmax):
        if card.activation == "softmax":
            return best
        largest = best if card.activation is None else np.float32(0)  # log-softmax is never above 0
        total = np.zeros(best.shape, np.float32)
        for values in block:
            total += np.exp(values - largest)
        return np.asarray(np.exp(best - largest) / total, np.float32)
    sure = best if card.activation == "sigmoid" else sigmoid(best)
    return np.where(channel > 0, sure, 1 - sure)


def sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``1 / (1 + exp(-x))``, without overflow."""
    small = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1, small) / (1 + small), np.float32)
