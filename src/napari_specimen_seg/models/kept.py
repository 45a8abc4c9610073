"""Networks that were converted for another engine, kept so that they need not be converted again.

Converting takes torch, which alone takes longer to load than a small picture takes to segment. Nothing is
lost with this folder: whatever is missing, cut off or altered in it is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..core.errors import SpecimenError, WriteError
from ..core.files.atomic import atomic

MAX_BYTES = 2_000_000_000
"""What all kept networks together may take; the ones that were not used for longest go first."""

_FORMAT = 1
_SUFFIX = ".network"
_DIGEST = hashlib.sha256().digest_size

Key = Mapping[str, str | int | float | bool | None]
"""All that the content depends on: checksums of card and weights, engine, precision, versions."""


def kept_folder() -> Path:
    """Return the folder of kept networks, which may not exist.

    Returns
    -------
    Path
        In ``SPECIMEN_SEG_CACHE`` if set, else in the user's cache folder of this program.
    """
    given = os.environ.get("SPECIMEN_SEG_CACHE")
    if given:
        return Path(given) / "networks"
    from platformdirs import user_cache_path

    return user_cache_path("napari-specimen-seg", appauthor=False) / "networks"


def fetch(key: Key) -> dict[str, bytes] | None:
    """Return what was kept under a key.

    Parameters
    ----------
    key : mapping
        As for `keep`.

    Returns
    -------
    dict of str to bytes, or None
        The parts; None if there are none, or if a byte of them was altered.
    """
    path = _path(key)
    try:
        content = path.read_bytes()
    except OSError:
        return None
    parts = _unpacked(content, key)
    with suppress(OSError):
        if parts is None:
            path.unlink()
        else:
            os.utime(path)  # what was used last goes last
    return parts


def keep(key: Key, parts: Mapping[str, bytes]) -> bool:
    """Keep something until the room is needed for others.

    Parameters
    ----------
    key : mapping
    parts : mapping of str to bytes

    Returns
    -------
    bool
        False if it could not be kept: too large, disk full, or no right to write there. Nobody need care.
    """
    path, content = _path(key), _packed(key, parts)
    if len(content) > MAX_BYTES:
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path, overwrite=True) as temporary:
            temporary.write_bytes(content)
    except (OSError, SpecimenError):
        return False
    _make_room(path)
    return True


def clear() -> tuple[int, int]:
    """Remove all kept networks.

    Returns
    -------
    count, size : int
        How many there were, and their bytes.

    Raises
    ------
    WriteError
        If one cannot be removed.
    """
    removed = [(path, size) for path, size, _ in _entries()]
    for path, _ in removed:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise WriteError(f"cannot be removed ({error.strerror})", path=path) from error
    return len(removed), sum(size for _, size in removed)


def _path(key: Key) -> Path:
    return kept_folder() / f"{hashlib.sha256(_canonical(key)).hexdigest()}{_SUFFIX}"


def _canonical(key: Key) -> bytes:
    return json.dumps({**key, "format": _FORMAT}, sort_keys=True, separators=(",", ":")).encode("ascii")


def _packed(key: Key, parts: Mapping[str, bytes]) -> bytes:
    """Return the checksum of all that follows, a line that says what it is, and the parts one by one."""
    head = {
        "key": _canonical(key).decode("ascii"),
        "parts": {name: len(part) for name, part in parts.items()},
    }
    body = b"\n".join((json.dumps(head).encode("ascii"), b"".join(parts.values())))
    return hashlib.sha256(body).digest() + body


def _unpacked(content: bytes, key: Key) -> dict[str, bytes] | None:
    if hashlib.sha256(memoryview(content)[_DIGEST:]).digest() != content[:_DIGEST]:
        return None
    begin = content.find(b"\n", _DIGEST) + 1
    head = json.loads(content[_DIGEST:begin])
    if head["key"].encode("ascii") != _canonical(key):
        return None
    parts = {}
    for name, size in head["parts"].items():
        parts[name] = content[begin : begin + size]
        begin += size
    return parts


def _entries() -> list[tuple[Path, int, float]]:
    """Return path, bytes and time of last use of everything that is kept."""
    found = []
    for path in kept_folder().glob(f"*{_SUFFIX}"):
        with suppress(OSError):  # another process has just removed it
            stat = path.stat()
            found.append((path, stat.st_size, stat.st_mtime))
    return found


def _make_room(newest: Path) -> None:
    entries = sorted(_entries(), key=lambda entry: entry[2])
    surplus = sum(size for _, size, _ in entries) - MAX_BYTES
    for path, size, _ in entries:
        if surplus <= 0:
            return
        if path != newest:
            with suppress(OSError):
                path.unlink()
                surplus -= size
