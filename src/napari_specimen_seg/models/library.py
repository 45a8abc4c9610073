"""Where models are found by name: in the package, in the person's own model folder, or by path."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..core.errors import ModelError, one_line
from .bundle import is_bundle

BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True, slots=True)
class LibraryEntry:
    """A model that can be chosen by name.

    Parameters
    ----------
    name : str
        As given to ``--model``.
    path : Path
        The model folder.
    source : {"bundled", "own"}
        Whether it came with the package or lies in the person's model folder.
    """

    name: str
    path: Path
    source: Literal["bundled", "own"]


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


def list_models() -> list[LibraryEntry]:
    """Return all models that have a name, bundled ones first; a name is listed once.

    Returns
    -------
    list of LibraryEntry
    """
    found: dict[str, LibraryEntry] = {}
    places: tuple[tuple[Literal["bundled", "own"], Path], ...] = (("bundled", BUNDLED), ("own", own_folder()))
    for source, place in places:
        folders = sorted(place.iterdir()) if place.is_dir() else []
        for folder in folders:
            if is_bundle(folder) and not folder.name.startswith("."):
                found.setdefault(folder.name, LibraryEntry(folder.name, folder, source))
    return list(found.values())


def find_model(name: str | os.PathLike[str]) -> Path:
    """Return the folder of a model.

    Parameters
    ----------
    name : str or path-like
        The name of a bundled or own model, or the path of a model folder (or of the card in it).

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If there is no such model; names those that there are.
    """
    for entry in list_models():
        if entry.name == os.fspath(name):
            return entry.path
    path = Path(name)
    if path.name == "card.json" and path.is_file():
        path = path.parent
    if is_bundle(path):
        return path
    names = ", ".join(entry.name for entry in list_models()) or "none"
    what = "is no model folder (it has no card.json)" if path.exists() else "is no model"
    raise ModelError(
        f"{one_line(name)} {what}", advice=f"Models with a name: {names}; or give a model folder."
    )
