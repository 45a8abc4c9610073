"""One transform for picture and mask: the picture is interpolated once, masks are always nearest.

Flips, turns, shift, scale, rotation and elastic deformation are composed into one field of positions, so
that a picture is sampled once instead of once per operation: it stays sharp, and it is quicker. All
randomness comes from the generator that is passed in, so that a sample depends on nothing but its seed.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.nn import functional
from torchvision.transforms import v2

from .config import AugmentSettings
from .losses import IGNORE

YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
"""From red, green and blue to brightness and two colour axes (NTSC, 1953)."""

RGB = torch.linalg.inv(YIQ)
"""The way back."""


_ONE_AT_A_TIME = threading.Lock()
"""For torchvision's transforms, which all draw from one source of random numbers, whatever the thread."""


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a stored picture that a sample shows, before it is varied.

    Parameters
    ----------
    center : (float, float)
        Row and column in the stored picture's pixels.
    scale : (float, float)
        Stored pixels per pixel of the sample, along rows and columns.
    """

    center: tuple[float, float]
    scale: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Positions:
    """Where in a stored picture the pixels of a sample lie.

    Parameters
    ----------
    y, x : torch.Tensor
        (height, width) float32: rows and columns, in the stored picture's pixels.
    """

    y: Tensor
    x: Tensor

    def box(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of a picture of this size that are looked at."""
        return _span(self.y, height), _span(self.x, width)

    def moved(self, rows: slice, columns: slice) -> Positions:
        """Return the same positions in a part of the picture."""
        return Positions(self.y - rows.start, self.x - columns.start)

    def grid(self, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return positions as `grid_sample` takes them.

        Parameters
        ----------
        size : (int, int)
            Height and width of the picture.

        Returns
        -------
        grid : torch.Tensor
            (1, height, width, 2), -1 to 1, x first.
        inside : torch.Tensor
            (height, width) bool: which are in the picture.
        """
        grid = self.x.new_empty(*self.x.shape, 2)
        inside = []
        for number, (at, length) in enumerate(((self.x, size[1]), (self.y, size[0]))):
            scaled = at.mul(2 / length).add_(1 / length - 1)
            inside.append(scaled.abs() <= 1)
            end = 1 - 1 / length  # the middle of the last pixel: beyond it, that pixel goes on
            torch.clamp(scaled, -end, end, out=grid[..., number])
        return grid[None], inside[0] & inside[1]


def _span(at: Tensor, size: int) -> slice:
    """Return from where to where positions reach along an axis, with what interpolating looks at beside."""
    low, high = (float(end) for end in torch.aminmax(at))
    start = min(max(0, math.floor(low) - 1), size - 1)
    return slice(start, max(start + 1, min(size, math.ceil(high) + 2)))


class Augment:
    """Varies samples.

    Parameters
    ----------
    settings : AugmentSettings
    shape : (int, int)
        Height and width of the samples.
    mean, std : tuple of float
        Of the network's input.
    """

    def __init__(
        self,
        settings: AugmentSettings,
        shape: tuple[int, int],
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        self.settings = settings
        self.shape = shape
        self.mean = torch.tensor(mean)[:, None, None]
        self.std = torch.tensor(std)[:, None, None]

    def __call__(
        self, picture: Tensor, target: Tensor, window: Window, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Return a varied sample.

        Parameters
        ----------
        picture : torch.Tensor
            (C, Y, X) float32, values 0 to 1.
        target : torch.Tensor
            (Y, X) int64.
        window : Window
        generator : torch.Generator

        Returns
        -------
        picture : torch.Tensor
            (C, height, width), as the network takes it; 0 outside of the picture.
        target : torch.Tensor
            (height, width) int64; `IGNORE` outside of the picture.
        """
        return self.taken(picture, target, self.positions(window, generator), generator)

    def taken(
        self, picture: Tensor, target: Tensor, positions: Positions, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the sample at some positions, varied in its looks; see `Augment.__call__`."""
        grid, inside = positions.grid(picture.shape[1:])
        shown = functional.grid_sample(
            picture[None].contiguous(), grid, mode="bilinear", padding_mode="zeros", align_corners=False
        )[0]
        picked = functional.grid_sample(
            target[None, None].float(), grid, mode="nearest", padding_mode="zeros", align_corners=False
        )[0, 0]
        outside = ~inside
        shown = (self._colors(shown, generator) - self.mean).div_(self.std).masked_fill_(outside, 0.0)
        shown, erased = self._erase(shown, generator)
        labels = picked.round_().long().masked_fill_(outside, IGNORE)
        return shown, labels.masked_fill(erased, IGNORE) if erased is not None else labels

    # -- where ---------------------------------------------------------------------------------------

    def positions(self, window: Window, generator: Generator) -> Positions:
        """Return where in the stored picture the pixels of a sample lie."""
        height, width = self.shape
        field = self._elastic(generator) if self.settings.elastic else ()
        matrix = self._matrix(generator)
        shift = [_uniform(generator, -self.settings.shift, self.settings.shift) for _ in matrix]
        rows = torch.arange(height, dtype=torch.float32)[:, None] - (height - 1) / 2
        columns = torch.arange(width, dtype=torch.float32) - (width - 1) / 2
        placed = []
        for axis, (down, right) in enumerate(matrix):
            scale = window.scale[axis]
            at = scale * down * rows + (scale * right * columns + window.center[axis])
            at += scale * shift[axis] * self.shape[axis]
            for weight, moved in zip((down, right), field, strict=False):
                at.add_(moved, alpha=scale * weight)
            placed.append(at)
        y, x = placed
        return Positions(y, x)

    def _matrix(self, generator: Generator) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the linear part: rotation, scale, crop, quarter turns and flips, rows first."""
        settings = self.settings
        angle = math.radians(_uniform(generator, -settings.rotate, settings.rotate))
        if settings.quarter_turns:
            angle += math.pi / 2 * int(torch.randint(4, (), generator=generator))
        size = -math.log(1 - settings.scale)
        zoom = math.exp(_uniform(generator, -size, size))
        if settings.crop is not None:
            zoom *= math.sqrt(_uniform(generator, *settings.crop))
        flip_y = -1.0 if settings.flip_vertical and _uniform(generator) < 0.5 else 1.0
        flip_x = -1.0 if settings.flip_horizontal and _uniform(generator) < 0.5 else 1.0
        cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
        return (flip_y * cos, flip_y * -sin), (flip_x * sin, flip_x * cos)

    def _elastic(self, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return smooth displacements: random ones on a coarse grid, bicubic in between."""
        height, width = self.shape
        coarse = torch.randn(1, 2, 5, 5, generator=generator)
        field = functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)[0]
        reach = 0.04 * self.settings.elastic * min(height, width)
        return field[0] * reach, field[1] * reach

    # -- how it looks --------------------------------------------------------------------------------

    def _colors(self, picture: Tensor, generator: Generator) -> Tensor:
        """Vary brightness, contrast, colours, sharpness and noise; what is given may be written over."""
        s = self.settings
        if s.brightness or s.contrast:
            factor = 1 + s.contrast * _uniform(generator, -0.8, 0.8)
            middle = float(picture.mean())
            lift = 0.5 * s.brightness * _uniform(generator, -1, 1)
            picture.mul_(factor).add_(middle * (1 - factor) + lift)
        if s.gamma:
            picture.clamp_(0, 1).pow_(math.exp(s.gamma * _uniform(generator, -1, 1)))
        if s.hue and len(picture) == 3:
            saturation = 1 + s.hue * _uniform(generator, -1, 1)
            picture = _turn_colors(picture, saturation, 0.25 * s.hue * _uniform(generator, -1, 1))
        if s.blur and _uniform(generator) < 0.5:
            picture = _blur(picture, 0.1 + 3 * s.blur * _uniform(generator))
        if s.noise:
            level = 0.2 * s.noise * _uniform(generator)
            picture = picture.add_(_noise(picture.shape, generator), alpha=level)
        return self._by_torchvision(picture.clamp_(0, 1), generator)

    def _by_torchvision(self, picture: Tensor, generator: Generator) -> Tensor:
        """Apply what works on 8 bits or brings its own randomness, on a seed of its own."""
        s = self.settings
        if not (s.trivial or s.jpeg) or len(picture) not in (1, 3):
            return picture
        coded = (picture * 255).round().to(torch.uint8)
        if s.trivial:
            seed = int(torch.randint(2**31, (), generator=generator))
            with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                coded = _TrivialColors()(coded)
        if s.jpeg and _uniform(generator) < 0.5:
            coded = _as_jpeg(coded, int(95 - 75 * s.jpeg * _uniform(generator)))
        return coded.float() / 255

    def _erase(self, picture: Tensor, generator: Generator) -> tuple[Tensor, Tensor | None]:
        """Blank a rectangle; what lay there is neither learned nor scored."""
        if not self.settings.erase or _uniform(generator) >= self.settings.erase:
            return picture, None
        height, width = self.shape
        area = _uniform(generator, 0.05, 0.4) * height * width
        aspect = math.exp(_uniform(generator, math.log(0.05), math.log(6.1)))
        rows = min(height, max(1, round(math.sqrt(area * aspect))))
        columns = min(width, max(1, round(math.sqrt(area / aspect))))
        top = int(_uniform(generator) * (height - rows + 1))
        left = int(_uniform(generator) * (width - columns + 1))
        erased = torch.zeros(height, width, dtype=torch.bool)
        erased[top : top + rows, left : left + columns] = True
        return picture.masked_fill(erased, 0.0), erased


class _TrivialColors(v2.TrivialAugmentWide):  # type: ignore[misc]
    """TrivialAugment without its geometric operations: those would leave the mask behind."""

    _AUGMENTATION_SPACE = {  # noqa: RUF012 - the library's own way of naming what it picks from
        key: value
        for key, value in v2.TrivialAugmentWide._AUGMENTATION_SPACE.items()
        if key not in ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
    }


def _turn_colors(picture: Tensor, saturation: float, turn: float) -> Tensor:
    """Scale the distance of colours (3, Y, X) from grey and turn them by a part of the colour circle.

    One 3 x 3 matrix in the YIQ space of colour television, whose first axis is brightness: several times
    quicker than by way of hue and saturation of every pixel, and nothing in an augmentation needs those.
    """
    cos, sin = saturation * math.cos(2 * math.pi * turn), saturation * math.sin(2 * math.pi * turn)
    turned = torch.tensor([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    matrix = RGB @ turned @ YIQ
    mixed: Tensor = matrix @ picture.reshape(3, -1)
    return mixed.reshape(picture.shape)


def _blur(picture: Tensor, sigma: float) -> Tensor:
    """Blur by a Gaussian of 7 pixels, along columns and rows one after the other."""
    kernel = torch.exp(-0.5 * (torch.arange(-3.0, 4.0) / sigma) ** 2)
    weights = (kernel / kernel.sum()).tolist()
    padded = functional.pad(picture[None], (3, 3, 3, 3), mode="reflect")[0]
    return _weighted(_weighted(padded, weights, 2), weights, 1)


def _weighted(picture: Tensor, weights: list[float], axis: int) -> Tensor:
    """Add up shifted copies along an axis: for so few weights quicker than a convolution."""
    length = picture.shape[axis] - len(weights) + 1
    total = picture.narrow(axis, 0, length) * weights[0]
    for shift, weight in enumerate(weights[1:], start=1):
        total.add_(picture.narrow(axis, shift, length), alpha=weight)
    return total


@cache
def _noise_pool() -> Tensor:
    """Return normally distributed numbers to take noise from: drawing them anew costs most of a sample."""
    return torch.randn(2**21, generator=torch.Generator().manual_seed(0))


def _noise(shape: torch.Size, generator: Generator) -> Tensor:
    """Return noise of a shape, from a random place of the pool on."""
    pool, count = _noise_pool(), shape.numel()
    if count > len(pool) // 2:
        return torch.randn(shape, generator=generator)
    begin = int(torch.randint(len(pool) - count, (), generator=generator))
    return pool[begin : begin + count].reshape(shape)


def _as_jpeg(coded: Tensor, quality: int) -> Tensor:
    """Return a picture (C, Y, X) uint8 as it looks after being saved as JPEG."""
    layers = coded.permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(layers if len(coded) == 3 else layers[..., 0]).save(buffer, "JPEG", quality=quality)
    again = torch.from_numpy(np.array(Image.open(buffer)))
    return again.permute(2, 0, 1) if again.ndim == 3 else again[None]


def _uniform(generator: Generator, low: float = 0.0, high: float = 1.0) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
