"""What goes around a network inside OpenVINO chooses exactly what numpy chooses."""

from importlib.util import find_spec

import numpy as np
import pytest

from napari_specimen_seg.core.errors import ModelError
from napari_specimen_seg.core.input_settings import ByPercentile, Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.models.backends import Ask, Piece
from napari_specimen_seg.models.card import Binary, Sigmoid, Softmax
from napari_specimen_seg.models.devices import Engine
from napari_specimen_seg.models.openvino_graph import converted, refuse_difference
from napari_specimen_seg.models.openvino_run import OpenVinoBackend, OpenVinoNet
from test_predictor import GRAY, stub, three_classes

torch = pytest.importorskip("torch")
torch_run = pytest.importorskip("napari_specimen_seg.models.torch_run")
if find_spec("openvino") is None:
    pytest.skip("the extra openvino is not installed", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

HEADS = {
    "softmax": (Softmax(), [0.0, 0.25, 0.6]),
    "later": (Sigmoid(overlap="later"), [0.3, 0.7]),
    "highest": (Sigmoid(overlap="highest"), [0.3, 0.7]),
    "binary": (Binary(threshold=0.3), [0.5]),
}


class Limits(torch.nn.Module):
    """A line for every channel, later ones steeper."""

    def __init__(self, limits):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, len(limits), 1)
        with torch.no_grad():
            slopes = 10.0 + 10 * torch.arange(len(limits))
            self.conv.weight.copy_(slopes[:, None, None, None])
            self.conv.bias.copy_(-slopes * torch.tensor(limits))

    def forward(self, x):
        return self.conv(x)


def backends(name, **changes):
    """Return a model as computed by torch and numpy, and by one graph."""
    head, limits = HEADS[name]
    classes = None if name == "binary" else three_classes()
    card = stub(head, limits, classes).card.model_copy(update=changes)
    network = Limits(limits).eval()
    net = OpenVinoNet(converted(network, card), "fp32")
    return (
        torch_run.TorchBackend(network, card, Engine("cpu", "torch", "fp32")),
        OpenVinoBackend(net, card, Engine("cpu", "openvino", "fp32")),
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("name", HEADS)
def test_the_graph_chooses_what_numpy_chooses(name, dtype):
    clipping = Preprocessing(geometry=Tiles(size=64, halo=8), values=ByPercentile(), **GRAY)
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = (np.linspace(0, 1, 32 * 64).reshape(32, 64, 1) * top).astype(dtype)
    piece = Piece(pixels, (0.1 * top, 0.9 * top), (slice(3, 30), slice(5, 60)))
    for changes in ({}, {"preprocessing": clipping}):
        numpy, graph = backends(name, **changes)
        for ask in (Ask(), Ask(threshold=0.6), Ask(confidence=True, scores=True)):
            (one,), (other,) = numpy.answer([piece], ask), graph.answer([piece], ask)
            assert (one.labels == other.labels).mean() > 0.999  # the last bit may differ at the limit itself
            assert one.labels.dtype == other.labels.dtype
            assert len(np.unique(other.labels)) > 1
            if ask.confidence:
                np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-5)
                np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


def test_a_network_that_answers_otherwise_is_refused():
    numpy, graph = backends("softmax")
    refuse_difference(graph.net.model, numpy.network, numpy.card)
    other = Limits([0.0, 0.26, 0.6])
    with pytest.raises(ModelError, match="does not answer like the original"):
        refuse_difference(graph.net.model, other, numpy.card)


def test_openvino_is_met_by_one_thread_before_several_compute():
    """Its table of types, made by two threads at once, is waited for for ever."""
    from napari_specimen_seg.models import openvino_graph

    openvino_graph._met.clear()
    openvino_graph.require_openvino()
    assert openvino_graph._met == {"openvino"}
