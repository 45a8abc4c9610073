"""The U-Net that fastai's ``unet_learner`` builds on a ResNet, in plain torch.

Each stage doubles the resolution by pixel shuffle (Shi et al. 2016, arXiv:1609.05158), joins the normalised
features of the encoder and applies two convolutions; at the end the picture itself is joined once more.
The third stage from the end may have self-attention (Zhang et al. 2018, arXiv:1805.08318). Versions 1 and 2
of fastai differ in the order of normalisation and activation, and in where the last sum is rectified.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

ENCODERS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")

Norm = Literal["none", "before", "after"]
"""Where batch normalisation stands: nowhere, before the activation, or after it."""

_TAPS = (2, 4, 5, 6)
"""Parts of a ResNet body behind which the resolution changes."""


class ConvUnit(nn.Module):
    """A convolution with padding, batch normalisation and ReLU, the latter two where wanted.

    Parameters
    ----------
    inside, outside : int
        Channels.
    size : int
        Side of the kernel.
    norm : {"none", "before", "after"}
    active : bool
        Whether ReLU follows.
    bias : bool
        Of the convolution.
    """

    def __init__(
        self,
        inside: int,
        outside: int,
        size: int = 3,
        norm: Norm = "none",
        active: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, size, padding=size // 2, bias=bias)
        self.norm = nn.Identity() if norm == "none" else nn.BatchNorm2d(outside)
        self.active = active
        self.norm_last = norm == "after"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply it to (N, C, Y, X)."""
        x = self.conv(x)
        if not self.norm_last:
            x = self.norm(x)
        if self.active:
            x = functional.relu(x)
        if self.norm_last:
            x = self.norm(x)
        return x


class SelfAttention(nn.Module):
    """Every pixel looks at every other (SAGAN); weights are stored with their spectral norm divided out.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv1d(channels, channels // 8, 1, bias=False)
        self.key = nn.Conv1d(channels, channels // 8, 1, bias=False)
        self.value = nn.Conv1d(channels, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply it to (N, C, Y, X)."""
        flat = x.flatten(2)
        query, key, value = self.query(flat), self.key(flat), self.value(flat)
        weights = torch.softmax(torch.bmm(query.transpose(1, 2), key), dim=1)
        return (self.gamma * torch.bmm(value, weights) + flat).view_as(x)


class Shuffle(nn.Module):
    """Twice the resolution: a convolution to four times the channels, then pixel shuffle.

    Parameters
    ----------
    inside, outside : int
        Channels.
    norm : {"none", "before", "after"}
    blur : bool
        Whether an average over 2 x 2 pixels follows.
    """

    def __init__(self, inside: int, outside: int, norm: Norm, blur: bool) -> None:
        super().__init__()
        self.unit = ConvUnit(inside, 4 * outside, 1, norm, bias=norm == "none")
        self.blur = blur

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply it to (N, C, Y, X)."""
        x = functional.pixel_shuffle(self.unit(x), 2)
        if self.blur:
            x = functional.avg_pool2d(functional.pad(x, (1, 0, 1, 0), mode="replicate"), 2, stride=1)
        return x


class Stage(nn.Module):
    """One step up: shuffle, join the encoder's features, two convolutions.

    Parameters
    ----------
    below, skip : int
        Channels from below and of the encoder's features.
    last : bool
        Whether it is the last, which halves its channels.
    norm, shuffle_norm : {"none", "before", "after"}
        Of the convolutions, and of the one before the shuffle.
    blur, attention : bool
    bias : bool
        Of the convolutions.
    """

    def __init__(
        self,
        below: int,
        skip: int,
        *,
        last: bool,
        norm: Norm,
        shuffle_norm: Norm,
        blur: bool,
        attention: bool,
        bias: bool,
    ) -> None:
        super().__init__()
        self.shuffle = Shuffle(below, below // 2, shuffle_norm, blur)
        self.norm = nn.BatchNorm2d(skip)
        joined = below // 2 + skip
        self.channels = joined // 2 if last else joined
        self.conv1 = ConvUnit(joined, self.channels, norm=norm, bias=bias)
        self.conv2 = ConvUnit(self.channels, self.channels, norm=norm, bias=bias)
        self.attention = SelfAttention(self.channels) if attention else nn.Identity()

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Join (N, C, y, x) from below with (N, C, Y, X) of the encoder."""
        x = _to_size_of(self.shuffle(x), skip)
        x = functional.relu(torch.cat([x, self.norm(skip)], dim=1))
        out: torch.Tensor = self.attention(self.conv2(self.conv1(x)))
        return out


class Cross(nn.Module):
    """The last residual block, on the features and the picture together.

    Parameters
    ----------
    channels, inner : int
    norm : {"none", "before", "after"}
    version : {1, 2}
        Of fastai: 1 rectifies before the sum, 2 after it.
    bias : bool
    """

    def __init__(self, channels: int, inner: int, norm: Norm, version: int, bias: bool) -> None:
        super().__init__()
        self.conv1 = ConvUnit(channels, inner, norm=norm, bias=bias)
        self.conv2 = ConvUnit(inner, channels, norm=norm, active=version == 1, bias=bias)
        self.version = version

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply it to (N, C, Y, X)."""
        out: torch.Tensor = self.conv2(self.conv1(x)) + x
        return out if self.version == 1 else functional.relu(out)


class FastaiUnet(nn.Module):
    """fastai's ``DynamicUnet`` on a ResNet.

    Parameters
    ----------
    encoder_name : {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152"}
    in_channels, classes : int
    version : {1, 2}
        Of fastai.
    norm, shuffle_norm : {"none", "before", "after"}
        Batch normalisation of the decoder's convolutions, and of those before a shuffle.
    blur, blur_final : bool
        Whether shuffles are followed by an average over 2 x 2 pixels; `blur_final`: also the last stage's.
    self_attention : bool
    last_cross : bool
        Whether the picture is joined again at the end.
    bottle : bool
        Whether the last block has half the channels inside.
    activation : {"sigmoid", "softmax2d"} or callable, optional

    Notes
    -----
    Takes (N, in_channels, Y, X) of any size and answers (N, classes, Y, X).
    """

    def __init__(
        self,
        encoder_name: str,
        in_channels: int = 3,
        classes: int = 2,
        *,
        version: int = 2,
        norm: Norm = "none",
        shuffle_norm: Norm = "none",
        blur: bool = False,
        blur_final: bool = True,
        self_attention: bool = False,
        last_cross: bool = True,
        bottle: bool = False,
        activation: str | Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.encoder, widths = _encoder(encoder_name, in_channels)
        deep, bias = widths[-1], norm == "none"
        self.norm = nn.BatchNorm2d(deep)
        self.middle = nn.Sequential(
            ConvUnit(deep, 2 * deep, norm=norm, bias=bias), ConvUnit(2 * deep, deep, norm=norm, bias=bias)
        )
        self.stages = nn.ModuleList()
        channels = deep
        for number, skip in enumerate(reversed(widths[:-1])):
            last = number == len(widths) - 2
            stage = Stage(
                channels,
                skip,
                last=last,
                norm=norm,
                shuffle_norm=shuffle_norm,
                blur=blur and (blur_final or not last),
                attention=self_attention and number == len(widths) - 4,
                bias=bias,
            )
            self.stages.append(stage)
            channels = stage.channels
        self.shuffle = Shuffle(channels, channels, shuffle_norm, False)
        self.cross: Cross | None = None
        if last_cross:
            channels += in_channels
            self.cross = Cross(channels, channels // 2 if bottle else channels, norm, version, bias)
        self.head = ConvUnit(channels, classes, 1, norm, active=False, bias=bias)
        self.activation = activation() if callable(activation) else _ACTIVATIONS[activation]()

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Answer with class scores, (N, classes, Y, X)."""
        x, skips = picture, []
        for number, part in enumerate(self.encoder):
            x = part(x)
            if number in _TAPS:
                skips.append(x)
        x = self.middle(functional.relu(self.norm(x)))
        for stage, skip in zip(self.stages, reversed(skips), strict=True):
            x = stage(x, skip)
        x = _to_size_of(self.shuffle(x), picture)
        if self.cross is not None:
            x = self.cross(torch.cat([x, picture], dim=1))
        answer: torch.Tensor = self.activation(self.head(x))
        return answer


def _softmax() -> nn.Module:
    return nn.Softmax(dim=1)


_ACTIVATIONS = {None: nn.Identity, "sigmoid": nn.Sigmoid, "softmax2d": _softmax}


def _to_size_of(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Resize by nearest neighbour where the encoder rounded an odd size up."""
    if x.shape[-2:] == other.shape[-2:]:
        return x
    return functional.interpolate(x, other.shape[-2:], mode="nearest")


def _encoder(name: str, in_channels: int) -> tuple[nn.Sequential, Sequence[int]]:
    """Return a ResNet without its classifier, and its channels where the resolution changes."""
    import torchvision

    if name not in ENCODERS:
        raise ValueError(f"encoder {name!r} is not known for FastaiUnet")
    network = getattr(torchvision.models, name)(weights=None)
    if in_channels != 3:
        network.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
    wide = 1 if name in ("resnet18", "resnet34") else 4
    body = nn.Sequential(*list(network.children())[:-2])
    return body, (64, 64 * wide, 128 * wide, 256 * wide, 512 * wide)
