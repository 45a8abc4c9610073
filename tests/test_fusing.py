"""Batch norms drawn into convolutions: the same answer, and refused where it differs."""

import copy

import numpy as np
import pytest

from napari_specimen_seg.core.input_settings import Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.models.card import Binary
from test_predictor import stub

torch = pytest.importorskip("torch")
fusing = pytest.importorskip("napari_specimen_seg.models.fusing")


def card(**changes):
    base = stub(Binary(), [0.5]).card
    rgb = Preprocessing(geometry=Tiles(size=64, halo=8))
    return base.model_copy(update={"preprocessing": rgb, **changes})


def learned(network):
    """Give batch norms statistics that are not the identity."""
    torch.manual_seed(0)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(3 * torch.randn(4, 3, 64, 64) + 1)
    return network.eval()


def norms(network):
    return sum(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet10t", "mobilenet_v2"])
def test_a_fused_network_answers_alike_and_has_no_batch_norm(encoder):
    from napari_specimen_seg.models.network import build_network

    made = card(architecture="Unet", encoder=encoder)
    network = learned(build_network(made))
    before, count = {key: value.clone() for key, value in network.state_dict().items()}, norms(network)
    result = fusing.fused(network, made)
    assert norms(result) == 0 < count == norms(network)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 3, 96, 64)).astype(np.float32))
    with torch.inference_mode():
        torch.testing.assert_close(result(x), network(x), atol=1e-3, rtol=1e-3)


class Twice(torch.nn.Module):
    """Uses a convolution's answer beside its batch norm."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 1, 3, padding=1), torch.nn.BatchNorm2d(1)

    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y


def test_what_would_answer_otherwise_stays_as_it_is():
    network = learned(Twice())
    assert fusing.fused(network, card()) is network


def test_maps_of_an_fpn_are_added_to_the_same_bits():
    from segmentation_models_pytorch.decoders.fpn.decoder import MergeBlock

    from napari_specimen_seg.models.merging import added

    torch.manual_seed(0)
    maps = [torch.randn(2, 8, 12, 20).contiguous(memory_format=torch.channels_last) for _ in range(4)]
    found = added(maps)
    assert torch.equal(found, MergeBlock("add")(maps))
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("policy", "exchanged"), [("add", True), ("cat", False)])
def test_only_sums_are_exchanged(policy, exchanged):
    from napari_specimen_seg.models.merging import added
    from napari_specimen_seg.models.network import build_network

    made = card(architecture="FPN", encoder="tu-resnet10t", options={"decoder_merge_policy": policy})
    network = copy.deepcopy(build_network(made))
    assert (network.decoder.merge.forward is added) == exchanged
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 64, 64)
