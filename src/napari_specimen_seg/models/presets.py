"""What a person says of a model in few words, turned into a class map, a head and a preprocessing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ..core.classes import PRESETS, ClassMap, LabelClass, default_color
from ..core.errors import ModelError, validation_line
from ..core.input_settings import (
    ByDtype,
    ByPercentile,
    ByRange,
    FixedResize,
    Geometry,
    PadToSquare,
    Tiles,
    ValueRange,
)
from ..core.preprocessing import Preprocessing
from .card import Binary, Head, Sigmoid, Softmax

HeadName = Literal["softmax", "sigmoid", "binary"]
ActivationName = Literal["none", "softmax", "sigmoid"]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, slots=True)
class Scaling:
    """How values are scaled: what becomes 0 and 1, then mean and std (one number stands for all channels)."""

    help: str
    values: ValueRange
    mean: tuple[float, ...]
    std: tuple[float, ...]


SCALINGS: dict[str, Scaling] = {
    "imagenet": Scaling("0 to 1, then ImageNet's mean and deviation", ByDtype(), *IMAGENET),
    "zero-one": Scaling("0 to 1 over the number type's range", ByDtype(), (0.0,), (1.0,)),
    "minus-one-one": Scaling("-1 to 1 over the number type's range", ByDtype(), (0.5,), (0.5,)),
    "zero-255": Scaling("0 to 255 over the number type's range", ByDtype(), (0.0,), (1 / 255,)),
    "percentile": Scaling("1st and 99.8th percentile become 0 and 1", ByPercentile(), (0.0,), (1.0,)),
    "raw": Scaling("values as they are", ByRange(), (0.0,), (1.0,)),
}
"""Ways to scale that have a name."""

RECIPES: dict[str, Preprocessing] = {
    # The recipe of the BGNN fish trait model: stretched to 320 x 800 whatever the photograph's shape.
    "fish-traits": Preprocessing(geometry=FixedResize(height=320, width=800, answer="nearest")),
}
"""Whole preprocessings that have a name."""

AS_ENCODER = "pretrained"
AS_ENCODER_HELP = "as the encoder was pre-trained"
"""How most networks of segmentation-models-pytorch are trained; known for its encoders only."""

MAX_JSON_BYTES = 4_000_000

_GEOMETRY = re.compile(r"(tiles|pad|resize)=(\d{1,5})(?:x(\d{1,5}))?")


def preprocessing_names(channels: int | None = None) -> tuple[str, ...]:
    """Return the presets that fit a number of input channels, the likeliest first.

    Parameters
    ----------
    channels : int, optional
        All presets if left out.

    Returns
    -------
    tuple of str
    """
    scalings = [n for n, s in SCALINGS.items() if channels is None or len(s.mean) in (1, channels)]
    recipes = [n for n, p in RECIPES.items() if channels in (None, p.in_channels)]
    return (*scalings, *recipes)


def preprocessing_of(text: str, channels: int, geometry: Geometry | None = None) -> Preprocessing:
    """Understand what a person said of a model's preprocessing.

    Parameters
    ----------
    text : str
        A preset's name, with ``:tiles=512``, ``:pad=512`` or ``:resize=320x800`` (height x width) behind
        it where wanted; or a JSON file with a `Preprocessing`, or with a card.
    channels : int
        That the network takes.
    geometry : Geometry, optional
        Where neither preset nor file says one.

    Returns
    -------
    Preprocessing

    Raises
    ------
    ModelError
        If it cannot be understood or does not fit the network.
    """
    name, _, shape = text.partition(":")
    if name in RECIPES and not shape:
        made = RECIPES[name]
    elif name in SCALINGS:
        made = _scaled(name, channels, _geometry(shape) if shape else geometry or Tiles())
    else:
        made = _preprocessing_from_file(Path(text))
    if made.in_channels != channels:
        raise _other_channels(text, made.in_channels, channels)
    return made


def explained(text: str) -> str:
    """Say in plain words what a preprocessing preset does; empty if it is none.

    Parameters
    ----------
    text : str
        As `preprocessing_of` takes it.

    Returns
    -------
    str
        Such as ``"0 to 1, then ImageNet's mean and deviation; in tiles of 512 x 512 pixels"``.
    """
    name, _, shape = text.partition(":")
    scaled = AS_ENCODER_HELP if name == AS_ENCODER else SCALINGS[name].help if name in SCALINGS else ""
    if not scaled:
        return "stretched to 320 x 800 pixels" if name in RECIPES else ""
    found = _GEOMETRY.fullmatch(shape)
    if found is None:
        return f"{scaled}; in tiles at the picture's own scale" if name == AS_ENCODER else scaled
    size = f"{found[2]} x {found[3] or found[2]} pixels"
    how = {
        "tiles": f"in tiles of {size} at the picture's own scale",
        "pad": f"the whole picture, padded to a square and resized to {size}",
        "resize": f"the whole picture, stretched to {size}",
    }[found[1]]
    return f"{scaled}; {how}"


def _scaled(name: str, channels: int, geometry: Geometry) -> Preprocessing:
    scaling = SCALINGS[name]
    if len(scaling.mean) not in (1, channels):
        raise _other_channels(name, len(scaling.mean), channels)
    repeat = channels // len(scaling.mean)
    try:
        return Preprocessing(
            channels=channels_kind(channels),
            values=scaling.values,
            mean=scaling.mean * repeat,
            std=scaling.std * repeat,
            geometry=geometry,
        )
    except ValidationError as error:
        raise ModelError(f"{channels} channels are more than any picture has") from error


def _other_channels(name: str, have: int, want: int) -> ModelError:
    return ModelError(
        f"preprocessing {name} is for {have} channels, the model takes {want}",
        advice=f"Choose one of {', '.join(preprocessing_names(want))}.",
    )


def channels_kind(channels: int) -> Literal["rgb", "gray"] | int:
    """Return what a network with this many input channels takes: grey, colour, or just as many."""
    return "rgb" if channels == 3 else "gray" if channels == 1 else channels


def _geometry(text: str) -> Geometry:
    found = _GEOMETRY.fullmatch(text)
    if found is None:
        raise ModelError(
            f"geometry {text!r} is not understood", advice="Use tiles=512, pad=512 or resize=320x800."
        )
    kind, height, width = found[1], int(found[2]), int(found[3] or found[2])
    try:
        if kind == "resize":
            return FixedResize(height=height, width=width)
        if height != width:
            raise ModelError(f"{kind} are square: {text!r} has two sides")
        tiles = Tiles(size=height, halo=min(Tiles().halo, height // 4))
        return tiles if kind == "tiles" else PadToSquare(size=height)
    except ValidationError as error:
        raise ModelError(f"geometry {text!r}: {validation_line(error)}") from error


def _preprocessing_from_file(path: Path) -> Preprocessing:
    data = read_json(path, what=f"no preprocessing is called {str(path)!r}, and there is no such file")
    if isinstance(data, dict) and isinstance(data.get("preprocessing"), dict):
        data = data["preprocessing"]
    try:
        return Preprocessing.model_validate(data)
    except ValidationError as error:
        raise ModelError(f"the preprocessing is not valid: {validation_line(error)}", path=path) from error


def read_json(path: Path, what: str = "no such file") -> Any:
    """Read a small JSON file.

    Parameters
    ----------
    path : Path
    what : str
        What to say if there is no such file.

    Returns
    -------
    object

    Raises
    ------
    ModelError
        If it is missing, larger than any honest one, or no JSON.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ModelError("the file is larger than any honest one", path=path)
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(what, advice=f"Presets: {', '.join(preprocessing_names())}.") from None
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", path=path) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"it is not valid JSON ({error})", path=path) from error


def head_of(
    class_map: ClassMap,
    channels: int,
    head: HeadName | None = None,
    activation: ActivationName | None = None,
) -> Head:
    """Return how output channels become these classes.

    Parameters
    ----------
    class_map : ClassMap
    channels : int
        That the network answers with.
    head : {"softmax", "sigmoid", "binary"}, optional
        Where it is known; else it follows from the numbers of classes and channels.
    activation : {"none", "softmax", "sigmoid"}, optional
        That the network applies itself, to notice contradictions.

    Returns
    -------
    Softmax, Sigmoid or Binary

    Raises
    ------
    ModelError
        If classes and channels do not fit together.
    """
    chosen = head or _head_by_numbers(class_map, channels)
    wanted = len(class_map) if chosen == "softmax" else len(class_map.foreground)
    if chosen == "binary" and len(class_map.foreground) != 1:
        raise ModelError(f"a binary model has one class beside the background, not {len(class_map) - 1}")
    if wanted != channels:
        raise ModelError(
            f"{_count(wanted, 'class', 'classes')} named, but the network answers with "
            f"{_count(channels, 'channel', 'channels')}",
            advice="Name one class for each channel; call the background's channel background.",
        )
    if chosen != "softmax" and activation == "softmax" and channels > 1:
        raise ModelError(
            "the network applies softmax, so one of its channels is the background",
            advice="Call that class background.",
        )
    heads: dict[str, Head] = {"softmax": Softmax(), "sigmoid": Sigmoid(), "binary": Binary()}
    return heads[chosen]


def classes_and_head(
    text: str, channels: int, head: HeadName | None = None, activation: ActivationName | None = None
) -> tuple[ClassMap, Head]:
    """Understand what a person said of a model's classes.

    Parameters
    ----------
    text : str
        Names with commas between them in the order of the channels, without the background unless it has
        a channel of its own; or the name of a preset; or a class map file.
    channels : int
        That the network answers with; 0 if nobody knows: as many as there are classes, background included.
    head : {"softmax", "sigmoid", "binary"}, optional
        Where it is known; else it follows from the numbers of classes and channels.
    activation : {"none", "softmax", "sigmoid"}, optional
        That the network applies itself, to notice contradictions.

    Returns
    -------
    (ClassMap, Softmax or Sigmoid or Binary)

    Raises
    ------
    ModelError
        If classes and channels do not fit together.
    """
    class_map = _class_map(text, channels)
    return class_map, head_of(class_map, channels or len(class_map), head, activation)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _head_by_numbers(class_map: ClassMap, channels: int) -> HeadName:
    if channels == len(class_map) and channels > 1:
        return "softmax"
    return "binary" if len(class_map.foreground) == 1 else "sigmoid"


def _class_map(text: str, channels: int) -> ClassMap:
    if text in PRESETS:
        return PRESETS[text]
    if Path(text).suffix.lower() in (".json", ".csv", ".yaml", ".yml"):
        from ..core.files import read_class_map

        from_file: ClassMap = read_class_map(text)
        return from_file
    return class_map_of_names([name.strip() for name in text.split(",")], channels)


def class_map_of_names(names: list[str], channels: int) -> ClassMap:
    """Make a class map of names in channel order; ids follow that order, ``background`` is 0.

    Parameters
    ----------
    names : list of str
    channels : int
        That the network answers with; a single channel is never the background's.

    Returns
    -------
    ClassMap

    Raises
    ------
    ModelError
        If a name is empty or occurs twice.
    """
    own_background = [n for n in names if n.casefold() == "background"] if channels != 1 else []
    rows: list[dict[str, Any]] = []
    if not own_background:
        rows.append({"id": 0, "name": "background", "color": "#000000"})
        names = [name for name in names if name.casefold() != "background"]
    next_id = 1
    for name in names:
        if name in own_background[:1]:
            rows.append({"id": 0, "name": name, "color": "#000000"})
            continue
        rows.append({"id": next_id, "name": name, "color": default_color(next_id)})
        next_id += 1
    try:
        return ClassMap(classes=tuple(LabelClass.model_validate(row) for row in _distinct(rows)))
    except ValidationError as error:
        raise ModelError(f"the classes are not valid: {validation_line(error)}") from error


def _distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Shift colours that two ids share; there are 16 million."""
    taken: set[str] = set()
    for row in rows:
        while row["color"] in taken:
            row["color"] = f"#{(int(row['color'][1:], 16) + 1) % 0x1000000:06x}"
        taken.add(row["color"])
    return rows
