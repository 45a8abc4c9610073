"""Reading a file from a stranger: a plain file, no longer than it may be, and not what never ends."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from ..core.errors import ModelError


def read_plain(path: Path, limit: int) -> bytes:
    """Read a file that is a file: a device or a pipe in its place may never end.

    Parameters
    ----------
    path : Path
        Links are followed, as those in the cache of the Hub are.
    limit : int
        The most bytes that it may have.

    Returns
    -------
    bytes

    Raises
    ------
    FileNotFoundError
        If there is none.
    OSError
        If it cannot be read.
    ModelError
        If it is no plain file, or larger.
    """
    with path.open("rb") if path.is_file() else _missing(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ModelError(f"{path.name} is larger than any honest one ({limit / 1e6:.0f} MB)", path=path)
    return content


def _missing(path: Path) -> BinaryIO:
    """Tell why a path is no plain file."""
    path.stat()  # raises if there is nothing
    raise ModelError(f"{path.name} is no plain file", path=path)
