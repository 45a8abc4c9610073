"""U-Nets of fastai 1 and 2: what their weights are called, what shapes tell, and norms that are folded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import ModelError
from .modules import Layer

if TYPE_CHECKING:
    import torch

Shapes = Mapping[str, tuple[int, ...]]

_BASIC = {(2, 2, 2, 2): "resnet18", (3, 4, 6, 3): "resnet34"}
_DEEP = {(3, 4, 6, 3): "resnet50", (3, 4, 23, 3): "resnet101", (3, 8, 36, 3): "resnet152"}

NO_RESNET = "the fastai network in it is no U-Net on a plain ResNet (18, 34, 50, 101 or 152 layers)"

_STAGE = re.compile(r"layers\.(\d+)\.shuf\.(?:conv|0)\.0\.")
_HEAD = re.compile(r"layers\.(\d+)\.0\.weight(?:_v|_orig)?$")

_HARMLESS = {
    *("ReLU", "PixelShuffle", "ReplicationPad2d", "AvgPool2d", "MaxPool2d", "ResizeToOrig", "MergeLayer"),
    *("ToTensorBase", "Identity", "Lambda", "Sequential", "Conv2d", "Conv1d", "BatchNorm2d", "ModuleList"),
}
"""Layers without weights (or without any at all) that the network here has as well."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which numbered layer of a fastai U-Net is what.

    Parameters
    ----------
    version : {1, 2}
        Of fastai.
    stages : tuple of int
        Layers that double the resolution.
    shuffle, cross, head : int
        Layers behind them; `cross` is 0 where there is none.
    """

    version: int
    stages: tuple[int, ...]
    shuffle: int
    cross: int
    head: int


def layout_of(shapes: Shapes) -> Layout:
    """Tell which layer is what by the names of the weights.

    Parameters
    ----------
    shapes : mapping of str to tuple of int

    Returns
    -------
    Layout

    Raises
    ------
    ModelError
        If it is no U-Net on a ResNet.
    """
    stages = tuple(sorted({int(match[1]) for name in shapes if (match := _STAGE.match(name))}))
    heads = [int(match[1]) for name in shapes if (match := _HEAD.fullmatch(name))]
    first = any(re.match(rf"layers\.{stages[0]}\.shuf\.conv\.", name) for name in shapes) if stages else False
    head = max(heads, default=0)
    if len(stages) != 4 or head <= stages[-1] + 1:
        raise ModelError(NO_RESNET)
    inner = "layers" if first else "convpath"
    crosses = [
        n
        for n in range(stages[-1], head)
        if any(name.startswith(f"layers.{n}.{inner}.0.0.") for name in shapes)
    ]
    return Layout(1 if first else 2, stages, stages[-1] + 1, crosses[0] if crosses else 0, head)


def encoder_of(shapes: Shapes) -> str | None:
    """Tell the ResNet by its numbers of blocks and the shapes in them; None if it is another network."""
    blocks = []
    for part in (4, 5, 6, 7):
        found = {
            int(m[1])
            for name in shapes
            if (m := re.match(rf"layers\.0\.{part}\.(\d+)\.conv2\.weight$", name))
        }
        blocks.append(len(found))
    deep = "layers.0.4.0.conv3.weight" in shapes
    narrow = shapes.get("layers.0.4.0.conv2.weight", (0, 0))[:2] == (64, 64)
    plain_stem = shapes.get("layers.0.0.weight", ())[2:] == (7, 7)
    return (_DEEP if deep else _BASIC).get(tuple(blocks)) if narrow and plain_stem else None  # type: ignore[arg-type]


def unet_options(shapes: Shapes, layout: Layout, layer: Layer | None) -> dict[str, Any]:
    """Tell the settings of `FastaiUnet`.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
    layout : Layout
    layer : Layer, optional
        The pickled network, which also tells what has no weights.

    Returns
    -------
    dict
    """
    stage = f"layers.{layout.stages[0]}"
    options: dict[str, Any] = {"version": layout.version}
    norm = _norm(shapes, f"{stage}.conv1")
    shuffle = "conv." if layout.version == 1 else "0."
    if norm != "none":
        options["norm"] = norm
    if f"{stage}.shuf.{shuffle}1.weight" in shapes:
        options["shuffle_norm"] = "before"
    if f"layers.{layout.stages[1]}.conv2.{_attention_place(shapes, layout)}.gamma" in shapes:
        options["self_attention"] = True
    if not layout.cross:
        options["last_cross"] = False
    elif len(_cross_widths(shapes, layout)) > 1:
        options["bottle"] = True
    return options | (_blur(layer, layout) if layer is not None else {})


def _norm(shapes: Shapes, unit: str) -> str:
    return "before" if f"{unit}.1.weight" in shapes else "after" if f"{unit}.2.weight" in shapes else "none"


def _attention_place(shapes: Shapes, layout: Layout) -> str:
    unit = f"layers.{layout.stages[1]}.conv2"
    found = [m[1] for name in shapes if (m := re.match(rf"{re.escape(unit)}\.(\d+)\.gamma$", name))]
    return found[0] if found else ""


def _cross_widths(shapes: Shapes, layout: Layout) -> set[int]:
    """Return how many channels the two convolutions of the last block answer with."""
    inner = "layers" if layout.version == 1 else "convpath"
    starts = tuple(f"layers.{layout.cross}.{inner}.{number}.0.weight" for number in (0, 1))
    return {shape[0] for name, shape in shapes.items() if name.startswith(starts) and len(shape) == 4}


def _blur(layer: Layer, layout: Layout) -> dict[str, Any]:
    first, last = (layer.find(f"layers.{number}.shuf") for number in (layout.stages[0], layout.stages[-1]))
    if first is None or last is None or not _is_blurred(first):
        return {}
    return {"blur": True, "blur_final": _is_blurred(last)}


def _is_blurred(shuffle: Layer) -> bool:
    pools = any(child.kind.name == "AvgPool2d" for child in shuffle.children.values())
    return pools and shuffle.attributes.get("do_blur", True) is True


def strange_layers(layer: Layer) -> tuple[str, ...]:
    """Return classes of layers without weights that the network here does not have.

    Parameters
    ----------
    layer : Layer
        The pickled network.

    Returns
    -------
    tuple of str
    """
    kinds = {found.kind for _, found in layer.walk() if not found.children and not found.tensors}
    return tuple(sorted(kind.dotted for kind in kinds if kind.name not in _HARMLESS))


# -- names -----------------------------------------------------------------------------------------


def names_today(shapes: Shapes, layout: Layout) -> dict[str, str]:
    """Return the name in `FastaiUnet` of each weight; those that folding replaces keep their endings.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
    layout : Layout

    Returns
    -------
    dict of str to str
    """
    return {name: path_today(name, shapes, layout) for name in shapes}


def path_today(path: str, shapes: Shapes, layout: Layout) -> str:
    """Return the path in `FastaiUnet` of a pickled layer; its old path if it has no counterpart."""
    for old, new in _places(shapes, layout):
        if f"{path}.".startswith(f"{old}."):
            return new + path[len(old) :]
    return path


def has_no_counterpart(layer: Layer) -> bool:
    """Tell whether a layer is one that `FastaiUnet` computes without a layer of its own."""
    return layer.kind.name in ("AvgPool2d", "ReplicationPad2d", "ResizeToOrig")


def _places(shapes: Shapes, layout: Layout) -> Iterator[tuple[str, str]]:
    """Yield where each part was and where it is, the longest first within each part."""
    first = layout.version == 1
    yield "layers.0", "encoder"
    yield "layers.1", "norm"
    for number in (0, 1):
        yield from _unit(shapes, f"layers.3.{number}", f"middle.{number}")
    for number, stage in enumerate(layout.stages):
        old, new = f"layers.{stage}", f"stages.{number}"
        yield from _unit(shapes, f"{old}.shuf.{'conv' if first else '0'}", f"{new}.shuffle.unit")
        yield f"{old}.bn", f"{new}.norm"
        place = _attention_place(shapes, layout) if number == 1 else ""
        if place:
            for part in ("query", "key", "value"):
                inner = f"{old}.conv2.{place}.{part}"
                yield (inner if first else f"{inner}.0"), f"{new}.attention.{part}"
            yield f"{old}.conv2.{place}", f"{new}.attention"
        yield from _unit(shapes, f"{old}.conv1", f"{new}.conv1")
        yield from _unit(shapes, f"{old}.conv2", f"{new}.conv2")
    last = f"layers.{layout.shuffle}.{'conv' if first else '0'}"
    yield from _unit(shapes, last, "shuffle.unit")
    if layout.cross:
        inner = f"layers.{layout.cross}.{'layers' if first else 'convpath'}"
        yield from _unit(shapes, f"{inner}.0", "cross.conv1")
        yield from _unit(shapes, f"{inner}.1", "cross.conv2")
    yield from _unit(shapes, f"layers.{layout.head}", "head")


def _unit(shapes: Shapes, old: str, new: str) -> Iterator[tuple[str, str]]:
    yield f"{old}.0", f"{new}.conv"
    for place in (1, 2):
        if f"{old}.{place}.running_mean" in shapes:
            yield f"{old}.{place}", f"{new}.norm"


# -- norms of weights ------------------------------------------------------------------------------


def fold_norms(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Replace weights that are stored in parts by what the network computes with.

    Parameters
    ----------
    weights : mapping of str to torch.Tensor
        With weight normalisation (a length and a direction) or spectral normalisation (a matrix and the
        two vectors that give its largest singular value), in the two ways in which torch has stored them.

    Returns
    -------
    dict of str to torch.Tensor
        With plain weights only.
    """
    plain = dict(weights)
    for name in weights:
        start = name.removesuffix(".parametrizations.weight.original0")
        if start != name:
            length, direction = plain.pop(name), plain.pop(f"{start}.parametrizations.weight.original1")
            plain[f"{start}.weight"] = _of_length(length, direction)
        elif name.endswith(".weight_g"):
            start = name.removesuffix("_g")
            plain[start] = _of_length(plain.pop(name), plain.pop(f"{start}_v"))
        elif name.endswith(".weight_orig"):
            start = name.removesuffix("_orig")
            matrix, u, v = (plain.pop(f"{start}{end}") for end in ("_orig", "_u", "_v"))
            plain[start] = _by_spectral_norm(matrix, u, v)
        elif name.endswith(".parametrizations.weight.original"):
            inner = name.removesuffix(".original")
            matrix, u, v = (plain.pop(f"{inner}{end}") for end in (".original", ".0._u", ".0._v"))
            plain[inner.removesuffix(".parametrizations.weight") + ".weight"] = _by_spectral_norm(
                matrix, u, v
            )
    return plain


def _of_length(length: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    import torch

    return torch._weight_norm(direction, length, 0)  # rounds as the original did


def _by_spectral_norm(matrix: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    divided: torch.Tensor = matrix / (u @ (matrix.flatten(1) @ v))
    return divided
