"""What older versions of segmentation-models-pytorch called layers that have another name today."""

from __future__ import annotations

import re
from collections.abc import Iterable

_DEEPLAB = {"0": "aspp", "1": "conv", "2": "bn"}
_GERNET_STAGES = re.compile(r"\.stages\.(\d+)")


def name_today(name: str, architecture: str, encoder: str) -> str:
    """Return today's name of a layer or weight.

    Parameters
    ----------
    name : str
        As in the file: ``encoder.layer1.0.conv1.weight``, ``decoder.0.convs``.
    architecture, encoder : str
        As cards call them.

    Returns
    -------
    str
    """
    first, _, rest = name.partition(".")
    if first == "encoder" and encoder.startswith("tu-"):
        return _universal(rest, encoder)
    if name == "encoder.layer0.pool" and encoder.startswith("se"):
        return "encoder.layer0_pool"
    if first == "decoder" and architecture == "DeepLabV3":
        number, dot, behind = rest.partition(".")
        return f"decoder.{_DEEPLAB.get(number, number)}{dot}{behind}" if number else name
    return name


def _universal(rest: str, encoder: str) -> str:
    """Return the path of a layer of timm, which lies one level deeper since version 0.5."""
    inner = rest if rest == "model" or rest.startswith("model.") else f"model.{rest}".rstrip(".")
    if "gernet" in encoder:
        inner = _GERNET_STAGES.sub(r".stages_\1", f".{inner}").removeprefix(".")
    return f"encoder.{inner}" if rest else "encoder"


_CLASSIFIER = re.compile(
    r"(classification_head|encoder\.(model\.)?(_fc|fc|last_linear|classifier|head|logits))\."
)


def is_left_out(name: str) -> bool:
    """Tell whether a weight belongs to the part that names whole pictures, which masks do not need.

    Parameters
    ----------
    name : str
        As in the file.

    Returns
    -------
    bool
    """
    return _CLASSIFIER.match(name) is not None


def names_today(names: Iterable[str], architecture: str, encoder: str) -> dict[str, str]:
    """Return today's name of each weight that is needed.

    Parameters
    ----------
    names : iterable of str
        As in the file.
    architecture, encoder : str

    Returns
    -------
    dict of str to str
        Name in the file to name today.
    """
    return {name: name_today(name, architecture, encoder) for name in names if not is_left_out(name)}
