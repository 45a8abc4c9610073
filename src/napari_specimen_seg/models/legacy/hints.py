"""What a file says beside its weights: class names, hyperparameters, how pictures were scaled."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .numpy_records import is_leaf, plain
from .records import Call, Group, Table, Value, state_table
from .tensors import TensorError, TensorRef, as_tensor

NESTED = (
    "hyper_parameters",
    "hparams",
    "config",
    "cfg",
    "args",
    "params",
    "model_kwargs",
    "meta",
    "model_args",
)
"""Keys under which settings are kept, one level down."""

KEYS: dict[str, tuple[str, ...]] = {
    "architecture": ("architecture", "arch", "model_class", "model_name", "decoder_name", "decoder"),
    "encoder": ("encoder_name", "encoder", "backbone"),
    "activation": ("activation",),
    "classes": ("class_names", "classes", "labels", "label_names", "categories", "CLASSES", "names"),
}
"""What a setting may be called."""

MAX_VISITED = 50_000


@dataclass(frozen=True, slots=True)
class Hints:
    """What a file says; to be believed only as far as its weights agree.

    Parameters
    ----------
    architecture, encoder, activation : str
        Empty where nothing is said.
    classes : tuple of str
        Names in the order of the channels.
    """

    architecture: str = ""
    encoder: str = ""
    activation: str = ""
    classes: tuple[str, ...] = ()


def hints_of(root: Value, metadata: Mapping[str, str]) -> Hints:
    """Read what a file says beside its weights.

    Parameters
    ----------
    root : Value
    metadata : mapping of str to str
        Of a safetensors file.

    Returns
    -------
    Hints
    """
    said = dict(_settings(root)) | {key: _from_json(value) for key, value in metadata.items()}
    texts = {
        field: _first(said, KEYS[field], _text) or "" for field in ("architecture", "encoder", "activation")
    }
    return Hints(**texts, classes=_first(said, KEYS["classes"], _names) or ())


def _settings(root: Value) -> Iterator[tuple[str, Any]]:
    if not isinstance(root, Table):
        return
    entries = root.texts()
    for key in NESTED:
        inner = entries.get(key)
        table = inner if isinstance(inner, Table) else state_table(inner)
        if table is not None:
            yield from ((name, plain(value)) for name, value in table.texts().items() if not _is_big(value))
    yield from ((name, plain(value)) for name, value in entries.items() if not _is_big(value))


def _is_big(value: Value) -> bool:
    return isinstance(value, Call) and state_table(value) is not None


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _first(said: Mapping[str, Any], keys: tuple[str, ...], read: Callable[[Any], Any]) -> Any:
    return next((found for key in keys if key in said and (found := read(said[key]))), None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 80 else None


def _names(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, dict) and all(str(key).isdigit() for key in value):
        value = [value[key] for key in sorted(value, key=int)]
    if not isinstance(value, list) or not all(
        isinstance(item, str) and 0 < len(item) <= 200 for item in value
    ):
        return None
    return tuple(value) if 0 < len(value) <= 1000 and len(set(value)) == len(value) else None


# -- fastai's pipeline -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What fastai did with a picture before the network saw it.

    Parameters
    ----------
    classes : tuple of str
    size : tuple of int, optional
        Height and width.
    method : str
        How it came to that size: ``squish``, ``pad`` or ``crop``; empty if it did not.
    mean, std : TensorRef, optional
        Subtracted and divided by; None if values were only scaled to 0 to 1.
    """

    classes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    method: str = ""
    mean: TensorRef | None = None
    std: TensorRef | None = None


def pipeline_of(root: Value) -> Pipeline:
    """Find the pipeline in a fastai export.

    Parameters
    ----------
    root : Value

    Returns
    -------
    Pipeline
    """
    classes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    method, mean, std = "", None, None
    for value in _everything(root):
        table = value if isinstance(value, Table) else state_table(value)
        name = value.name.rpartition(".")[2] if isinstance(value, Call) else ""
        if table is None:
            continue
        if name in ("AddMaskCodes", "SegmentationProcessor") and not classes:
            classes = _names(plain(table.get("codes") or table.get("classes"))) or ()
        elif size is None and isinstance(table.get("tfmargs"), Table):  # fastai 1, which crops
            size, method = _size(plain(table.get("tfmargs").get("size"))), "crop"
        elif name == "Resize" and size is None:
            size, method = _size(plain(table.get("size"))), str(plain(table.get("method")) or "crop")
        elif mean is None and isinstance(table.get("mean"), Call) and name in ("", "Normalize"):
            mean, std = _safe_tensor(table.get("mean")), _safe_tensor(table.get("std"))
    return Pipeline(classes, size, method, mean, std)


def _everything(root: Value) -> Iterator[Value]:
    """Iterate over all records, each once, as far as a bound."""
    waiting, seen = deque([root]), set[int]()
    while waiting and len(seen) < MAX_VISITED:
        value = waiting.popleft()
        if is_leaf(value) or id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, (list, tuple)):
            waiting.extend(value)
        elif isinstance(value, Group):
            waiting.extend(value.items)
        elif isinstance(value, Table):
            waiting.extend(value.values())
        else:
            waiting.extend((value.state, value.args, value.kwargs, value.items))
            waiting.extend(item for _, item in value.pairs)


def _size(value: Any) -> tuple[int, int] | None:
    sides = [value, value] if isinstance(value, int) else value
    if (
        isinstance(sides, list)
        and len(sides) == 2
        and all(isinstance(s, int) and 16 <= s <= 16384 for s in sides)
    ):
        return sides[0], sides[1]
    return None


def _safe_tensor(value: Value) -> TensorRef | None:
    try:
        return as_tensor(value)
    except TensorError:
        return None
