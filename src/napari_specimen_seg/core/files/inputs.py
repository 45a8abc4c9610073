"""Which files a list of files, folders and patterns means."""

from __future__ import annotations

import glob
import re
from collections.abc import Collection, Iterable
from os import PathLike, fspath
from pathlib import Path

from ..errors import ReadError
from .formats import PICTURE_SUFFIXES


def find_inputs(
    args: Iterable[str | PathLike[str]], *, suffixes: Collection[str] = PICTURE_SUFFIXES
) -> list[Path]:
    """Return the files that are meant, each once, in natural order.

    Parameters
    ----------
    args : iterable of path-like
        Files, which are taken whatever they are called; folders, of which the files with one of
        `suffixes` are taken, but not those in folders inside; patterns with ``*``, ``?`` and ``[…]``,
        which not every shell expands.
    suffixes : collection of str
        In small letters, with the dot. ``.zarr`` stands for folders.

    Returns
    -------
    list of Path
        OME-Zarr folders as such; for a sample of the Data Science Bowl 2018 its picture.

    Raises
    ------
    ReadError
        If an argument means nothing that exists.
    """
    found: dict[Path, Path] = {}
    for arg in args:
        for path in _meant_by(fspath(arg), suffixes):
            found.setdefault(path.resolve(), path)
    return sorted(found.values(), key=natural_key)


def natural_key(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort key that puts ``leaf2`` before ``leaf10``."""
    parts = re.split(r"(\d+)", str(path).casefold())
    # Digits of other scripts are not numbers to int(), and very long numbers are no numbers to anybody.
    return [(int(p), "") if p.isascii() and p.isdigit() and len(p) < 19 else (0, p) for p in parts], str(path)


def is_hidden(path: Path) -> bool:
    """Whether a file in a folder is none of the person's own making: dot files, thumbnails."""
    return path.name.startswith((".", "~$")) or path.name.lower() in ("thumbs.db", "desktop.ini")


def pictures_in(folder: Path, suffixes: Collection[str] = PICTURE_SUFFIXES) -> list[Path]:
    """Return the visible files of a folder with one of `suffixes`, in natural order."""
    try:
        children = [child for child in folder.iterdir() if not is_hidden(child)]
    except OSError as error:
        raise ReadError(error.strerror or error, path=folder, advice="Check that you may read it.") from error
    return sorted((child for child in children if _is_wanted(child, suffixes)), key=natural_key)


def _is_wanted(path: Path, suffixes: Collection[str]) -> bool:
    suffix = path.suffix.lower()
    return suffix in suffixes and (path.is_dir() if suffix == ".zarr" else path.is_file())


def _meant_by(arg: str, suffixes: Collection[str]) -> list[Path]:
    path = Path(arg)
    if path.is_dir():
        return _in_folder(path, suffixes)
    if path.exists():
        return [path]
    # Path.glob wants a folder to start from, which a pattern may lack.
    matches = [Path(match) for match in glob.glob(arg, recursive=True)] if glob.has_magic(arg) else []  # noqa: PTH207
    wanted = [match for match in matches if not is_hidden(match) and _is_wanted(match, suffixes)]
    if wanted or matches:
        return wanted or [match for match in matches if match.is_file()]
    raise ReadError("there is no such file or folder", path=arg, advice="Check the name.")


def _in_folder(folder: Path, suffixes: Collection[str]) -> list[Path]:
    from .dsb2018 import picture_of, samples_in
    from .ome_zarr import is_zarr

    if is_zarr(folder):
        return [folder]
    found = pictures_in(folder, suffixes)
    if not found:
        found = [picture_of(sample) for sample in samples_in(folder)]
    if not found:
        raise ReadError(
            "there is nothing in this folder that can be used",
            path=folder,
            advice=f"Wanted are files ending in {', '.join(sorted(suffixes))}.",
        )
    return found
