"""What a pickle would have done: the calls it asks for, and the rows of numbers it refers to."""

from __future__ import annotations

from ...core.errors import ModelError
from .records import Call, Name, Storage, Value

MAX_KEPT = 1_000
"""How many different calls are kept for the report."""

STORAGE_TYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "bytes",
}
STORAGE_MODULES = frozenset({"torch", "torch.storage", "torch.cuda"})


class PickleError(ModelError):
    """A pickle that is broken, larger than any honest one, or does what no model file does."""


class Findings:
    """What the pickles of one file would have called, and which rows of numbers they refer to."""

    def __init__(self) -> None:
        self.calls: dict[str, Name | None] = {}
        self.storages: dict[str, Storage] = {}

    def note_call(self, function: Value) -> None:
        """Keep what would have been called, once; None where it is no plain name."""
        if len(self.calls) < MAX_KEPT:
            known = isinstance(function, Name)
            self.calls.setdefault(str(function) if known else describe(function), function if known else None)

    def note_storage(self, storage: Storage) -> None:
        """Keep a row of numbers; the same row must always be described in the same way."""
        known = self.storages.setdefault(storage.key, storage)
        if (known.dtype, known.numel) != (storage.dtype, storage.numel):
            raise PickleError("refused: the pickle in it describes the same numbers in two ways")


def describe(function: Value) -> str:
    """Return in words what is called where it is not simply a name."""
    if isinstance(function, Call):
        inner = str(function.function) if isinstance(function.function, Name) else "another call"
        what = [arg for arg in function.args if isinstance(arg, str)]
        return f"the result of {inner}({', '.join(map(repr, what))})"
    return f"a value of type {type(function).__name__}"


# -- what lies outside of the pickle ------------------------------------------------------------------


def from_outside(identity: Value) -> Value:
    """Understand a reference to what lies outside of the pickle, as torch writes them.

    Parameters
    ----------
    identity : Value
        What the pickle gives in place of an object.

    Returns
    -------
    Storage or Name
        A row of numbers, or a class whose source code old files keep beside it.

    Raises
    ------
    PickleError
        If it is anything else.
    """
    match identity:
        case ("storage", Name() as kind, str(key), _, int(numel)):
            return Storage(_storage_dtype(kind), key, _length(numel))
        case ("storage", Name() as kind, str(key), _, int(numel), None):
            return Storage(_storage_dtype(kind), key, _length(numel))
        case ("storage", Name() as kind, str(key), _, int(numel), (_, int(offset), int(size))):
            if not 0 <= offset <= offset + size <= numel:
                raise PickleError("a part of the numbers in it lies outside of them")
            return Storage(_storage_dtype(kind), key, _length(numel), offset)
        case ("module", Name() as kind, *_):  # old files keep the source code of a class beside it
            return kind
    other: Value = identity[1] if isinstance(identity, tuple) and len(identity) > 1 else None
    if isinstance(other, (Name, Call)):
        what = str(other) if isinstance(other, Name) else describe(other)
        raise PickleError(f"refused: opening it would use {what} as a kind of numbers")
    raise PickleError("refused: the pickle in it refers to something outside that is no row of numbers")


def _storage_dtype(kind: Name) -> str:
    dtype = STORAGE_TYPES.get(kind.name) if kind.module in STORAGE_MODULES else None
    if dtype is not None:
        return dtype
    if kind.module in STORAGE_MODULES and kind.name.endswith("Storage"):
        raise PickleError(f"numbers of type {kind} are not read: weights are real numbers in floating point")
    raise PickleError(f"refused: opening it would call {kind}, which no network needs")


def _length(numel: int) -> int:
    if isinstance(numel, bool) or not 0 <= numel < 2**40:
        raise PickleError("a row of numbers in it is longer than any model has")
    return numel
