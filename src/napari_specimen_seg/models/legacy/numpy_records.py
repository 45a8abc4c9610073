"""Numbers and arrays of numpy, and other small values, understood without numpy's unpickling."""

from __future__ import annotations

import math
import re
from itertools import islice
from typing import Any

import numpy as np

from .records import Call, Group, Name, Storage, Table, Value

_KINDS = re.compile(r"[<>=|]?([biuf])([1248])")

_TYPES = {
    **{("i", str(size)): f"int{8 * size}" for size in (1, 2, 4, 8)},
    **{("f", str(size)): f"float{8 * size}" for size in (2, 4, 8)},
    ("u", "1"): "uint8",
    ("b", "1"): "bool",
}

MAX_PLAIN = 5_000
"""How many values are looked at; lists may hold each other a million times over."""


def array_bytes(value: Value) -> tuple[str, tuple[int, ...], bytes] | None:
    """Understand the record of a numpy array or scalar.

    Parameters
    ----------
    value : Value

    Returns
    -------
    (str, tuple of int, bytes) or None
        Type as torch calls it (``object`` and the like where it has none), shape, and the numbers in C
        order, little-endian. None if it is no array, or contradicts itself.
    """
    if not isinstance(value, Call):
        return None
    shape: Value = ()
    fortran: Value = False
    match value.name.replace("numpy._core.", "numpy.core."), value.args, value.state:
        case "numpy.core.multiarray.scalar", (Call() as kind, raw), _:
            pass
        case "numpy.core.multiarray._reconstruct", _, (_, tuple() as shape, Call() as kind, fortran, raw):
            pass
        case "numpy.core.numeric._frombuffer", (raw, Call() as kind, tuple() as shape, str(order), *_), _:
            fortran = order == "F"
        case _:
            return None
    data, code = _bytes_of(raw), _dtype_of(kind)
    if data is None or code is None or not all(isinstance(size, int) and size >= 0 for size in shape):
        return ("object", (), b"")
    dtype = np.dtype(code)
    if math.prod(shape) * dtype.itemsize != len(data):
        return None
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran is True else "C")
    little = np.ascontiguousarray(array, dtype.newbyteorder("<"))
    name = _TYPES.get((dtype.kind, str(dtype.itemsize)), str(dtype))
    return name, tuple(shape), little.tobytes()


def _dtype_of(kind: Call) -> str | None:
    """Return the type code of a numpy.dtype record with its byte order; None if it is no plain number."""
    if kind.name != "numpy.dtype" or not kind.args or not isinstance(kind.args[0], str):
        return None
    found = _KINDS.fullmatch(kind.args[0])
    order = kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else "<"
    return f"{'>' if order == '>' else '<'}{found[1]}{found[2]}" if found else None


def _bytes_of(value: Value) -> bytes | None:
    """Return bytes, also as old protocols write them: text encoded with latin-1."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    text = value
    if isinstance(value, Call) and value.name == "_codecs.encode" and len(value.args) == 2:
        text = value.args[0]
    if isinstance(text, str):
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError:
            return None
    return None


def plain(value: Value, depth: int = 4) -> Any:
    """Return a value as plain Python: numbers, text, lists and dictionaries; None for everything else.

    Parameters
    ----------
    value : Value
    depth : int
        How deep lists and dictionaries are followed.

    Returns
    -------
    object
    """
    return _Plain().of(value, depth)


class _Plain:
    """Turns records into plain values until a fixed number of them was looked at."""

    def __init__(self) -> None:
        self.left = MAX_PLAIN

    def of(self, value: Value, depth: int) -> Any:
        self.left -= 1
        if isinstance(value, int) and not isinstance(value, bool):
            return value if abs(value) < 2**63 else None
        if value is None or isinstance(value, (bool, float, str)):
            return value
        if not depth or self.left <= 0:
            return None
        if isinstance(value, (list, tuple, Group)):
            items = value.items if isinstance(value, Group) else value
            return [self.of(item, depth - 1) for item in islice(items, self.left)]
        if isinstance(value, Table):
            pairs = islice(value.pairs, self.left)
            return {key: self.of(item, depth - 1) for key, item in pairs if isinstance(key, str)}
        return self.of_call(value, depth) if isinstance(value, Call) else None

    def of_call(self, value: Call, depth: int) -> Any:
        array = array_bytes(value)
        if array is not None and array[0] in _TYPES.values():
            numbers = np.frombuffer(array[2], array[0]).tolist()[: self.left]
            return numbers[0] if array[1] == () and numbers else numbers
        if value.name == "fastcore.foundation.L" and isinstance(value.state, Table):
            return self.of(value.state.get("items"), depth - 1)
        if value.name == "fastcore.basics.fastuple":
            return self.of(value.args[0] if len(value.args) == 1 else value.args, depth - 1)
        return self.of(Table(value.pairs), depth) if value.pairs else None


def is_leaf(value: Value) -> bool:
    """Tell whether nothing can be inside of a value."""
    return not isinstance(value, (Call, Table, Group, list, tuple)) or isinstance(value, (Name, Storage))
