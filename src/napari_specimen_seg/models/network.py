"""From a card to a network: built by name from segmentation-models-pytorch, never from foreign code."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import ModelError
from .card import ModelCard
from .repairs import apply_repairs

if TYPE_CHECKING:
    import torch


def load_network(folder: Path, card: ModelCard) -> torch.nn.Module:
    """Read the network of a model folder.

    Parameters
    ----------
    folder : Path
    card : ModelCard
        From `read_card` of the same folder.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on the CPU.

    Raises
    ------
    ModelError
        If its file is missing, altered or does not fit the card.
    """
    if card.onnx is not None:
        from .net_module import NetModule
        from .onnx_run import load_onnx

        return NetModule(load_onnx(folder, card))
    if card.openvino is not None:
        from .net_module import NetModule
        from .openvino_run import load_openvino

        return NetModule(load_openvino(folder, card))
    from .bundle import read_weights

    weights = read_weights(folder, card)
    refuse_enormous(card, sum(tensor.numel() for tensor in weights.values()))
    network = build_network(card)
    load_weights(network, weights, card.name)
    return network


def build_network(card: ModelCard) -> torch.nn.Module:
    """Build the network that a card describes, with random weights and without any network access.

    Parameters
    ----------
    card : ModelCard

    Returns
    -------
    torch.nn.Module
        Takes (N, C, Y, X) float32 and answers (N, card.out_channels, Y, X).

    Raises
    ------
    ModelError
        If the architecture, the encoder or an option is not known to the installed libraries.
    """
    from .merging import merge_by_adding

    _check_encoder(card)
    arguments = {
        key: list(value) if isinstance(value, tuple) else value for key, value in card.options.items()
    }
    try:
        with warnings.catch_warnings():  # encoders that have a newer name still have their own weights
            warnings.simplefilter("ignore", DeprecationWarning)
            network: torch.nn.Module = _kind_of_network(card)(
                encoder_name=card.encoder,
                in_channels=card.preprocessing.in_channels,
                classes=card.out_channels,
                activation=_activation(card),
                **arguments,
            )
    except (TypeError, ValueError, KeyError, RuntimeError, AssertionError) as error:
        raise ModelError(f"{card.name}: the network cannot be built from its card ({error})") from error
    apply_repairs(network, card.repairs or (), card.name)
    merge_by_adding(network)
    return network.eval()


WIDE = 512
"""Channels up to which a network is at most some hundred megabytes."""


def refuse_enormous(card: ModelCard, numbers: int) -> None:
    """Refuse a card that asks for a network far larger than its weights, before memory is taken for it.

    Parameters
    ----------
    card : ModelCard
    numbers : int
        How many the weights hold.

    Raises
    ------
    ModelError
    """
    values: list[object] = [card.preprocessing.in_channels, card.out_channels]
    for value in card.options.values():
        values += value if isinstance(value, tuple) else (value,)
    if not any(isinstance(value, int) and value > WIDE for value in values):
        return
    import torch

    with torch.device("meta"):  # shapes only
        try:
            network = build_network(card)
        except (ModelError, NotImplementedError):  # some encoders compute while they are built
            network = build_network(card.model_copy(update={"encoder": "resnet18", "repairs": None}))
    wanted = sum(weights.numel() for weights in network.parameters())
    if wanted > 2 * numbers + 1_000_000:
        raise ModelError(f"{card.name}: the card asks for {wanted} numbers, the weights have {numbers}")


FASTAI = "FastaiUnet"


def _kind_of_network(card: ModelCard) -> Callable[..., torch.nn.Module]:
    """Return what builds networks of a card's architecture."""
    if card.architecture == FASTAI:
        from .fastai_unet import FastaiUnet

        return FastaiUnet
    import segmentation_models_pytorch as smp

    architectures = dict(smp.MODEL_ARCHITECTURES_MAPPING)
    if card.architecture.lower() not in architectures:
        raise ModelError(
            f"{card.name}: architecture {card.architecture!r} is not known",
            advice=f"Known are {', '.join(sorted([*architectures, FASTAI.lower()]))}.",
        )
    # Any other encoder_weights would be fetched.
    return partial(architectures[card.architecture.lower()], encoder_weights=None)


def _activation(card: ModelCard) -> str | Callable[[], torch.nn.Module] | None:
    """Return what the libraries call an activation, over channels and without being asked which axis."""
    from torch import nn

    if card.activation == "logsoftmax":
        return partial(nn.LogSoftmax, dim=1)
    return "softmax2d" if card.activation == "softmax" else card.activation


def is_in_library(card: ModelCard) -> bool:
    """Tell whether segmentation-models-pytorch itself builds exactly the network of a card."""
    import segmentation_models_pytorch as smp

    if card.onnx is not None or card.openvino is not None or card.repairs is not None:
        return False
    return card.architecture.lower() in smp.MODEL_ARCHITECTURES_MAPPING


def _check_encoder(card: ModelCard) -> None:
    if card.architecture == FASTAI:
        return  # it knows its own few
    from segmentation_models_pytorch import encoders

    if card.encoder in encoders.get_encoder_names():
        return
    if card.encoder.startswith("tu-"):
        import timm

        if timm.is_model(card.encoder.removeprefix("tu-")):
            return
    raise ModelError(f"{card.name}: encoder {card.encoder!r} is not known to the installed libraries")


def load_weights(network: torch.nn.Module, weights: Mapping[str, torch.Tensor], name: str) -> None:
    """Put weights into a network, strictly: every name and shape must agree, every number be finite.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place; half-precision weights are widened.
    weights : mapping of str to torch.Tensor
    name : str
        Of the model, for messages.

    Raises
    ------
    ModelError
        If anything is missing, left over, of another shape, or not finite.
    """
    import torch

    for key, tensor in weights.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{name}: weights {key!r} hold NaN or infinity", advice="Get the model anew.")
    try:
        network.load_state_dict(dict(weights), strict=True)
    except RuntimeError as error:
        raise ModelError(f"{name}: the weights do not fit the network of the card ({error})") from error


def stride_of_card(card: ModelCard) -> int:
    """Return the number that height and width of the network's input must be divisible by.

    Parameters
    ----------
    card : ModelCard

    Returns
    -------
    int
        Two to the number of halvings in the encoder, which is 5 unless the card says otherwise.
    """
    if card.onnx is not None:
        return card.onnx.stride
    depth = card.options.get("encoder_depth", 5)
    return int(2 ** (depth if isinstance(depth, int) else 5))
