"""What a person may choose about an evaluation; one object for dock, command line and scripts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..core.classes import MAX_ID


class EvaluateSettings(BaseModel):
    """What is compared, and how strictly.

    Parameters
    ----------
    ignore : tuple of int
        Values of the truth whose pixels are left out.
    tolerance : float
        How far outlines may lie apart and still agree.
    tolerance_unit : str
        ``"pixel"``, or a length such as ``"mm"``, for which the pictures must have a pixel size.
    instances : bool
        Whether to compare object by object too. Files whose labels number objects always are.
    curves : bool
        Whether to note how sure a model was, for precision-recall curves and the best threshold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ignore: Annotated[
        tuple[Annotated[int, Field(ge=0, le=MAX_ID)], ...],
        Field(title="Ignore", description="Values in the truth whose pixels are left out."),
    ] = ()
    tolerance: Annotated[
        float,
        Field(
            ge=0,
            le=10_000,
            title="Outline tolerance",
            description="How far outlines may lie apart and still agree.",
        ),
    ] = 2.0
    tolerance_unit: Annotated[
        Literal["pixel", "nm", "um", "mm", "cm", "m", "inch"],
        Field(title="Unit of the tolerance", description="A length needs pictures with a pixel size."),
    ] = "pixel"
    instances: Annotated[
        bool, Field(title="Objects", description="Compare object by object: found, missed, split, merged.")
    ] = False
    curves: Annotated[
        bool,
        Field(
            title="Curves",
            description="Scores at every threshold, and the best one. Needs a model, not only its masks.",
        ),
    ] = False
