"""Batch normalisation drawn into the convolution before it: the same answer with one pass less.

Which convolution a batch norm follows is seen by watching one small computation, because many networks branch
in ways that cannot be traced. The result is compared with the original, which is used where they differ.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .card import ModelCard

TOLERANCE = 1e-3
"""How far the answer may be from the original's, relative to its spread."""


def fused(network: nn.Module, card: ModelCard) -> nn.Module:
    """Return a copy of a network with every batch norm drawn into the convolution before it.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode, on the CPU; it stays as it is.
    card : ModelCard

    Returns
    -------
    torch.nn.Module
        The network itself where nothing can be drawn together without changing the answer.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network
    made = copy.deepcopy(network)
    noise = _noise(card)
    with torch.inference_mode():
        wanted = network(noise)
    try:
        for convolution, norm in _pairs(made, noise):
            _fuse(made, convolution, norm)
        with torch.inference_mode():
            found = made(noise)
    except RuntimeError:  # such as buffers that are shared
        return network
    close = (found - wanted).abs().max() <= TOLERANCE * (wanted.float().std() + 1e-6)
    return made if bool(close) else network


def _noise(card: ModelCard) -> torch.Tensor:
    from .onnx_export import example_size

    shape = (1, card.preprocessing.in_channels, *example_size(card))
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def _pairs(network: nn.Module, noise: torch.Tensor) -> list[tuple[str, str]]:
    """Return the names of convolutions and of the batch norms that take exactly what they answer."""
    answers: dict[int, tuple[str, torch.Tensor]] = {}
    pairs: list[tuple[str, str]] = []

    def answered(name: str) -> Any:
        return lambda _, __, output: answers.update({id(output): (name, output)})

    def takes(name: str) -> Any:
        def hook(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            if id(given[0]) in answers:
                pairs.append((answers[id(given[0])][0], name))

        return hook

    hooks = []
    for name, module in network.named_modules():
        if type(module) is nn.Conv2d:
            hooks.append(module.register_forward_hook(answered(name)))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(takes(name)))
    try:
        with torch.inference_mode():
            network(noise)
    finally:
        for hook in hooks:
            hook.remove()
    # What is used in two places cannot be drawn together for one of them.
    firsts, seconds = ([pair[side] for pair in pairs] for side in (0, 1))
    return [pair for pair in pairs if firsts.count(pair[0]) == seconds.count(pair[1]) == 1]


def _fuse(network: nn.Module, convolution: str, norm: str) -> None:
    first, second = network.get_submodule(convolution), network.get_submodule(norm)
    assert isinstance(first, nn.Conv2d)
    assert isinstance(second, nn.BatchNorm2d)
    network.set_submodule(convolution, fuse_conv_bn_eval(first, second))
    # timm's batch norms have an activation of their own.
    rest = [child for child in (getattr(second, name, None) for name in ("drop", "act")) if child is not None]
    network.set_submodule(norm, nn.Sequential(*rest) if rest else nn.Identity())
