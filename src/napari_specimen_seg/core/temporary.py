"""Temporary files: gone when nobody needs them any more; those of killed programs, at the next chance."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import weakref
from contextlib import suppress
from functools import cache
from pathlib import Path

_NAME = "specimen-seg-"

KEPT_DAYS = 2
"""What another machine or container may still use, whose processes cannot be seen here, is kept so long."""


def temporary_folder(owner: object) -> Path:
    """Make a temporary folder that is removed when its owner is.

    Parameters
    ----------
    owner : object
        Whoever reads and writes in it.

    Returns
    -------
    Path
    """
    folder = Path(tempfile.mkdtemp(prefix=temporary_name()))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder


def temporary_name() -> str:
    """Return what names in the temporary folder begin with; what others left behind there is removed."""
    remove_left_behind(Path(tempfile.gettempdir()), _NAME)
    return f"{_NAME}{os.getpid()}-"


@cache
def remove_left_behind(folder: Path, name: str) -> None:
    """Remove what processes have left in a folder that were killed; once in each process.

    Parameters
    ----------
    folder : Path
    name : str
        What the names of such files and folders begin with, before the number of their process.
    """
    with suppress(OSError):
        for path in folder.glob(f"{name}[0-9]*-*"):
            with suppress(OSError):
                if _is_left_behind(path, name):
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def _is_left_behind(path: Path, name: str) -> bool:
    import psutil

    number = path.name.removeprefix(name).partition("-")[0]
    if not number.isdecimal() or path.is_symlink():
        return False
    status = path.lstat()
    mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return mine and time.time() - status.st_mtime > KEPT_DAYS * 86400 and not psutil.pid_exists(int(number))
