"""The card of a recognised network: classes, head, preprocessing, and what of it was assumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from ...core.classes import ClassMap
from ...core.errors import ModelError, one_line, validation_line
from ...core.preprocessing import ByDtype, FixedResize, Geometry, PadToSquare, Preprocessing, Tiles
from ..card import Binary, Head, ModelCard, Sigmoid, Softmax, Training
from ..importing import ImportOptions, Question, QuestionsError, model_name
from ..presets import (
    IMAGENET,
    ActivationName,
    channels_kind,
    class_map_of_names,
    classes_and_head,
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
    """

    card: ModelCard
    notes: tuple[str, ...]


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
    notes: list[str] = []
    known = preset_of(found, options)
    if known is not None:
        name, preset = known
        said = {"classes": options.classes, "preprocessing": options.preprocessing}
        usual = {"classes": preset.classes, "preprocessing": preset.preprocessing}
        options = options.model_copy(update={key: said[key] or usual[key] for key in said})
        notes.append(f"{'taken' if options.preset else 'recognised'} as {name}: {preset.help}")
    activation = _activation(found, options, notes)
    class_map, head = _classes(found, options, activation, notes)
    preprocessing = _preprocessing(found, options, scaling, geometry, notes)
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
    return Described(card, tuple(notes))


def _what(found: Recognition) -> str:
    return "A U-Net of fastai" if found.family == "fastai" else found.architecture


def _activation(found: Recognition, options: ImportOptions, notes: list[str]) -> Activation:
    names: dict[str, Activation] = {"none": None, "sigmoid": "sigmoid", "softmax": "softmax"}
    stored = found.activation
    if options.activation is not None:
        if stored and stored != options.activation:
            notes.append(f"the file says activation {stored}; {options.activation} was asked for and taken")
        return names[options.activation]
    if stored == "logsoftmax":
        return "logsoftmax"
    if stored and stored not in names:
        question = Question(
            "activation", f"It ends with {stored}, which is not known. What stands for it?", tuple(names)
        )
        raise QuestionsError((question,), path=found.path)
    if not stored:
        notes.append(
            "the file does not tell whether sigmoid or softmax follows the last layer; its answer is taken "
            "as it is (otherwise: --activation)"
        )
    return names.get(stored)


# -- classes ---------------------------------------------------------------------------------------


def _classes(
    found: Recognition, options: ImportOptions, activation: Activation, notes: list[str]
) -> tuple[ClassMap, Head]:
    shown: ActivationName = "softmax" if activation == "logsoftmax" else activation or "none"
    channels = found.out_channels
    if options.classes is not None and not options.classes.isdigit():
        return classes_and_head(options.classes, channels, options.head, shown)
    names = _channel_names(found.classes, channels)
    if not names or options.classes is not None:
        return _numbered(found, options, shown, notes)
    notes.append(f"classes as the file names them: {one_line(', '.join(names), 200)}")
    class_map = class_map_of_names(list(names), channels)
    return class_map, _head(class_map, channels, options)


def _head(class_map: ClassMap, channels: int, options: ImportOptions) -> Head:
    if channels == len(class_map) and channels > 1:
        return Softmax()
    return Binary() if channels == 1 and options.head != "sigmoid" else Sigmoid()


def _channel_names(names: tuple[str, ...], channels: int) -> tuple[str, ...]:
    """Return one name per channel, the background's spelled as it is here; none if that cannot be."""
    spelled = ["background" if name.strip().casefold() in BACKGROUND else name for name in names]
    if len(spelled) == channels + 1 and spelled[0] == "background":
        spelled = spelled[1:]
    once = len({name.casefold() for name in spelled}) == len(spelled)
    return tuple(spelled) if len(spelled) == channels and once else ()


def _numbered(
    found: Recognition, options: ImportOptions, activation: ActivationName, notes: list[str]
) -> tuple[ClassMap, Head]:
    """Name the classes by numbers; the head follows from the activation where it can."""
    channels = found.out_channels
    if options.classes is not None and int(options.classes[:6]) not in (channels, channels + 1):
        raise ModelError(f"{options.classes} classes were named, but the network has {channels} channels")
    likely = "softmax" if activation == "softmax" else "sigmoid" if activation == "sigmoid" else ""
    kind = options.head or ("binary" if channels == 1 else likely or "softmax")
    if channels > 1 and not options.head and not likely:
        notes.append(
            "one class per pixel is assumed, the first channel as background (otherwise: --head sigmoid "
            "or --classes)"
        )
    names = [f"class {number}" for number in range(1, channels + (kind != "softmax"))]
    if kind == "softmax":
        names = ["background", *names]
    notes.append(f"the file does not tell what its {channels} channels are called; name them with --classes")
    return classes_and_head(",".join(names), channels, options.head or _literal(kind), activation)


def _literal(kind: str) -> Literal["softmax", "sigmoid", "binary"]:
    return "softmax" if kind == "softmax" else "binary" if kind == "binary" else "sigmoid"


# -- preprocessing ---------------------------------------------------------------------------------


def _preprocessing(
    found: Recognition,
    options: ImportOptions,
    scaling: Scaling | None,
    geometry: Geometry | None,
    notes: list[str],
) -> Preprocessing:
    channels, text = found.in_channels, options.preprocessing or ""
    shape = geometry or Tiles(fitted=not _looks_at_all(found))
    if text and not text.startswith(":"):
        return preprocessing_of(text, channels, shape)
    if text:  # only a geometry: values are scaled as the file tells
        shape = preprocessing_of(f"zero-one{text}", channels).geometry
    used = scaling or _usual(found.encoder, channels)
    if scaling is None:
        notes.append(_scaled_how(used, found))
    if geometry is None and not text:
        notes.append(
            "pictures are taken at their own size, in tiles of 512 (otherwise for instance: --preprocessing "
            "imagenet:resize=320x800)"
        )
    return Preprocessing(
        channels=channels_kind(channels), values=ByDtype(), mean=used.mean, std=used.std, geometry=shape
    )


def _usual(encoder: str, channels: int) -> Scaling:
    known = known_encoder(encoder)
    mean, std = known.statistics if known is not None and known.statistics is not None else IMAGENET
    return Scaling(mean, std) if channels == 3 else Scaling((0.0,) * channels, (1.0,) * channels)


def _scaled_how(used: Scaling, found: Recognition) -> str:
    numbers = ", ".join(f"{value:.3g}" for value in used.mean)
    how = (
        f"as encoder {found.encoder} was pre-trained (mean {numbers})"
        if found.in_channels == 3
        else "from 0 to 1"
    )
    return (
        f"the file does not tell how values were scaled; they are scaled {how} (otherwise: --preprocessing)"
    )


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
