"""The only code that scales, normalises, resizes or pads a picture for a network.

Training and prediction, dock and command line all call this module, so that a network meets in use
exactly what it met in training. Two decisions are made once per picture and never per tile: the range
of values (`Preprocessing.value_range`) and the geometry (`Preprocessing.plan`).
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from .errors import ImageError, SpecimenWarning
from .input_settings import (
    ByDtype,
    ByMoments,
    ByPercentile,
    ByRange,
    FixedResize,
    Geometry,
    PadToSquare,
    Placement,
    Stored,
    Tiles,
    ValueRange,
)
from .progress import Report, silent

if TYPE_CHECKING:  # whoever only reads a card need not wait for numpy
    import numpy as np
    from numpy.typing import NDArray

    from .image import Array

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601), as Pillow's mode L uses them."""


class Preprocessing(Stored):
    """How a picture becomes the input of a network. Stored in the model card.

    Parameters
    ----------
    channels : {"rgb", "gray"} or int
        What the network takes. Grey pictures are repeated for ``rgb``, colour ones are turned to
        brightness for ``gray``; a number means exactly that many channels, taken as they are.
    values : ByDtype, ByPercentile, ByMoments or ByRange
        What becomes 0 and 1.
    mean, std : tuple of float
        Subtracted and divided by, per channel, after values are 0 to 1.
    geometry : Tiles, FixedResize or PadToSquare
        How the picture's size meets the network's.
    """

    channels: Literal["rgb", "gray"] | Annotated[int, Field(ge=1, le=64)] = "rgb"
    values: ValueRange = ByDtype()
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    geometry: Geometry = Tiles()

    @model_validator(mode="after")
    def _one_mean_per_channel(self) -> Self:
        if not len(self.mean) == len(self.std) == self.in_channels:
            raise ValueError(f"mean and std must have {self.in_channels} numbers, one per channel")
        if not all(math.isfinite(m) for m in self.mean) or not all(
            s > 0 and math.isfinite(s) for s in self.std
        ):
            raise ValueError("mean must be finite, std must be positive")
        return self

    @property
    def in_channels(self) -> int:
        """How many channels the network takes."""
        return (
            {"rgb": 3, "gray": 1}.get(self.channels, 0) if isinstance(self.channels, str) else self.channels
        )

    # -- once per picture --------------------------------------------------------------------------

    def value_range(
        self,
        plane: Array,
        *,
        name: str = "picture",
        bit_depth: int | None = None,
        report: Report = silent,
    ) -> tuple[float, float]:
        """Return the two values of a plane that become 0 and 1.

        Parameters
        ----------
        plane : array
            (Y, X) or (Y, X, C): the whole picture, never a tile. Of a lazy one (dask, zarr) a little is
            read at a time; the answer is the same as of the one in memory.
        name : str
            For messages.
        bit_depth : int, optional
            Bits in use where fewer than the type holds.
        report : callable
            Called while a lazy picture is read; may raise `CancelledError`, which passes through.

        Returns
        -------
        (float, float)

        Raises
        ------
        ImageError
            If the picture is empty or has no finite value.

        Warns
        -----
        SpecimenWarning
            If some values are not finite, all are the same, or floats leave 0 to 1.
        """
        from .brightness import Pixels, extremes, is_flat, moments, percentiles, range_of_type

        if 0 in plane.shape:
            raise ImageError(f"{name}: the picture is empty (shape {plane.shape})")
        # Transparency is no brightness: it must not move the percentiles.
        on_paper = isinstance(self.channels, str) and plane.ndim == 3 and plane.shape[-1] == 4
        pixels = Pixels(plane, on_paper=on_paper, report=report)
        if pixels.dtype.kind not in "biuf":
            raise ImageError(f"{name}: pixels of type {pixels.dtype} are not numbers that can be segmented")
        needs_extremes = pixels.dtype.kind == "f" or (
            pixels.dtype.kind == "i" and self.values.kind == "dtype"
        )
        lowest, highest = extremes(pixels, name) if needs_extremes else (0.0, 1.0)
        if lowest == highest or (not needs_extremes and is_flat(pixels)):
            warnings.warn(f"{name}: every pixel has the same value", SpecimenWarning, stacklevel=2)
        if isinstance(self.values, ByRange):
            return self.values.low, self.values.high
        if isinstance(self.values, ByPercentile):
            return percentiles(pixels, self.values.low, self.values.high)
        if isinstance(self.values, ByMoments):
            return moments(pixels)
        return range_of_type(pixels.dtype, bit_depth, (lowest, highest), name)

    def placement(self, height: int, width: int) -> Placement:
        """Say where a picture of this size lies in the network's input.

        Parameters
        ----------
        height, width : int
            Of the picture.

        Returns
        -------
        Placement
            For tiles, the picture's own size at the top left.
        """
        match self.geometry:
            case FixedResize(height=rows, width=columns):
                return Placement((rows, columns), 0, 0, rows, columns)
            case PadToSquare(size=size):
                scale = size / max(height, width)
                rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
                return Placement((size, size), (size - rows) // 2, (size - columns) // 2, rows, columns)
            case _:
                return Placement((height, width), 0, 0, height, width)

    # -- per piece of a picture --------------------------------------------------------------------

    def to_channels(self, piece: NDArray[Any], *, name: str = "picture") -> NDArray[Any]:
        """Give a piece of a picture the channels that the network takes, values as they are.

        Parameters
        ----------
        piece : array
            (Y, X) or (Y, X, C).
        name : str
            For messages.

        Returns
        -------
        array
            (Y, X, in_channels), same type.

        Raises
        ------
        ImageError
            If it has a number of channels that cannot be meant.
        """
        import numpy as np

        from .brightness import on_white

        if piece.ndim == 2:
            piece = piece[..., None]
        have, want = piece.shape[-1], self.in_channels
        if isinstance(self.channels, int):
            if have != want:
                raise ImageError(f"{name}: the picture has {have} channels, the model takes {want}")
            return piece
        if have == 4:  # colour with transparency
            piece, have = on_white(piece), 3
        if have not in (1, 3):
            raise ImageError(
                f"{name}: the picture has {have} channels, the model takes {self.channels}",
                advice="Pick the channels to use, one or three of them.",
            )
        if have == want:
            return piece
        if want == 3:
            return np.repeat(piece, 3, axis=-1)
        gray = piece.astype(np.float32) @ np.array(LUMA, np.float32)
        if np.issubdtype(piece.dtype, np.integer):
            gray = np.rint(gray)
        return gray.astype(piece.dtype)[..., None]

    def normalise(self, piece: NDArray[Any], values: tuple[float, float]) -> NDArray[np.float32]:
        """Turn values into what the network takes.

        Parameters
        ----------
        piece : array
            (Y, X, in_channels), from `to_channels` or `fit`.
        values : (float, float)
            From `value_range` of the whole picture.

        Returns
        -------
        array
            (in_channels, Y, X) float32, memory in channels-last order: ``((x - low) / (high - low) -
            mean) / std``. Not finite values count as `low`; values outside percentiles are clipped.
        """
        import numpy as np

        low, high = values
        clipped = isinstance(self.values, ByPercentile) and self.values.clip
        factor, shift = self.terms(values)
        if piece.dtype == np.uint8:
            codes = np.arange(256, dtype=np.float64)[:, None]
            if clipped:
                codes = np.clip(codes, low, high)
            table = (codes * factor + shift).astype(np.float32)
            out = np.empty(piece.shape, np.float32)
            for channel in range(piece.shape[-1]):
                out[..., channel] = table[:, channel][piece[..., channel]]
            return np.moveaxis(out, -1, 0)
        wide = piece.dtype.itemsize > 4 or piece.dtype.kind in "iu"
        work: NDArray[Any] = piece.astype(np.float64 if wide else np.float32)
        if piece.dtype.kind == "f":
            np.nan_to_num(work, copy=False, nan=low, posinf=high, neginf=low)
        if clipped:
            np.clip(work, low, high, out=work)
        return np.moveaxis((work * factor + shift).astype(np.float32), -1, 0)

    def terms(self, values: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what `normalise` multiplies values by, and then adds, for each channel.

        Parameters
        ----------
        values : (float, float)
            From `value_range` of the whole picture.

        Returns
        -------
        factor, shift : array
            (in_channels,) float64.
        """
        import numpy as np

        low, high = values
        span = (high - low) or 1.0
        mean, std = np.asarray(self.mean, np.float64), np.asarray(self.std, np.float64)
        return 1.0 / (span * std), -(low / span + mean) / std

    def unit(self, piece: NDArray[Any], values: tuple[float, float]) -> NDArray[np.float32]:
        """Scale values so that `values` become 0 and 1, without mean and std; for augmentation.

        Parameters
        ----------
        piece : array
            (Y, X, in_channels).
        values : (float, float)
            From `value_range` of the whole picture.

        Returns
        -------
        array
            (Y, X, in_channels) float32; less mean, by std, it is what `normalise` gives.
        """
        import numpy as np

        plain = self.model_copy(update={"mean": (0.0,) * len(self.mean), "std": (1.0,) * len(self.std)})
        return np.moveaxis(plain.normalise(piece, values), 0, -1)

    def fit(self, plane: NDArray[Any], values: tuple[float, float]) -> NDArray[np.float32]:
        """Turn a whole picture into the input of a network with fixed resize or padding.

        Parameters
        ----------
        plane : array
            (Y, X) or (Y, X, C).
        values : (float, float)
            From `value_range`.

        Returns
        -------
        array
            (in_channels, height, width) float32; padding holds the network's zero, the mean colour.
        """
        import numpy as np

        from .resizing import resize

        plane = self.to_channels(plane)
        place = self.placement(*plane.shape[:2])
        inner = self.normalise(resize(plane, place.height, place.width), values)
        if (place.height, place.width) == place.shape:
            return inner
        out = np.zeros((inner.shape[0], *place.shape), np.float32)
        out[:, place.top : place.top + place.height, place.left : place.left + place.width] = inner
        return out

    def fit_labels(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Give labels the geometry that `fit` gives their picture; always nearest, padding is 0.

        Parameters
        ----------
        labels : array
            (Y, X) integers.

        Returns
        -------
        array
            (height, width), same type.
        """
        import numpy as np

        from .resizing import resize_nearest

        place = self.placement(*labels.shape)
        inner = resize_nearest(labels, place.height, place.width)
        if (place.height, place.width) == place.shape:
            return inner
        out = np.zeros(place.shape, labels.dtype)
        out[place.top : place.top + place.height, place.left : place.left + place.width] = inner
        return out

    def unfit(self, answer: NDArray[Any], height: int, width: int) -> NDArray[Any]:
        """Bring labels of the network's size back to the picture's, nearest neighbour.

        Parameters
        ----------
        answer : array
            (height, width) of the network's input.
        height, width : int
            Of the picture.

        Returns
        -------
        array
            (height, width), same type.
        """
        from .resizing import resize_nearest

        place = self.placement(height, width)
        inner = answer[place.top : place.top + place.height, place.left : place.left + place.width]
        return resize_nearest(inner, height, width)
