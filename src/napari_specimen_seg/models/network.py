"""From a card to a network: built by name from segmentation-models-pytorch, never from foreign code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import ModelError
from .card import ModelCard

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
        from .onnx_run import load_onnx

        return load_onnx(folder, card)
    from .bundle import read_weights

    weights = read_weights(folder, card)
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
    import segmentation_models_pytorch as smp

    architectures = dict(smp.MODEL_ARCHITECTURES_MAPPING)
    architecture = architectures.get(card.architecture.lower())
    if architecture is None:
        raise ModelError(
            f"{card.name}: architecture {card.architecture!r} is not known",
            advice=f"Known are {', '.join(sorted(architectures))}.",
        )
    _check_encoder(card)
    try:
        network = architecture(
            encoder_name=card.encoder,
            encoder_weights=None,  # anything else would be fetched
            in_channels=card.preprocessing.in_channels,
            classes=card.out_channels,
            activation=card.activation if card.activation != "softmax" else "softmax2d",
            **{
                key: list(value) if isinstance(value, tuple) else value for key, value in card.options.items()
            },
        )
    except (TypeError, ValueError, KeyError, RuntimeError, AssertionError) as error:
        raise ModelError(f"{card.name}: the network cannot be built from its card ({error})") from error
    built: torch.nn.Module = network.eval()
    return built


def _check_encoder(card: ModelCard) -> None:
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
