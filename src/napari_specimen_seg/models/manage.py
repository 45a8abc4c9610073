"""The models of this machine as a list to look at, rename and throw away."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ModelError, SpecimenError, WriteError
from ..core.files.atomic import atomic, write_error
from .bundle import CARD, README, read_card, readme, size_of
from .card import ModelCard
from .importing import model_name
from .library import LibraryEntry, Origin, Source, list_models, own_folder, read_origin


@dataclass(frozen=True, slots=True)
class Shelved:
    """A model on the shelf: where it is, and what can be told without its weights.

    Parameters
    ----------
    name : str
        As given to ``--model``.
    path : Path
        The model folder.
    source : {"bundled", "own", "hub"}
    card : ModelCard, optional
        None if it cannot be read; then `problem` tells why.
    problem : str
    size : int, optional
        Of the weights, in bytes.
    origin : Origin, optional
        Where on the Hub it came from.
    """

    name: str
    path: Path
    source: Source
    card: ModelCard | None
    problem: str
    size: int | None
    origin: Origin | None

    @property
    def is_mine(self) -> bool:
        """Whether it may be removed: it lies in the person's own folder."""
        return self.source != "bundled"


def shelf() -> list[Shelved]:
    """Return all models that have a name, with their cards.

    Returns
    -------
    list of Shelved
        Damaged ones too.
    """
    return [_shelved(entry) for entry in list_models()]


def _shelved(entry: LibraryEntry) -> Shelved:
    card, problem = None, ""
    try:
        card = read_card(entry.path)
    except SpecimenError as error:
        problem = str(error)
    origin = read_origin(entry.path) if entry.source == "hub" else None
    return Shelved(entry.name, entry.path, entry.source, card, problem, size_of(entry.path), origin)


def free_name(wanted: str) -> str:
    """Return a name for a new model of one's own: the wanted one, or with a number behind it.

    Parameters
    ----------
    wanted : str
        Such as a file's name without its ending.

    Returns
    -------
    str
    """
    name = model_name(wanted)
    taken = {entry.name.casefold() for entry in list_models()}
    folder = own_folder()
    numbered = (f"{name}-{number}" for number in range(2, 10_000))
    return next(
        each
        for each in (name, *numbered)
        if each.casefold() not in taken and not os.path.lexists(folder / each)
    )


def rename(model: Shelved, name: str) -> Path:
    """Give a model of one's own another name: its folder's, and the one in its card.

    Parameters
    ----------
    model : Shelved
    name : str

    Returns
    -------
    Path
        Its new folder.

    Raises
    ------
    ModelError
        If it is not one's own, cannot be read, or the name is taken or none.
    WriteError
        If it cannot be renamed.
    """
    if model.source != "own" or model.card is None:
        raise ModelError(f"{model.name} cannot be renamed", advice="Only your own models can.")
    if model_name(name) != name:
        raise ModelError(
            f"{name!r} is no name for a model", advice="Use letters, digits, spaces and the signs . _ -"
        )
    target = model.path.with_name(name)
    other = {entry.name.casefold() for entry in list_models() if entry.path != model.path}
    if name.casefold() in other:
        raise ModelError(f"there is a model called {name} already", advice="Choose another name.")
    if target != model.path:
        _move(model.path, target)
    _write_card(target, model.card.model_copy(update={"name": name}).sealed())
    return target


def _move(source: Path, target: Path) -> None:
    if os.path.lexists(target) and not source.samefile(target):  # the same on disks that ignore case
        raise WriteError("it exists already", path=target, advice="Choose another name.")
    try:
        source.rename(target)
    except OSError as error:
        raise write_error(error, target) from error


def _write_card(folder: Path, card: ModelCard) -> None:
    with atomic(folder / CARD, overwrite=True) as draft:
        draft.write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
    with atomic(folder / README, overwrite=True) as draft:
        draft.write_text(readme(card), encoding="utf-8")


def throw_away(model: Shelved) -> None:
    """Move a model of one's own to the system's trash, from where it can be taken back.

    Parameters
    ----------
    model : Shelved

    Raises
    ------
    ModelError
        If it came with the package.
    WriteError
        If there is no trash that takes it; then it stays.
    """
    from send2trash import send2trash

    if not model.is_mine or not model.path.parent.resolve().is_relative_to(own_folder().resolve()):
        raise ModelError(f"{model.name} came with the package and cannot be removed")
    try:
        send2trash(model.path)
    except OSError as error:
        raise WriteError(
            f"it cannot be moved to the trash ({error.strerror or error})",
            path=model.path,
            advice="Remove the folder by hand.",
        ) from error
