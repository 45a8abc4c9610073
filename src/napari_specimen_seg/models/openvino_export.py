"""A model made smaller and faster: an OpenVINO model folder in float32, bfloat16 or 8-bit integers."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import DeviceError, ModelError
from ..core.progress import Progress, Report, silent
from .bundle import refuse_taken, write_bundle
from .card import ModelCard, OpenVinoNetwork, Precision
from .openvino_graph import converted, refuse_difference, require_openvino
from .openvino_run import GRAPH

if TYPE_CHECKING:
    from .predictor import Predictor


def export_openvino(
    predictor: Predictor,
    folder: str | os.PathLike[str],
    report: Report = silent,
    *,
    precision: Precision = "fp32",
    calibrate: Path | Sequence[Path] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a model folder that OpenVINO computes; it is used like any other.

    Parameters
    ----------
    predictor : Predictor
        A model with weights of torch.
    folder : path-like
        To be made.
    report : callable
        May raise `CancelledError`.
    precision : {"fp32", "bf16", "int8"}
        Of the numbers inside the network. bf16 halves the file; int8 quarters it.
    calibrate : Path or sequence of Path, optional
        Pictures like those that the model is meant for; needed for int8.
    overwrite : bool
        Whether a model folder of this name is replaced.

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If the network cannot be converted, or pictures for int8 are missing.
    DeviceError
        If packages are missing.
    WriteError
        If the folder exists or cannot be written.
    """
    target, card = Path(folder), predictor.card
    refuse_taken(target, overwrite)
    refuse_shrunk(card)
    if precision == "int8" and calibrate is None:
        raise no_pictures()
    report(Progress("converting the network", 0, 0))
    model = converted(predictor.network, card)
    refuse_difference(model, predictor.network, card)
    if precision == "int8":
        assert calibrate is not None
        model = _quantized(model, card, calibrate, report)
    graph, weights = _packed(model, half=precision == "bf16")
    network = OpenVinoNetwork(precision=precision, graph_sha256=hashlib.sha256(graph).hexdigest())
    made = shrunk_card(card, precision, {"openvino": network})
    write_bundle(target, made, weights, overwrite=overwrite, beside={GRAPH: graph.decode("utf-8")})
    return target


def refuse_shrunk(card: ModelCard) -> None:
    """Refuse to shrink what is no model of torch: what was lost once does not come back.

    Raises
    ------
    ModelError
    """
    if card.onnx is not None or card.openvino is not None:
        raise ModelError(
            f"{card.name} was exported or imported already", advice="Export the model that it was made from."
        )


def no_pictures() -> ModelError:
    """Return the error for int8 without pictures."""
    return ModelError(
        "int8 needs pictures to find out which numbers occur inside the network",
        advice="Give a folder of them, like those that the model is meant for: --calibrate DIR.",
    )


def shrunk_card(card: ModelCard, precision: Precision, changes: dict[str, Any]) -> ModelCard:
    """Return the card of a shrunk model: what it was made from, and no scores, which are not its own.

    Parameters
    ----------
    card : ModelCard
        Of the original.
    precision : {"fp32", "bf16", "int8"}
    changes : dict
        Fields of the new card.

    Returns
    -------
    ModelCard
    """
    origin = f"Made from {card.name} (card SHA-256 {card.card_sha256 or card.fingerprint()}), in {precision}."
    notes = f"{card.training.notes} {origin}".strip()
    return card.model_copy(
        update={
            "name": f"{card.name[: 99 - len(precision)]}-{precision}",
            "scores": {},
            "training": card.training.model_copy(update={"notes": notes}),
            "repairs": None,
            **changes,
        }
    )


def _quantized(model: Any, card: ModelCard, calibrate: Path | Sequence[Path], report: Report) -> Any:
    """Return the network with 8-bit integers inside (post-training quantization, NNCF)."""
    from .calibration import calibration_inputs

    nncf = _require_nncf()
    inputs = calibration_inputs(card, calibrate, report)
    report(Progress("shrinking to int8", 0, 0))

    def told(values: Any) -> Any:
        report(Progress("shrinking to int8", 0, 0))
        return values

    with contextlib.redirect_stdout(io.StringIO()):  # it draws bars of its own
        return nncf.quantize(
            model,
            nncf.Dataset(inputs, told),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(inputs),
        )


def _require_nncf() -> Any:
    require_openvino()  # also keeps NNCF from reporting to its makers
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    try:
        import nncf
    except ImportError as error:
        raise DeviceError(
            "int8 needs one more package", advice='Run: pip install "napari-specimen-seg[openvino]".'
        ) from error
    nncf.set_log_level(logging.ERROR)
    return nncf


def _packed(model: Any, *, half: bool) -> tuple[bytes, bytes]:
    """Return the description of a network and its numbers, these with 16 bits where asked for."""
    ov = require_openvino()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / GRAPH
        ov.save_model(model, path, compress_to_fp16=half)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()
