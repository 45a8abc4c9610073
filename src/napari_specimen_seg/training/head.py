"""The last layer of a network: its channels are the classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from ..core.classes import ClassMap
from ..core.errors import ModelError
from ..models.card import Binary, Head, ModelCard, Softmax

UNSEEN = -4.0
"""The bias of a channel that nothing was learned for: about 2 %, so that it is not predicted at first."""


def with_classes(network: nn.Module, card: ModelCard, class_map: ClassMap) -> tuple[ModelCard, list[int]]:
    """Give a network a last layer for other classes; those of the same name keep what was learned.

    Parameters
    ----------
    network : torch.nn.Module
        Its head is replaced.
    card : ModelCard
        Of the network as it is.
    class_map : ClassMap
        The new classes.

    Returns
    -------
    card : ModelCard
        With the new classes and the head that fits them: softmax for several classes, binary for one;
        sigmoid stays sigmoid.
    kept : list of int
        Output channels that answer as before.

    Raises
    ------
    ModelError
        If the network has no such layer, or there is no class beside the background.
    """
    if not class_map.foreground:
        raise ModelError("a model needs at least one class beside the background")
    head = _head_for(card.head, class_map)
    new = card.model_copy(update={"class_map": class_map, "head": head, "scores": {}})
    old = last_layer(network, card.name)
    layer = nn.Conv2d(old.in_channels, new.out_channels, (old.kernel_size[0], old.kernel_size[1]))
    layer.stride, layer.padding = old.stride, old.padding
    layer.to(old.weight.device)
    kept = []
    with torch.no_grad():
        layer.weight.zero_()
        assert layer.bias is not None
        layer.bias.fill_(UNSEEN)
        for channel, class_id in enumerate(new.channel_ids):
            source = _source(card, class_map.name_of(class_id), is_background=class_id == 0)
            if source is None:
                continue
            kept.append(channel)
            if source >= 0:
                layer.weight[channel] = old.weight[source]
            bias = old.bias[source] if source >= 0 and old.bias is not None else torch.zeros(())
            layer.bias[channel] = bias
    _replace(network, layer)
    return new, kept


def start_at_frequencies(network: nn.Module, card: ModelCard, counts: Sequence[int]) -> None:
    """Let a new last layer expect every class as often as it occurs, before it has learned anything.

    With biases of 0 every class begins as likely as background. Overlap losses such as Dice then raise rare
    classes everywhere before the network can tell them apart, from where they hardly come back.

    Parameters
    ----------
    network : torch.nn.Module
        Its last layer's biases are set.
    card : ModelCard
    counts : sequence of int
        Labelled pixels of each class of the card's class map, in its order.

    References
    ----------
    The prior of a classifier's last layer: Lin et al. 2017 (arXiv:1708.02002), section 4.1.
    """
    layer = last_layer(network, card.name)
    if layer.bias is None or sum(counts) == 0:
        return
    share = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    share = share.clamp(1 / (1 + math.exp(-UNSEEN)), 1 / (1 + math.exp(UNSEEN)))
    ids = card.class_map.ids
    chance = share[[ids.index(class_id) for class_id in card.channel_ids]]
    expected = chance.log() if isinstance(card.head, Softmax) else chance.logit()
    with torch.no_grad():
        layer.bias.copy_(expected)


def last_layer(network: nn.Module, name: str) -> nn.Conv2d:
    """Return the convolution that makes the output channels.

    Raises
    ------
    ModelError
        If there is none.
    """
    head = getattr(network, "segmentation_head", None)
    layers = [m for m in head.modules() if isinstance(m, nn.Conv2d)] if head is not None else []
    if not layers:
        raise ModelError(f"{name}: the network has no last layer that could be replaced")
    return layers[-1]


def _replace(network: nn.Module, layer: nn.Conv2d) -> None:
    head = network.segmentation_head
    assert isinstance(head, nn.Module)
    for parent in head.modules():
        for key, child in parent.named_children():
            if child is last_layer(network, ""):
                setattr(parent, key, layer)
                return


def _head_for(head: Head, class_map: ClassMap) -> Head:
    if isinstance(head, Softmax) or (isinstance(head, Binary) and len(class_map.foreground) > 1):
        return Softmax()
    return head


def _source(card: ModelCard, name: str, *, is_background: bool) -> int | None:
    """Return the channel that a class had before; -1: it is known, but had none; None: it is new."""
    for channel, class_id in enumerate(card.channel_ids):
        if card.class_map.name_of(class_id) == name:
            return channel
    # Background without a channel of its own: logits of the others count against 0.
    return -1 if is_background and not isinstance(card.head, Softmax) else None
