"""A model folder: ``card.json``, ``model.safetensors`` and a ``README.md`` for people.

Nothing in it is executed. The card names the SHA-256 of the weights and of itself, so that a changed
byte in either is noticed before anything is predicted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ..core.errors import ModelError, WriteError, one_line, validation_line
from ..core.files.atomic import atomic, move
from .card import ModelCard, checksum
from .plain_files import read_plain

if TYPE_CHECKING:
    import torch

CARD = "card.json"
WEIGHTS = "model.safetensors"
README = "README.md"

MAX_CARD_BYTES = 4_000_000
"""No honest card is larger; whatever is, is not parsed."""

MAX_WEIGHTS_BYTES = 4_000_000_000
"""The largest known encoder has 2 GB."""


def is_bundle(path: Path) -> bool:
    """Tell whether `path` is a folder with a card in it."""
    return (path / CARD).is_file()


def read_card(folder: Path) -> ModelCard:
    """Read and check the card of a model folder, without touching the weights.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelError
        If the card is missing, not valid, of a newer format, or was altered.
    """
    path = folder / CARD
    try:
        content = read_plain(path, MAX_CARD_BYTES)
    except FileNotFoundError:
        raise ModelError(f"no model here: {CARD} is missing", path=folder) from None
    except OSError as error:
        raise ModelError(f"the card cannot be read ({error.strerror})", path=path) from error
    return card_from(content, path)


def card_from(content: bytes, path: Path) -> ModelCard:
    """Check the content of a card.

    Parameters
    ----------
    content : bytes
    path : Path
        For messages.

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelError
        If it is not valid, of a newer format, or was altered.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the card is not valid JSON ({error})", path=path) from error
    if isinstance(data, dict) and data.get("format", 1) != 1:
        raise ModelError(
            f"the card has format {one_line(data['format'], 20)}, this version reads 1",
            path=path,
            advice="Update napari-specimen-seg.",
        )
    try:
        card = ModelCard.model_validate(data)
    except ValidationError as error:
        raise ModelError(f"the card is not valid: {validation_line(error)}", path=path) from error
    if card.card_sha256 != checksum(data):
        raise ModelError(
            "the card was altered after the model was saved (checksum differs)",
            path=path,
            advice="Get the model anew.",
        )
    return card


def read_weights(folder: Path, card: ModelCard) -> dict[str, torch.Tensor]:
    """Read the weights of a model folder after comparing them with the card's SHA-256.

    Parameters
    ----------
    folder : Path
    card : ModelCard
        From `read_card` of the same folder; not that of an ONNX model.

    Returns
    -------
    dict of str to torch.Tensor

    Raises
    ------
    ModelError
        If the file is missing, altered, or no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = read_checked(folder, card)
    try:
        return dict(load(content))
    except (SafetensorError, ValueError, KeyError) as error:
        path = folder / card.weights_file
        raise ModelError(f"the weights are no safetensors file ({error})", path=path) from error


def read_checked(folder: Path, card: ModelCard) -> bytes:
    """Read the file with the network after comparing it with the card's SHA-256.

    Parameters
    ----------
    folder : Path
    card : ModelCard
        From `read_card` of the same folder.

    Returns
    -------
    bytes

    Raises
    ------
    ModelError
        If the file is missing or altered.
    """
    path = folder / card.weights_file
    try:
        content = read_plain(path, MAX_WEIGHTS_BYTES)
    except FileNotFoundError:
        raise ModelError(f"{path.name} is missing", path=folder, advice="Get the model anew.") from None
    except OSError as error:
        raise ModelError(f"the weights cannot be read ({error.strerror})", path=path) from error
    return checked(content, card, path)


def checked(content: bytes, card: ModelCard, path: Path) -> bytes:
    """Return the content of a weights file if it is the one that the card names.

    Raises
    ------
    ModelError
        If a byte was altered.
    """
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise ModelError(
            "the weights were altered or cut short (checksum differs)",
            path=path,
            advice="Get the model anew.",
        )
    return content


def size_of(folder: Path) -> int | None:
    """Return how large the weights in a model folder are, in bytes; None if there are none."""
    for name in (WEIGHTS, "model.onnx", "model.bin"):
        try:
            return (folder / name).stat().st_size
        except OSError:
            continue
    return None


def write_bundle(
    folder: Path,
    card: ModelCard,
    weights: Mapping[str, torch.Tensor] | bytes,
    *,
    overwrite: bool = False,
    beside: Mapping[str, str] | None = None,
) -> ModelCard:
    """Write a model folder in one step: it is complete or not there.

    Parameters
    ----------
    folder : Path
        Made with its parents.
    card : ModelCard
        Its checksums are filled in.
    weights : mapping of str to torch.Tensor, or bytes
        The state dict; for an ONNX model the content of its file.
    overwrite : bool
        Whether an existing model folder may be replaced. Other folders never are.
    beside : mapping of str to str, optional
        Further text files, by name; ``README.md`` in place of the usual one.

    Returns
    -------
    ModelCard
        As written.

    Raises
    ------
    WriteError
        If the folder exists, or cannot be written.
    """
    refuse_taken(folder, overwrite)
    content = weights if isinstance(weights, bytes) else _packed(weights)
    card = card.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()}).sealed()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise WriteError(f"cannot be written ({error.strerror})", path=folder) from error
    try:
        (draft / card.weights_file).write_bytes(content)
        (draft / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
        for name, text in {README: readme(card), **(beside or {})}.items():
            (draft / name).write_text(text, encoding="utf-8")
        draft.chmod(0o755)
        move(draft, folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise WriteError(f"cannot be written ({error.strerror})", path=folder) from error
    return card


def refuse_taken(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that a model cannot be written to, before any long work.

    Parameters
    ----------
    folder : Path
    overwrite : bool
        Whether a model folder may be replaced.

    Raises
    ------
    WriteError
        If it is a file, a folder with something else in it, or a model that is to stay.
    """
    if folder.is_dir() and (not any(folder.iterdir()) or (overwrite and is_bundle(folder))):
        return
    if os.path.lexists(folder):
        raise WriteError("the folder exists", path=folder, advice="Choose another, or ask for overwriting.")


def _packed(weights: Mapping[str, torch.Tensor]) -> bytes:
    from safetensors.torch import save

    content: bytes = save({key: tensor.contiguous() for key, tensor in weights.items()})
    return content


def write_beside(folder: Path, card: ModelCard, weights: Path) -> ModelCard:
    """Write a model into a folder that holds other things, such as the run that made it.

    Parameters
    ----------
    folder : Path
    card : ModelCard
        Its checksums are filled in.
    weights : Path
        A safetensors file; it stays where it is.

    Returns
    -------
    ModelCard
        As written. The card comes last: until then the old card, if there is one, refuses the new weights.

    Raises
    ------
    WriteError
        If a file cannot be written.
    """
    with weights.open("rb") as file:
        card = card.model_copy(update={"sha256": hashlib.file_digest(file, "sha256").hexdigest()}).sealed()
    with atomic(folder / card.weights_file, overwrite=True) as path:
        try:
            os.link(weights, path)  # at once, however large
        except OSError:
            shutil.copyfile(weights, path)
    for name, text in ((README, readme(card)), (CARD, card.model_dump_json(indent=1) + "\n")):
        with atomic(folder / name, overwrite=True) as path:
            path.write_text(text, encoding="utf-8")
    return card


def readme(card: ModelCard) -> str:
    """Return the card for people, as Markdown.

    Parameters
    ----------
    card : ModelCard

    Returns
    -------
    str
    """
    training = card.training
    parts = [
        f"# {card.name}",
        card.description,
        f"{card.network_name}; licence of the weights: {card.license or 'not stated'}.",
        "## Classes",
        "\n".join(f"- {c.id}: {c.name} ({c.color})" for c in card.class_map),
        *_assumed(card),
        "## Trained on",
        f"{training.data} ({training.pictures} pictures). {training.split}" if training.pictures else "",
        training.notes or ("" if training.pictures else "Not stated."),
        "\n".join(
            f"- {a.title}{', ' + a.license if a.license else ''}{', doi ' + a.doi if a.doi else ''}"
            for a in training.attribution
        ),
        f"Made by `{training.command}`." if training.command else "",
    ]
    for split, scores in card.scores.items():
        parts += [f"## Scores on {split}", "| score | value |\n| --- | --- |\n" + _rows(scores)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _assumed(card: ModelCard) -> list[str]:
    """Return the chapter on what was assumed, if anything was."""
    if not card.assumed:
        return []
    lines = [f"- `--{field}`: {text}" for field, text in card.assumed.items()]
    said = (
        "Its file did not tell the following, so the likeliest was taken. Masks may be wrong if it is not so."
    )
    return ["## Assumed on import", said, "\n".join(lines)]


def _rows(scores: Mapping[str, float]) -> str:
    return "\n".join(f"| {name} | {value:.3f} |" for name, value in scores.items())
