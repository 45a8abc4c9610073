"""Tensors as the file describes them: where their numbers lie, and whether that can be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import ModelError
from .numpy_records import array_bytes
from .records import Call, Name, Storage, Value

if TYPE_CHECKING:
    import torch

ITEM_BYTES = {
    **dict.fromkeys(("uint8", "int8", "bool"), 1),
    **dict.fromkeys(("float16", "bfloat16", "int16"), 2),
    **dict.fromkeys(("float32", "int32"), 4),
    **dict.fromkeys(("float64", "int64"), 8),
}
"""Bytes of one number of each type that is read."""

MAX_DIMENSIONS = 16


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A tensor that was not read yet.

    Parameters
    ----------
    dtype : str
        As torch calls it.
    shape, stride : tuple of int
        In elements.
    offset : int
        Of the first element, within the whole row of numbers.
    storage : Storage or bytes
        Where the numbers are, or the numbers themselves in little-endian order.
    """

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: Storage | bytes

    @property
    def numel(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        return self.numel * ITEM_BYTES[self.dtype]


class TensorError(ModelError):
    """A tensor that the file describes in a way that cannot be, or of a kind that is not read."""


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a tensor that lies in one piece, last axis fastest."""
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= max(size, 1)
    return tuple(strides)


def as_tensor(value: Value) -> TensorRef | None:
    """Understand a record as a tensor.

    Parameters
    ----------
    value : Value

    Returns
    -------
    TensorRef or None
        None if it stands for something else.

    Raises
    ------
    TensorError
        If it is a tensor that cannot be, or of a kind that is not read (quantised, sparse, complex).
    """
    for _ in range(4):  # a parameter around a subclass around a tensor
        if isinstance(value, TensorRef):
            return value
        if not isinstance(value, Call):
            return None
        inner = _inside(value)
        if inner is None:
            break
        value = inner
    match value.name.removeprefix("torch._utils."), value.args:
        case ("_rebuild_tensor" | "_rebuild_tensor_v2", (Storage() as storage, offset, shape, stride, *_)):
            return _checked(storage, storage.dtype, offset, shape, stride)
        case ("_rebuild_tensor_v3", (Storage() as storage, offset, shape, stride, _, _, Name() as dtype, *_)):
            return _checked(storage, dtype.name, offset, shape, stride)
    if value.name.startswith("torch._utils._rebuild"):
        kind = value.name.removeprefix("torch._utils._rebuild_").replace("_", " ")
        raise TensorError(f"it holds a tensor of a kind that is not read ({kind})")
    return _from_array(value)


def _inside(call: Call) -> Call | None:
    """Return the record of the tensor that a parameter or a subclass of Tensor is made of."""
    match call.name, call.args:
        case (
            "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state",
            (Call() as data, *_),
        ):
            return data
        case ("torch.nn.parameter.Parameter" | "torch.Tensor", (Call() as data, *_)):
            return data
        case (
            "torch._tensor._rebuild_from_type_v2"
            | "torch._tensor._rebuild_from_type"
            | "fastai.torch_core._rebuild_from_type",
            (Name() as function, _, tuple() as args, *_),
        ):
            return Call(function, args)
        case ("fastai.torch_core._fa_rebuild_tensor", (_, *args)):
            return Call(Name("torch._utils", "_rebuild_tensor_v2"), tuple(args))
    return None


def _from_array(value: Call) -> TensorRef | None:
    found = array_bytes(value)
    if found is None:
        return None
    dtype, shape, data = found
    if dtype not in ITEM_BYTES:
        raise TensorError(f"it holds an array of type {dtype}, which weights never have")
    return TensorRef(dtype, shape, contiguous(shape), 0, data)


def _checked(storage: Storage, dtype: str, offset: Value, shape: Value, stride: Value) -> TensorRef:
    """Return a tensor after making sure that every element lies in the file, and none is repeated."""
    if dtype not in ITEM_BYTES:
        raise TensorError("it holds a tensor whose numbers have a type that is not read")
    sizes, steps = _whole_numbers(shape), _whole_numbers(stride)
    start = _whole_numbers((offset,))[0] + storage.offset
    if len(sizes) != len(steps) or len(sizes) > MAX_DIMENSIONS:
        raise TensorError("it holds a tensor whose shape and strides contradict each other")
    room = storage.numel if storage.dtype != "bytes" else storage.numel // ITEM_BYTES[dtype]
    last = start + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    empty = 0 in sizes
    if not empty and (last >= room or math.prod(sizes) > room):
        raise TensorError("it holds a tensor that reaches beyond its numbers")
    return TensorRef(dtype, sizes, steps, start, storage)


def _whole_numbers(values: Value) -> tuple[int, ...]:
    if isinstance(values, Call) and values.name == "torch.Size" and len(values.args) == 1:
        values = values.args[0]
    if not isinstance(values, (tuple, list)) or not all(
        isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40 for value in values
    ):
        raise TensorError("it holds a tensor whose shape is not made of whole numbers")
    return tuple(values)


def to_torch(ref: TensorRef, data: bytes) -> torch.Tensor:
    """Make a tensor of its own from the bytes of the row of numbers that it is a part of.

    Parameters
    ----------
    ref : TensorRef
    data : bytes
        The whole row, little-endian.

    Returns
    -------
    torch.Tensor
    """
    import torch

    dtype: torch.dtype = getattr(torch, ref.dtype)
    if not ref.numel:
        return torch.empty(ref.shape, dtype=dtype)
    row = torch.frombuffer(bytearray(data), dtype=dtype)
    return row.as_strided(ref.shape, ref.stride, ref.offset).clone(memory_format=torch.contiguous_format)
