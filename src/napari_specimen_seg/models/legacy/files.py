"""The files that weights come in: torch's zip archive, what torch wrote before it, pickles, safetensors."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ...core.errors import ModelError, ReadError, one_line
from ..archives import Archive, is_zip, open_archive
from .findings import Findings, PickleError
from .known_calls import foreign_calls
from .pickle_reader import MAX_PICKLE_BYTES, read_pickle
from .records import Storage, Value
from .tensors import ITEM_BYTES, TensorRef, to_torch

if TYPE_CHECKING:
    import torch

MAGIC = 0x1950A86A20F9469CFC6C
"""With which torch began its files before version 1.6."""

OLD_VERSION = 1001

NOT_TORCH = "it is no file of weights that this program knows"


class Source(Protocol):
    """Where the numbers of a file lie."""

    def tensors(self, refs: Mapping[str, TensorRef]) -> dict[str, torch.Tensor]:
        """Read tensors."""

    def check(self, refs: Mapping[str, TensorRef]) -> None:
        """Make sure that the numbers of tensors are there and undamaged, as far as the file tells."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file of weights holds, with nothing in it executed and no weights read yet.

    Parameters
    ----------
    path : Path
    kind : str
        For people: ``torch file``, ``safetensors file``.
    root : Value
        What unpickling would have given.
    source : Source
        For the weights.
    foreign : tuple of str
        What opening it with torch would have called beside what networks need.
    metadata : dict
        Text that safetensors files have beside the weights.
    """

    path: Path
    kind: str
    root: Value
    source: Source
    foreign: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)


def open_contents(path: Path) -> Contents:
    """Read what a file of weights says, by what it is and not by what it is called.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Contents

    Raises
    ------
    ModelError
        If it is damaged, of another kind, or does what no file of weights does.
    ReadError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(MAX_PICKLE_BYTES)
            size = path.stat().st_size
    except OSError as error:
        raise ReadError(f"cannot be read ({error.strerror or error})", path=path) from error
    try:
        return _open(path, head, size)
    except ModelError as error:
        if error.path is None:
            raise type(error)(error.cause, path=path, advice=error.advice) from error
        raise


def _open(path: Path, head: bytes, size: int) -> Contents:
    _refuse_strangers(head)
    if head.startswith(b"PK"):
        return _open_zip(path)
    if path.suffix.lower() == ".safetensors" or _is_safetensors(head, size):
        from .safetensors_file import open_safetensors

        return open_safetensors(path)
    return _open_pickle(path, head, size)


_STRANGERS = (
    (b"version https://git-lfs", "it is a Git LFS pointer, not the file itself", "Run git lfs pull."),
    (b"<!DOCTYPE", "it is a web page, not a model", "Download the file itself."),
    (b"<html", "it is a web page, not a model", "Download the file itself."),
    (b"\x1f\x8b", "it is packed with gzip", "Unpack it first."),
    (b"7z\xbc\xaf", "it is packed with 7-Zip", "Unpack it first."),
    (b"\x89HDF", "it is an HDF5 file, as Keras writes them, which is not read", None),
    (b"\x89PNG", "it is a picture", None),
    (b"\xff\xd8\xff", "it is a picture", None),
    (b"\x93NUMPY", "it is a numpy array, not a model", None),
)


def _refuse_strangers(head: bytes) -> None:
    if not head:
        raise ModelError("the file is empty", advice="Get the model anew.")
    if not head[:4096].strip(b"\0"):
        raise ModelError("the file holds nothing but zeros", advice="Get the model anew.")
    if head[257:262] == b"ustar":
        raise ModelError(
            "it is a tar archive, as torch wrote before version 0.2", advice="Save it with a newer torch."
        )
    for start, what, advice in _STRANGERS:
        if head.startswith(start):
            raise ModelError(what, advice=advice)


def _is_safetensors(head: bytes, size: int) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


# -- torch's zip archive -----------------------------------------------------------------------------


def _open_zip(path: Path) -> Contents:
    if not is_zip(path):
        raise ModelError("the archive is damaged or cut short", advice="Get the model anew.")
    with open_archive(path) as archive:
        root = _root_folder(archive.names)
        pickle = archive.read(f"{root}data.pkl", MAX_PICKLE_BYTES)
        order = archive.read(f"{root}byteorder", 100) if f"{root}byteorder" in archive.names else b"little"
        findings = Findings()
        value = _only_pickle(pickle, findings)
    source = ZipSource(path, root, order.strip() == b"big")
    return Contents(path, "torch file", value, source, foreign_calls(findings.calls))


def _root_folder(names: Iterable[str]) -> str:
    """Return the folder in which a torch archive holds everything, with the slash."""
    names = tuple(names)
    roots = {name.removesuffix("data.pkl") for name in names if name.rpartition("/")[2] == "data.pkl"}
    if not roots:
        raise _no_network(names)
    if len(roots) > 1:
        raise ModelError("refused: the archive holds several pickles, which torch never writes")
    root = roots.pop()
    if any(name.startswith((f"{root}code/", f"{root}constants.pkl")) for name in names):
        raise ModelError(
            "it is a TorchScript program: it holds code, which is not run",
            advice="Ask for the state dict of the network.",
        )
    if not all(name.startswith(root) for name in names):
        raise ModelError("refused: the archive holds more than torch puts into it")
    return root


def _no_network(names: tuple[str, ...]) -> ModelError:
    """Say what an archive is that no torch wrote; a model that somebody packed can be unpacked."""
    if names and all(name.endswith(".npy") for name in names):
        return ModelError("it is a numpy archive")
    inside = [
        name for name in names if name.lower().endswith((".pth", ".pt", ".ckpt", ".safetensors", ".onnx"))
    ]
    advice = f"Unpack it and import {one_line(inside[0], 80)}." if len(inside) == 1 else None
    what = f" but {', '.join(one_line(name, 40) for name in names[:3])}" if names else ""
    return ModelError(
        f"it is an archive without a network in it (no card.json, no data.pkl{what})", advice=advice
    )


def _only_pickle(data: bytes, findings: Findings) -> Value:
    stream = io.BytesIO(data)
    value = read_pickle(stream, findings)
    if stream.tell() != len(data):
        raise PickleError("refused: something follows the end of the pickle in it")
    return value


@dataclass(frozen=True, slots=True)
class ZipSource:
    """The numbers in a torch archive, one entry for each row.

    Parameters
    ----------
    path : Path
    root : str
        Folder in the archive.
    big_endian : bool
        Whether the machine that wrote it stored the highest byte first.
    """

    path: Path
    root: str
    big_endian: bool

    def tensors(self, refs: Mapping[str, TensorRef]) -> dict[str, torch.Tensor]:
        """Read tensors; the checksum of every row is checked."""
        with open_archive(self.path) as archive:

            def read(storage: Storage, item: int) -> bytes:
                data = self._row(archive, storage)
                return _swapped(data, item) if self.big_endian else data

            return _by_row(refs, read)

    def check(self, refs: Mapping[str, TensorRef]) -> None:
        """Check sizes and checksums without keeping anything."""
        with open_archive(self.path) as archive:
            for storage in {ref.storage for ref in refs.values() if isinstance(ref.storage, Storage)}:
                self._row(archive, storage)

    def _row(self, archive: Archive, storage: Storage) -> bytes:
        """Return a row of numbers, which must have as many bytes as the pickle says."""
        name = f"{self.root}data/{storage.key}"
        wanted = storage.numel * ITEM_BYTES.get(storage.dtype, 1)
        shown = f"the weights {one_line(storage.key, 40)!r}"
        if name not in archive.names:
            raise ModelError(f"{shown} are missing", path=self.path)
        if archive.size(name) != wanted:
            raise ModelError(
                f"{shown} have {archive.size(name)} bytes, not {wanted}",
                path=self.path,
                advice="Get the model anew.",
            )
        return archive.read(name)


def _swapped(data: bytes, item: int) -> bytes:
    import numpy as np

    return np.frombuffer(data, f"u{item}").byteswap().tobytes()


class _ReadRow(Protocol):
    def __call__(self, storage: Storage, item: int, /) -> bytes: ...


def _by_row(refs: Mapping[str, TensorRef], read: _ReadRow) -> dict[str, torch.Tensor]:
    """Read every row of numbers once, and cut the tensors out of it."""
    rows: dict[str, list[str]] = {}
    made: dict[str, torch.Tensor] = {}
    for name, ref in refs.items():
        if isinstance(ref.storage, bytes):
            made[name] = to_torch(ref, ref.storage)
        else:
            rows.setdefault(ref.storage.key, []).append(name)
    for names in rows.values():
        first = refs[names[0]]
        assert isinstance(first.storage, Storage)
        data = read(first.storage, ITEM_BYTES[first.dtype])
        made.update({name: to_torch(refs[name], data) for name in names})
    return {name: made[name] for name in refs}


# -- pickles, alone or as torch wrote them before version 1.6 ------------------------------------------


def _open_pickle(path: Path, head: bytes, size: int) -> Contents:
    findings = Findings()
    stream = io.BytesIO(head)
    try:
        first = read_pickle(stream, findings)
    except PickleError as error:
        _refuse_calls(findings)  # they would have run before the break was met
        if str(error).startswith("refused"):
            raise
        raise ModelError(NOT_TORCH, advice="Choose a .pth, .pt, .ckpt, .pkl or .safetensors file.") from error
    if first == MAGIC and not isinstance(first, float):
        return _open_old_torch(path, stream, size)
    if stream.tell() != size:
        _refuse_calls(findings)
        raise PickleError("refused: something follows the end of the pickle in it")
    return Contents(path, "pickle", first, _NoRows(), foreign_calls(findings.calls))


def _refuse_calls(findings: Findings) -> None:
    """Refuse a file that is broken anyway by what opening it would have called."""
    foreign = foreign_calls(findings.calls)
    if foreign:
        raise ModelError(f"refused: opening it would call {foreign[0]}, which no network needs")


class _NoRows:
    """A pickle without torch's rows of numbers; arrays of numpy lie in it."""

    def check(self, refs: Mapping[str, TensorRef]) -> None:
        """Do nothing: the numbers were read with the pickle."""

    def tensors(self, refs: Mapping[str, TensorRef]) -> dict[str, torch.Tensor]:
        """Read tensors."""

        def read(storage: Storage, _item: int) -> bytes:
            raise ModelError(f"the weights {one_line(storage.key, 40)!r} are not in the file")

        return _by_row(refs, read)


def _open_old_torch(path: Path, stream: io.BytesIO, size: int) -> Contents:
    beside = Findings()
    version = read_pickle(stream, beside)
    read_pickle(stream, beside)  # about the machine that wrote it
    findings = Findings()
    root = read_pickle(stream, findings)
    keys = read_pickle(stream, beside)
    if beside.calls:
        what = ", ".join(list(beside.calls)[:3])
        raise ModelError(f"refused: opening it would call {what}, where a torch file has numbers only")
    if version != OLD_VERSION:
        raise ModelError("it was written by a version of torch that is not known")
    places = _places(path, keys, findings, stream.tell(), size)
    return Contents(path, "torch file", root, OldSource(path, places), foreign_calls(findings.calls))


def _places(path: Path, keys: Value, findings: Findings, start: int, size: int) -> dict[str, int]:
    """Return where each row of numbers begins, from the list of keys that follows the pickle."""
    storages = findings.storages
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise ModelError("the list of weights in it is broken", advice="Get the model anew.")
    if set(keys) != set(storages) or len(set(keys)) != len(keys):
        raise ModelError("the list of weights in it is not complete", advice="Get the model anew.")
    places, at = {}, start
    with path.open("rb") as file:
        for key in keys:
            file.seek(at)
            if int.from_bytes(file.read(8), "little", signed=True) != storages[key].numel:
                raise ModelError("the weights in it are cut short or damaged", advice="Get the model anew.")
            places[key] = at + 8
            at += 8 + storages[key].numel * ITEM_BYTES.get(storages[key].dtype, 1)
    if at != size:
        what = "cut short" if at > size else "followed by something that torch does not write"
        raise ModelError(f"the weights in it are {what}", advice="Get the model anew.")
    return places


@dataclass(frozen=True, slots=True)
class OldSource:
    """The numbers in a torch file from before version 1.6: one row after another, always little-endian.

    Parameters
    ----------
    path : Path
    places : dict
        Where each row begins, in bytes.
    """

    path: Path
    places: dict[str, int]

    def check(self, refs: Mapping[str, TensorRef]) -> None:
        """Do nothing: sizes were checked when the file was opened."""

    def tensors(self, refs: Mapping[str, TensorRef]) -> dict[str, torch.Tensor]:
        """Read tensors. These files have no checksums."""
        with self.path.open("rb") as file:

            def read(storage: Storage, item: int) -> bytes:
                file.seek(self.places[storage.key])
                data = file.read(storage.numel * item)
                if len(data) != storage.numel * item:
                    raise ModelError("the weights in it are cut short", path=self.path)
                return data

            return _by_row(refs, read)
