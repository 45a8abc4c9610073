"""Running an ONNX network with onnxruntime; needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DeviceError, ModelError, one_line
from .backends import Backend
from .bundle import read_checked
from .card import ModelCard, OnnxNetwork
from .devices import Engine
from .onnx_files import OnnxFacts, check_onnx, shapes_at
from .onnx_session import open_session, reason, require_onnxruntime
from .resample import smooth_band
from .settings import PredictSettings

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class OnnxNet:
    """An ONNX network in the hands of onnxruntime.

    Parameters
    ----------
    content : bytes
        Of a file that `check_onnx` found harmless.
    onnx : OnnxNetwork
        How it takes pictures and answers.
    classes : int
        How many channels it answers with; for class numbers, how many there are.
    name : str
        Of the model, for messages.
    """

    def __init__(self, content: bytes, onnx: OnnxNetwork, classes: int, name: str) -> None:
        self.onnx, self.classes, self.name = onnx, classes, name
        self.content = content
        self._sessions: dict[str, InferenceSession] = {}
        self.device = "cpu"

    def scores(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a batch.

        Parameters
        ----------
        batch : array of float32
            (N, C, Y, X).

        Returns
        -------
        array of float32
            (N, classes, Y, X); where the network answers with class numbers, 1 for the class.

        Raises
        ------
        RuntimeError
            If onnxruntime fails, with its reason on one line.
        """
        size = self.onnx.batch or len(batch)
        parts = [self._run(batch[start : start + size], size) for start in range(0, len(batch), size)]
        return self._at_size(np.concatenate(parts), *batch.shape[-2:])

    def _run(self, values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        """Run one batch of exactly `size`, whose rest is filled up where the file fixes it."""
        count = len(values)
        if count < size:
            values = np.concatenate([values, np.repeat(values[-1:], size - count, axis=0)])
        return self._scores(np.asarray(self._answer(_as_asked(values, self.onnx)))[:count])

    def _answer(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what the file answers to values in its own order and number type."""
        session = self._session()
        try:
            answer: NDArray[Any] = session.run([self.onnx.output], {self.onnx.input: values})[0]
        except Exception as error:  # onnxruntime's errors have no common base
            raise RuntimeError(reason(error)) from error
        return answer

    def _scores(self, answer: NDArray[Any]) -> NDArray[np.float32]:
        """Return an answer as (N, classes, Y, X) float32."""
        if self.onnx.output_layout == "NHWC":
            answer = np.moveaxis(answer, -1, 1)
        elif self.onnx.output_layout == "NHW":
            answer = answer[:, None]
        if self.onnx.answer == "classes":
            answer = _one_hot(answer[:, 0], self.classes, self.name)
        if answer.ndim != 4 or answer.shape[1] != self.classes:
            wanted = f"not with {self.classes} channels"
            raise ModelError(f"{self.name}: the network answers with shape {answer.shape}, {wanted}")
        return np.ascontiguousarray(answer, np.float32)

    def _at_size(self, scores: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """Enlarge an answer that is coarser than the input."""
        rows, columns = scores.shape[-2:]
        if (rows, columns) == (height, width):
            return scores
        if self.onnx.answer == "scores":
            return np.stack([smooth_band(one, slice(0, height), height, width) for one in scores])
        down, across = np.arange(height) * rows // height, np.arange(width) * columns // width
        return scores[:, :, down[:, None], across]

    def _session(self) -> InferenceSession:
        if self.device not in self._sessions:
            self._sessions = {self.device: open_session(self.content, self.device, self.name)}
        return self._sessions[self.device]


def load_onnx(folder: Path, card: ModelCard, kind: type[OnnxNet] = OnnxNet) -> OnnxNet:
    """Read the ONNX network of a model folder, with every check that importing makes.

    Parameters
    ----------
    folder : Path
    card : ModelCard
        Of the same folder, with `ModelCard.onnx`.
    kind : type
        What runs it: `OnnxNet`, or the same with another library.

    Returns
    -------
    OnnxNet

    Raises
    ------
    ModelError
        If the file is missing, altered, refused, or does not fit the card.
    """
    assert card.onnx is not None
    content = read_checked(folder, card)
    path = folder / card.weights_file
    facts = check_onnx(content, path)
    refuse_misfit(facts, card, path)
    return kind(content, card.onnx, card.out_channels, card.name)


class OnnxBackend(Backend):
    """Computes an ONNX network with onnxruntime, which divides its own work among the cores.

    Parameters
    ----------
    net : OnnxNet
    card : ModelCard
    engine : Engine
    """

    def __init__(self, net: OnnxNet, card: ModelCard, engine: Engine) -> None:
        super().__init__(card, engine)
        self.net = net
        net.device = engine.device

    def scores(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a batch; see `Backend.scores`."""
        return self.net.scores(batch)

    def lanes(self, height: int, width: int) -> int:
        """Return 1: a session takes all cores itself."""
        del height, width
        return 1


def input_shape(onnx: OnnxNetwork, channels: int, height: int, width: int, batch: int = 1) -> tuple[int, ...]:
    """Return the shape of an input in the order that the file wants."""
    size = (onnx.height or height, onnx.width or width)
    first = onnx.batch or batch
    return (first, channels, *size) if onnx.input_layout == "NCHW" else (first, *size, channels)


def choose_onnx_engine(settings: PredictSettings, onnx: OnnxNetwork) -> Engine:
    """Resolve every ``auto`` for an ONNX model: onnxruntime computes it unless OpenVINO is asked to.

    Parameters
    ----------
    settings : PredictSettings
    onnx : OnnxNetwork
        What the card says.

    Returns
    -------
    Engine

    Raises
    ------
    DeviceError
        If device, backend or precision cannot be had with it.
    """
    if settings.backend == "torch":
        raise DeviceError("an ONNX model cannot be computed by torch", advice="Use --backend auto.")
    if settings.precision not in ("auto", onnx.precision):
        raise DeviceError(
            f"the precision of an ONNX model is in its file, not {settings.precision}",
            advice="Use --precision auto.",
        )
    if settings.backend == "openvino":
        from .openvino_run import refuse_other_devices

        refuse_other_devices(settings)
        return Engine("cpu", "openvino", onnx.precision)
    has_cuda = "CUDAExecutionProvider" in require_onnxruntime().get_available_providers()
    if settings.device == "mps" or (settings.device == "cuda" and not has_cuda):
        raise DeviceError(
            f"the installed onnxruntime does not compute on {settings.device}",
            advice="Use --device cpu, or install onnxruntime-gpu.",
        )
    return Engine("cuda" if has_cuda and settings.device != "cpu" else "cpu", "onnxruntime", onnx.precision)


def refuse_misfit(facts: OnnxFacts, card: ModelCard, path: Path) -> None:
    """Refuse a card whose description is not that of the file beside it, and sizes that no machine has.

    Parameters
    ----------
    facts : OnnxFacts
    card : ModelCard
        With `ModelCard.onnx`.
    path : Path
        For messages.

    Raises
    ------
    ModelError
    """
    onnx = card.onnx
    assert onnx is not None
    if [port.name for port in facts.inputs] != [onnx.input]:
        raise ModelError(f"the network has no single input called {one_line(onnx.input, 40)}", path=path)
    if onnx.output not in [port.name for port in facts.outputs]:
        raise ModelError(f"the network has no output called {one_line(onnx.output, 40)}", path=path)
    side = getattr(card.preprocessing.geometry, "size", 512)
    shapes_at(facts, input_shape(onnx, card.preprocessing.in_channels, side, side), path)


def _as_asked(values: NDArray[np.float32], onnx: OnnxNetwork) -> NDArray[Any]:
    if onnx.input_layout == "NHWC":
        values = np.moveaxis(values, 1, -1)
    if onnx.input_type == "uint8":
        values = np.clip(np.rint(values), 0, 255)
    return np.ascontiguousarray(values, onnx.input_type)


def _one_hot(classes: NDArray[Any], count: int, name: str) -> NDArray[np.float32]:
    """Turn class numbers (N, Y, X) into scores (N, count, Y, X) of 0 and 1."""
    numbers = classes.astype(np.int64)
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < count:
        raise ModelError(f"{name}: the network answers with class {int(numbers.max())}, the card has {count}")
    return np.moveaxis(np.eye(count, dtype=np.float32)[numbers], -1, 1)
