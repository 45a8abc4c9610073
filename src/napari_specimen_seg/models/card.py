"""The model card: everything needed to predict with a network, and what people should know of it."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from ..core.classes import ClassMap
from ..core.preprocessing import Preprocessing

Option = (
    StrictBool
    | Annotated[StrictInt, Field(ge=-1, le=8192)]
    | Annotated[StrictFloat, Field(ge=-8192, le=8192)]  # a strict float takes whole numbers too
    | Annotated[StrictStr, Field(max_length=40)]
)


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Softmax(_Stored):
    """One output channel per class, background included; the largest wins."""

    kind: Literal["softmax"] = "softmax"


class Sigmoid(_Stored):
    """One output channel per class without background; each is on above the threshold.

    Parameters
    ----------
    threshold : float
        A channel is on where its probability is greater than this.
    overlap : {"later", "highest"}
        Where several are on: the later class of the map, or the most probable.
    """

    kind: Literal["sigmoid"] = "sigmoid"
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    overlap: Literal["later", "highest"] = "later"


class Binary(_Stored):
    """One output channel for the only class beside the background.

    Parameters
    ----------
    threshold : float
        The class is there where its probability is greater than this.
    """

    kind: Literal["binary"] = "binary"
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5


Head = Annotated[Softmax | Sigmoid | Binary, Field(discriminator="kind")]


class Attribution(_Stored):
    """A source that must be named wherever the model goes."""

    title: str
    license: str = ""
    doi: str = ""
    url: str = ""


class Training(_Stored):
    """What the network learned from. For people; prediction does not need it."""

    data: str = ""
    pictures: int = 0
    split: str = ""
    data_sha256: str = ""
    command: str = ""
    attribution: tuple[Attribution, ...] = ()
    notes: str = ""


class ModelCard(_Stored):
    """What a model folder says of its network.

    Parameters
    ----------
    name : str
        As listed; a plain file name.
    version : str
        Of the model, not of this program.
    description : str
        One or two sentences for people.
    architecture, encoder : str
        Names that segmentation-models-pytorch gives them (``Unet``, ``FPN``, …; ``resnet34``, ``tu-…``).
    options : mapping
        Further arguments of the architecture, such as ``decoder_channels``.
    class_map : ClassMap
        Names, ids and colours. Output channels follow the order of its classes.
    head : Softmax, Sigmoid or Binary
        How output channels become class ids.
    activation : {None, "softmax", "sigmoid"}
        What the network itself applies to its output; None where it answers with logits.
    preprocessing : Preprocessing
        How a picture becomes its input.
    training : Training
        For people: data, split, command, attribution.
    scores : mapping
        ``{"val": {"mean iou": 0.81, "iou elytra": 0.93, …}}``, measured with this very file.
    license : str
        SPDX name of the weights' licence.
    sha256 : str
        Of ``model.safetensors``.
    card_sha256 : str
        Of this card without this field, so that a change to it is noticed too.
    """

    format: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")]
    version: str = "1"
    description: str = ""
    architecture: Annotated[str, Field(pattern=r"^[A-Za-z0-9+]{1,40}$")]
    encoder: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,80}$")]
    options: dict[
        Annotated[str, Field(pattern=r"^[a-z_0-9]{1,40}$")],
        Option | Annotated[tuple[Option, ...], Field(max_length=8)] | None,
    ] = {}
    class_map: ClassMap
    head: Head
    activation: Literal["softmax", "sigmoid"] | None = None
    preprocessing: Preprocessing
    training: Training = Training()
    scores: dict[str, dict[str, float]] = {}
    license: str = ""
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    card_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""

    @model_validator(mode="after")
    def _head_fits_classes(self) -> Self:
        if isinstance(self.head, Binary) and len(self.class_map.foreground) != 1:
            raise ValueError("a binary head needs exactly one class beside the background")
        if not self.class_map.foreground:
            raise ValueError("a model needs at least one class beside the background")
        return self

    @property
    def out_channels(self) -> int:
        """How many channels the network answers with."""
        return len(self.class_map) - (0 if isinstance(self.head, Softmax) else 1)

    @property
    def channel_ids(self) -> tuple[int, ...]:
        """The class id of each output channel."""
        classes = self.class_map.classes if isinstance(self.head, Softmax) else self.class_map.foreground
        return tuple(c.id for c in classes)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the card's content (which names the weights' own) as a hex string."""
        content = self.model_dump(mode="json", exclude={"card_sha256"})
        text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def sealed(self) -> ModelCard:
        """Return a copy whose `card_sha256` is right."""
        return self.model_copy(update={"card_sha256": self.fingerprint()})
