"""Networks in OpenVINO's form: made from torch, and with pixels going in and classes coming out.

What goes around the network is part of the graph, so that a tile crosses as the bytes of the picture and
comes back as one byte a pixel; in the middle nothing changes.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..core.errors import ModelError
from ..core.input_settings import ByPercentile, Tiles
from .card import ModelCard, Softmax
from .decide import later_wins

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-3
"""How far a converted network may be from the original, relative to the spread of its answer."""

Takes = Literal["float32", "uint8", "uint16"]


class ConversionError(ModelError):
    """A torch network that OpenVINO cannot compute, or not alike."""


@dataclass(frozen=True, slots=True)
class Form:
    """What goes in and out of a graph.

    Parameters
    ----------
    shape : (int, int)
        Height and width; a graph of one size is faster and needs less memory than one of any.
    takes : {"float32", "uint8", "uint16"}
        Normalised numbers (N, C, Y, X), or pixels (N, Y, X, C) that the graph normalises.
    chooses : bool
        Whether it answers with rows of `decide.id_table` (N, Y, X) uint8, not with scores.
    """

    shape: tuple[int, int]
    takes: Takes = "float32"
    chooses: bool = False


def require_openvino() -> Any:
    """Import OpenVINO, or tell how to get it; it is kept from reporting to its makers."""
    import sys

    from ..core.errors import DeviceError

    # With None in its place the import fails, and OpenVINO and NNCF use what sends nothing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise DeviceError(
            "the backend openvino needs one more package",
            advice='Run: pip install "napari-specimen-seg[openvino]".',
        ) from error
    _meet_alone(openvino)
    return openvino


_meeting = threading.Lock()
_met: set[str] = set()


def _meet_alone(openvino: Any) -> None:
    """Let OpenVINO's Python part set up in one thread what two threads may wait for in each other for ever.

    Its table of types is made by whoever passes the first array. That gives the interpreter's lock away and
    wants it back, while a second thread may have taken it and wait for the table.
    """
    with _meeting:
        if not _met:
            array = np.zeros(1, np.float32)
            openvino.Tensor(array).data  # noqa: B018
            _met.add(openvino.__name__)


def converted(network: torch.nn.Module, card: ModelCard) -> Any:
    """Return a torch network as one of OpenVINO.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode, on the CPU.
    card : ModelCard

    Returns
    -------
    openvino.Model
        Of any size where the model works in tiles, else of the card's.

    Raises
    ------
    ConversionError
        If it cannot be converted.
    """
    import torch

    from .onnx_export import example_size

    ov = require_openvino()
    size, channels = example_size(card), card.preprocessing.in_channels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about itself
            example = torch.zeros(1, channels, *size)
            # Traced here, because the converter would trace three times; `refuse_difference` compares.
            traced = torch.jit.trace(network.eval(), example, strict=False, check_trace=False)  # type: ignore[no-untyped-call]
            model = ov.convert_model(traced, example_input=example)
    except Exception as error:  # the converter's errors have no common base
        line = str(error).strip().partition("\n")[0]
        raise ConversionError(f"{card.name}: the network cannot be converted to OpenVINO ({line})") from error
    free = isinstance(card.preprocessing.geometry, Tiles)
    model.reshape({0: ov.PartialShape([-1, channels, *((-1, -1) if free else size)])})
    return model


def refuse_difference(model: Any, network: torch.nn.Module, card: ModelCard) -> None:
    """Refuse a converted network that does not answer like the original, on noise of two sizes.

    One of them is not the size that it was converted with: what a converter took for constant shows there.

    Raises
    ------
    ConversionError
    """
    import torch

    from .network import stride_of_card
    from .onnx_export import example_size

    ov = require_openvino()
    height, width = example_size(card)
    free = isinstance(card.preprocessing.geometry, Tiles)
    sizes = [(height, width)] + ([(height + stride_of_card(card), width)] if free else [])
    for size in sizes:
        shape = (1, card.preprocessing.in_channels, *size)
        noise = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        with torch.inference_mode():
            wanted = network(torch.from_numpy(noise)).float().numpy()
        compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = compiled([noise])[0]
        if found.shape != wanted.shape or np.abs(found - wanted).max() > TOLERANCE * (wanted.std() + 1e-6):
            raise ConversionError(f"{card.name}: OpenVINO does not answer like the original network")


def can_choose(card: ModelCard) -> bool:
    """Tell whether a graph can choose the classes of a card: as many as one byte counts."""
    return card.out_channels < 255


def shaped(model: Any, card: ModelCard, form: Form) -> Any:
    """Return a copy of a network with what a form puts around it.

    Parameters
    ----------
    model : openvino.Model
        Takes (N, C, Y, X) float32, answers scores.
    card : ModelCard
    form : Form

    Returns
    -------
    openvino.Model
        Its inputs are the picture and, for pixels, ``factor`` and ``shift`` (1, 1, 1, C) and, where the
        card clips, ``low`` and ``high`` (1, 1, 1, 1); and ``limit`` (1,) for sigmoid and binary heads that
        choose.
    """
    ov = require_openvino()
    import openvino.opset13 as ops

    model = model.clone()
    channels = card.preprocessing.in_channels
    inputs = list(model.get_parameters())
    answer = model.get_results()[0].input_value(0)
    if form.takes != "float32":
        first, inputs = inputs[0], _pixel_inputs(ops, card, form)
        first.output(0).replace(_normalised(ops, card, inputs).output(0))
    if form.chooses:
        limits = [] if isinstance(card.head, Softmax) else [ops.parameter([1], np.float32, "limit")]
        answer = _chosen(ops, answer, card, *limits).output(0)
        inputs += limits
    made = ov.Model([ops.result(answer)], inputs, "model")
    size = [1, channels, *form.shape] if form.takes == "float32" else [1, *form.shape, channels]
    made.reshape({made.input(0): ov.PartialShape(size)})
    return made


def of_size(model: Any, shape: tuple[int, ...]) -> Any:
    """Return a copy of a network whose input has a shape."""
    made = model.clone()
    made.reshape({made.input(0): require_openvino().PartialShape(list(shape))})
    return made


def clips(card: ModelCard) -> bool:
    """Tell whether values beyond the range of the picture are cut off."""
    values = card.preprocessing.values
    return isinstance(values, ByPercentile) and values.clip


def _pixel_inputs(ops: Any, card: ModelCard, form: Form) -> list[Any]:
    channels = card.preprocessing.in_channels
    pixels = ops.parameter([-1, -1, -1, channels], np.dtype(form.takes).type, "pixels")
    terms = [ops.parameter([1, 1, 1, channels], np.float32, name) for name in ("factor", "shift")]
    ends = [ops.parameter([1, 1, 1, 1], np.float32, name) for name in ("low", "high")] if clips(card) else []
    return [pixels, *terms, *ends]


def _normalised(ops: Any, card: ModelCard, inputs: list[Any]) -> Any:
    """Return pixels as `Preprocessing.normalise` gives them, (N, C, Y, X)."""
    pixels, factor, shift, *ends = inputs
    values = ops.convert(pixels, "f32")
    if clips(card):
        values = ops.minimum(ops.maximum(values, ends[0]), ends[1])
    return ops.transpose(ops.add(ops.multiply(values, factor), shift), [0, 3, 1, 2])


def _chosen(ops: Any, scores: Any, card: ModelCard, *limits: Any) -> Any:
    """Return the rows of `decide.id_table` that `decide` would choose, (N, Y, X) uint8."""
    if isinstance(card.head, Softmax):
        return ops.squeeze(ops.convert(_largest(ops, scores).output(1), "u8"), [1])
    above = ops.convert(ops.greater(scores, limits[0]), "i32")
    if later_wins(card):
        numbers = np.arange(1, card.out_channels + 1, dtype=np.int32).reshape(1, -1, 1, 1)
        chosen = ops.reduce_max(ops.multiply(above, numbers), [1], keep_dims=True)
    else:
        first = ops.add(_largest(ops, scores).output(1), np.int32(1))
        chosen = ops.multiply(first, ops.reduce_max(above, [1], keep_dims=True))
    return ops.squeeze(ops.convert(chosen, "u8"), [1])


def _largest(ops: Any, scores: Any) -> Any:
    """Return the largest score and the first channel that has it."""
    return ops.topk(scores, np.int64(1), 1, "max", "value", "i32", stable=True)
