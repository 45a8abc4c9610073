"""Settings of single layers that a network needs beside its name: what older libraries did differently.

A checkpoint that was made with another version of a library may come with other paddings, strides or
constants than the installed version builds. A card notes each of them, so that the model folder alone
gives back the original network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt

from ..core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

Setting = Literal[
    "align_corners",
    "approximate",
    "ceil_mode",
    "count_include_pad",
    "dilation",
    "eps",
    "interpolation_mode",
    "kernel_size",
    "mode",
    "negative_slope",
    "output_size",
    "padding",
    "scale_factor",
    "stride",
]
"""Attributes of layers that change what they compute and can be set after the layer was built."""

Number = Annotated[StrictInt, Field(ge=0, le=8192)] | Annotated[StrictFloat, Field(ge=0, le=8192)]
Value = (
    StrictBool
    | Number
    | Annotated[str, Field(pattern=r"^[a-z-]{1,20}$")]
    | Annotated[tuple[Number, ...], Field(max_length=8)]
    | None
)


class Repair(BaseModel):
    """One setting of one layer.

    Parameters
    ----------
    layer : str
        Its path in the network: ``encoder._blocks.3._depthwise_conv.static_padding``.
    setting : str
        Name of the attribute.
    value : bool, number, str, tuple of numbers, or None
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: Annotated[str, Field(pattern=r"^\w+(\.\w+)*$", max_length=300)]
    setting: Setting
    value: Value


def apply_repairs(network: torch.nn.Module, repairs: Sequence[Repair], name: str) -> None:
    """Set what a card notes about single layers.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place.
    repairs : sequence of Repair
    name : str
        Of the model, for messages.

    Raises
    ------
    ModelError
        If the network has no such layer, or the layer no such setting.
    """
    for repair in repairs:
        try:
            layer = network.get_submodule(repair.layer)
        except AttributeError as error:
            raise ModelError(f"{name}: the card names layer {repair.layer!r}, which is not there") from error
        _set(network, layer, repair, name)


def _set(network: torch.nn.Module, layer: torch.nn.Module, repair: Repair, name: str) -> None:
    from torch import nn

    if isinstance(layer, nn.Identity) and repair.setting == "padding":
        assert isinstance(repair.value, tuple)
        network.set_submodule(repair.layer, nn.ZeroPad2d(_whole(repair.value)))
        return
    known = getattr(layer, repair.setting, layer)
    if known is layer or not _alike(known, repair.value):
        raise ModelError(f"{name}: layer {repair.layer!r} has no setting {repair.setting} of this kind")
    setattr(layer, repair.setting, repair.value)


def _alike(known: Any, value: Any) -> bool:
    """Tell whether a value can stand in the place of another: numbers, text, or rows of equal length."""
    if isinstance(known, tuple) and isinstance(value, tuple):
        return len(known) == len(value)
    kinds: tuple[type | tuple[type, ...], ...] = ((int, float), str, tuple, type(None))
    return any(isinstance(known, kind) and isinstance(value, kind) for kind in kinds) or None in (
        known,
        value,
    )


def _whole(values: tuple[int | float, ...]) -> tuple[int, int, int, int]:
    left, right, top, bottom = (int(value) for value in values)
    return left, right, top, bottom
