"""A model made smaller for onnxruntime: a model folder with an ONNX network in 8-bit integers."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ModelError, one_line
from ..core.progress import Progress, Report, silent
from .bundle import refuse_taken, write_bundle
from .calibration import calibration_inputs
from .card import ModelCard, OnnxNetwork
from .onnx_export import onnx_bytes
from .onnx_files import require_onnx
from .onnx_read import CARD_KEY
from .onnx_session import require_onnxruntime
from .openvino_export import no_pictures, refuse_shrunk, shrunk_card

if TYPE_CHECKING:
    from .predictor import Predictor


def export_onnx_int8(
    predictor: Predictor,
    folder: str | os.PathLike[str],
    report: Report = silent,
    *,
    calibrate: Path | Sequence[Path] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a model folder with an ONNX network whose numbers are 8-bit integers.

    Parameters
    ----------
    predictor : Predictor
        A model with weights of torch.
    folder : path-like
        To be made.
    report : callable
        May raise `CancelledError`.
    calibrate : Path or sequence of Path
        Pictures like those that the model is meant for.
    overwrite : bool
        Whether a model folder of this name is replaced.

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If the network cannot be written, pictures or packages are missing.
    WriteError
        If the folder exists or cannot be written.
    """
    target, card = Path(folder), predictor.card
    refuse_taken(target, overwrite)
    refuse_shrunk(card)
    if calibrate is None:
        raise no_pictures()
    content = onnx_bytes(predictor, report)
    interface = _interface_in(content)
    inputs = calibration_inputs(card, calibrate, report)
    small = _quantized(content, interface, inputs, report, card.name)
    small_interface = interface.model_copy(update={"precision": "int8"})
    changes = {"onnx": small_interface, "architecture": "ONNX", "encoder": "", "options": {}}
    write_bundle(target, shrunk_card(card, "int8", changes), small, overwrite=overwrite)
    return target


def _interface_in(content: bytes) -> OnnxNetwork:
    """Return how a network that was exported here takes pictures, from the card inside its file."""
    props = require_onnx().load_model_from_string(content).metadata_props
    stored = ModelCard.model_validate_json(next(entry.value for entry in props if entry.key == CARD_KEY))
    assert stored.onnx is not None
    return stored.onnx


def _quantized(
    content: bytes,
    interface: OnnxNetwork,
    inputs: Sequence[NDArray[np.float32]],
    report: Report,
    name: str,
) -> bytes:
    """Return the network with 8-bit integers (static quantization, one scale for each output channel)."""
    require_onnxruntime()
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    def feed() -> Iterator[dict[str, Any]]:
        for number, one in enumerate(inputs):
            report(Progress("shrinking to int8", number, len(inputs)))
            yield {interface.input: one}

    log = logging.getLogger()
    level = log.level
    log.setLevel(logging.ERROR)  # it recommends what is done here already
    try:
        with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given, ready, made = (Path(place) / f"{step}.onnx" for step in ("given", "ready", "made"))
            given.write_bytes(content)
            quant_pre_process(given, ready, skip_symbolic_shape=True)
            quantize_static(
                ready,
                made,
                _reader(feed()),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return made.read_bytes()
    except (RuntimeError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"{name}: the network cannot be shrunk ({one_line(error, 160)})") from error
    finally:
        log.setLevel(level)


def _reader(inputs: Iterator[dict[str, Any]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Any] | None:
            return next(inputs, None)

    return Reader()
