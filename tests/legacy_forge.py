"""Pickles and torch files as other programs write them, and as nobody honest does; nothing is run here."""

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Named:
    """A global, written as its two names without looking whether it exists."""

    module: str
    name: str


@dataclass
class Called:
    """A call, with the state, items and pairs that are given to its result."""

    function: Named
    args: tuple = ()
    state: object = None
    pairs: dict = field(default_factory=dict)
    items: list = field(default_factory=list)
    new: bool = False


@dataclass
class Row:
    """A row of numbers outside of the pickle."""

    key: str
    kind: str
    numel: int
    device: str = "cpu"
    old: bool = False
    view: tuple | None = None


class Forger(pickle._Pickler):
    """A pickler that writes `Named`, `Called` and `Row` as what they stand for."""

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Called):
            self._call(obj)
        elif isinstance(obj, Row):
            identity = ("storage", Named("torch", obj.kind), obj.key, obj.device, obj.numel)
            self.save((*identity, obj.view) if obj.old else identity)
            self.write(pickle.BINPERSID)
        else:
            super().save(obj, save_persistent_id)

    def _call(self, obj):
        self.save(obj.function)
        self.save(obj.args)
        self.write(pickle.NEWOBJ if obj.new else pickle.REDUCE)
        for key, value in obj.pairs.items():
            self.save(key)
            self.save(value)
            self.write(pickle.SETITEM)
        for item in obj.items:
            self.save(item)
            self.write(pickle.APPEND)
        if obj.state is not None:
            self.save(obj.state)
            self.write(pickle.BUILD)


def forged(obj, protocol=2) -> bytes:
    """Return the pickle of an object that may hold records."""
    stream = io.BytesIO()
    Forger(stream, protocol).dump(obj)
    return stream.getvalue()


ORDERED = Named("collections", "OrderedDict")
REBUILD = Named("torch._utils", "_rebuild_tensor_v2")
KINDS = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage"}


class File:
    """A torch file in the making: rows of numbers, and tensors that refer to them."""

    def __init__(self):
        self.rows: dict[str, bytes] = {}
        self.made: list[Row] = []

    def row(self, array: np.ndarray, device="cpu") -> Row:
        key = str(len(self.rows))
        self.rows[key] = np.ascontiguousarray(array).tobytes()
        self.made.append(Row(key, KINDS[array.dtype.str[1:]], array.size, device))
        return self.made[-1]

    def tensor(self, array, device="cpu") -> Called:
        array = np.array(array, order="C")
        strides = tuple(step // array.itemsize for step in array.strides)
        return Called(REBUILD, (self.row(array, device), 0, array.shape, strides, False, Called(ORDERED)))

    def state_dict(self, arrays: Mapping[str, np.ndarray], prefix="") -> Called:
        return Called(ORDERED, pairs={prefix + name: self.tensor(array) for name, array in arrays.items()})

    def zipped(self, root, path: Path, top="archive/", byteorder="little") -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{top}data.pkl", forged(root))
            archive.writestr(f"{top}byteorder", byteorder)
            for key, data in self.rows.items():
                archive.writestr(f"{top}data/{key}", data)
            archive.writestr(f"{top}version", "3\n")
        return path

    def old(self, root, path: Path) -> Path:
        """Write it as torch did before version 1.6."""
        for row in self.made:
            row.old = True
        machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4}}
        head = [forged(part) for part in (0x1950A86A20F9469CFC6C, 1001, machine, root, list(self.rows))]
        rows = [struct.pack("<q", row.numel) + self.rows[row.key] for row in self.made]
        path.write_bytes(b"".join(head + rows))
        return path
