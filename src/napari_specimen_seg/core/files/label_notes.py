"""What a label file says beside its pixels: names, colours, exact pixel size, origin; as JSON inside it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..classes import ClassMap, default_color
from ..image import SpecimenLabels

KEY = "napari-specimen-seg"
"""The first key of the JSON; whoever finds it knows that this program wrote the file."""

MAX_CHARS = 1 << 27

Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class LabelNotes(BaseModel):
    """The notes in a label file.

    Parameters
    ----------
    class_map : ClassMap, optional
        Names, ids and colours.
    axes : str
        One letter per dimension.
    shape : tuple of int
        Of the array when it was written, which formats with fewer axes do not tell.
    dtype : str
        Of the array; small numbers may be stored in fewer bits.
    spacing : tuple of float, optional
        The exact distance between pixels; the fields of the format itself are rounded.
    unit : str
        Of `spacing`.
    object_class : tuple of (int, int), optional
        Runs of (class id, number of objects), from object 0 on.
    provenance : mapping
    features : mapping of str to list
    """

    # What a newer version adds must not make a file unreadable.
    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    class_map: ClassMap | None = None
    axes: Annotated[str, Field(pattern=r"^[QTZ]{0,3}YX$")]
    shape: tuple[Count, ...]
    dtype: Literal["uint8", "uint16", "uint32"]
    spacing: tuple[Size, ...] | None = None
    unit: str = "pixel"
    object_class: tuple[tuple[Count, Count], ...] | None = None
    provenance: dict[str, Any] = {}
    features: dict[str, list[Any]] = {}

    @classmethod
    def of(cls, labels: SpecimenLabels, stored: np.dtype[Any]) -> Self:
        """Return the notes for labels that are stored as an unsigned type.

        Parameters
        ----------
        labels : SpecimenLabels
        stored : dtype
            The type in the file; noted for labels whose own type is signed.
        """
        kept = labels.data.dtype if str(labels.data.dtype) in ("uint8", "uint16", "uint32") else stored
        return cls.model_validate(
            {
                "class_map": labels.class_map,
                "axes": labels.axes,
                "shape": labels.data.shape,
                "dtype": str(kept),
                "spacing": labels.spacing,
                "unit": labels.unit,
                "object_class": None if labels.object_class is None else _runs(labels.object_class),
                "provenance": labels.provenance,
                "features": {str(name): _plain(column) for name, column in labels.features.items()},
            }
        )

    def text(self) -> str:
        """Return ASCII text that is the same for the same notes."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        return json.dumps({KEY: {"format": 1, **content}}, ensure_ascii=True, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Find the notes in text that may hold other things around them.

        Returns
        -------
        LabelNotes or None
            None if there are none.

        Raises
        ------
        ValueError
            If there are, but damaged (`pydantic.ValidationError` is one).
        """
        start = text.find(f'{{"{KEY}"')
        if start < 0:
            return None
        if len(text) > MAX_CHARS:
            raise ValueError("the notes are too long")
        try:
            content, _ = json.JSONDecoder().raw_decode(text, start)
        except RecursionError:
            raise ValueError("the notes are nested too deeply") from None
        return cls.model_validate(content[KEY])

    def classes_of_objects(self) -> NDArray[np.uint16] | None:
        """Return the class id by object number, or None where values are class ids."""
        if self.object_class is None:
            return None
        if sum(count for _, count in self.object_class) > 1 << 28:
            raise ValueError("the notes name more objects than a picture can hold")
        ids, counts = np.array(self.object_class, np.int64).reshape(-1, 2).T
        return np.repeat(ids, counts).astype(np.uint16)


def colors_by_id(class_map: ClassMap | None, count: int) -> NDArray[np.uint8]:
    """Return a colour for each id from 0: that of its class, or the one that is made up for it.

    Parameters
    ----------
    class_map : ClassMap, optional
    count : int
        How many.

    Returns
    -------
    array of uint8
        (count, 3).
    """
    colors = ["#000000", *(default_color(i) for i in range(1, count))]
    for item in class_map or ():
        if item.id < count:
            colors[item.id] = item.color
    return np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colors], np.uint8)


def _runs(classes: NDArray[Any]) -> list[tuple[int, int]]:
    ids = np.asarray(classes, np.int64)
    starts = np.flatnonzero(np.diff(ids, prepend=-1))
    return list(zip(ids[starts].tolist(), np.diff([*starts, ids.size]).tolist(), strict=True))


def _plain(column: Any) -> list[Any]:
    """Turn a column of any kind into values that JSON has; what is missing becomes None."""
    values = column.tolist() if hasattr(column, "tolist") else list(column)
    return [_plain_value(value) for value in values]


def _plain_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return _plain_mapping(value) if isinstance(value, Mapping) else str(value)


def _plain_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): _plain_value(inner) for key, inner in value.items()}
