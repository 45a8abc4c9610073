"""The card of a recognised network: classes, head, preprocessing, and what of it was assumed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from ...core.classes import ClassMap
from ...core.errors import ModelError, one_line, validation_line
from ...core.input_settings import ByDtype, FixedResize, Geometry, PadToSquare, Tiles
from ...core.preprocessing import Preprocessing
from ..card import Head, ModelCard, Training
from ..importing import Assumption, ImportOptions, Question, QuestionsError, model_name
from ..presets import (
    AS_ENCODER,
    IMAGENET,
    ActivationName,
    HeadName,
    channels_kind,
    class_map_of_names,
    classes_and_head,
    head_of,
    preprocessing_names,
    preprocessing_of,
)
from .encoders import known_encoder
from .presets import PRESETS, Preset
from .recognise import Recognition

BACKGROUND = frozenset({"background", "bg", "_background_", "__background__", "back ground", "backgrnd"})

WHOLE = (
    "se_",
    "senet",
    "efficientnet",
    "mobilenetv3",
    "regnety",
    "resnest",
    "skres",
    "sknet",
    "timm-sk",
    "tu-hrnet",
)
"""Parts of the names of encoders that average over all that they see (squeeze and excitation)."""

Activation = Literal["softmax", "sigmoid", "logsoftmax"] | None


@dataclass(frozen=True, slots=True)
class Scaling:
    """Mean and deviation for values of 0 to 1, as a file tells them.

    Parameters
    ----------
    mean, std : tuple of float
        One number per channel.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Described:
    """A card, and what a person should know of how it came about.

    Parameters
    ----------
    card : ModelCard
    notes : tuple of str
    assumed : tuple of Assumption
    """

    card: ModelCard
    notes: tuple[str, ...]
    assumed: tuple[Assumption, ...]


@dataclass(slots=True)
class _Said:
    """Collects what a person should know."""

    notes: list[str] = field(default_factory=list)
    assumed: list[Assumption] = field(default_factory=list)

    def assume(self, name: str, ask: str, candidates: tuple[str, ...], taken: str, text: str) -> None:
        self.assumed.append(Assumption(Question(name, ask, candidates, taken), text))


def preset_of(found: Recognition, options: ImportOptions) -> tuple[str, Preset] | None:
    """Return the preset that was asked for, or that a file can only be if nothing else was said.

    Parameters
    ----------
    found : Recognition
    options : ImportOptions

    Returns
    -------
    (str, Preset) or None
    """
    if options.preset is not None:
        return (options.preset, PRESETS[options.preset]) if options.preset in PRESETS else None
    if options.classes is not None or options.preprocessing is not None:
        return None
    for name, preset in PRESETS.items():
        facts = (found.architecture, found.encoder, found.activation, found.in_channels, found.out_channels)
        wanted = (
            preset.architecture,
            preset.encoder,
            preset.activation,
            preset.in_channels,
            preset.out_channels,
        )
        if preset.certain and facts == wanted:
            return name, preset
    return None


def describe(
    found: Recognition,
    options: ImportOptions,
    *,
    scaling: Scaling | None = None,
    geometry: Geometry | None = None,
) -> Described:
    """Make the card of a recognised network.

    Parameters
    ----------
    found : Recognition
        Without questions.
    options : ImportOptions
    scaling : Scaling, optional
        That the file tells.
    geometry : Geometry, optional
        That the file tells.

    Returns
    -------
    Described

    Raises
    ------
    ModelError
        If what the person said does not fit the network.
    QuestionsError
        If the network ends in a layer that is not known.
    """
    said = _Said()
    known = preset_of(found, options)
    if known is not None:
        name, preset = known
        usual = {"classes": preset.classes, "preprocessing": preset.preprocessing}
        given = {key: getattr(options, key) or value for key, value in usual.items()}
        options = options.model_copy(update=given)
        said.notes.append(f"{'taken' if options.preset else 'recognised'} as {name}: {preset.help}")
    activation = _activation(found, options, said)
    class_map, head = _classes(found, options, activation, said)
    preprocessing = _preprocessing(found, options, scaling, geometry, said)
    try:
        card = ModelCard(
            name=options.name or model_name(found.path.stem),
            description=f"{_what(found)} with encoder {found.encoder}, imported from {found.path.name}.",
            architecture=found.architecture,
            encoder=found.encoder,
            options=found.options,
            class_map=class_map,
            head=head,
            activation=activation,
            preprocessing=preprocessing,
            training=Training(notes="Trained elsewhere; see its source."),
            license=options.license or "",
        )
    except ValidationError as error:
        raise ModelError(
            f"the network cannot be described: {validation_line(error)}", path=found.path
        ) from error
    return Described(card, tuple(said.notes), tuple(said.assumed))


def _what(found: Recognition) -> str:
    return "A U-Net of fastai" if found.family == "fastai" else found.architecture


def _activation(found: Recognition, options: ImportOptions, said: _Said) -> Activation:
    names: dict[str, Activation] = {"none": None, "sigmoid": "sigmoid", "softmax": "softmax"}
    stored = found.activation
    if options.activation is not None:
        if stored and stored != options.activation:
            said.notes.append(
                f"the file says activation {stored}; {options.activation} was asked for and taken"
            )
        return names[options.activation]
    if stored == "logsoftmax":
        return "logsoftmax"
    if stored and stored not in names:
        question = Question(
            "activation", f"It ends with {stored}, which is not known. What stands for it?", tuple(names)
        )
        raise QuestionsError((question,), path=found.path)
    if not stored:
        said.assume(
            "activation",
            "What follows the network's last layer?",
            ("none", "sigmoid", "softmax") if found.out_channels > 1 else ("none", "sigmoid"),
            "none",
            "nothing follows the last layer: its answer is taken as it is",
        )
    return names.get(stored)


# -- classes ---------------------------------------------------------------------------------------


def _classes(
    found: Recognition, options: ImportOptions, activation: Activation, said: _Said
) -> tuple[ClassMap, Head]:
    shown: ActivationName = "softmax" if activation == "logsoftmax" else activation or "none"
    channels = found.out_channels
    if options.classes is not None and not options.classes.isdigit():
        return classes_and_head(options.classes, channels, options.head, shown)
    names = _channel_names(found.classes, channels)
    if not names or options.classes is not None:
        return _numbered(found, options, shown, said)
    said.notes.append(f"classes as the file names them: {one_line(', '.join(names), 200)}")
    class_map = class_map_of_names(list(names), channels)
    if options.head is None and channels > 1 and channels != len(class_map) and shown == "none":
        _assume_head("sigmoid", said)  # no class in the file is called background
    return class_map, head_of(class_map, channels, options.head, shown)


def _assume_head(kind: HeadName, said: _Said) -> None:
    texts = {
        "softmax": "one class per pixel, the first channel is the background",
        "sigmoid": "each class by itself, the later on top where several are on",
    }
    ask = "Does every pixel have one class (softmax), or is each class there or not by itself (sigmoid)?"
    said.assume("head", ask, ("softmax", "sigmoid"), kind, texts[kind])


def _channel_names(names: tuple[str, ...], channels: int) -> tuple[str, ...]:
    """Return one name per channel, the background's spelled as it is here; none if that cannot be."""
    spelled = ["background" if name.strip().casefold() in BACKGROUND else name for name in names]
    if len(spelled) == channels + 1 and spelled[0] == "background":
        spelled = spelled[1:]
    once = len({name.casefold() for name in spelled}) == len(spelled)
    return tuple(spelled) if len(spelled) == channels and once else ()


def _numbered(
    found: Recognition, options: ImportOptions, activation: ActivationName, said: _Said
) -> tuple[ClassMap, Head]:
    """Name the classes by numbers; the head follows from the activation where it can."""
    channels = found.out_channels
    if options.classes is not None and int(options.classes[:6]) not in (channels, channels + 1):
        raise ModelError(f"{options.classes} classes were named, but the network has {channels} channels")
    kind: HeadName = "binary" if channels == 1 else "sigmoid" if activation == "sigmoid" else "softmax"
    kind = options.head or kind
    if channels > 1 and not options.head and activation == "none":
        _assume_head(kind, said)
    names = [f"class {number}" for number in range(1, channels + (kind != "softmax"))]
    if kind == "softmax":
        names = ["background", *names]
    written = ",".join(names)
    if options.classes is None:
        ask = f"What {'are' if channels > 1 else 'is'} {_channels(channels)} called, in that order?"
        text = f"{_channels(channels)} {'are' if channels > 1 else 'is'} called {one_line(written, 100)}"
        said.assume("classes", ask, (), written, text.replace(",", ", "))
    return classes_and_head(written, channels, kind, activation)


def _channels(count: int) -> str:
    return f"its {count} channels" if count > 1 else "its channel"


# -- preprocessing ---------------------------------------------------------------------------------


def _preprocessing(
    found: Recognition,
    options: ImportOptions,
    scaling: Scaling | None,
    geometry: Geometry | None,
    said: _Said,
) -> Preprocessing:
    channels, text = found.in_channels, options.preprocessing or ""
    shape = geometry or Tiles(fitted=not _looks_at_all(found))
    name, colon, size = text.partition(":")
    as_encoder = name == AS_ENCODER and known_encoder(found.encoder) is not None
    if name and not as_encoder:
        return preprocessing_of(text, channels, shape)
    if colon:  # only a geometry
        shape = preprocessing_of(f"zero-one:{size}", channels).geometry
    used = _usual(found.encoder, channels) if scaling is None or as_encoder else scaling
    if not as_encoder:
        _assume_preprocessing(
            found, None if scaling else used, geometry is None and not text, colon + size, said
        )
    return Preprocessing(
        channels=channels_kind(channels), values=ByDtype(), mean=used.mean, std=used.std, geometry=shape
    )


def _usual(encoder: str, channels: int) -> Scaling:
    known = known_encoder(encoder)
    mean, std = known.statistics if known is not None and known.statistics is not None else IMAGENET
    return Scaling(mean, std) if channels == 3 else Scaling((0.0,) * channels, (1.0,) * channels)


def _assume_preprocessing(
    found: Recognition, used: Scaling | None, size_too: bool, shape: str, said: _Said
) -> None:
    """Say what of scaling and size is not told; `used` is None where the file tells the scaling."""
    names = [name for name in preprocessing_names(found.in_channels) if name != "fish-traits"]
    if found.in_channels == 3 and known_encoder(found.encoder) is not None:
        names = [AS_ENCODER, *names]
    elif found.in_channels != 3:
        names = ["zero-one", *(name for name in names if name != "zero-one")]
    parts = [_scaled_how(used, found)] if used is not None else []
    if size_too:
        parts.append("pictures are taken at their own size, in tiles of 512")
    if not parts:
        return
    likely = (f"{names[0]}{shape}",) if used is not None else (":tiles=512",)
    others = (f"{names[0]}:resize=320x800", f"{names[0]}:pad=512") if size_too else ()
    rest = tuple(f"{name}{shape}" for name in names[1:]) if used is not None else ()
    ask = "How are pictures brought to the values and the size that it was trained with?"
    said.assume("preprocessing", ask, (*likely, *others, *rest), likely[0], "; ".join(parts))


def _scaled_how(used: Scaling, found: Recognition) -> str:
    numbers = ", ".join(f"{value:.3g}" for value in used.mean)
    if found.in_channels != 3:
        return "values are scaled from 0 to 1"
    return f"values are scaled as encoder {found.encoder} was pre-trained (mean {numbers})"


def _looks_at_all(found: Recognition) -> bool:
    """Tell whether the network averages over all that it sees, so that the size of tiles matters."""
    decoders = ("PSPNet", "PAN", "MAnet", "DeepLabV3", "DeepLabV3Plus", "UPerNet")
    options: dict[str, Any] = found.options
    return (
        any(part in found.encoder for part in WHOLE)
        or found.architecture in decoders
        or options.get("decoder_attention_type") == "scse"
        or bool(options.get("self_attention"))
    )


def geometry_of(size: tuple[int, int] | None, method: str) -> Geometry | None:
    """Return how fastai brought pictures to one size; padding where it cropped, so that nothing is lost.

    Parameters
    ----------
    size : tuple of int, optional
        Height and width.
    method : str
        ``squish``, ``pad`` or ``crop``.

    Returns
    -------
    Geometry or None
    """
    if size is None:
        return None
    if method == "squish" or size[0] != size[1]:
        return FixedResize(height=size[0], width=size[1])
    return PadToSquare(size=size[0])
