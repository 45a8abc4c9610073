"""Architectures of segmentation-models-pytorch, told by the names and shapes of their decoders' weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]

ARCHITECTURES: tuple[tuple[str, str], ...] = (
    ("decoder.blocks.x_0_0.", "UnetPlusPlus"),
    ("decoder.center.top_conv.", "MAnet"),
    ("decoder.blocks.0.block.", "Linknet"),
    ("decoder.blocks.0.conv1.", "Unet"),
    ("decoder.seg_blocks.", "FPN"),
    ("decoder.fpa.", "PAN"),
    ("decoder.feature_norms.", "UPerNet"),
    ("decoder.mlp_stage.", "Segformer"),
    ("decoder.psp.blocks.0.pool.", "PSPNet"),
    ("decoder.psp.", "UPerNet"),
    ("decoder.aspp.0.convs.", "DeepLabV3Plus"),
    ("decoder.aspp.convs.", "DeepLabV3"),
    ("decoder.0.convs.", "DeepLabV3"),
)
"""What the weights of each decoder begin with; the first that fits counts."""

Options = dict[str, Any]


def architecture_of(names: Mapping[str, object]) -> str | None:
    """Tell the architecture by the names of its weights.

    Parameters
    ----------
    names : mapping
        With the names as keys.

    Returns
    -------
    str or None
        As segmentation-models-pytorch calls it.
    """
    return next(
        (arch for start, arch in ARCHITECTURES if any(name.startswith(start) for name in names)), None
    )


def decoder_options(architecture: str, shapes: Shapes) -> Options:
    """Tell the settings of a decoder by the shapes of its weights.

    Parameters
    ----------
    architecture : str
    shapes : mapping of str to tuple of int

    Returns
    -------
    dict
        Arguments of the architecture, without the encoder's depth where shapes do not tell it.
    """
    rule = _RULES.get(architecture)
    try:
        return rule(shapes) if rule is not None else {}
    except (KeyError, IndexError):  # weights are missing: loading them will say which
        return {}


def free_options(architecture: str) -> dict[str, tuple[Any, ...]]:
    """Return the settings that leave no trace in weights, with what they can be, the usual one first.

    Parameters
    ----------
    architecture : str

    Returns
    -------
    dict of str to tuple
    """
    return _FREE.get(architecture, {})


_FREE: dict[str, dict[str, tuple[Any, ...]]] = {
    "FPN": {"upsampling": (4, 2, 8, 1)},
    "PSPNet": {"upsampling": (8, 16, 4)},
    "PAN": {"encoder_output_stride": (16, 32), "upsampling": (4, 2, 8)},
    "DeepLabV3": {"upsampling": (8,), "decoder_atrous_rates": ((12, 24, 36),)},
    "DeepLabV3Plus": {
        "encoder_output_stride": (16, 8),
        "upsampling": (4,),
        "decoder_atrous_rates": ((12, 24, 36),),
    },
}


def _norm(shapes: Shapes, first: str) -> Options:
    """Tell whether normalisation follows the convolution that is called ``<first>.0``."""
    name = f"{first}.1.weight"
    return {} if name in shapes else {"decoder_use_norm": "identity"}


def _depth(value: int) -> Options:
    return {} if value == 5 else {"encoder_depth": value}


def _unless(name: str, value: Any, usual: Any) -> Options:
    return {} if value == usual else {name: value}


_USUAL_CHANNELS = (256, 128, 64, 32, 16)


def _channels(widths: list[int]) -> Options:
    return _unless("decoder_channels", tuple(widths), _USUAL_CHANNELS) | _depth(len(widths))


def _attention(shapes: Shapes, block: str) -> Options:
    return (
        {"decoder_attention_type": "scse"} if f"{block}.attention2.attention.cSE.1.weight" in shapes else {}
    )


def _unet(shapes: Shapes) -> Options:
    widths = _widths(shapes, r"decoder\.blocks\.(\d+)\.conv2\.0\.weight")
    block = "decoder.blocks.0"
    return _channels(widths) | _attention(shapes, block) | _norm(shapes, f"{block}.conv1")


def _unet_plus_plus(shapes: Shapes) -> Options:
    depth = 1 + max(int(match[1]) for name in shapes if (match := _LAYER.match(name)))
    names = [f"decoder.blocks.x_0_{layer}" for layer in range(depth)]
    widths = [shapes[f"{name}.conv2.0.weight"][0] for name in names]
    return _channels(widths) | _attention(shapes, names[0]) | _norm(shapes, f"{names[0]}.conv1")


_LAYER = re.compile(r"decoder\.blocks\.x_0_([0-9])\.")


def _manet(shapes: Shapes) -> Options:
    widths = _widths(shapes, r"decoder\.blocks\.(\d+)\.conv2\.0\.weight")
    pab = shapes["decoder.center.top_conv.weight"][0]
    return (
        _channels(widths)
        | _unless("decoder_pab_channels", pab, 64)
        | _norm(shapes, f"decoder.blocks.{len(widths) - 1}.conv1")
    )


def _linknet(shapes: Shapes) -> Options:
    blocks = {match[1] for name in shapes if (match := re.match(r"decoder\.blocks\.(\d+)\.", name))}
    return _depth(len(blocks)) | _norm(shapes, "decoder.blocks.0.block.0")


def _fpn(shapes: Shapes) -> Options:
    pyramid = shapes["decoder.p5.weight"][0]
    width = shapes["decoder.seg_blocks.0.block.0.block.0.weight"][0]
    merged = shapes["segmentation_head.0.weight"][1]
    return (
        _unless("decoder_pyramid_channels", pyramid, 256)
        | _unless("decoder_segmentation_channels", width, 128)
        | _unless("decoder_merge_policy", "cat" if merged == 4 * width else "add", "add")
    )


def _pan(shapes: Shapes) -> Options:
    return _unless("decoder_channels", shapes["segmentation_head.0.weight"][1], 32)


def _pspnet(shapes: Shapes) -> Options:
    width = shapes["decoder.conv.0.weight"][0]
    return _unless("psp_out_channels", width, 512) | _norm(shapes, "decoder.conv")


def _deeplab(shapes: Shapes) -> Options:
    return _unless("decoder_channels", shapes["segmentation_head.0.weight"][1], 256)


def _upernet(shapes: Shapes) -> Options:
    return _unless("decoder_channels", shapes["segmentation_head.0.weight"][1], 256)


def _segformer(shapes: Shapes) -> Options:
    return _unless("decoder_segmentation_channels", shapes["segmentation_head.0.weight"][1], 256)


def _widths(shapes: Shapes, pattern: str) -> list[int]:
    """Return how many channels each numbered block answers with, in order."""
    found = {
        int(match[1]): shape[0] for name, shape in shapes.items() if (match := re.fullmatch(pattern, name))
    }
    if not found:
        raise KeyError(pattern)
    return [found[number] for number in sorted(found)]


_RULES: dict[str, Callable[[Shapes], Options]] = {
    "Unet": _unet,
    "UnetPlusPlus": _unet_plus_plus,
    "MAnet": _manet,
    "Linknet": _linknet,
    "FPN": _fpn,
    "PAN": _pan,
    "PSPNet": _pspnet,
    "DeepLabV3": _deeplab,
    "DeepLabV3Plus": _deeplab,
    "UPerNet": _upernet,
    "Segformer": _segformer,
}
