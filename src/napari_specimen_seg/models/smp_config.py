"""Networks of segmentation-models-pytorch as others describe them: a name and its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..core.errors import ModelError, one_line, validation_line
from .card import ModelCard
from .importing import ImportOptions, Question, QuestionsError, model_name
from .presets import ActivationName, classes_and_head, preprocessing_names, preprocessing_of

if TYPE_CHECKING:
    import torch

ACTIVATIONS: dict[Any, ActivationName] = {
    None: "none",
    "identity": "none",
    "sigmoid": "sigmoid",
    "softmax": "softmax",
    "softmax2d": "softmax",
}
"""What segmentation-models-pytorch calls an activation, and what a card calls it."""

NORMS = {True: "batchnorm", False: "identity", "inplace": "inplace"}
"""Values of ``decoder_use_batchnorm``, which is called ``decoder_use_norm`` now."""


@dataclass(frozen=True, slots=True)
class SmpConfig:
    """A network by its name and arguments.

    Parameters
    ----------
    architecture, encoder : str
    in_channels, classes : int
    activation : {"none", "softmax", "sigmoid"}
    options : mapping
        All other arguments.
    """

    architecture: str
    encoder: str
    in_channels: int
    classes: int
    activation: ActivationName
    options: dict[str, Any]


def smp_config(architecture: str, arguments: Mapping[str, Any], path: Path) -> SmpConfig:
    """Understand a network's name and arguments without building it.

    Parameters
    ----------
    architecture : str
        Such as ``Unet``.
    arguments : mapping
        As given to its constructor; missing ones have the library's defaults.
    path : Path
        For messages.

    Returns
    -------
    SmpConfig

    Raises
    ------
    ModelError
        If there is no such architecture, or an argument that cannot be taken over.
    """
    import segmentation_models_pytorch as smp

    known = {kind.__name__: kind for kind in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    if architecture not in known:
        raise ModelError(
            f"architecture {one_line(architecture, 40)!r} is not known",
            path=path,
            advice=f"Known are {', '.join(sorted(known))}.",
        )
    given = {str(key): value for key, value in arguments.items() if not str(key).startswith("_")}
    if "decoder_use_batchnorm" in given:
        given["decoder_use_norm"] = NORMS.get(given.pop("decoder_use_batchnorm"), "batchnorm")
    signature = inspect.signature(known[architecture].__init__).parameters
    defaults = {key: p.default for key, p in signature.items() if p.default is not inspect.Parameter.empty}
    strangers = sorted(set(given) - set(signature))
    if strangers:
        raise ModelError(f"{architecture} has no argument {one_line(strangers[0], 40)!r}", path=path)
    merged = {**defaults, **given}
    activation = _activation(merged.pop("activation", None), path)
    encoder = str(merged.pop("encoder_name"))
    channels, classes = (_count(merged.pop(key), key, path) for key in ("in_channels", "classes"))
    options = {key: value for key, value in merged.items() if key not in ("encoder_weights", "aux_params")}
    return SmpConfig(architecture, encoder, channels, classes, activation, _plain(options))


def _activation(name: Any, path: Path) -> ActivationName:
    if not isinstance(name, str | None) or name not in ACTIVATIONS:
        raise ModelError(f"activation {one_line(name, 40)!r} cannot be used for segmentation", path=path)
    return ACTIVATIONS[name]


def _count(value: Any, name: str, path: Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 65536:
        raise ModelError(f"{name} is {one_line(value, 40)}, not a whole number", path=path)
    return value


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}


def ask(config: SmpConfig, options: ImportOptions, path: Path) -> None:
    """Ask for what no such description holds: names of classes and how pictures are scaled.

    Raises
    ------
    QuestionsError
        Unless `options` say it.
    """
    questions = []
    if options.classes is None:
        count = config.classes
        what = f"its {count} classes" if count > 1 else "its class"
        text = f"What {'are' if count > 1 else 'is'} {what} called, in the order of the channels?"
        questions.append(Question("classes", text))
    if options.preprocessing is None:
        text = f"How are pictures with {config.in_channels} channels scaled for it?"
        questions.append(Question("preprocessing", text, preprocessing_names(config.in_channels)))
    if questions:
        raise QuestionsError(tuple(questions), path=path)


def card_of(config: SmpConfig, options: ImportOptions, path: Path, description: str = "") -> ModelCard:
    """Make a card of a network's description and of what a person said.

    Parameters
    ----------
    config : SmpConfig
    options : ImportOptions
        With classes and preprocessing.
    path : Path
        For name and messages.
    description : str

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelError
        If these contradict each other.
    """
    assert options.classes is not None
    assert options.preprocessing is not None
    class_map, head = classes_and_head(options.classes, config.classes, options.head, config.activation)
    preprocessing = preprocessing_of(options.preprocessing, config.in_channels)
    try:
        return ModelCard(
            name=options.name or model_name(path.stem),
            description=description,
            architecture=config.architecture,
            encoder=config.encoder,
            options=config.options,
            class_map=class_map,
            head=head,
            activation=None if config.activation == "none" else config.activation,
            preprocessing=preprocessing,
            license=options.license or "",
        )
    except ValidationError as error:
        raise ModelError(
            f"the network's description is refused: {validation_line(error)}", path=path
        ) from error


def fit(
    card: ModelCard, weights: Mapping[str, torch.Tensor], path: Path
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Put weights into the network of a card, strictly, and return what the network holds then.

    Parameters
    ----------
    card : ModelCard
    weights : mapping of str to torch.Tensor
    path : Path
        For messages.

    Returns
    -------
    weights : dict of str to torch.Tensor
        Under today's names.
    notes : tuple of str
        What was left out.

    Raises
    ------
    ModelError
        If they do not fit.
    """
    from .network import build_network, load_weights, refuse_enormous

    refuse_enormous(card, sum(tensor.numel() for tensor in weights.values()))
    extra = [key for key in weights if key.startswith("classification_head.")]
    network = build_network(card)
    try:
        load_weights(network, {key: weights[key] for key in weights if key not in extra}, card.name)
    except ModelError as error:
        raise ModelError(error.cause, path=path, advice=error.advice) from error
    notes = ("its second answer, a class for the whole picture, was left out",) if extra else ()
    return {key: tensor.detach().clone() for key, tensor in network.state_dict().items()}, notes


def smp_call(card: ModelCard) -> tuple[str, dict[str, Any]]:
    """Return how segmentation-models-pytorch builds the network of a card.

    Parameters
    ----------
    card : ModelCard

    Returns
    -------
    name : str
        Of its class.
    arguments : dict
        Plain values.
    """
    import segmentation_models_pytorch as smp

    arguments = {
        "encoder_name": card.encoder,
        "encoder_weights": None,
        "in_channels": card.preprocessing.in_channels,
        "classes": card.out_channels,
        "activation": "softmax2d" if card.activation == "softmax" else card.activation,
        **{key: list(v) if isinstance(v, tuple) else v for key, v in card.options.items()},
    }
    return str(smp.MODEL_ARCHITECTURES_MAPPING[card.architecture.lower()].__name__), arguments
