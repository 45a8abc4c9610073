"""What batch norms need: statistics that fit the weights, and more than one value a channel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def settle(network: nn.Module, answers: Iterable[object]) -> None:
    """Measure the running statistics of batch norms anew, for the weights that there are now.

    Statistics that run along with learning are averages over the last ten batches or so, and weights that
    change fast leave them behind: a network of random weights is validated with those of another one.

    Parameters
    ----------
    network : torch.nn.Module
        Left in the modes that its parts have; what is in evaluation mode because it is frozen is not touched.
    answers : iterable
        Computes the network on a batch each time that it is asked for the next.

    References
    ----------
    Wu & Johnson 2021, Rethinking "Batch" in BatchNorm (arXiv:2105.07576), section 3.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    learning = [module for module in norms if module.affine and module.weight.requires_grad]
    usual = [(m, m.training, m.momentum, _copied(m.num_batches_tracked)) for m in learning]
    try:
        for module in learning:
            module.reset_running_stats()
            module.momentum = None  # an even average
            module.training = True
        with torch.no_grad():
            for _ in answers:
                pass
    finally:
        for module, training, momentum, seen in usual:
            module.training, module.momentum = training, momentum
            module.num_batches_tracked = seen


def _copied(count: Tensor | None) -> Tensor | None:
    return None if count is None else count.clone()


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
