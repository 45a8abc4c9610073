"""Running an ONNX network with OpenVINO, after the same checks as for onnxruntime; needs no torch."""

from __future__ import annotations

import threading
from typing import Any

from numpy.typing import NDArray

from ..core.errors import ModelError, one_line
from .backends import Backend
from .card import ModelCard, OnnxNetwork
from .devices import Engine
from .onnx_run import OnnxNet
from .openvino_graph import require_openvino
from .openvino_run import OpenVinoNet


class OnnxByOpenVino(OnnxNet):
    """An ONNX network in the hands of OpenVINO.

    Parameters
    ----------
    content : bytes
        Of a file that `check_onnx` found harmless.
    onnx : OnnxNetwork
    classes : int
    name : str
    """

    def __init__(self, content: bytes, onnx: OnnxNetwork, classes: int, name: str) -> None:
        super().__init__(content, onnx, classes, name)
        self._net: OpenVinoNet | None = None
        self._lock = threading.Lock()

    def _answer(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what the file answers; class numbers are whole in float32 too."""
        with self._lock:
            if self._net is None:
                self._net = OpenVinoNet(_opened(self.content, self.onnx, self.name), "fp32")
        return self._net.scores(values)


class OnnxOpenVinoBackend(Backend):
    """Computes an ONNX network with OpenVINO, on one core for each piece.

    Parameters
    ----------
    net : OnnxByOpenVino
    card : ModelCard
    engine : Engine
    """

    def __init__(self, net: OnnxNet, card: ModelCard, engine: Engine) -> None:
        super().__init__(card, engine)
        self.net = net

    def scores(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Compute a batch; see `Backend.scores`."""
        return self.net.scores(batch)


def _opened(content: bytes, onnx: OnnxNetwork, name: str) -> Any:
    """Return the network as one of OpenVINO, with the one answer that is wanted."""
    ov = require_openvino()
    try:
        model = ov.Core().read_model(model=content)
        return ov.Model([model.output(onnx.output)], model.get_parameters(), "network")
    except Exception as error:  # OpenVINO's errors have no common base
        line = one_line(str(error).strip().rpartition("\n")[2], 160)
        raise ModelError(
            f"{name}: OpenVINO cannot open the network ({line})", advice="Use --backend auto."
        ) from error
