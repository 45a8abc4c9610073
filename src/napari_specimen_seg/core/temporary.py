"""Temporary folders: gone when nobody needs them any more; those of killed programs, at the next chance."""

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
    """Return what names of this process's temporary files begin with; what others left behind is removed."""
    _remove_left_behind()
    return f"{_NAME}{os.getpid()}-"


@cache
def _remove_left_behind() -> None:
    """Remove what processes have left that were killed; once in each process."""
    with suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{_NAME}*"):
            with suppress(OSError):
                if _is_left_behind(path):
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def _is_left_behind(path: Path) -> bool:
    import psutil

    number = path.name.removeprefix(_NAME).partition("-")[0]
    if not number.isdecimal() or path.is_symlink():
        return False
    status = path.lstat()
    mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return mine and time.time() - status.st_mtime > KEPT_DAYS * 86400 and not psutil.pid_exists(int(number))
