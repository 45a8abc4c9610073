"""Where in a file the weights of a network are: whole networks, state dicts, and what wraps them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ...core.errors import ModelError, one_line
from .fastai import NO_RESNET
from .modules import Layer, as_layer, is_module
from .numpy_records import is_leaf
from .records import Call, Group, Table, Value, state_table
from .tensors import TensorRef, as_tensor

MAX_VISITED = 200_000
"""How many values are looked into. Weights lie near the top."""

MAX_DEPTH = 8

MAX_NETWORKS = 32
"""A student, a teacher and their averages are four."""

MAX_TENSORS = 50_000
"""The largest encoder has 3,000."""

_KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)*", re.ASCII)

_SMP = re.compile(r"^(.*?)segmentation_head\.0\.weight$")
_FASTAI = re.compile(
    r"^(.*?)layers\.\d+\.shuf\.(?:conv|0)\.0\.(?:weight\w*|parametrizations\.weight\.original0)$"
)

Family = Literal["smp", "fastai"]


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that belong together, by their names.

    Parameters
    ----------
    where : str
        The keys that lead to them, with dots between: ``state_dict``; empty at the top.
    tensors : dict of str to TensorRef
    layer : Layer, optional
        The whole network, if that was pickled.
    """

    where: str
    tensors: dict[str, TensorRef]
    layer: Layer | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """A network of a known family within weights.

    Parameters
    ----------
    label : str
        What a person chooses it by, if there are several.
    family : {"smp", "fastai"}
        Which library made it.
    tensors : dict of str to TensorRef
        By the names within the network.
    layer : Layer, optional
        The pickled network.
    wrapped_in : tuple of str
        Classes around it, outermost first.
    left_out : tuple of str
        Names of weights beside it.
    """

    label: str
    family: Family
    tensors: dict[str, TensorRef]
    layer: Layer | None = None
    wrapped_in: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def find_weights(root: Value) -> list[Weights]:
    """Find whole networks and state dicts, the outermost first.

    Parameters
    ----------
    root : Value
        What unpickling would have given.

    Returns
    -------
    list of Weights

    Raises
    ------
    ModelError
        If something that looks like weights is broken.
    """
    found: list[Weights] = []
    waiting: deque[tuple[str, Value, int]] = deque([("", root, 0)])
    seen: set[int] = set()
    while waiting and len(seen) < MAX_VISITED:
        where, value, depth = waiting.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        weights = _weights_at(where, value)
        if weights is not None:
            found.append(weights)
        elif depth < MAX_DEPTH:
            waiting.extend((path, inner, depth + 1) for path, inner in _inside(where, value))
    return found


def _weights_at(where: str, value: Value) -> Weights | None:
    if isinstance(value, Call) and is_module(value):
        layer = as_layer(value)
        tensors = layer.state()
        return Weights(where, tensors, layer) if tensors else None
    if isinstance(value, Table):
        tensors = _state_dict(value)
        return Weights(where, tensors) if tensors else None
    return None


def _state_dict(table: Table) -> dict[str, TensorRef]:
    """Return the tensors of a dictionary if it is a state dict: names with dots, mostly tensors."""
    entries = table.texts()
    if not any("." in key for key in entries):
        return {}
    if len(entries) > MAX_TENSORS:
        raise ModelError(f"refused: it holds {len(entries)} weights, more than any network has")
    tensors = {key: tensor for key, value in entries.items() if (tensor := as_tensor(value)) is not None}
    return tensors if 2 * len(tensors) > len(entries) else {}


def _inside(where: str, value: Value) -> Iterator[tuple[str, Value]]:
    state = state_table(value)
    if isinstance(value, Table) or state is not None:
        table = value if isinstance(value, Table) else state
        assert table is not None
        for key, item in table.pairs:
            if not is_leaf(item):
                name = key if isinstance(key, str) else "?"
                yield (f"{where}.{name}" if where else name), item
    elif isinstance(value, (list, tuple, Group)):
        items = value.items if isinstance(value, Group) else value
        yield from ((where, item) for item in items if not is_leaf(item))
    if isinstance(value, Call):
        yield from ((where, item) for _, item in value.pairs if not is_leaf(item))


def find_networks(root: Value) -> list[Network]:
    """Find the networks of known families.

    Parameters
    ----------
    root : Value
        What unpickling would have given.

    Returns
    -------
    list of Network
        Each once, even if the file holds the same weights under several names.

    Raises
    ------
    ModelError
        If there are no weights, or none of a known family.
    """
    weights = find_weights(root)
    networks: list[Network] = []
    for candidate in weights:
        for network in _networks_in(candidate):
            if not any(_same(network, known) for known in networks):
                networks.append(network)
        if len(networks) > MAX_NETWORKS:
            raise ModelError(f"refused: it holds more than {MAX_NETWORKS} networks")
    if not networks:
        raise _nothing(weights)
    return networks


def _networks_in(weights: Weights) -> Iterator[Network]:
    for pattern, family in ((_SMP, "smp"), (_FASTAI, "fastai")):
        prefixes = dict.fromkeys(match[1] for key in weights.tensors if (match := pattern.match(key)))
        if len(prefixes) > MAX_NETWORKS:  # each is compared with each
            raise ModelError(f"refused: it holds {len(prefixes)} networks")
        for prefix in prefixes:
            yield _network(weights, prefix, "smp" if family == "smp" else "fastai")


def _network(weights: Weights, prefix: str, family: Family) -> Network:
    path = prefix.rstrip(".")
    tensors = {
        key.removeprefix(prefix): ref for key, ref in weights.tensors.items() if key.startswith(prefix)
    }
    if family == "fastai":
        tensors = {key: ref for key, ref in tensors.items() if key.startswith("layers.")}
    _refuse_odd_names(prefix, tensors)
    others = tuple(key for key in weights.tensors if not key.startswith(prefix))
    label = ".".join(filter(None, (weights.where, path)))
    layer = weights.layer.find(path) if weights.layer is not None else None
    return Network(label or "network", family, tensors, layer, _wrappers(weights.layer, path), others)


def _refuse_odd_names(prefix: str, tensors: dict[str, TensorRef]) -> None:
    for key in tensors:
        name = prefix + key
        if len(name) > 300 or not _KEY.fullmatch(name):
            raise ModelError(f"a weight in it has a name that no network has: {one_line(name, 60)!r}")


def _wrappers(layer: Layer | None, path: str) -> tuple[str, ...]:
    """Return the classes of the modules around the one at a path."""
    found = []
    for name in filter(None, path.split(".")):
        if layer is None:
            break
        found.append(layer.kind.dotted)
        layer = layer.children.get(name)
    return tuple(found)


def _same(one: Network, other: Network) -> bool:
    return one.family == other.family and one.tensors == other.tensors


def _nothing(weights: list[Weights]) -> ModelError:
    if not weights:
        return ModelError("there are no weights of a network in it")
    most = max(weights, key=lambda candidate: len(candidate.tensors))
    names = ", ".join(one_line(key, 40) for key in list(most.tensors)[:2])
    for key in most.tensors:
        if "/" in key or ".." in key:
            return ModelError(f"a weight in it has a name that no network has: {one_line(key, 60)!r}")
    if most.layer is not None and most.layer.kind.name == "DynamicUnet":
        return ModelError(NO_RESNET)
    kind = f" ({most.layer.kind})" if most.layer is not None else ""
    return ModelError(
        f"the weights in it{kind} are of no network that this program knows: {names}, …",
        advice="It knows networks of segmentation-models-pytorch and U-Nets of fastai.",
    )
