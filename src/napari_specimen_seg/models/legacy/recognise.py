"""What network a file holds: told by the file, by names and shapes of weights, by the person, or asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...core.errors import ModelError, one_line, size_text
from ..importing import Assumption, ImportOptions, Question, QuestionsError
from .decoders import ARCHITECTURES, architecture_of, decoder_options, free_options
from .encoders import encoders_of, input_channels, known_encoder, today
from .fastai import NO_RESNET, encoder_of, layout_of, strange_layers, unet_options
from .files import Contents
from .finding import Family, Network, find_networks
from .hints import Hints, hints_of
from .modules import Layer
from .numpy_records import plain

NAMED = {
    "sigmoid": "sigmoid",
    "softmax": "softmax",
    "softmax2d": "softmax",
    "logsoftmax": "logsoftmax",
    "identity": "none",
    "none": "none",
}
"""Activations by the name that they are given to the library, and by the one in cards."""

LAYERS = {"Identity": "none", "Sigmoid": "sigmoid", "Softmax": "softmax", "LogSoftmax": "logsoftmax"}
"""Activations by the class of the layer."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Recognition:
    """What is known of the network in a file, and how; nothing was read but its description.

    Parameters
    ----------
    path : Path
    network : Network
        The one that was chosen.
    whole : bool
        Whether the whole network was pickled, with the settings of every layer.
    architecture, encoder : str
        Empty where they cannot be told.
    depth : int, optional
        Of the encoder, where its weights tell.
    in_channels, out_channels : int
        0 where they cannot be told.
    activation : str
        ``none``, ``sigmoid``, ``softmax``, ``logsoftmax``, or the name of a layer that is not known; empty
        where it cannot be told.
    options : dict
        Further arguments of the architecture.
    classes : tuple of str
        Names in the order of the channels, where the file has them.
    told : dict of str to str
        Field to how it is known: ``file``, ``shapes`` or ``person``.
    assumed : tuple of Assumption
        What cannot be told and is taken as the library's usual value.
    questions : tuple of Question
        What must be answered before the model can be imported.
    notes : tuple of str
        What a person should know, one line each.
    """

    path: Path
    network: Network
    whole: bool
    architecture: str = ""
    encoder: str = ""
    depth: int | None = None
    in_channels: int = 0
    out_channels: int = 0
    activation: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    told: dict[str, str] = field(default_factory=dict)
    assumed: tuple[Assumption, ...] = ()
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def family(self) -> Family:
        """Which library made the network."""
        return self.network.family


def recognise(contents: Contents, options: ImportOptions) -> Recognition:
    """Tell what network a file holds.

    Parameters
    ----------
    contents : Contents
    options : ImportOptions
        What the person says goes before what the file says.

    Returns
    -------
    Recognition
        With `questions` where something must be asked.

    Raises
    ------
    ModelError
        If the file holds no network that is known, or a broken one.
    QuestionsError
        If it holds several and the person did not say which.
    """
    network = _choose(find_networks(contents.root), contents.path, options)
    hints = hints_of(contents.root, contents.metadata)
    shapes = {name: ref.shape for name, ref in network.tensors.items()}
    start = Recognition(contents.path, network, network.layer is not None, notes=tuple(_notes(network)))
    found = (
        _smp(start, shapes, hints, options) if network.family == "smp" else _fastai(start, shapes, options)
    )
    _refuse_many_classes(found)
    classes = hints.classes if len(hints.classes) in (found.out_channels, found.out_channels + 1) else ()
    return replace(found, classes=classes, told=found.told | ({"classes": "file"} if classes else {}))


MAX_CLASSES = 1_000
"""The largest common set of classes, that of ADE20K in full, has 847."""


def _refuse_many_classes(found: Recognition) -> None:
    if not 0 < found.out_channels <= MAX_CLASSES:
        raise ModelError(
            f"the network answers with {found.out_channels} channels, more than any set of classes"
        )


def _choose(networks: list[Network], path: Path, options: ImportOptions) -> Network:
    if len(networks) == 1 and options.part is None:
        return networks[0]
    chosen = [network for network in networks if network.label == options.part]
    if chosen:
        return chosen[0]
    labels = tuple(network.label for network in networks)
    question = Question(
        "part",
        f"It holds {len(networks)} networks: which one?" if len(networks) > 1 else "It holds one network.",
        labels,
    )
    raise QuestionsError((question,), path=path)


_LIBRARIES = ("torch.nn.parallel.", "segmentation_models_pytorch.", "fastai.")


def _notes(network: Network) -> list[str]:
    notes = []
    around = [*network.wrapped_in, *([network.layer.kind.dotted] if network.layer is not None else [])]
    wrapped = [kind for kind in around if not kind.startswith(_LIBRARIES)]
    if wrapped:
        notes.append(
            f"the network is, or lies in, a {one_line(wrapped[0], 80)}, whose own code is not run: if that "
            "did more than the network does, the masks differ"
        )
    if network.left_out:
        some = ", ".join(one_line(name, 40) for name in network.left_out[:2])
        notes.append(f"{len(network.left_out)} weights beside the network were left out ({some}, …)")
    return notes


# -- segmentation-models-pytorch -------------------------------------------------------------------


def _smp(start: Recognition, shapes: Shapes, hints: Hints, options: ImportOptions) -> Recognition:
    _refuse_odd_head(shapes)
    layer = start.network.layer
    questions: list[Question] = []
    told: dict[str, str] = {}
    named, given = split_settings(options.architecture)
    architecture = named or architecture_of(shapes) or ""
    told["architecture"] = "person" if named else "file" if layer is not None else "shapes"
    if not architecture:
        questions.append(Question("architecture", "What architecture is it?", _known_architectures()))
    encoder, how = _encoder(start, shapes, hints, options, questions)
    told["encoder"] = how
    inside = _inside_encoder(shapes)
    stored = _stored_options(architecture, layer) if layer is not None else {}
    settings = decoder_options(architecture, shapes) | stored | given
    depth = next(iter(encoders_of(inside).values()), None) if layer is None else _stored_depth(layer)
    return replace(
        start,
        architecture=architecture,
        encoder=encoder,
        depth=depth,
        in_channels=input_channels(inside, encoder) or 0,
        out_channels=shapes["segmentation_head.0.weight"][0],
        activation=_activation(layer, hints),
        options=settings,
        told=told,
        assumed=() if layer is not None else _assumed(architecture, settings),
        questions=tuple(questions),
    )


def _refuse_odd_head(shapes: Shapes) -> None:
    weight, bias = shapes["segmentation_head.0.weight"], shapes.get("segmentation_head.0.bias")
    if len(weight) != 4 or (bias is not None and bias != weight[:1]):
        raise ModelError(
            "weights of the last layer contradict each other: "
            f"{size_text(weight)} and {size_text(bias or ())}; they may be transposed"
        )


def _known_architectures() -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for _, name in ARCHITECTURES))


def _inside_encoder(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    start = "encoder."
    return {name.removeprefix(start): shape for name, shape in shapes.items() if name.startswith(start)}


def _encoder(
    start: Recognition, shapes: Shapes, hints: Hints, options: ImportOptions, questions: list[Question]
) -> tuple[str, str]:
    """Return the encoder's name and how it is known; ask if it is not."""
    if options.encoder:
        return today(options.encoder.partition("@")[0]), "person"
    said = _name_in(start.network.layer)
    if said:
        return today(said), "file"
    found = tuple(encoders_of(_inside_encoder(shapes)))
    if len(found) == 1:
        return found[0], "shapes"
    hint = today(hints.encoder)
    if hint and (hint in found or (not found and known_encoder(hint) is not None)):
        return hint, "file"
    what = "Which of these encoders is it?" if found else "What encoder is it?"
    questions.append(Question("encoder", what, found))
    return "", ""


def _name_in(layer: Layer | None) -> str:
    """Return the encoder in the name that networks give themselves: ``fpn-resnet18``."""
    name = plain(layer.attributes.get("name")) if layer is not None else None
    return name.partition("-")[2] if isinstance(name, str) else ""


def _stored_depth(layer: Layer) -> int | None:
    encoder = layer.children.get("encoder")
    depth = plain(encoder.attributes.get("_depth")) if encoder is not None else None
    return depth if isinstance(depth, int) and 1 <= depth <= 5 else None


def _stored_options(architecture: str, layer: Layer) -> dict[str, Any]:
    """Read from the pickled network what leaves no trace in its weights."""
    found: dict[str, Any] = {}
    free = free_options(architecture)
    if "upsampling" in free:
        scale = _number(layer, "segmentation_head.1", "scale_factor") or 1
        if scale != free["upsampling"][0]:
            found["upsampling"] = int(scale)
    if "decoder_atrous_rates" in free:
        place = "decoder.aspp.0.convs" if architecture == "DeepLabV3Plus" else "decoder.0.convs"
        place = place if layer.find(place) is not None else "decoder.aspp.convs"
        inner = ".0.0" if architecture == "DeepLabV3Plus" else ".0"
        rates = tuple(_number(layer, f"{place}.{n}{inner}", "dilation") for n in (1, 2, 3))
        if None not in rates and rates != free["decoder_atrous_rates"][0]:
            found["decoder_atrous_rates"] = rates
    return found


def _number(layer: Layer, path: str, attribute: str) -> int | None:
    """Return a whole number that a layer stored, also where it is one of two equal ones."""
    place = layer.find(path)
    value = plain(place.attributes.get(attribute)) if place is not None else None
    if isinstance(value, list) and value:
        value = value[0]
    return int(value) if isinstance(value, (int, float)) and 1 <= value <= 8192 else None


def _activation(layer: Layer | None, hints: Hints) -> str:
    if layer is None:
        return NAMED.get(hints.activation.casefold(), hints.activation)
    place = layer.find("segmentation_head.2.activation") or layer.find("segmentation_head.2")
    if place is None:
        return "none"
    return LAYERS.get(place.kind.name, place.kind.dotted)


def _assumed(architecture: str, settings: Mapping[str, Any]) -> tuple[Assumption, ...]:
    """Say which settings of a decoder a state dict does not hold."""
    free = {name: values for name, values in free_options(architecture).items() if name not in settings}
    if not free:
        return ()
    usual = [f"{name}={_written(values[0])}" for name, values in free.items()]
    others = [
        f"{architecture}:{','.join((*usual[:place], f'{name}={_written(value)}', *usual[place + 1 :]))}"
        for place, (name, values) in enumerate(free.items())
        for value in values[1:]
    ]
    likely = f"{architecture}:{','.join(usual)}"
    question = Question(
        "architecture", f"With which settings was this {architecture} made?", (likely, *others), likely
    )
    what = ", ".join(usual).replace("=", " ")
    return (Assumption(question, f"{what}: the library's own, which weights alone do not tell"),)


def _written(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, tuple) else str(value)


def split_settings(text: str | None) -> tuple[str, dict[str, Any]]:
    """Understand ``FPN:upsampling=2,decoder_merge_policy=cat``.

    Parameters
    ----------
    text : str, optional

    Returns
    -------
    (str, dict)
        Name and settings; values are whole numbers, several with slashes between, or words.

    Raises
    ------
    ModelError
        If a setting has no value.
    """
    name, _, rest = (text or "").partition(":")
    settings: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise ModelError(f"setting {one_line(part, 40)!r} has no value", advice="Write it as name=value.")
        settings[key.strip()] = _setting(value.strip())
    return _architecture_name(name), settings


def _architecture_name(name: str) -> str:
    """Return an architecture as the library spells it, however it was typed."""
    return next((known for known in _known_architectures() if known.casefold() == name.casefold()), name)


def _setting(text: str) -> Any:
    if "/" in text:
        return tuple(_setting(part) for part in text.split("/"))
    if text.isascii() and text.isdigit():
        return int(text[:9])
    return {"true": True, "false": False}.get(text.casefold(), text)


# -- fastai ----------------------------------------------------------------------------------------


def _fastai(start: Recognition, shapes: Shapes, options: ImportOptions) -> Recognition:
    layer = start.network.layer
    layout = layout_of(shapes)
    _, given = split_settings(options.architecture)
    strange = strange_layers(layer) if layer is not None else ()
    if strange:
        raise ModelError(
            f"the fastai network in it has layers that are not known: {one_line(strange[0], 80)}"
        )
    encoder = (options.encoder or "").partition("@")[0] or encoder_of(shapes) or ""
    if not encoder:
        raise ModelError(NO_RESNET)
    stem, head = shapes.get("layers.0.0.weight", ()), shapes[_head_weight(shapes, layout.head)]
    if len(stem) != 4 or len(head) != 4:
        raise ModelError("weights of the first or the last layer of the fastai network in it are broken")
    return replace(
        start,
        architecture="FastaiUnet",
        encoder=encoder,
        in_channels=stem[1],
        out_channels=head[0],
        activation="none",
        options=unet_options(shapes, layout, layer) | given,
        told={"architecture": "file" if layer is not None else "shapes", "encoder": "shapes"},
        assumed=() if layer is not None or "blur" in given else (_NO_BLUR,),
    )


_NO_BLUR = Assumption(
    Question(
        "architecture",
        "Was this U-Net made with blur?",
        ("FastaiUnet:blur=false", "FastaiUnet:blur=true"),
        "FastaiUnet:blur=false",
    ),
    "no blur, ReLU everywhere and no y_range: fastai's own, which weights alone do not tell",
)


def _head_weight(shapes: Shapes, head: int) -> str:
    return next(name for name in shapes if name.startswith(f"layers.{head}.0.weight"))
