"""Writing a file whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import TextIO

from ..errors import WriteError
from ..temporary import remove_left_behind

_FULL = ("the disk is full", "Free some space or choose another folder.")
_DENIED = ("writing is not allowed here", "Choose another folder, or change its permissions.")
_CAUSES: dict[int, tuple[str, str]] = {
    errno.ENOSPC: _FULL,
    getattr(errno, "EDQUOT", errno.ENOSPC): _FULL,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: ("the disk is read-only", "Choose another folder."),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter name."),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "Choose another folder."),
    errno.EEXIST: ("a part of the path is a file, not a folder", "Choose another folder."),
    errno.EFBIG: ("the disk cannot hold a file of this size", "Choose another disk."),
}

_PART = ".part-"
"""What unfinished files are called, before the number of the process that writes them."""

_unfinished: set[Path] = set()


@contextmanager
def atomic(path: str | PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary name in the folder of `path`; what was written to it becomes `path` at the end.

    Parameters
    ----------
    path : path-like
        What is to be written. Folders above it are made. The temporary name has the same suffix.
    overwrite : bool
        Whether a file or folder of this name is replaced.

    Yields
    ------
    Path
        A name at which nothing exists yet. Write a file there, or make a folder of that name and fill it.

    Raises
    ------
    WriteError
        If the target exists and `overwrite` is false, or if anything in the block raises `OSError`: the
        disk is full, the folder is read-only, the name too long. Nothing is left behind then.
    """
    target = Path(path)
    try:
        _refuse_existing(target, overwrite)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Not derived from the target's stem: that may already be as long as the disk allows. Not from
        # tempfile: its files can be read by nobody else, and the rename would keep that.
        remove_left_behind(target.parent, _PART)
        name = f"{_PART}{os.getpid()}-{secrets.token_hex(6)}{target.suffix[:16]}"
        temporary = target.with_name(name)
        _unfinished.add(temporary)
        try:
            yield temporary
            _to_disk(temporary)
            _refuse_existing(target, overwrite)
            move(temporary, target)
        finally:
            _remove(temporary)
            _unfinished.discard(temporary)
    except OSError as error:
        raise write_error(error, target) from error


@contextmanager
def atomic_text(path: str | PathLike[str], overwrite: bool = False) -> Iterator[TextIO]:
    """As `atomic`, with a file open for text: UTF-8, one line end (LF) on every system."""
    with atomic(path, overwrite) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        yield file


def remove_unfinished() -> None:
    """Remove what is being written at this moment: for a program that must end at once, in mid-work."""
    for temporary in list(_unfinished):
        _remove(temporary)


def write_error(error: OSError, path: str | PathLike[str]) -> WriteError:
    """Say in one line what an `OSError` while writing `path` means, and what to do.

    Parameters
    ----------
    error : OSError
    path : path-like
        What was to be written.

    Returns
    -------
    WriteError
    """
    cause, advice = _CAUSES.get(
        error.errno or 0, (error.strerror or str(error) or "it cannot be written", "Choose another folder.")
    )
    return WriteError(cause, path=path, advice=advice)


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(target):
        raise WriteError(
            "it exists already", path=target, advice="Choose another name, or allow overwriting."
        )


def _to_disk(path: Path) -> None:
    # Without this a power cut may leave the new name with nothing in it.
    if path.is_file():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def move(temporary: Path, target: Path) -> None:
    """Put what is complete in the place of what was there, which is lost only when the new is in its place.

    Parameters
    ----------
    temporary, target : Path
        In one folder. A folder takes the place of a folder.

    Raises
    ------
    WriteError
        If a file would take the place of a folder.
    OSError
    """
    if not target.is_dir() or target.is_symlink():
        temporary.replace(target)
        return
    if not temporary.is_dir():
        raise WriteError("a folder of this name exists", path=target, advice="Choose another name.")
    old = target.with_name(f".old-{secrets.token_hex(6)}")
    target.rename(old)  # no system replaces a folder that has something in it
    try:
        temporary.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _remove(temporary: Path) -> None:
    if temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
