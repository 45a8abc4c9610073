"""Safetensors files as another source of weights; the safetensors library reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import ModelError
from ..safetensors_table import refuse_long_table
from .files import Contents
from .records import Storage, Table
from .tensors import TensorRef, contiguous

if TYPE_CHECKING:
    import torch

_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def open_safetensors(path: Path) -> Contents:
    """Read the table of contents of a safetensors file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Contents

    Raises
    ------
    ModelError
        If the file is damaged, or holds numbers of a type that is not read.
    """
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as file:
        refuse_long_table(file.read(8), path)
    try:
        with safe_open(path, framework="np") as file:
            metadata = dict(file.metadata() or {})
            pairs = []
            for key in file.keys():  # noqa: SIM118 - it is no mapping
                part = file.get_slice(key)
                pairs.append((key, _reference(key, part.get_dtype(), tuple(part.get_shape()))))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"the file is no safetensors file, or a damaged one ({error})", path=path) from error
    return Contents(path, "safetensors file", Table(pairs), SafetensorsSource(path), metadata=metadata)


def _reference(key: str, kind: str, shape: tuple[int, ...]) -> TensorRef:
    if kind not in _TYPES:
        raise ModelError(f"it holds a tensor whose numbers have a type that is not read ({kind})")
    dtype = _TYPES[kind]
    return TensorRef(dtype, shape, contiguous(shape), 0, Storage(dtype, key, 0))


@dataclass(frozen=True, slots=True)
class SafetensorsSource:
    """The numbers in a safetensors file."""

    path: Path

    def check(self, refs: Mapping[str, TensorRef]) -> None:
        """Do nothing: sizes were checked when the file was opened."""

    def tensors(self, refs: Mapping[str, TensorRef]) -> dict[str, torch.Tensor]:
        """Read tensors. These files have no checksums."""
        from safetensors import safe_open

        with safe_open(self.path, framework="pt") as file:
            return {
                name: file.get_tensor(ref.storage.key)
                for name, ref in refs.items()
                if isinstance(ref.storage, Storage)
            }
