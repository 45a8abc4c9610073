"""Models that come as a folder or as its zip archive: ours, and segmentation-models-pytorch's own format."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..core.classes import ClassMap
from ..core.errors import ModelError, ReadError
from ..core.progress import Progress, Report, silent
from .archives import open_archive
from .bundle import CARD, MAX_CARD_BYTES, MAX_WEIGHTS_BYTES, WEIGHTS, card_from, checked
from .card import Head, ModelCard, Sigmoid, Softmax
from .importing import Draft, ImportOptions
from .plain_files import read_plain
from .presets import ActivationName, class_map_of_names, classes_and_head, head_of, preprocessing_of
from .safetensors_table import refuse_long_table
from .smp_config import ask, card_of, fit, smp_config

if TYPE_CHECKING:
    import torch

CONFIG = "config.json"

GRAPH = "model.xml"
MAX_GRAPH_BYTES = 50_000_000


def import_bundle(path: Path, options: ImportOptions, report: Report = silent) -> Draft:
    """Take over a model folder of ours, or the zip archive of one, after checking both checksums.

    Parameters
    ----------
    path : Path
    options : ImportOptions
        Classes, head and preprocessing go before what the card says: this is how what was assumed when it
        was first imported is put right.
    report : callable

    Returns
    -------
    Draft

    Raises
    ------
    ModelError
        If it is damaged, or what the person says does not fit it.
    """
    report(Progress("checking", 0, 1))
    card = card_from(read_member(path, CARD, MAX_CARD_BYTES), path)
    content = read_member(path, card.weights_file, MAX_WEIGHTS_BYTES)
    checked(content, card, path)
    return Draft(_corrected(card, options, path), content, beside=graph_of(path, card))


_FIXED = ("architecture", "encoder", "activation", "preset", "part")
"""Options that say what a model folder tells itself."""


def _corrected(card: ModelCard, options: ImportOptions, path: Path) -> ModelCard:
    """Return a card with what a person says of the model, which then is no longer assumed."""
    wrong = next((name for name in _FIXED if getattr(options, name) is not None), None)
    if wrong is not None:
        raise ModelError(f"--{wrong} cannot be given for a model folder, which tells it", path=path)
    changes: dict[str, Any] = {"name": options.name, "license": options.license}
    if options.classes is not None or options.head is not None:
        changes["class_map"], changes["head"] = _classes(card, options)
    if options.preprocessing is not None:
        old = card.preprocessing
        changes["preprocessing"] = preprocessing_of(options.preprocessing, old.in_channels, old.geometry)
    told = {name for name in ("classes", "head", "preprocessing") if getattr(options, name) is not None}
    told |= {"head"} if "classes" in told else set()
    left = {name: text for name, text in (card.assumed or {}).items() if name not in told}
    changed = {key: value for key, value in changes.items() if value}
    return card.model_copy(update={**changed, "assumed": left or None})


def _classes(card: ModelCard, options: ImportOptions) -> tuple[ClassMap, Head]:
    shown: ActivationName = "softmax" if card.activation == "logsoftmax" else card.activation or "none"
    if options.classes is not None:
        return classes_and_head(options.classes, card.out_channels, options.head, shown)
    names = [entry.name for entry in card.class_map.foreground]
    if options.head == "softmax" and isinstance(card.head, Sigmoid):
        raise ModelError("which channel is the background is not known", advice="Name them with --classes.")
    if options.head == "sigmoid" and isinstance(card.head, Softmax):
        names = ["class 0", *names]  # what was taken for the background is a class of its own
    class_map = class_map_of_names(names, card.out_channels)
    return class_map, head_of(class_map, card.out_channels, options.head, shown)


def graph_of(path: Path, card: ModelCard) -> dict[str, str]:
    """Return the second file of an OpenVINO model by its name, checked; nothing for other models.

    Parameters
    ----------
    path : Path
        Of the model folder or its zip archive.
    card : ModelCard

    Returns
    -------
    dict of str to str

    Raises
    ------
    ModelError
        If it is missing or altered.
    """
    if card.openvino is None:
        return {}
    content = read_member(path, GRAPH, MAX_GRAPH_BYTES)
    if hashlib.sha256(content).hexdigest() != card.openvino.graph_sha256:
        raise ModelError(f"{GRAPH} was altered (checksum differs)", path=path, advice="Get the model anew.")
    return {GRAPH: content.decode("utf-8")}


def import_pretrained(path: Path, options: ImportOptions, report: Report = silent) -> Draft:
    """Read what segmentation-models-pytorch's ``save_pretrained`` wrote.

    Parameters
    ----------
    path : Path
        A folder, or its zip archive, with ``config.json`` and ``model.safetensors``.
    options : ImportOptions
        Classes and preprocessing, which it does not tell.
    report : callable

    Returns
    -------
    Draft

    Raises
    ------
    ModelError
        If the description or the weights are not those of a known network.
    QuestionsError
        For classes and preprocessing.
    """
    data = _json(read_member(path, CONFIG, MAX_CARD_BYTES), path)
    architecture = data.get("_model_class") or options.architecture
    if not isinstance(architecture, str):
        raise ModelError("config.json names no architecture of segmentation-models-pytorch", path=path)
    config = smp_config(architecture, data, path)
    ask(config, options, path)
    report(Progress("building the network", 0, 1))
    card = card_of(config, options, path, f"Imported from {path.name}.")
    weights = safetensors_from(read_member(path, WEIGHTS, MAX_WEIGHTS_BYTES), path)
    fitted, notes = fit(card, weights, path)
    return Draft(card, fitted, notes)


def read_member(path: Path, name: str, limit: int) -> bytes:
    """Read one file of a folder or of its zip archive.

    Parameters
    ----------
    path : Path
    name : str
        A plain file name.
    limit : int
        The most bytes that it may have.

    Returns
    -------
    bytes

    Raises
    ------
    ModelError
        If it is missing, too large or damaged.
    """
    if not path.is_dir():
        with open_archive(path) as archive:
            found = [n for n in archive.names if PurePosixPath(n).name == name]
            shallowest = min(found, key=lambda n: len(PurePosixPath(n).parts), default=name)
            return archive.read(shallowest, limit)
    file = path / name
    try:
        return read_plain(file, limit)
    except FileNotFoundError:
        raise ModelError(f"{name} is missing", path=path) from None
    except OSError as error:
        raise ReadError(f"cannot be read ({error.strerror or error})", path=file) from error


def safetensors_from(content: bytes, path: Path) -> dict[str, torch.Tensor]:
    """Read safetensors; the format holds numbers only.

    Parameters
    ----------
    content : bytes
    path : Path
        For messages.

    Returns
    -------
    dict of str to torch.Tensor
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    refuse_long_table(content[:8], path)
    try:
        return dict(load(content))
    except (SafetensorError, ValueError, KeyError, OverflowError) as error:
        raise ModelError(f"the weights are no safetensors file ({error})", path=path) from error


def _json(content: bytes, path: Path) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{CONFIG} is not valid JSON ({error})", path=path) from error
    if not isinstance(data, dict):
        raise ModelError(f"{CONFIG} holds no settings", path=path)
    return data
