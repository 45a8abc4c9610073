"""What an ONNX file tells of itself: how it takes a picture, what its answer is, and how it ends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from ..core.errors import ModelError, ReadError, one_line, size_text
from ..core.progress import Progress, Report, silent
from .card import ModelCard, OnnxNetwork
from .importing import Draft, ImportOptions, Question, QuestionsError
from .onnx_files import MAX_FILE_BYTES, OnnxFacts, Port, Size, check_onnx, producers, shapes_at
from .onnx_run import input_shape, refuse_misfit
from .onnx_trial import try_out
from .presets import ActivationName

if TYPE_CHECKING:
    import torch

CARD_KEY = "napari_specimen_seg.card"
"""Under this name our own exports carry their card in the file's metadata."""

FREE_SIZE = (256, 320)
"""Height and width at which a network of open size is tried; unlike, so that axes can be told apart."""

TYPES = ("float32", "float16", "float64", "uint8")

MAX_CHANNELS = 64

PASSING = frozenset({"Identity", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Resize", "Slice",
                     "Upsample", "DequantizeLinear", "QuantizeLinear", "Dropout"})  # fmt: skip
"""Steps that leave a probability a probability."""

LINEAR = frozenset({"Conv", "ConvTranspose", "BatchNormalization", "Gemm", "LogSoftmax", "QLinearConv"})

Ending = Literal["none", "softmax", "sigmoid", "classes", "unknown"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a network answers with: order of axes, number of channels, and what its last step was."""

    layout: Literal["NCHW", "NHWC", "NHW"]
    channels: int
    ending: Ending


@dataclass(frozen=True, slots=True)
class OnnxRead:
    """What an ONNX file tells of itself.

    Parameters
    ----------
    content : bytes
    facts : OnnxFacts
    network : OnnxNetwork
    channels : int
        Of the picture.
    answer : Answer
    card : ModelCard, optional
        That our own export put into the file.
    """

    content: bytes
    facts: OnnxFacts
    network: OnnxNetwork
    channels: int
    answer: Answer
    card: ModelCard | None = None

    @property
    def activation(self) -> ActivationName | None:
        """What the network itself applies to its answer (class numbers count as softmax); None: unknown."""
        if self.answer.ending == "unknown":
            return None
        return "softmax" if self.answer.ending == "classes" else self.answer.ending


def read_onnx(path: Path, options: ImportOptions, report: Report = silent) -> OnnxRead:
    """Check an ONNX file, try it out, and tell what can be told without a person.

    Parameters
    ----------
    path : Path
    options : ImportOptions
        Part and activation are used.
    report : callable

    Returns
    -------
    OnnxRead

    Raises
    ------
    ModelError
        If the file is refused or no segmentation network.
    QuestionsError
        For the output, where there are several.
    """
    content = read_file(path)
    facts = check_onnx(content, path)
    stored = _stored_card(facts)
    if stored is not None and stored.onnx is not None:
        refuse_misfit(facts, stored, path)
        channels, answers = stored.preprocessing.in_channels, stored.out_channels
        return OnnxRead(content, facts, stored.onnx, channels, Answer("NCHW", answers, "unknown"), stored)
    network, channels = _interface(facts, options, path)
    answer, network = _try(facts, network, channels, path, report)
    return OnnxRead(content, facts, network, channels, _asked_ending(answer, options, path))


def network_of(draft: Draft) -> torch.nn.Module:
    """Return the network of a draft, to compute with before it is saved."""
    from .net_module import NetModule
    from .network import build_network, load_weights
    from .onnx_run import OnnxNet

    card = draft.card
    if isinstance(draft.weights, bytes):
        assert card.onnx is not None
        return NetModule(OnnxNet(draft.weights, card.onnx, card.out_channels, card.name))
    network = build_network(card)
    load_weights(network, draft.weights, card.name)
    return network


def read_file(path: Path) -> bytes:
    """Return the content of a file, unless it is too large to be a model."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError("the file is larger than an ONNX file can be", path=path)
        return path.read_bytes()
    except OSError as error:
        raise ReadError(f"cannot be read ({error.strerror or error})", path=path) from error


def _stored_card(facts: OnnxFacts) -> ModelCard | None:
    """Return the card that our own export put into the file; it must be valid and fit."""
    text = next((entry.value for entry in facts.model.metadata_props if entry.key == CARD_KEY), None)
    if text is None or len(text) > 4_000_000:
        return None
    try:
        card = ModelCard.model_validate(json.loads(text))
    except (ValidationError, ValueError, RecursionError):
        return None
    return card if card.onnx is not None else None


# -- input and output ------------------------------------------------------------------------------


def _interface(facts: OnnxFacts, options: ImportOptions, path: Path) -> tuple[OnnxNetwork, int]:
    """Return how the network takes a picture, and how many channels; the answer's order is tried later."""
    if len(facts.inputs) != 1:
        raise ModelError(f"the network takes {len(facts.inputs)} inputs, a picture is one", path=path)
    port = facts.inputs[0]
    if len(port.shape) != 4 or port.dtype not in TYPES:
        shown = size_text(size or "?" for size in port.shape)
        raise ModelError(f"the network does not take a picture ({port.dtype} of shape {shown})", path=path)
    layout, channels = _input_layout(port.shape, path)
    height, width = port.shape[2:] if layout == "NCHW" else port.shape[1:3]
    try:
        network = OnnxNetwork.model_validate(
            {
                "input": port.name,
                "output": _output(facts, options, path).name,
                "input_type": port.dtype,
                "input_layout": layout,
                "batch": port.shape[0],
                "height": height,
                "width": width,
                "stride": 1 if height and width else 32,
            }
        )
    except ValidationError as error:
        raise ModelError(f"the network's input cannot be used (shape {port.shape})", path=path) from error
    if (height is None) != (width is None):
        raise ModelError("the network fixes only one side of the picture", path=path)
    return network, channels


def _input_layout(shape: tuple[Size, ...], path: Path) -> tuple[Literal["NCHW", "NHWC"], int]:
    """Find the axis of the channels: the small one that is fixed."""
    first, last = shape[1], shape[3]
    if first is not None and first <= MAX_CHANNELS and (last is None or last >= first):
        return "NCHW", first
    if last is not None and last <= MAX_CHANNELS:
        return "NHWC", last
    raise ModelError("it cannot be told how many channels the network takes", path=path)


def _output(facts: OnnxFacts, options: ImportOptions, path: Path) -> Port:
    """Choose the output: the only one that has pixels, or the one that was named."""
    candidates = [port for port in facts.outputs if len(port.shape) in (0, 3, 4)]
    named = [port for port in candidates if port.name == options.part]
    if options.part is not None and not named:
        names = ", ".join(one_line(port.name, 40) for port in candidates[:8])
        raise ModelError(f"there is no output {options.part!r}", path=path, advice=f"There are {names}.")
    if not candidates:
        raise ModelError("the network has no output with a value for every pixel", path=path)
    if len(named or candidates) > 1:
        names_of = tuple(port.name for port in candidates)
        question = Question("part", f"It has {len(candidates)} outputs; which are the classes?", names_of)
        raise QuestionsError((question,), path=path)
    return (named or candidates)[0]


def _try(
    facts: OnnxFacts, network: OnnxNetwork, channels: int, path: Path, report: Report
) -> tuple[Answer, OnnxNetwork]:
    """Compute the network once and learn from the answer's shape what its axes are."""
    sizes = input_shape(network, channels, *FREE_SIZE)
    shapes = shapes_at(facts, sizes, path)
    report(Progress("trying the network", 0, 0))
    told = try_out(path, network.input, network.input_type, sizes, network.output, report)
    if not told["finite"]:
        raise ModelError("the network answers with NaN or infinity", path=path)
    height, width = network.height or FREE_SIZE[0], network.width or FREE_SIZE[1]
    layout, count = _output_layout(tuple(told["shape"]), height, width, path)
    ending = _ending(facts, network.output, told)
    if ending == "classes":
        count = _classes_before_argmax(facts, network.output, shapes)
    answer = Answer(layout, count, ending)
    answers: Literal["scores", "classes"] = "classes" if ending == "classes" else "scores"
    return answer, network.model_copy(update={"output_layout": layout, "answer": answers})


def _output_layout(
    shape: tuple[int, ...], height: int, width: int, path: Path
) -> tuple[Literal["NCHW", "NHWC", "NHW"], int]:
    """Find the axes of height and width: those that have the picture's proportions."""
    if len(shape) == 4 and _alike(shape[2:], height, width):
        return "NCHW", shape[1]
    if len(shape) == 4 and _alike(shape[1:3], height, width):
        return "NHWC", shape[3]
    if len(shape) == 3 and _alike(shape[1:], height, width):
        return "NHW", 1
    cause = f"the network does not answer with a value for every pixel (shape {size_text(shape)})"
    raise ModelError(cause, path=path)


def _alike(size: tuple[int, ...], height: int, width: int) -> bool:
    return size[0] * width == size[1] * height and 0 < size[0] <= height


def _ending(facts: OnnxFacts, output: str, told: dict[str, Any]) -> Ending:
    """Tell from the last steps, and from the values, what the network's answer is."""
    operator = _last_operator(facts, output)
    whole = told["dtype"].startswith(("int", "uint", "bool"))
    if operator == "ArgMax" or whole:
        return "classes"
    if operator == "Softmax":
        return "softmax"
    if operator in ("Sigmoid", "HardSigmoid"):
        return "sigmoid"
    inside = told["low"] >= 0 and told["high"] <= 1
    return "none" if operator in LINEAR and not inside else "unknown"


def _last_operator(facts: OnnxFacts, output: str) -> str:
    """Return the last step that changes what the numbers mean."""
    made_by = producers(facts)
    name = output
    for _ in range(50):
        node = made_by.get(name)
        if node is None:
            return ""
        if node.op_type not in PASSING or not node.input:
            return str(node.op_type)
        name = node.input[0]
    return ""


def _classes_before_argmax(facts: OnnxFacts, output: str, shapes: dict[str, tuple[Size, ...]]) -> int:
    """Return how many classes the network chooses from, 0 if that cannot be told."""
    made_by = producers(facts)
    name = output
    for _ in range(50):
        node = made_by.get(name)
        if node is None or not node.input:
            return 0
        name = node.input[0]
        if node.op_type == "ArgMax":
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            shape = shapes.get(name, ())
            return (shape[axis] or 0) if -len(shape) <= axis < len(shape) else 0
    return 0


def _asked_ending(answer: Answer, options: ImportOptions, path: Path) -> Answer:
    """Add what a person said of the last step, which must not contradict the file."""
    said = options.activation
    if answer.ending == "unknown" and said is not None:
        return Answer(answer.layout, answer.channels, said)
    if said is not None and answer.ending not in (said, "classes"):
        raise ModelError(f"activation {said} was given, but the file ends with {answer.ending}", path=path)
    return answer
