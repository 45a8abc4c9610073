"""The model card: everything needed to predict with a network, and what people should know of it."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_serializer,
    model_validator,
)

from ..core.classes import ClassMap
from ..core.preprocessing import Preprocessing
from .repairs import Repair

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


class OnnxNetwork(_Stored):
    """How the network in ``model.onnx`` takes a picture and answers.

    Parameters
    ----------
    input, output : str
        Names of the tensors in the file.
    input_type : {"float32", "float16", "float64", "uint8"}
        Number type that it takes.
    input_layout : {"NCHW", "NHWC"}
        Order of batch, channels, height and width.
    output_layout : {"NCHW", "NHWC", "NHW"}
        The same of the answer.
    answer : {"scores", "classes"}
        One number per class, or the number of the class itself.
    batch, height, width : int, optional
        Where the file fixes them.
    stride : int
        Height and width must be divisible by this where they are free.
    precision : {"fp32", "int8"}
        Of the numbers inside the network; for people.
    """

    input: Annotated[str, Field(min_length=1, max_length=200)]
    output: Annotated[str, Field(min_length=1, max_length=200)]
    input_type: Literal["float32", "float16", "float64", "uint8"] = "float32"
    input_layout: Literal["NCHW", "NHWC"] = "NCHW"
    output_layout: Literal["NCHW", "NHWC", "NHW"] = "NCHW"
    answer: Literal["scores", "classes"] = "scores"
    batch: Annotated[int, Field(ge=1, le=64)] | None = None
    height: Annotated[int, Field(ge=16, le=16384)] | None = None
    width: Annotated[int, Field(ge=16, le=16384)] | None = None
    stride: Annotated[int, Field(ge=1, le=1024)] = 32
    precision: Literal["fp32", "int8"] = "fp32"


Precision = Literal["fp32", "bf16", "int8"]


class OpenVinoNetwork(_Stored):
    """What OpenVINO computes from ``model.xml`` (the network) and ``model.bin`` (its numbers).

    Parameters
    ----------
    precision : {"fp32", "bf16", "int8"}
        Of the numbers inside the network.
    graph_sha256 : str
        Of ``model.xml``.
    """

    precision: Precision
    graph_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Context(_Stored):
    """How far around a pixel the network looks, as measured by `models.context.measure_context`.

    Parameters
    ----------
    halo : int
        How many pixels at the edge of a tile must not be used.
    whole : bool
        Whether it looks at the whole tile at once (squeeze-and-excitation, pooling over everything): then
        tiles keep the size that it was trained with.
    """

    halo: Annotated[int, Field(ge=0, le=1024)]
    whole: bool = False


_LATER = frozenset({"onnx", "openvino", "repairs", "assumed", "context"})
"""Fields that came after the first version of the format; they are written only where they are used."""


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
    onnx : OnnxNetwork, optional
        If given, the folder holds ``model.onnx``; architecture is ``ONNX`` and the encoder empty.
    openvino : OpenVinoNetwork, optional
        If given, the folder holds ``model.xml`` and ``model.bin``; architecture and encoder say where the
        network comes from.
    repairs : tuple of Repair, optional
        Settings of single layers in which the network differs from what the library builds today.
    class_map : ClassMap
        Names, ids and colours. Output channels follow the order of its classes.
    head : Softmax, Sigmoid or Binary
        How output channels become class ids.
    activation : {None, "softmax", "sigmoid", "logsoftmax"}
        What the network itself applies to its output; None where it answers with logits.
    preprocessing : Preprocessing
        How a picture becomes its input.
    assumed : dict of str to str, optional
        What was not told when the model was imported and was taken as the likeliest: by option, in words.
    context : Context, optional
        How far the network looks, for models that work in tiles; measured after training or import.
    training : Training
        For people: data, split, command, attribution.
    scores : mapping
        ``{"val": {"mean iou": 0.81, "iou elytra": 0.93, …}}``, measured with this very file.
    license : str
        SPDX name of the weights' licence.
    sha256 : str
        Of ``model.safetensors``, ``model.onnx`` or ``model.bin``.
    card_sha256 : str
        Of this card without this field, so that a change to it is noticed too.
    """

    format: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")]
    version: str = "1"
    description: str = ""
    architecture: Annotated[str, Field(pattern=r"^[A-Za-z0-9+]{1,40}$")]
    encoder: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,80}$")] = ""
    options: dict[
        Annotated[str, Field(pattern=r"^[a-z_0-9]{1,40}$")],
        Option | Annotated[tuple[Option, ...], Field(max_length=8)] | None,
    ] = {}
    onnx: OnnxNetwork | None = None
    openvino: OpenVinoNetwork | None = None
    repairs: Annotated[tuple[Repair, ...], Field(max_length=1000)] | None = None
    class_map: ClassMap
    head: Head
    activation: Literal["softmax", "sigmoid", "logsoftmax"] | None = None
    preprocessing: Preprocessing
    assumed: (
        Annotated[
            dict[
                Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")], Annotated[StrictStr, Field(max_length=500)]
            ],
            Field(max_length=20),
        ]
        | None
    ) = None
    context: Context | None = None
    training: Training = Training()
    scores: dict[str, dict[str, float]] = {}
    license: str = ""
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    card_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""

    @model_serializer(mode="wrap")
    def _only_what_is_used(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what cards did not have at first, so that the checksums of older cards stay right."""
        data: dict[str, Any] = dump(self)
        return {key: value for key, value in data.items() if key not in _LATER or value is not None}

    @model_validator(mode="after")
    def _head_fits_classes(self) -> Self:
        if isinstance(self.head, Binary) and len(self.class_map.foreground) != 1:
            raise ValueError("a binary head needs exactly one class beside the background")
        if not self.class_map.foreground:
            raise ValueError("a model needs at least one class beside the background")
        return self

    @model_validator(mode="after")
    def _encoder_is_named(self) -> Self:
        if self.onnx is None and not self.encoder:
            raise ValueError("the encoder is missing")
        return self

    @property
    def network_name(self) -> str:
        """Architecture and encoder, for people."""
        return f"{self.architecture}, {self.encoder}" if self.encoder else self.architecture

    @property
    def weights_file(self) -> str:
        """What the weights are called in the model folder."""
        if self.openvino is not None:
            return "model.bin"
        return "model.safetensors" if self.onnx is None else "model.onnx"

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
        return checksum(json.loads(self.model_dump_json()))

    def sealed(self) -> ModelCard:
        """Return a copy whose `card_sha256` is right."""
        return self.model_copy(update={"card_sha256": self.fingerprint()})


def checksum(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a card as it stands in its file, without the checksum itself.

    Of the file's content and not of the card made from it: a later version of this program knows more
    fields, and an old card must still be the same card.

    Parameters
    ----------
    content : dict
        The parsed JSON.

    Returns
    -------
    str
        Hexadecimal; the order of keys and the spacing do not count.
    """
    rest = {key: value for key, value in content.items() if key != "card_sha256"}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
