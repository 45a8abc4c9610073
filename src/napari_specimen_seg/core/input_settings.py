"""The settings of what a network sees of a picture: which values become 0 and 1, and how the sizes meet.

They are stored in model cards, whose checksums depend on every name and default in here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Side = Annotated[int, Field(ge=16, le=16384)]
Fraction = Annotated[float, Field(ge=0.0, le=100.0)]


class Stored(BaseModel):
    """What is stored in a card: never changed, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ByDtype(Stored):
    """Full range of the number type: 0-255, 0-65535; floats are taken as 0 to 1 as they are."""

    kind: Literal["dtype"] = "dtype"


class ByPercentile(Stored):
    """Two percentiles of the whole picture become 0 and 1; for microscopy, which is often dim.

    Parameters
    ----------
    low, high : float
        Percentiles, 0 to 100; taken over all channels together, so that colours stay.
    clip : bool
        Whether values beyond them become 0 and 1. Models from elsewhere may have learned otherwise.
    """

    kind: Literal["percentile"] = "percentile"
    low: Fraction = 1.0
    high: Fraction = 99.8
    clip: bool = True

    @model_serializer(mode="wrap")
    def _only_what_is_used(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what cards did not have at first, so that the checksums of older cards stay right."""
        data: dict[str, Any] = dump(self)
        return {key: value for key, value in data.items() if key != "clip" or not value}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError("the low percentile must be smaller than the high one")
        return self


class ByMoments(Stored):
    """The mean of the whole picture becomes 0, its mean plus one standard deviation 1.

    All channels are taken together. As models of the bioimage.io zoo often have it.
    """

    kind: Literal["moments"] = "moments"


class ByRange(Stored):
    """A fixed range of values becomes 0 to 1; for cameras with a known black and white level."""

    kind: Literal["range"] = "range"
    low: float = 0.0
    high: float = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError("the low value must be smaller than the high one")
        return self


class Tiles(Stored):
    """The picture meets the network at its own scale, in overlapping tiles.

    Parameters
    ----------
    size : int
        Side of a tile in pixels.
    halo : int
        How many pixels at the edge of a tile are computed but not used.
    fitted : bool
        Whether the side may be chosen to fit the picture. False for networks that look at the whole
        tile (squeeze-and-excitation), which must see the size that they were trained with.
    """

    kind: Literal["tiles"] = "tiles"
    size: Side = 512
    halo: Annotated[int, Field(ge=0, le=1024)] = 32
    fitted: bool = True

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.size <= 2 * self.halo:
            raise ValueError("the halo leaves nothing of the tile")
        return self


Answer = Literal["smooth", "nearest"]


class FixedResize(Stored):
    """The picture is stretched to one size, whatever its shape (as BGNN's fish traits do it).

    Parameters
    ----------
    height, width : int
        What the network sees.
    answer : {"smooth", "nearest"}
        How the answer gets back to the picture's size: class scores bilinearly before the class is
        chosen (smooth outlines on large photographs), or the chosen classes nearest neighbour.
    """

    kind: Literal["resize"] = "resize"
    height: Side
    width: Side
    answer: Answer = "smooth"


class PadToSquare(Stored):
    """The picture is padded to a square and resized, so that nothing is cropped or stretched.

    Parameters
    ----------
    size : int
        Side of what the network sees.
    answer : {"smooth", "nearest"}
        As for `FixedResize`.
    """

    kind: Literal["pad"] = "pad"
    size: Side
    answer: Answer = "smooth"


ValueRange = Annotated[ByDtype | ByPercentile | ByMoments | ByRange, Field(discriminator="kind")]
Geometry = Annotated[Tiles | FixedResize | PadToSquare, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the picture lies in the array that the network sees, in that array's pixels.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the network's input.
    top, left, height, width : int
        The part that shows the picture; the rest is padding.
    """

    shape: tuple[int, int]
    top: int
    left: int
    height: int
    width: int
