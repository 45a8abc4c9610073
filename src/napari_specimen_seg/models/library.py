"""Where models are found by name: in the package, in the person's own model folder, or by path."""

from __future__ import annotations

import json
import os
import re
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from ..core.errors import ModelError, SpecimenWarning, one_line
from .bundle import is_bundle

BUNDLED = Path(__file__).parent / "bundled"

ORIGIN = "origin.json"
"""Beside a card: where a model was pulled from, for people and for finding it by that name."""

MAX_ORIGIN_BYTES = 100_000

Source = Literal["bundled", "own", "hub"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where on the Hub a model came from.

    Parameters
    ----------
    repository : str
        ``OWNER/NAME``.
    revision : str
        That was asked for: a branch, tag or commit.
    commit : str
        That this was when it was pulled.
    """

    repository: str
    revision: str
    commit: str


@dataclass(frozen=True, slots=True)
class LibraryEntry:
    """A model that can be chosen by name.

    Parameters
    ----------
    name : str
        As given to ``--model``.
    path : Path
        The model folder.
    source : {"bundled", "own", "hub"}
        Whether it came with the package, lies in the person's model folder, or was pulled from the Hub.
    """

    name: str
    path: Path
    source: Source


def own_folder() -> Path:
    """Return the person's model folder, which may not exist yet.

    Returns
    -------
    Path
        ``SPECIMEN_SEG_MODELS`` if set, else ``models`` in the user data folder of this program.
    """
    given = os.environ.get("SPECIMEN_SEG_MODELS")
    if given:
        return Path(given)
    from platformdirs import user_data_path

    return user_data_path("napari-specimen-seg", appauthor=False) / "models"


def hub_folder(repository: str) -> Path:
    """Return the folder of a model that is pulled from the Hub by name.

    Parameters
    ----------
    repository : str
        ``OWNER/NAME``; the Hub allows no ``--`` in it, so the folder's name can be turned back.

    Returns
    -------
    Path
    """
    return own_folder() / "hub" / repository.replace("/", "--")


def read_origin(folder: Path) -> Origin | None:
    """Return where a model folder was pulled from; None if it was not, or nobody knows."""
    path = folder / ORIGIN
    try:
        if path.stat().st_size > MAX_ORIGIN_BYTES:
            return None
        hub = json.loads(path.read_bytes())["hub"]
        return Origin(str(hub["repository"]), str(hub["revision"]), str(hub["commit"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def list_models() -> list[LibraryEntry]:
    """Return all models that have a name, bundled ones first; a name is listed once.

    Returns
    -------
    list of LibraryEntry
    """
    found: dict[str, LibraryEntry] = {}
    places: tuple[tuple[Source, Path], ...] = (
        ("bundled", BUNDLED),
        ("own", own_folder()),
        ("hub", own_folder() / "hub"),
    )
    for source, place in places:
        folders = sorted(place.iterdir()) if place.is_dir() else []
        for folder in folders:
            if is_bundle(folder) and not folder.name.startswith("."):
                name = folder.name.replace("--", "/", 1) if source == "hub" else folder.name
                found.setdefault(name, LibraryEntry(name, folder, source))
    return list(found.values())


def find_model(name: str | os.PathLike[str]) -> Path:
    """Return the folder of a model.

    Parameters
    ----------
    name : str or path-like
        The name of a bundled or own model, a repository that was pulled (``OWNER/NAME``, with
        ``@revision`` only if it was pulled at that one), or the path of a model folder (or of its card).

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If there is no such model; names those that there are.

    Warns
    -----
    SpecimenWarning
        If the name is also that of a model folder here, which is not meant then.
    """
    plain, _, revision = os.fspath(name).partition("@")
    for entry in list_models():
        if entry.name == os.fspath(name) or (entry.source == "hub" and entry.name == plain):
            if revision:
                _refuse_other_revision(entry, revision)
            _warn_of_folder(entry, Path.cwd())
            return entry.path
    path = Path(name)
    if path.name == "card.json" and path.is_file():
        path = path.parent
    if is_bundle(path):
        return path
    names = ", ".join(entry.name for entry in list_models()) or "none"
    what = "is no model folder (it has no card.json)" if path.exists() else "is no model"
    pull = (
        f" If it is on the Hub: specimen-seg models pull {one_line(name)}" if _like_repository(name) else ""
    )
    raise ModelError(
        f"{one_line(name)} {what}", advice=f"Models with a name: {names}; or give a model folder.{pull}"
    )


@cache
def _warn_of_folder(entry: LibraryEntry, here: Path) -> None:
    """Warn once in each folder."""
    folder = here / entry.name
    if is_bundle(folder) and not folder.samefile(entry.path):
        name = one_line(entry.name)
        warnings.warn(
            f"{name}: the model of this name in {one_line(entry.path, 300)} is used; "
            f"for the folder of this name here write {os.path.join(os.curdir, name)}",  # noqa: PTH118
            SpecimenWarning,
            stacklevel=3,
        )


def _refuse_other_revision(entry: LibraryEntry, wanted: str) -> None:
    origin = read_origin(entry.path)
    if origin is not None and (wanted == origin.revision or _is_commit(wanted, origin.commit)):
        return
    have = "" if origin is None else f" (it was pulled at {one_line(origin.revision, 40)})"
    raise ModelError(
        f"{entry.name} is not here at {one_line(wanted, 60)}{have}",
        advice=f"Run: specimen-seg models pull {entry.name}@{one_line(wanted, 60)}",
    )


def _is_commit(wanted: str, commit: str) -> bool:
    return len(wanted) >= 7 and commit.startswith(wanted)


def _like_repository(name: str | os.PathLike[str]) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", name) is not None
