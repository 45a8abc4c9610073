"""Running a network with OpenVINO on a processor, needs no torch."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DeviceError, ModelError
from .backends import Answer, Ask, Backend, Piece
from .bundle import read_checked
from .card import ModelCard, OpenVinoNetwork, Softmax
from .cores import cores
from .decide import id_table, limit_of
from .devices import Engine, choose_precision
from .openvino_graph import (
    Form,
    Takes,
    can_choose,
    clips,
    of_size,
    require_openvino,
    shaped,
)
from .settings import PredictSettings

if TYPE_CHECKING:
    from .card import Precision

GRAPH = "model.xml"
"""The description of the network in a model folder; its numbers are in ``model.bin``."""

MAX_GRAPH_BYTES = 50_000_000

KEPT_GRAPHS = 3
"""How many compiled graphs are kept; compiling one takes a tenth of a second."""

_UNBOUNDED = frozenset({"Loop", "TensorIterator", "If"})
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}
"""What is not in 8 bits inside an int8 network is in 16 where the processor can, else in 32."""


class OpenVinoNet:
    """A network in the hands of OpenVINO, compiled for each size and form that it is asked in.

    Parameters
    ----------
    model : openvino.Model
    precision : {"fp32", "bf16", "int8"}
        Of the numbers inside.
    """

    def __init__(self, model: Any, precision: Precision) -> None:
        self.model, self.precision = model, precision
        self._compiled: OrderedDict[Hashable, _Compiled] = OrderedDict()
        self._lock = threading.Lock()

    def scores(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Compute a batch as it is; several threads may ask at once.

        Parameters
        ----------
        batch : array
            As the network takes it: (N, C, Y, X) float32, unless it is from elsewhere.

        Returns
        -------
        array of float32
            (N, classes, Y, X), or as the network answers.
        """
        with self.computed(batch.shape, lambda: of_size(self.model, batch.shape), [batch]) as answer:
            return np.array(answer, np.float32)  # a copy: the next call writes into the same memory

    @contextmanager
    def computed(
        self, key: Hashable, graph: Callable[[], Any], inputs: Sequence[NDArray[Any]]
    ) -> Iterator[NDArray[Any]]:
        """Compute once.

        Parameters
        ----------
        key : hashable
            Which graph; it is compiled the first time.
        graph : callable
            Gives the graph, all of whose sizes are known.
        inputs : sequence of array
            One for each of its inputs.

        Yields
        ------
        array
            The answer; its memory is used again afterwards.
        """
        compiled = self._of(key, graph)
        request = compiled.request()
        try:
            # Shared: the arrays live until the answer is there.
            request.infer({place: np.ascontiguousarray(one) for place, one in enumerate(inputs)}, True)
            yield request.get_output_tensor(0).data
        finally:
            compiled.idle.append(request)

    def _of(self, key: Hashable, graph: Callable[[], Any]) -> _Compiled:
        with self._lock:
            if key not in self._compiled:
                while len(self._compiled) >= KEPT_GRAPHS:
                    self._compiled.popitem(last=False)
                self._compiled[key] = _Compiled(self._compile(graph()))
            self._compiled.move_to_end(key)
            return self._compiled[key]

    def _compile(self, graph: Any) -> Any:
        count = cores()
        options = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "NUM_STREAMS": count,
            "INFERENCE_NUM_THREADS": count,
        }
        return require_openvino().Core().compile_model(graph, "CPU", options)


class _Compiled:
    """A compiled graph and the places to compute in that nobody uses at the moment."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.idle: deque[Any] = deque()

    def request(self) -> Any:
        try:
            return self.idle.pop()
        except IndexError:
            return self.graph.create_infer_request()


class OpenVinoBackend(Backend):
    """Computes a network with OpenVINO; where it can, pixels go in and classes come out.

    Parameters
    ----------
    net : OpenVinoNet
    card : ModelCard
    engine : Engine
    """

    def __init__(self, net: OpenVinoNet, card: ModelCard, engine: Engine) -> None:
        super().__init__(card, engine)
        self.net = net
        self._table = id_table(card)
        self._plain = bool((self._table == np.arange(len(self._table))).all())

    def scores(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a batch; see `Backend.scores`."""
        return self.net.scores(batch)

    def answer(self, pieces: Sequence[Piece], ask: Ask) -> list[Answer]:
        """Choose the classes of pieces; see `Backend.answer`."""
        return [self._answer(piece, ask) for piece in pieces]

    def _answer(self, piece: Piece, ask: Ask) -> Answer:
        kind = piece.pixels.dtype.name
        takes: Takes = kind if kind in ("uint8", "uint16") else "float32"  # type: ignore[assignment]
        chooses = can_choose(self.card) and not ask.confidence and not ask.scores
        height, width = piece.pixels.shape[:2]
        form = Form((height, width), takes, chooses)
        inputs = self._inputs(piece, takes)
        if chooses and not isinstance(self.card.head, Softmax):
            inputs.append(np.array([limit_of(self.card, ask.threshold)], np.float32))
        with self.net.computed(form, lambda: shaped(self.net.model, self.card, form), inputs) as answer:
            if not chooses:
                part = answer[(0, slice(None), *piece.inner)]
                return self.choose(part.copy() if ask.scores else part, ask)
            chosen = answer[(0, *piece.inner)].copy()
        return Answer(chosen if self._plain else self._table[chosen])

    def _inputs(self, piece: Piece, takes: Takes) -> list[NDArray[Any]]:
        preprocessing = self.card.preprocessing
        if takes == "float32":
            return [preprocessing.normalise(piece.pixels, piece.values)[None]]
        terms = [term.astype(np.float32).reshape(1, 1, 1, -1) for term in preprocessing.terms(piece.values)]
        ends = [np.float32(end).reshape(1, 1, 1, 1) for end in piece.values] if clips(self.card) else []
        return [piece.pixels[None], *terms, *ends]


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
    return OpenVinoNet(model, card.openvino.precision)


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
    # In another encoding, such as UTF-16, they would be written with other bytes.
    if b"\0" in graph or b"<!" in graph.replace(b"<!--", b""):
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


def refuse_other_devices(settings: PredictSettings) -> None:
    """Refuse what OpenVINO is not used for here.

    Raises
    ------
    DeviceError
        If it is not installed, or another device than the processor is asked for.
    """
    require_openvino()
    if settings.device not in ("auto", "cpu"):
        raise DeviceError(
            f"OpenVINO computes on the CPU here, not on {settings.device}", advice="Use --device cpu."
        )


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
    refuse_other_devices(settings)
    if network is None:
        if settings.precision == "int8":
            raise DeviceError(
                "int8 has to be prepared with pictures of yours",
                advice="Run: specimen-seg export MODEL -o DIR --format openvino --precision int8 "
                "--calibrate PICTURES.",
            )
        return Engine("cpu", "openvino", choose_precision(settings))
    if settings.backend == "torch":
        raise DeviceError("an OpenVINO model cannot be computed by torch", advice="Use --backend auto.")
    if settings.precision not in ("auto", network.precision):
        raise DeviceError(
            f"this model was made for {network.precision}, not {settings.precision}",
            advice="Use --precision auto.",
        )
    return Engine("cpu", "openvino", network.precision)
