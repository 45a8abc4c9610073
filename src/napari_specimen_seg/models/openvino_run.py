"""Running a network with OpenVINO on a processor, needs no torch."""

from __future__ import annotations

import hashlib
import re
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DeviceError, ModelError
from .backends import Backend
from .bundle import read_checked
from .card import ModelCard, OpenVinoNetwork
from .cores import cores
from .devices import Engine
from .settings import PredictSettings

if TYPE_CHECKING:
    import torch

    from .card import Precision

GRAPH = "model.xml"
"""The description of the network in a model folder; its numbers are in ``model.bin``."""

MAX_GRAPH_BYTES = 50_000_000

_UNBOUNDED = frozenset({"Loop", "TensorIterator", "If"})
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


class OpenVinoNet:
    """A network that OpenVINO computes.

    Parameters
    ----------
    model : openvino.Model
    precision : {"fp32", "bf16", "int8"}
        Of the numbers inside.
    name : str
        For messages.
    """

    def __init__(self, model: Any, precision: Precision, name: str) -> None:
        self.model, self.precision, self.name = model, precision, name
        self._compiled: Any = None
        self._lock = threading.Lock()
        self._local = threading.local()

    def scores(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a batch; several threads may ask at once.

        Parameters
        ----------
        batch : array of float32
            (N, C, Y, X).

        Returns
        -------
        array of float32
            (N, classes, Y, X).
        """
        request = getattr(self._local, "request", None)
        if request is None:
            with self._lock:
                self._compiled = self._compiled or self._compile()
                request = self._local.request = self._compiled.create_infer_request()
        request.infer({0: np.ascontiguousarray(batch)})
        # Copied: the next call writes into the same memory.
        return np.array(request.get_output_tensor(0).data, np.float32)

    def _compile(self) -> Any:
        ov = require_openvino()
        count = cores()
        # One core for each picture, so that the answer does not depend on how many there are.
        options = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "NUM_STREAMS": count,
            "INFERENCE_NUM_THREADS": count,
        }
        return ov.Core().compile_model(self.model, "CPU", options)


class OpenVinoBackend(Backend):
    """Computes a network with OpenVINO.

    Parameters
    ----------
    net : OpenVinoNet
    card : ModelCard
    engine : Engine
    """

    def __init__(self, net: OpenVinoNet, card: ModelCard, engine: Engine) -> None:
        super().__init__(card, engine)
        self.net = net

    def scores(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a batch; see `Backend.scores`."""
        return self.net.scores(batch)


def require_openvino() -> Any:
    """Import OpenVINO, or tell how to get it; it is kept from reporting to its makers."""
    # With None in its place the import fails, and OpenVINO and NNCF use what sends nothing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise DeviceError(
            "the backend openvino needs one more package",
            advice='Run: pip install "napari-specimen-seg[openvino]".',
        ) from error
    return openvino


def load_openvino(folder: Path, card: ModelCard) -> OpenVinoNet:
    """Read the OpenVINO network of a model folder.

    Parameters
    ----------
    folder : Path
    card : ModelCard
        Of the same folder, with `ModelCard.openvino`.

    Returns
    -------
    OpenVinoNet

    Raises
    ------
    ModelError
        If a file is missing, altered or refused.
    DeviceError
        If OpenVINO is not installed.
    """
    assert card.openvino is not None
    ov = require_openvino()
    weights = read_checked(folder, card)
    graph = read_graph(folder / GRAPH, card.openvino)
    try:
        model = ov.Core().read_model(model=graph, weights=weights)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot open the network ({error})", path=folder / GRAPH) from error
    _refuse_misfit(model, card, folder / GRAPH)
    return OpenVinoNet(model, card.openvino.precision, card.name)


def read_graph(path: Path, network: OpenVinoNetwork) -> bytes:
    """Read the description of a network after comparing it with the card, and refuse what no network needs.

    Raises
    ------
    ModelError
    """
    try:
        if path.stat().st_size > MAX_GRAPH_BYTES:
            raise ModelError("the network's description is larger than any honest one", path=path)
        graph = path.read_bytes()
    except OSError as error:
        raise ModelError(f"the network's description cannot be read ({error.strerror})", path=path) from error
    if hashlib.sha256(graph).hexdigest() != network.graph_sha256:
        raise ModelError(
            "the network's description was altered (checksum differs)",
            path=path,
            advice="Get the model anew.",
        )
    check_graph(graph, path)
    return graph


def check_graph(graph: bytes, path: Path) -> None:
    """Refuse entities, operators of other libraries and loops that nothing bounds.

    Raises
    ------
    ModelError
    """
    if b"<!" in graph.replace(b"<!--", b""):
        raise ModelError("the network's description defines entities", path=path)
    try:
        layers = list(ElementTree.fromstring(graph).iter("layer"))
    except ElementTree.ParseError as error:
        raise ModelError(f"the network's description is no XML ({error})", path=path) from error
    for layer in layers:
        kind, version = layer.get("type", ""), layer.get("version", "")
        if kind in _UNBOUNDED or not re.fullmatch(r"opset[0-9]{1,3}", version):
            raise ModelError(f"the network has an operator that is refused ({kind} {version})", path=path)


def _refuse_misfit(model: Any, card: ModelCard, path: Path) -> None:
    shapes = [port.get_partial_shape() for port in (*model.inputs, *model.outputs)]
    wanted = (card.preprocessing.in_channels, card.out_channels)
    fits = len(model.inputs) == len(model.outputs) == 1 and all(
        len(shape) == 4 and shape[1].is_static and shape[1].get_length() == channels
        for shape, channels in zip(shapes, wanted, strict=False)
    )
    if not fits:
        raise ModelError("the network does not fit its card", path=path)


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
    ModelError
        If it cannot be converted.
    """
    import torch

    from ..core.preprocessing import Tiles
    from .onnx_export import example_size

    ov = require_openvino()
    size, channels = example_size(card), card.preprocessing.in_channels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about itself
            model = ov.convert_model(network.eval(), example_input=torch.zeros(1, channels, *size))
    except Exception as error:  # the converter's errors have no common base
        line = str(error).strip().partition("\n")[0]
        raise ModelError(f"{card.name}: the network cannot be converted to OpenVINO ({line})") from error
    free = isinstance(card.preprocessing.geometry, Tiles)
    model.reshape({0: ov.PartialShape([-1, channels, *((-1, -1) if free else size)])})
    return model


def choose_openvino_engine(settings: PredictSettings, network: OpenVinoNetwork | None) -> Engine:
    """Resolve every ``auto`` for a model that OpenVINO computes.

    Parameters
    ----------
    settings : PredictSettings
    network : OpenVinoNetwork or None
        What the card says; None for a torch model that is to be computed by OpenVINO.

    Returns
    -------
    Engine

    Raises
    ------
    DeviceError
        If device, backend or precision cannot be had with it.
    """
    require_openvino()
    if settings.device not in ("auto", "cpu"):
        raise DeviceError(
            f"OpenVINO computes on the CPU here, not on {settings.device}", advice="Use --device cpu."
        )
    if network is None:
        if settings.precision == "int8":
            raise DeviceError(
                "int8 has to be prepared with pictures of yours",
                advice="Run: specimen-seg export MODEL -o DIR --format openvino --precision int8 "
                "--calibrate PICTURES.",
            )
        return Engine("cpu", "openvino", "bf16" if settings.precision == "bf16" else "fp32")
    if settings.backend == "torch":
        raise DeviceError("an OpenVINO model cannot be computed by torch", advice="Use --backend auto.")
    if settings.precision not in ("auto", network.precision):
        raise DeviceError(
            f"this model was made for {network.precision}, not {settings.precision}",
            advice="Use --precision auto.",
        )
    return Engine("cpu", "openvino", network.precision)
