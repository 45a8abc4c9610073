"""An ONNX file of unknown origin as a model of ours."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import ModelError, one_line
from ..core.input_settings import FixedResize, Geometry, PadToSquare, Tiles
from ..core.preprocessing import Preprocessing
from ..core.progress import Report, silent
from .card import ModelCard, OnnxNetwork
from .importing import Draft, ImportOptions, Question, QuestionsError, model_name
from .onnx_files import OnnxFacts
from .onnx_read import OnnxRead, read_onnx
from .presets import classes_and_head, preprocessing_names, preprocessing_of


def import_onnx(path: Path, options: ImportOptions, report: Report = silent) -> Draft:
    """Read an ONNX file with one picture in and scores (or class numbers) for every pixel out.

    Parameters
    ----------
    path : Path
    options : ImportOptions
        Classes and preprocessing are never in such a file, unless it came from here.
    report : callable

    Returns
    -------
    Draft

    Raises
    ------
    ModelError
        If the file is refused or no segmentation network.
    QuestionsError
        For what must be said by a person.
    """
    read = read_onnx(path, options, report)
    if read.card is not None:
        return Draft(_renamed(read.card, options, path), read.content)
    _ask(options, read, path)
    return Draft(_card(options, read, path), read.content, _notes(read))


def _renamed(card: ModelCard, options: ImportOptions, path: Path) -> ModelCard:
    return card.model_copy(update={"name": options.name or model_name(path.stem)})


# -- what must be asked ----------------------------------------------------------------------------


def _ask(options: ImportOptions, read: OnnxRead, path: Path) -> None:
    answer, channels = read.answer, read.channels
    questions: list[Question] = []
    if options.classes is None:
        what = f"its {answer.channels} classes" if answer.channels > 1 else "its classes"
        background = ", background included" if answer.ending in ("softmax", "classes") else ""
        questions.append(Question("classes", f"What are {what} called{background}?"))
    if answer.ending == "unknown":
        choices = ("none", "softmax", "sigmoid") if answer.channels > 1 else ("none", "sigmoid")
        questions.append(Question("activation", "What does the network apply to its output?", choices))
    if options.preprocessing is None:
        text = f"How are pictures with {channels} channels scaled for it?"
        questions.append(Question("preprocessing", text, _preprocessing_choices(read.network, channels)))
    if questions:
        raise QuestionsError(tuple(questions), path=path)


def _preprocessing_choices(network: OnnxNetwork, channels: int) -> tuple[str, ...]:
    names = [name for name in preprocessing_names(channels) if name != "fish-traits"]
    if network.input_type == "uint8":
        names = ["zero-255"]
    if network.height is None or network.width is None:
        return tuple(names)
    size = f"{network.height}x{network.width}"
    square = [f"tiles={network.height}", f"pad={network.height}"] if network.height == network.width else []
    return tuple(f"{name}:{geometry}" for name in names for geometry in (*square, f"resize={size}"))


# -- the card --------------------------------------------------------------------------------------


def _card(options: ImportOptions, read: OnnxRead, path: Path) -> ModelCard:
    assert options.classes is not None
    assert options.preprocessing is not None
    network, activation = read.network, read.activation
    assert activation is not None
    head = "softmax" if read.answer.ending == "classes" else options.head
    class_map, head_made = classes_and_head(options.classes, read.answer.channels, head, activation)
    preprocessing = preprocessing_of(options.preprocessing, read.channels, _default_geometry(network))
    return ModelCard(
        name=options.name or model_name(path.stem),
        description=_description(read.facts, path),
        architecture="ONNX",
        onnx=network,
        class_map=class_map,
        head=head_made,
        activation=None if activation == "none" else activation,
        preprocessing=_fitted(preprocessing, network, path),
        license=options.license or "",
    )


def _description(facts: OnnxFacts, path: Path) -> str:
    maker = one_line(f"{facts.model.producer_name} {facts.model.producer_version}".strip(), 80)
    return f"ONNX network{f' made by {maker}' if maker else ''}, imported from {one_line(path.name, 80)}."


def _default_geometry(network: OnnxNetwork) -> Geometry:
    """Return tiles where the network can have them, else the one size that it takes."""
    height, width = network.height, network.width
    if height is None or width is None:
        # It is not known whether the network looks at the whole tile, so all tiles have one size.
        return Tiles(size=512, halo=64, fitted=False)
    if height == width:
        return Tiles(size=height, halo=_halo(height), fitted=False)
    return FixedResize(height=height, width=width)


def _halo(size: int) -> int:
    return min(64, size // 8)


def _fitted(preprocessing: Preprocessing, network: OnnxNetwork, path: Path) -> Preprocessing:
    """Return a preprocessing whose geometry gives the network the size that it takes."""
    geometry = preprocessing.geometry
    if isinstance(geometry, Tiles):
        geometry = Tiles(size=geometry.size, halo=min(geometry.halo, _halo(geometry.size)), fitted=False)
    height, width = _network_size(geometry)
    if network.height is not None and (height, width) != (network.height, network.width):
        example = _preprocessing_choices(network, preprocessing.in_channels)[0]
        raise ModelError(
            f"the network takes {network.height} x {network.width} pixels, not {height} x {width}",
            path=path,
            advice=f"Use a preprocessing such as {example}.",
        )
    return preprocessing.model_copy(update={"geometry": geometry})


def _network_size(geometry: Geometry) -> tuple[int, int]:
    if isinstance(geometry, FixedResize):
        return geometry.height, geometry.width
    assert isinstance(geometry, Tiles | PadToSquare)
    return geometry.size, geometry.size


def _notes(read: OnnxRead) -> tuple[str, ...]:
    network = read.network
    if network.height is None:
        return ("it takes pictures of any size",)
    return (f"it looks at {network.height} x {network.width} pixels at a time",)
