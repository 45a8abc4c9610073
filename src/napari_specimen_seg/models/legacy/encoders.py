"""Encoders by the names and shapes of their weights, and the mean and deviation that they were trained with.

The table beside this file holds facts about segmentation-models-pytorch and timm; it is written by
``tools/encoder_table.py``. The library would fetch mean and deviation from the network.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("encoders.json")

Shapes = Mapping[str, tuple[int, ...]]

_NUMBERED = re.compile(r"^([a-z]+)_(\d+)\.")


@dataclass(frozen=True, slots=True)
class Encoder:
    """What is known of an encoder.

    Parameters
    ----------
    name : str
        As cards call it.
    input : str
        The weight whose second axis is the number of input channels; empty if not known.
    statistics : tuple, optional
        Mean and standard deviation for values of 0 to 1, red, green, blue.
    """

    name: str
    input: str
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None


def canonical(key: str) -> str:
    """Return the name of an encoder's weight, the same in all versions of the libraries.

    Parameters
    ----------
    key : str
        Without ``encoder.``.

    Returns
    -------
    str
    """
    return _NUMBERED.sub(r"\1.\2.", key.removeprefix("model."))


def shapes_digest(shapes: Shapes, inputs: Collection[str]) -> str:
    """Return a short number for the names and shapes of an encoder's weights.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        By canonical name.
    inputs : collection of str
        Weights whose second axis depends on the number of input channels, which is left out.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    rows = []
    for key, shape in sorted(shapes.items()):
        if key.endswith("num_batches_tracked"):  # very old files lack these
            continue
        rows.append((key, shape[:1] + shape[2:] if key in inputs else shape))
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


def known_encoder(name: str) -> Encoder | None:
    """Return what is known of an encoder.

    Parameters
    ----------
    name : str
        As cards call it.

    Returns
    -------
    Encoder or None
    """
    table = _table()
    row = table["encoders"].get(name)
    if row is None:
        return None
    normal = table["statistics"][row["statistics"]]
    statistics = None if normal is None else (tuple(normal[0]), tuple(normal[1]))
    return Encoder(name, row["input"], statistics)


def encoders_of(shapes: Shapes) -> dict[str, int]:
    """Find the encoders whose weights have these names and shapes.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Names without ``encoder.``, as in the file.

    Returns
    -------
    dict of str to int
        Name as cards call it, and depth; several where shapes alone cannot tell.
    """
    table = _table()
    universal = any(key.startswith("model.") for key in shapes)
    digest = shapes_digest({canonical(key): shape for key, shape in shapes.items()}, table["inputs"])
    found = {}
    for name, row in table["encoders"].items():
        if name.startswith("tu-") != universal and not row.get("old"):
            continue
        depth = next((int(depth) for depth, known in row["shapes"].items() if known == digest), None)
        if depth is not None:
            found[name] = depth
    return found


def today(name: str) -> str:
    """Return what the installed library calls an encoder of any version.

    Parameters
    ----------
    name : str
        Such as ``timm-regnetx_002``.

    Returns
    -------
    str
        Such as ``tu-regnetx_002``.
    """
    bare = name.removeprefix("timm-")
    if bare != name and bare.startswith("mobilenetv3"):
        return f"tu-tf_{bare}"
    renamed = bare != name and bare.startswith(("regnet", "res2", "resnest", "gernet"))
    return f"tu-{bare}" if renamed else name


def input_channels(shapes: Shapes, encoder: str) -> int | None:
    """Tell how many channels an encoder takes, from the shape of its first weights.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Names without ``encoder.``, as in the file.
    encoder : str
        As cards call it.

    Returns
    -------
    int or None
        None if it cannot be told.
    """
    table = _table()
    known = known_encoder(encoder)
    wanted = [known.input] if known is not None and known.input else table["inputs"]
    named = {canonical(key): shape for key, shape in shapes.items()}
    found = {named[key][1] for key in wanted if len(named.get(key, ())) >= 2}
    return found.pop() if len(found) == 1 else None
