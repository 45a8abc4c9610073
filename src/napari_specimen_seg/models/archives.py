"""Zip archives from strangers: names, links and sizes are checked before anything is unpacked."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ..core.errors import ModelError, ReadError, one_line

MAX_ENTRIES = 20_000
MAX_DIRECTORY_BYTES = 20_000_000
"""Of the table of contents. The largest honest checkpoints have a few thousand entries."""

MAX_UNPACKED_BYTES = 4_000_000_000
MAX_RATIO = 200
"""How many times larger than packed an entry may be; weights hardly shrink, zeros are no model."""

SMALL_BYTES = 10_000_000
"""Below this an entry may be packed as tightly as it likes."""

_END = b"PK\x05\x06"


def is_zip(path: Path) -> bool:
    """Tell whether a file begins as zip archives do and its table of contents has a sane size.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool

    Raises
    ------
    ReadError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                return False
            size = path.stat().st_size
            file.seek(max(0, size - 65_600))
            tail = file.read()
    except OSError as error:
        raise ReadError(f"cannot be read ({error.strerror or error})", path=path) from error
    at = tail.rfind(_END)
    # zipfile reads the whole table at once, as long as the end record says: look there first.
    return at >= 0 and int.from_bytes(tail[at + 12 : at + 16], "little") <= MAX_DIRECTORY_BYTES


def names_in(path: Path) -> list[str]:
    """Return the names in a zip archive; none if it is no zip archive or a broken one.

    Parameters
    ----------
    path : Path

    Returns
    -------
    list of str
    """
    if not is_zip(path):
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()[:MAX_ENTRIES]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, OSError):
        return []


class Archive:
    """An archive whose names and sizes were found harmless; reads entries into memory only.

    Parameters
    ----------
    archive : zipfile.ZipFile
    path : Path
        For messages.
    """

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self.path = path
        self._archive = archive
        self._entries = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all files in it."""
        return tuple(self._entries)

    def size(self, name: str) -> int:
        """Return how many bytes a file claims to unpack to."""
        return self._entry(name).file_size

    def read(self, name: str, limit: int = MAX_UNPACKED_BYTES) -> bytes:
        """Unpack one file into memory; its CRC is checked.

        Parameters
        ----------
        name : str
        limit : int
            The most bytes that it may have.

        Returns
        -------
        bytes

        Raises
        ------
        ModelError
            If it is not there, too large or damaged.
        """
        entry = self._entry(name)
        if entry.file_size > limit:
            raise ModelError(f"{one_line(name, 80)} is larger than {limit / 1e6:.0f} MB", path=self.path)
        try:
            with self._archive.open(entry) as file:
                return file.read(entry.file_size + 1)
        except Exception as error:  # each way of packing has its own errors
            raise ModelError(f"{one_line(name, 80)} is damaged ({error})", path=self.path) from error

    def _entry(self, name: str) -> zipfile.ZipInfo:
        entry = self._entries.get(name)
        if entry is None:
            raise ModelError(f"{one_line(name, 80)} is missing", path=self.path)
        return entry


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a zip archive after checking every name, link and size in it.

    Parameters
    ----------
    path : Path

    Yields
    ------
    Archive

    Raises
    ------
    ModelError
        If it is no zip archive, damaged, or holds anything that could reach outside of a folder, is a
        link, or claims to unpack to far more than it has.
    """
    if not is_zip(path):
        raise ModelError("it is no zip archive, or a damaged one", path=path)
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_unsafe(archive, path)
            yield Archive(archive, path)
    except (zipfile.BadZipFile, NotImplementedError, OverflowError) as error:
        raise ModelError(f"the archive is damaged ({error})", path=path) from error


def safe_name(name: str) -> bool:
    """Tell whether a name from a stranger stays inside the folder that it is joined to, on every system.

    Parameters
    ----------
    name : str

    Returns
    -------
    bool
    """
    parts = PurePosixPath(name).parts
    return (
        bool(name.strip())
        and name.isprintable()
        and len(name) <= 500
        and not any(char in name for char in '\\:*?"<>|')
        and not name.startswith(("/", "~"))
        and ".." not in parts
        and not any(part.endswith((" ", ".")) for part in parts)
    )


def _refuse_unsafe(archive: zipfile.ZipFile, path: Path) -> None:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise ModelError(f"the archive has {len(entries)} entries, more than any model", path=path)
    names = [entry.orig_filename for entry in entries]
    if len({name.casefold() for name in names}) < len(names):
        raise ModelError("the archive holds the same name twice", path=path)
    for entry in entries:
        _refuse_unsafe_entry(entry, path)
    _refuse_overlap(entries, path)
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise ModelError("the archive unpacks to more than any model needs", path=path)


def _refuse_overlap(entries: list[zipfile.ZipInfo], path: Path) -> None:
    """Refuse entries that begin inside of others: a small file can hold endless data that way."""
    end = 0
    for entry in sorted(entries, key=lambda found: found.header_offset):
        if entry.header_offset < end:
            raise ModelError("refused: entries of the archive lie over each other", path=path)
        end = entry.header_offset + 30 + len(entry.orig_filename) + entry.compress_size


def _refuse_unsafe_entry(entry: zipfile.ZipInfo, path: Path) -> None:
    name = entry.orig_filename  # `filename` ends at the first NUL
    shown = one_line(name, 80) or "(no name)"
    if not safe_name(name):
        raise ModelError(f"refused: the archive has an entry that leads outside of it: {shown}", path=path)
    mode = entry.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ModelError(f"refused: the archive has a link or special file: {shown}", path=path)
    if entry.flag_bits & 1:
        raise ModelError(f"the archive is encrypted ({shown})", path=path)
    if entry.file_size > max(SMALL_BYTES, MAX_RATIO * entry.compress_size):
        raise ModelError(f"refused: {shown} unpacks to far more than it has", path=path)
