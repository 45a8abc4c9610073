"""The bound on the table of contents of a safetensors file; needs neither torch nor safetensors."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import ModelError

MAX_TABLE_BYTES = 10_000_000
"""A network of 2,000 layers needs 1 MB. The library reads up to 100 MB, as a million small objects."""


def refuse_long_table(head: bytes, path: Path) -> None:
    """Refuse a file whose table of contents is longer than that of any network.

    Parameters
    ----------
    head : bytes
        The first 8 bytes of the file, which tell the length.
    path : Path
        For messages.

    Raises
    ------
    ModelError
    """
    if len(head) == 8 and int.from_bytes(head, "little") > MAX_TABLE_BYTES:
        raise ModelError("the file is no safetensors file, or its table of contents is too long", path=path)
