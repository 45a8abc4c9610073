"""Pickled ``torch.nn.Module`` objects, understood as a tree of layers with attributes and weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ...core.errors import ModelError
from .records import Call, Group, Name, Table, Value, state_table
from .tensors import TensorRef, as_tensor

MAX_DEPTH = 60
MAX_MODULES = 20_000
"""The largest networks seen have 3,000 layers, 12 deep."""

_HELD_APART = ("_modules", "_parameters", "_buffers")


@dataclass(frozen=True, slots=True)
class Layer:
    """A module as it was pickled.

    Parameters
    ----------
    kind : Name
        Its class.
    attributes : dict
        Everything that it stored beside weights and layers inside.
    tensors : dict of str to TensorRef
        Its own weights and persistent buffers.
    children : dict of str to Layer
    """

    kind: Name
    attributes: dict[str, Value] = field(default_factory=dict)
    tensors: dict[str, TensorRef] = field(default_factory=dict)
    children: dict[str, Layer] = field(default_factory=dict)

    def walk(self, path: str = "") -> Iterator[tuple[str, Layer]]:
        """Iterate over this layer and all inside, with their paths: ``encoder.layer1.0``."""
        yield path, self
        for name, child in self.children.items():
            yield from child.walk(f"{path}.{name}" if path else name)

    def state(self) -> dict[str, TensorRef]:
        """Return what the state dict of the module would hold."""
        return {
            f"{path}.{name}" if path else name: tensor
            for path, layer in self.walk()
            for name, tensor in layer.tensors.items()
        }

    def find(self, path: str) -> Layer | None:
        """Return the layer at a path; None if there is none."""
        found: Layer | None = self
        for name in filter(None, path.split(".")):
            found = None if found is None else found.children.get(name)
        return found


def is_module(value: Value) -> bool:
    """Tell whether a record is a pickled module."""
    state = state_table(value)
    return state is not None and isinstance(value, Call) and isinstance(state.get("_modules"), Table)


def as_layer(value: Call) -> Layer:
    """Understand a pickled module.

    Parameters
    ----------
    value : Call
        For which `is_module` holds.

    Returns
    -------
    Layer

    Raises
    ------
    ModelError
        If it is nested without end, or holds more layers than any network.
    TensorError
        If its weights cannot be read.
    """
    return _Reader().layer(value, 0)


class _Reader:
    """Follows modules inside of modules until a fixed number of them was met."""

    def __init__(self) -> None:
        self.left = MAX_MODULES

    def layer(self, value: Call, depth: int) -> Layer:
        self.left -= 1
        if depth > MAX_DEPTH or self.left < 0:
            raise ModelError(
                "refused: the network in it has more layers, or nested deeper, than any honest one"
            )
        state = state_table(value)
        kind = value.function
        if state is None or not isinstance(kind, Name):
            raise ModelError("a layer of the network in it is broken")
        entries = state.texts()
        children = {
            name: self.layer(child, depth + 1)
            for name, child in _entries(entries.get("_modules"))
            if is_module(child)
        }
        attributes = {key: item for key, item in entries.items() if key not in _HELD_APART}
        return Layer(kind, attributes, _own_tensors(entries), children)


def _own_tensors(entries: dict[str, Value]) -> dict[str, TensorRef]:
    passing = _members(entries.get("_non_persistent_buffers_set"))
    found = {}
    for group in ("_parameters", "_buffers"):
        for name, value in _entries(entries.get(group)):
            tensor = as_tensor(value)
            if tensor is not None and not (group == "_buffers" and name in passing):
                found[name] = tensor
    return found


def _entries(value: Value) -> list[tuple[str, Value]]:
    return list(value.texts().items()) if isinstance(value, Table) else []


def _members(value: Value) -> set[str]:
    """Return the names in a set, however the pickle's protocol writes sets."""
    items: Value = value.items if isinstance(value, (Group, Call)) else []
    if isinstance(value, Call) and len(value.args) == 1 and isinstance(value.args[0], (list, tuple)):
        items = value.args[0]
    return {item for item in items if isinstance(item, str)}
