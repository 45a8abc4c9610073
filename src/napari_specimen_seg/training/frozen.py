"""An encoder that stays as it is: computed without gradients, and its answers remembered."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import ModelError

Features = tuple[Tensor, ...]
"""What an encoder answers: (N, C, Y, X) at several scales, the finest first."""

Encode = Callable[[Tensor], Sequence[Tensor]]


def encoder_of(network: nn.Module, name: str) -> nn.Module:
    """Return the encoder of a network whose decoder can learn without it.

    Parameters
    ----------
    network : torch.nn.Module
    name : str
        Of the model, for messages.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    ModelError
        If the network is not made of an encoder and a decoder that takes the encoder's answers.
    """
    from segmentation_models_pytorch.base import SegmentationModel

    if isinstance(network, SegmentationModel) and isinstance(network.encoder, nn.Module):
        return network.encoder
    raise ModelError(
        f"{name}: this network cannot be taken apart into encoder and decoder",
        advice="Train on from it as a whole, or begin with another model.",
    )


@contextmanager
def answering(encoder: nn.Module, encode: Encode) -> Iterator[None]:
    """Let something else answer in an encoder's place; names and weights of the network stay the same."""
    encoder.forward = encode
    try:
        yield
    finally:
        del encoder.forward


class Given(threading.local):
    """An encoder that answers with the features that its thread was given."""

    features: Features = ()

    def __call__(self, picture: Tensor) -> list[Tensor]:
        """Return the given features."""
        del picture
        return list(self.features)


class Remembered:
    """An encoder whose answers are kept, found again by the content of its input.

    Parameters
    ----------
    encoder : torch.nn.Module
        In evaluation mode; its weights must not change.
    limit : int
        Bytes to keep at most; what was not used for longest goes first.
    wrap : callable
        Gives the context to compute in, such as autocast. It is entered in whatever thread computes.
    """

    def __init__(self, encoder: nn.Module, limit: int, wrap: Callable[[], Any]) -> None:
        self._compute = encoder.forward
        self._limit = limit
        self._wrap = wrap
        self._kept: OrderedDict[bytes, Features] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def __call__(self, picture: Tensor) -> list[Tensor]:
        """Return the features of a batch (N, C, Y, X)."""
        parts = [picture[i : i + 1] for i in range(len(picture))]
        each = [self.of(content_key(part), part) for part in parts]
        return list(each[0]) if len(each) == 1 else [torch.cat(level) for level in zip(*each, strict=True)]

    def of(self, key: bytes, picture: Tensor) -> Features:
        """Return the features of an input (1, C, Y, X) whose key is known."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with torch.no_grad(), self._wrap():
            answer = tuple(level.detach() for level in self._compute(picture))
        with self._lock:
            self._keep(key, answer)
        return answer

    def _keep(self, key: bytes, answer: Features) -> None:
        if key in self._kept:  # two threads computed the same
            return
        self._kept[key] = answer
        self._held += size_of(answer)
        while self._held > self._limit and len(self._kept) > 1:
            self._held -= size_of(self._kept.popitem(last=False)[1])


def decoded(network: nn.Module, features: Features, channels: int, shape: Sequence[int]) -> Tensor:
    """Return a network's output for features of its encoder.

    Parameters
    ----------
    network : torch.nn.Module
    features : tuple of torch.Tensor
        (N, C, Y, X) each.
    channels : int
        Of the network's input.
    shape : sequence of int
        (N, Y, X) of the network's input.

    Returns
    -------
    torch.Tensor
        (N, C, Y, X).
    """
    encoder = network.encoder
    assert isinstance(encoder, nn.Module)
    blank = torch.zeros((), device=features[-1].device).expand(shape[0], channels, *shape[1:])
    with answering(encoder, lambda _: list(features)):
        answer: Tensor = network(blank)
    return answer


def size_of(features: Features) -> int:
    """Return how many bytes features take."""
    return sum(level.nelement() * level.element_size() for level in features)


def cut(features: Features, shape: tuple[int, int], rows: slice, columns: slice) -> Features:
    """Cut the features of a part of a picture out of those of the whole.

    Parameters
    ----------
    features : tuple of torch.Tensor
    shape : (int, int)
        Height and width of the network's input.
    rows, columns : slice
        The part; its borders are multiples of the encoder's stride.

    Returns
    -------
    tuple of torch.Tensor
        Views, not copies.
    """
    return tuple(
        level[..., _scaled(rows, level.shape[-2], shape[0]), _scaled(columns, level.shape[-1], shape[1])]
        for level in features
    )


def _scaled(part: slice, have: int, whole: int) -> slice:
    return slice(part.start * have // whole, part.stop * have // whole)


def content_key(picture: Tensor) -> bytes:
    """Return what tells an input (1, C, Y, X) from every other."""
    array = picture.detach().cpu().contiguous().numpy()
    return hashlib.blake2b(array.data, digest_size=16, key=str(array.shape).encode()[:64]).digest()
