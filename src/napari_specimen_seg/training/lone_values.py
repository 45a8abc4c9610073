"""Batch norms that are shown one value a channel, from which no spread can be told."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def spare_single_values(network: nn.Module) -> bool:
    """Let batch norms use their running statistics where a batch gives them a single value a channel.

    That is so behind the global pooling of DeepLabV3, PAN and UPerNet when a batch is one picture; torch
    refuses to compute it.

    Parameters
    ----------
    network : torch.nn.Module

    Returns
    -------
    bool
        True: it is done.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.register_forward_pre_hook(_rest)
            module.register_forward_hook(_wake)
    return True


def _rest(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    if module.training and inputs[0].numel() == inputs[0].shape[1]:
        module.training = False
        module.lone = True  # type: ignore[assignment]


def _wake(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
    del inputs, output
    if getattr(module, "lone", False):
        module.training, module.lone = True, False  # type: ignore[assignment]
