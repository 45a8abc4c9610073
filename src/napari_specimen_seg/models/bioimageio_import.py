"""A bioimage.io package as a model of ours: known networks and ONNX, never the code that it brings."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..core.errors import ModelError, one_line
from ..core.input_settings import FixedResize, Geometry, Tiles
from ..core.progress import Progress, Report, silent
from .archives import safe_name
from .bioimageio_compare import Parts, reproduced
from .bioimageio_rdf import Axis, Tensor, open_package, read_description, refuse_outside, tensors
from .bioimageio_steps import Ending, ending_from, preprocessing_from, with_threshold
from .card import Attribution, ModelCard, Training
from .importing import Draft, ImportOptions, Question, QuestionsError, model_name
from .presets import ActivationName, classes_and_head, preprocessing_of
from .smp_config import SmpConfig, fit, smp_config

if TYPE_CHECKING:
    import torch

    from .onnx_read import OnnxRead

CONFIG = "napari_specimen_seg"
"""Under this name our own packages carry their card in the description's ``config``."""

SMP = "segmentation_models_pytorch"

_GENERIC = ("channel", "output", "out", "ch")


def import_package(path: Path, options: ImportOptions, report: Report = silent) -> Draft:
    """Read a bioimage.io package with ONNX weights, or a state dict of a known network.

    Parameters
    ----------
    path : Path
        Folder, zip archive, or the description in a folder.
    options : ImportOptions
        Names of classes where the description has none; a preprocessing replaces that of the package.
    report : callable

    Returns
    -------
    Draft
        Whose network was seen to reproduce the answer that the package ships.

    Raises
    ------
    ModelError
        If the package needs code of its own, takes files from elsewhere, or is no segmentation model.
    QuestionsError
        For names of classes.
    """
    with open_package(path) as package:
        description = read_description(package)
        _refuse_sources(description, path)
        inputs, outputs = tensors(description, "inputs", path), tensors(description, "outputs", path)
        if len(inputs) != 1:
            raise ModelError(f"the model takes {len(inputs)} inputs, a picture is one", path=path)
        parts = Parts(package, description, inputs[0], _answer(outputs, options, path))
        stored = _stored_card(description)
        draft = _with_state_dict(parts, options, stored, report) or _with_onnx(parts, options, report)
        if draft is None:
            raise _no_usable_weights(description, path)
        return replace(draft, notes=(*draft.notes, *reproduced(parts, draft, options, report)))


def needed_files(description: Mapping[str, Any]) -> list[str]:
    """Return the names of the files that importing needs, to be fetched before.

    Parameters
    ----------
    description : mapping
        From `read_description`.

    Returns
    -------
    list of str
        Weights of the kinds that can be used here, and the test of the package.
    """
    weights = description["weights"]
    usable = [kind for kind in ("pytorch_state_dict", "onnx") if isinstance(weights.get(kind), dict)]
    if "pytorch_state_dict" in usable and _library_network(weights["pytorch_state_dict"]) is None:
        usable.remove("pytorch_state_dict")
    sources = [weights[kind].get("source") for kind in usable[:1]]
    for which in ("inputs", "outputs"):
        sources += [tensor.test for tensor in tensors(description, which, Path("rdf.yaml"))]
    return [source for source in sources if isinstance(source, str) and safe_name(source)]


def _refuse_sources(description: Mapping[str, Any], path: Path) -> None:
    """Refuse weights that lie elsewhere, before anything else is looked at."""
    for entry in description["weights"].values():
        if isinstance(entry, dict):
            refuse_outside(entry.get("source"), path)


def _answer(outputs: tuple[Tensor, ...], options: ImportOptions, path: Path) -> Tensor:
    if len(outputs) == 1:
        return outputs[0]
    numbers = tuple(str(i) for i in range(len(outputs)))
    if options.part not in numbers:
        question = Question("part", f"It has {len(outputs)} outputs; which holds the classes?", numbers)
        raise QuestionsError((question,), path=path)
    return outputs[int(options.part)]


def _stored_card(description: Mapping[str, Any]) -> ModelCard | None:
    config = description.get("config")
    entry = config.get(CONFIG) if isinstance(config, dict) else None
    card = entry.get("card") if isinstance(entry, dict) else None
    try:
        return None if card is None else ModelCard.model_validate(card)
    except ValidationError:
        return None


# -- the two kinds of weights ----------------------------------------------------------------------


def _with_state_dict(
    parts: Parts, options: ImportOptions, stored: ModelCard | None, report: Report
) -> Draft | None:
    """Import weights of a network that segmentation-models-pytorch can build; None if it is another."""
    entry = parts.description["weights"].get("pytorch_state_dict")
    if not isinstance(entry, dict):
        return None
    found = _library_network(entry)
    if found is None:
        return None
    config = smp_config(*found, parts.path)
    card = stored if stored is not None and stored.onnx is None else _card(parts, options, config)
    report(Progress("reading weights", 0, 1))
    weights, notes = fit(card, _state_dict(parts, entry), parts.path)
    return Draft(_named(card, options, parts), weights, notes)


def _library_network(entry: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """Return name and arguments of the network if they are those of the library; formats 0.5 and 0.4."""
    architecture, arguments = entry.get("architecture"), entry.get("kwargs") or {}
    if isinstance(architecture, dict):
        if "source" in architecture:
            return None
        arguments = architecture.get("kwargs") or {}
        architecture = f"{architecture.get('import_from')}.{architecture.get('callable')}"
    if not isinstance(architecture, str) or not isinstance(arguments, dict):
        return None
    room, _, name = architecture.rpartition(".")
    if room.partition(".")[0] != SMP:
        return None
    if name == "create_model":
        return _by_create_model(arguments)
    return name, arguments


def _by_create_model(arguments: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    import segmentation_models_pytorch as smp

    kind = smp.MODEL_ARCHITECTURES_MAPPING.get(str(arguments.get("arch", "")).lower())
    rest = {key: value for key, value in arguments.items() if key != "arch"}
    return (kind.__name__ if kind else str(arguments.get("arch"))), rest


def _state_dict(parts: Parts, entry: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    from .legacy.files import open_contents
    from .legacy.finding import find_weights

    content = _member(parts, entry)
    with _as_file(content, Path(entry["source"]).suffix) as file:
        contents = open_contents(file)
        if contents.foreign:
            raise ModelError(
                f"refused: the weights would call {one_line(contents.foreign[0], 60)}", path=parts.path
            )
        found = find_weights(contents.root)
        if not found:
            raise ModelError("the file of weights holds none", path=parts.path)
        return contents.source.tensors(found[0].tensors)


@contextmanager
def _as_file(content: bytes, suffix: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"weights{suffix if suffix.isascii() else ''}"
        file.write_bytes(content)
        yield file


def _with_onnx(parts: Parts, options: ImportOptions, report: Report) -> Draft | None:
    entry = parts.description["weights"].get("onnx")
    if not isinstance(entry, dict):
        return None
    from .onnx_read import read_onnx

    if entry.get("external_data"):
        raise ModelError("refused: the weights of the ONNX network lie in another file", path=parts.path)
    content = _member(parts, entry)
    with _as_file(content, ".onnx") as file:
        read = read_onnx(file, options, report)
    if read.card is not None:
        return Draft(_named(read.card, options, parts), content)
    card = _onnx_card(parts, options, read)
    return Draft(_named(card, options, parts), content, ("its ONNX weights were taken",))


def _member(parts: Parts, entry: Mapping[str, Any]) -> bytes:
    """Read a file that an entry names, and compare it with the checksum beside it."""
    source = str(entry["source"])
    content = parts.package.read(source)
    wanted = entry.get("sha256")
    if wanted is not None and hashlib.sha256(content).hexdigest() != wanted:
        raise ModelError(f"{one_line(source, 80)} was altered (checksum differs)", path=parts.path)
    return content


def _no_usable_weights(description: Mapping[str, Any], path: Path) -> ModelError:
    weights = description["weights"]
    kinds = ", ".join(sorted(one_line(kind, 30) for kind in weights))
    entry = weights.get("pytorch_state_dict")
    architecture = entry.get("architecture") if isinstance(entry, dict) else None
    if isinstance(architecture, dict):
        library = f"{architecture.get('import_from')}.{architecture.get('callable')}"
        architecture = architecture.get("source") or library
    cause = (
        f"refused: the network is built by foreign code ({one_line(architecture, 60)}), which is not run"
        if architecture
        else f"its weights ({kinds}) cannot be used here"
    )
    return ModelError(cause, path=path, advice="Ask its authors for ONNX weights.")


# -- the card --------------------------------------------------------------------------------------


def _card(parts: Parts, options: ImportOptions, config: SmpConfig) -> ModelCard:
    ending = _ending(parts, config.activation)
    network = {
        "architecture": config.architecture,
        "encoder": config.encoder,
        "options": config.options,
        "activation": None if config.activation == "none" else config.activation,
    }
    geometry = _geometry(parts.picture, parts.answer, parts.path)
    return _make(parts, options, ending, config.classes, config.in_channels, geometry, network)


def _onnx_card(parts: Parts, options: ImportOptions, read: OnnxRead) -> ModelCard:
    own = read.activation
    if own is None:  # then the description knows, or a person
        if ending_from(parts.answer.steps, parts.path).activation == "none":
            choices = ("none", "softmax", "sigmoid")
            question = Question("activation", "What does the network apply to its output?", choices)
            raise QuestionsError((question,), path=parts.path)
        own = "none"
    network = {"architecture": "ONNX", "onnx": read.network, "activation": None if own == "none" else own}
    geometry = _geometry(parts.picture, parts.answer, parts.path)
    channels = read.answer.channels or _count(parts.answer)
    return _make(parts, options, _ending(parts, own), channels, read.channels, geometry, network)


def _ending(parts: Parts, own: ActivationName) -> Ending:
    """Return what follows the network, where the network itself ends with the activation `own`."""
    ending = ending_from(parts.answer.steps, parts.path)
    if own != "none" and ending.activation != "none":
        raise ModelError("the package applies an activation twice", path=parts.path)
    return Ending(own if own != "none" else ending.activation, ending.threshold)


def _make(
    parts: Parts,
    options: ImportOptions,
    ending: Ending,
    classes: int,
    channels: int,
    geometry: Geometry,
    network: Mapping[str, Any],
) -> ModelCard:
    names = options.classes or _class_names(parts.answer, classes)
    if names is None:
        text = f"What are its {classes} classes called, in the order of the channels?"
        raise QuestionsError((Question("classes", text),), path=parts.path)
    class_map, head = classes_and_head(names, classes, options.head, ending.activation)
    dtype = parts.picture.dtype
    preprocessing = (
        preprocessing_of(options.preprocessing, channels, geometry)
        if options.preprocessing is not None
        else preprocessing_from(parts.picture.steps, channels, dtype, geometry, parts.path)
    )
    try:
        return ModelCard(
            name=options.name or _title(parts),
            description=one_line(parts.description.get("description", ""), 500),
            class_map=class_map,
            head=with_threshold(head, ending.threshold),
            preprocessing=preprocessing,
            license=options.license or one_line(parts.description.get("license") or "", 60),
            training=Training(attribution=_attribution(parts.description)),
            **network,
        )
    except ValidationError as error:
        raise ModelError(f"the description is refused ({one_line(error, 100)})", path=parts.path) from error


def _named(card: ModelCard, options: ImportOptions, parts: Parts) -> ModelCard:
    return card.model_copy(update={"name": options.name or _title(parts)})


def _title(parts: Parts) -> str:
    return model_name(str(parts.description.get("name") or parts.path.stem))


def _class_names(answer: Tensor, classes: int) -> str | None:
    """Return the names of the channels, unless they are only numbered; ids are not told apart by commas."""
    axis = answer.axis("c")
    names = axis.names if axis is not None else ()
    plain = [name for name in names if not name.rstrip("0123456789_- ").lower().endswith(_GENERIC)]
    told = len(plain) == len(names) == classes and not any("," in name for name in names)
    return ",".join(names) if told else None


def _count(answer: Tensor) -> int:
    axis = answer.axis("c")
    return axis.size or len(axis.names) if axis is not None else 1


def _attribution(description: Mapping[str, Any]) -> tuple[Attribution, ...]:
    entries = description.get("cite")
    found = []
    for entry in entries[:20] if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("text"):
            doi, url = entry.get("doi") or "", entry.get("url") or ""
            found.append(
                Attribution(title=one_line(entry["text"]), doi=one_line(doi, 100), url=one_line(url, 200))
            )
    return tuple(found)


def _geometry(picture: Tensor, answer: Tensor, path: Path) -> Geometry:
    """Return tiles of a size that the model takes; for one oblong size, the whole picture stretched to it."""
    if {axis.letter for axis in picture.axes} - {"b", "c", "y", "x"}:
        raise ModelError("the model does not take flat pictures", path=path)
    rows, columns = picture.axis("y"), picture.axis("x")
    if rows is None or columns is None:
        raise ModelError("the model does not take pictures (no axes y and x)", path=path)
    out = answer.axis("y")
    height, width = _side(rows), _side(columns)
    if height != width:
        return FixedResize(height=height, width=width)
    halo = min(out.halo if out is not None and out.halo else 32, (height - 1) // 2)
    return Tiles(size=height, halo=halo, fitted=False)


def _side(axis: Axis, wanted: int = 512) -> int:
    """Return a size that an axis may have, at most the wanted one where there is a choice."""
    if axis.size is not None:
        return axis.size
    steps = max(0, (wanted - axis.least) // max(1, axis.step))
    return axis.least + steps * max(1, axis.step)
