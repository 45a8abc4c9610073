"""Every attribute that a pickled network stored, compared with the network that stands for it now.

Weights that fit are no proof: paddings, strides and constants may have changed between versions of a
library without changing any weight's name or shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, get_args

from ..repairs import Repair, Setting
from .modules import Layer
from .numpy_records import plain

if TYPE_CHECKING:
    import torch

SETTINGS = frozenset(get_args(Setting))

WITHOUT_EFFECT = frozenset(
    {
        *("training", "momentum", "inplace", "p", "dump_patches", "drop_prob", "name", "transposed"),
        *("output_padding", "memory_efficient", "_reversed_padding_repeated_twice", "return_indices"),
    }
)
"""Attributes that matter in training only, for backward passes, or follow from others."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An attribute that is not what it was.

    Parameters
    ----------
    layer : str
        Path of the layer today.
    attribute : str
    stored, built : object
        Value in the file, and today's.
    """

    layer: str
    attribute: str
    stored: Any
    built: Any

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.layer}.{self.attribute} was {self.stored!r}, is {self.built!r}"


@dataclass(slots=True)
class Comparison:
    """What comparing two networks found.

    Parameters
    ----------
    layers, attributes : int
        How many were compared.
    repairs : list of Repair
        Differences that a card can mend.
    differences : list of Difference
        Those that it cannot.
    unmatched : list of str
        Stored layers with settings that have no counterpart.
    """

    layers: int = 0
    attributes: int = 0
    repairs: list[Repair] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)


def compare(
    stored: Layer,
    network: torch.nn.Module,
    today: Callable[[str], str],
    skip: Callable[[Layer], bool] | None = None,
) -> Comparison:
    """Compare every layer that was stored with its counterpart.

    Parameters
    ----------
    stored : Layer
        The pickled network.
    network : torch.nn.Module
        That is to stand for it.
    today : callable
        Gives today's path of a stored layer.
    skip : callable, optional
        Tells which stored layers are not compared.

    Returns
    -------
    Comparison
    """
    built = dict(network.named_modules())
    found = Comparison()
    for path, layer in stored.walk():
        here = today(path)
        module = built.get(here)
        if here.startswith("classification_head") or (skip is not None and skip(layer)):
            continue
        if module is not None:
            found.layers += 1
            _compare_layer(here, layer, module, found)
        elif SETTINGS & layer.attributes.keys():
            found.unmatched.append(path)
    return found


def _compare_layer(path: str, layer: Layer, module: torch.nn.Module, found: Comparison) -> None:
    padding = _padding_repair(path, layer, module)
    if padding is not None:
        found.repairs.append(padding)
    elif _does_something_else(path, layer, module):
        found.differences.append(Difference(path, "class", layer.kind.name, type(module).__name__))
    for name, value in layer.attributes.items():
        stored = _normal(plain(value))
        if name in WITHOUT_EFFECT or name.startswith("__") or stored is None or not hasattr(module, name):
            continue
        built = _normal(getattr(module, name))
        if _UNKNOWN in (built, stored):
            continue
        found.attributes += 1
        if not _equal(stored, built):
            _note(path, name, stored, built, found)


def _note(path: str, name: str, stored: Any, built: Any, found: Comparison) -> None:
    value = _like(stored, built)
    if name in SETTINGS and isinstance(value, (bool, int, float, str, tuple)):
        found.repairs.append(Repair.model_validate({"layer": path, "setting": name, "value": value}))
    else:
        found.differences.append(Difference(path, name, stored, built))


def _padding_repair(path: str, layer: Layer, module: torch.nn.Module) -> Repair | None:
    """Mend a padding layer that is a placeholder on one of the two sides."""
    stored, built = layer.kind.name, type(module).__name__
    if stored == "ZeroPad2d" and built == "Identity":
        value = _normal(plain(layer.attributes.get("padding")))
    elif stored == "Identity" and built == "ZeroPad2d":
        value = (0, 0, 0, 0)
    else:
        return None
    return Repair.model_validate({"layer": path, "setting": "padding", "value": value})


_SAME = {
    "UpsamplingBilinear2d": "Upsample",
    "MemoryEfficientSwish": "SiLU",
    "Swish": "SiLU",
    **dict.fromkeys(("Dropout", "Dropout2d", "DropPath", "DropBlock2d"), "Identity"),
}
"""Layers without weights that compute the same, at least in use."""


def _does_something_else(path: str, layer: Layer, module: torch.nn.Module) -> bool:
    """Tell whether a layer without weights is of another kind than it was."""
    if layer.children or layer.tensors or any(True for _ in module.parameters()):
        return False  # weights that fit say enough; containers may have any name
    stored, built = (_SAME.get(name, name) for name in (layer.kind.name, type(module).__name__))
    return stored != built and not path.startswith("segmentation_head.2") and not list(module.children())


class _Unknown:
    pass


_UNKNOWN = _Unknown()


def _normal(value: Any) -> Any:
    """Bring values of either side into one form: tuples for lists, floats for fractions."""
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, (list, tuple)):
        items = tuple(_normal(item) for item in value)
        return _UNKNOWN if any(item is _UNKNOWN or item is None for item in items) else items
    return _UNKNOWN


def _equal(stored: Any, built: Any) -> bool:
    """Compare; one number stands for a row of equal numbers."""
    if isinstance(stored, tuple) != isinstance(built, tuple):
        row, single = (stored, built) if isinstance(stored, tuple) else (built, stored)
        return len(row) > 0 and all(item == single for item in row)
    return bool(stored == built)


def _like(stored: Any, built: Any) -> Any:
    """Give a single number the form of the row that it is to replace."""
    if isinstance(built, tuple) and not isinstance(stored, tuple):
        return (stored,) * len(built)
    return stored
