"""Write the table of encoders by which a state dict without a name is recognised.

    python tools/encoder_table.py [encoder_preprocessing.json]

Each encoder of segmentation-models-pytorch, and many of timm's, is built with random weights; the names and
shapes of its weights become one short number per depth. Mean and standard deviation come from timm and from
the given file, which lists what segmentation-models-pytorch would fetch from the network. Run it again when
either library has new encoders.
"""

from __future__ import annotations

import fnmatch
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import timm
import torch
from segmentation_models_pytorch.encoders import get_encoder, get_encoder_names

from napari_specimen_seg.models.legacy.encoders import TABLE, canonical, shapes_digest

FROM_TIMM = """
    resnet10t resnet14t resnet18 resnet18d resnet26 resnet26d resnet34 resnet34d resnet50 resnet50d
    resnet101 resnet101d resnet152 wide_resnet50_2 resnext50_32x4d resnext101_32x8d seresnet50
    seresnext50_32x4d resnest*
    res2net* res2next50 gernet_* regnetx_* regnety_0* regnety_120 regnety_160 regnety_320 efficientnet_b[0-5]
    tf_efficientnet_b[0-7] tf_efficientnet_lite* efficientnet_lite0 tf_efficientnetv2_[sml]
    tf_efficientnetv2_b* efficientnetv2_rw_* mobilenetv2_* mobilenetv3_* tf_mobilenetv3_* mobilenetv4_conv_*
    convnext_tiny convnext_small convnext_base convnextv2_tiny convnextv2_base hrnet_* densenet121 densenet161
    densenet169 densenet201 dla34 dla60 skresnet* skresnext50_32x4d
"""
"""Patterns of timm's names; the table would be large with all of its thousand networks."""

OLD_NAMES = ("regnet", "res2", "resnest", "mobilenetv3", "gernet")
"""Encoders that were called ``timm-…`` before version 0.5 and are ``tu-…`` now."""

STATISTICS = {"imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}


def names() -> list[str]:
    """Return every encoder of the table, as cards call it."""
    wanted = {name for pattern in FROM_TIMM.split() for name in fnmatch.filter(timm.list_models(), pattern)}
    return [*get_encoder_names(), *(f"tu-{name}" for name in sorted(wanted))]


def shapes(name: str, depth: int, channels: int) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of an encoder's weights; None where there is no such depth."""
    try:
        try:
            with torch.device("meta"):
                encoder = get_encoder(name, in_channels=channels, depth=depth, weights=None)
        except RuntimeError:
            encoder = get_encoder(name, in_channels=channels, depth=depth, weights=None)
    except Exception as error:
        print(f"{name} at depth {depth}: {type(error).__name__}", file=sys.stderr)
        return None
    return {canonical(key): tuple(tensor.shape) for key, tensor in encoder.state_dict().items()}


def all_shapes() -> dict[str, dict[int, dict[str, tuple[int, ...]]]]:
    """Return shapes by name and depth, deepest first."""
    found = {}
    for name in names():
        depths = (5, 4, 3) if name.startswith("tu-") else (5,)
        made = {depth: shapes(name, depth, 3) for depth in depths}
        made = {depth: value for depth, value in made.items() if value is not None}
        if made:
            found[name] = made
    return found


def input_keys(name: str, known: dict[str, tuple[int, ...]]) -> list[str]:
    """Return which weights depend on the number of input channels."""
    other = shapes(name, 5, 5) or known
    return [key for key, shape in known.items() if other.get(key, shape) != shape]


def statistics(name: str, given: dict[str, Any]) -> tuple[list[float], list[float]] | None:
    """Return mean and standard deviation that an encoder was trained with."""
    old = {f"tu-{n.removeprefix('timm-')}": n for n in given if n.startswith("timm-")}
    old |= {f"tu-tf_{n.removeprefix('timm-')}": n for n in given if n.startswith("timm-mobilenetv3")}
    entry = given.get(name) or given.get(old.get(name, ""))
    if entry is not None:
        chosen = entry.get("imagenet") or next(iter(entry.values()))
        return chosen["mean"], chosen["std"]
    if name.startswith("tu-"):
        config = timm.get_pretrained_cfg(name.removeprefix("tu-"), allow_unregistered=True)
        return (list(config.mean), list(config.std)) if config is not None else None
    return [list(values) for values in STATISTICS["imagenet"]]


def main(arguments: list[str]) -> None:
    """Write the table."""
    warnings.simplefilter("ignore")
    given = json.loads(Path(arguments[0]).read_text("utf-8")) if arguments else {}
    built = all_shapes()
    inputs = {name: input_keys(name, made[max(made)]) for name, made in built.items()}
    every_input = {key for keys in inputs.values() for key in keys}
    normals: list[Any] = []
    rows = {}
    for name, made in built.items():
        normal = statistics(name, given)
        if normal not in normals:
            normals.append(normal)
        bare = name.removeprefix("tu-").removeprefix("tf_")
        rows[name] = {
            "input": inputs[name][0] if inputs[name] else "",
            "statistics": normals.index(normal),
            "shapes": {str(depth): shapes_digest(value, every_input) for depth, value in made.items()},
            **({"old": True} if name.startswith("tu-") and bare.startswith(OLD_NAMES) else {}),
        }
    table = {"inputs": sorted(every_input), "statistics": normals, "encoders": rows}
    text = json.dumps(table, indent=0, separators=(",", ":")).replace('"shapes":{\n', '"shapes":{')
    TABLE.write_text(text + "\n", encoding="utf-8")
    print(f"{len(rows)} encoders, {TABLE.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
