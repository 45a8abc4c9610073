"""What the settings of a training are made of, and those of augmentation."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """Settings that cannot change and know their fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AugmentSettings(Settings):
    """How pictures are varied while learning. Each strength is 0 (off) to 1."""

    flip_horizontal: Annotated[bool, Field(title="Mirror left-right", description="Half of the samples.")] = (
        True
    )
    flip_vertical: Annotated[
        bool, Field(title="Mirror up-down", description="For pictures without an up.")
    ] = False
    quarter_turns: Annotated[
        bool, Field(title="Quarter turns", description="For pictures without an up.")
    ] = False
    rotate: Annotated[float, Field(ge=0, le=180, title="Rotate", description="Up to so many degrees.")] = 15
    shift: Annotated[Share, Field(title="Shift", description="Up to this part of the side.")] = 0.1
    scale: Annotated[
        float, Field(ge=0, lt=1, title="Scale", description="0.25 means 0.75 to 1/0.75 of the size.")
    ] = 0.2
    elastic: Annotated[Strength, Field(title="Elastic", description="Bends softly.")] = 0.0
    crop: Annotated[
        tuple[float, float] | None,
        Field(
            json_schema_extra={"example": [0.25, 0.9]},
            title="Crop by area",
            description="Random squares of this part of the area, e.g. 0.25 to 0.9.",
        ),
    ] = None
    brightness: Annotated[Strength, Field(title="Brightness", description="As with other lamps.")] = 0.3
    contrast: Annotated[Strength, Field(title="Contrast", description="Flatter and harder.")] = 0.3
    gamma: Annotated[Strength, Field(title="Gamma", description="Lighter or darker shadows.")] = 0.3
    hue: Annotated[Strength, Field(title="Hue and saturation", description="As with other cameras.")] = 0.1
    noise: Annotated[Strength, Field(title="Noise", description="Grain.")] = 0.1
    blur: Annotated[Strength, Field(title="Blur", description="Out of focus.")] = 0.1
    jpeg: Annotated[Strength, Field(title="JPEG artefacts", description="As of strong compression.")] = 0.0
    erase: Annotated[Strength, Field(title="Random erasing", description="Probability.")] = 0.0
    trivial: Annotated[
        bool, Field(title="TrivialAugment", description="One random operation of random strength.")
    ] = False
