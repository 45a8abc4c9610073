"""What a person may choose about a prediction; one object for dock, command line and batch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class PredictSettings(BaseModel):
    """How to run a model. Everything that a mask depends on beside picture and model is in here.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute; auto takes a GPU where there is one.
    backend : {"auto", "torch", "openvino"}
        What computes.
    precision : {"auto", "fp32", "bf16", "int8"}
        Of the numbers inside the network.
    tile : int, optional
        Side of a tile in pixels, instead of the model's own. Only for models that work in tiles.
    blend : bool
        Whether scores of neighbouring tiles are averaged where they overlap, with weights that fade towards
        the edge, instead of taking every pixel from one tile. Only for models that work in tiles.
    threshold : float, optional
        Instead of the model's own. Only for binary and sigmoid heads.
    confidence : bool
        Whether to keep the probability of the chosen class for every pixel.
    instances : bool
        Whether to separate touching objects of a class and number them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Field(title="Device", description="Where to compute. Auto takes a GPU where there is one."),
    ] = "auto"
    backend: Annotated[
        Literal["auto", "torch", "openvino"], Field(title="Backend", description="What computes.")
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "int8"],
        Field(title="Precision", description="fp32 is exact; bf16 is faster on newer hardware."),
    ] = "auto"
    tile: Annotated[
        int | None,
        Field(
            ge=64,
            le=8192,
            title="Tile",
            description="Side of a tile in pixels; empty: the model's own.",
            json_schema_extra={"step": 64},
        ),
    ] = None
    blend: Annotated[
        bool,
        Field(
            title="Blend tiles",
            description="Average neighbouring tiles where they overlap: slower, for models that look at "
            "whole tiles.",
        ),
    ] = False
    threshold: Annotated[
        float | None,
        Field(gt=0, lt=1, title="Threshold", description="Lower finds more; empty: the model's own."),
    ] = None
    confidence: Annotated[
        bool,
        Field(title="Confidence layer", description="Keep how sure the model is of every pixel."),
    ] = False
    instances: Annotated[
        bool,
        Field(title="Separate objects", description="Number touching objects of a class one by one."),
    ] = False
