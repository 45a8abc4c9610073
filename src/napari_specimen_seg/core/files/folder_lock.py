"""A folder that one program at a time writes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import WriteError

LOCK = "in-use.lock"


class StoreInUseError(WriteError):
    """A store that another program, or another part of this one, writes to."""


def locked(folder: Path) -> Any:
    """Lock a folder for this program, or refuse at once.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    filelock.FileLock
        To be released by whoever is done, in whatever thread.

    Raises
    ------
    StoreInUseError
        If somebody else works on it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, thread_local=False)  # it may be let go of in another thread
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreInUseError(
            "another program is working on it", path=folder, advice="Wait for it, or choose another folder."
        ) from None
    return lock
