"""What a GPU computes: on the processor in its place, with tensors that claim to be on one, and on one."""

import copy
from contextlib import nullcontext

import numpy as np
import pytest

from napari_specimen_seg.core.errors import DeviceError
from napari_specimen_seg.core.input_settings import ByPercentile, Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.models.backends import Ask, Piece
from napari_specimen_seg.models.card import Binary, Sigmoid, Softmax
from napari_specimen_seg.models.devices import Engine, choose_engine
from napari_specimen_seg.models.settings import PredictSettings
from test_predictor import GRAY, stub, three_classes

torch = pytest.importorskip("torch")
device = pytest.importorskip("napari_specimen_seg.models.torch_device")
graphs = pytest.importorskip("napari_specimen_seg.models.cuda_graphs")
torch_run = pytest.importorskip("napari_specimen_seg.models.torch_run")

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")

HEADS = {
    "softmax": (Softmax(), [0.0, 0.25, 0.6]),
    "later": (Sigmoid(overlap="later"), [0.3, 0.7]),
    "highest": (Sigmoid(overlap="highest"), [0.3, 0.7]),
    "binary": (Binary(threshold=0.3), [0.5]),
}
CPU = Engine("cpu", "torch", "fp32")
CLIPPED = Preprocessing(geometry=Tiles(size=64, halo=8), values=ByPercentile(), **GRAY)
INNER = slice(3, 30), slice(5, 60)


def lines(limits):
    """Return a network with a line for every channel, later ones steeper."""
    network = torch.nn.Conv2d(1, len(limits), 1)
    slopes = 10.0 + 10 * torch.arange(len(limits))
    with torch.no_grad():
        network.weight.copy_(slopes[:, None, None, None])
        network.bias.copy_(-slopes * torch.tensor(limits))
    return network.eval()


def model(name, **changes):
    """Return a card and its network."""
    head, limits = HEADS[name]
    card = stub(head, limits, None if name == "binary" else three_classes()).card
    return card.model_copy(update=changes), lines(limits)


def two_pieces(dtype):
    top = 1 if np.dtype(dtype).kind in "bf" else np.iinfo(dtype).max
    pixels = (np.linspace(0, 1, 32 * 64).reshape(32, 64, 1) * top).astype(dtype)
    return [
        Piece(pixels, (0.1 * top, 0.9 * top), INNER),
        Piece(pixels[::-1], (0.2 * top, 0.8 * top), INNER),  # of another plane
    ]


def numpy_answers(card, network, pieces, ask=None):
    return torch_run.TorchBackend(network, card, CPU).answer(pieces, ask or Ask())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int32, np.float64])
@pytest.mark.parametrize("name", HEADS)
def test_a_gpu_chooses_what_numpy_chooses(name, dtype):
    pieces = two_pieces(dtype)
    for changes in ({}, {"preprocessing": CLIPPED}):
        card, network = model(name, **changes)
        gpu = device.DeviceBackend(network, card, CPU)
        for ask in (Ask(), Ask(threshold=0.6), Ask(confidence=True), Ask(confidence=True, scores=True)):
            wanted = numpy_answers(card, network, pieces, ask)
            for one, other in zip(wanted, gpu.answer(pieces, ask), strict=True):
                assert (one.labels == other.labels).mean() > 0.999  # the last bit may differ at a limit
                assert one.labels.dtype == other.labels.dtype
                assert len(np.unique(other.labels)) > 1
                assert (other.confidence is not None) == ask.confidence
                if ask.confidence:
                    assert other.confidence.dtype == np.float32
                    same = one.labels == other.labels
                    np.testing.assert_allclose(one.confidence[same], other.confidence[same], atol=1e-5)


def test_values_that_are_no_numbers_count_as_on_the_processor():
    card, network = model("softmax")
    pixels = np.full((32, 64, 1), 0.6, np.float32)
    pixels[4, :30], pixels[5], pixels[6] = np.nan, np.inf, -np.inf
    pieces = [Piece(pixels, (0.0, 1.0), INNER)]
    (one,) = device.DeviceBackend(network, card, CPU).answer(pieces, Ask())
    (other,) = numpy_answers(card, network, pieces)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert [one.labels[row, 0] for row in (0, 1, 2, 3)] == [4, 0, 4, 0]  # bright, nan, inf, -inf


def test_a_narrow_range_far_from_zero_keeps_its_steps():
    """Of 16 bits, 100 in use: 32-bit numbers are too coarse to multiply first."""
    pixels = np.arange(60000, 60100, dtype=np.uint16).reshape(10, 10, 1)
    pieces = [Piece(pixels, (60000.0, 60099.0), (slice(None), slice(None)))]
    card, _ = model("binary", preprocessing=CLIPPED)
    values = device.normalised(
        torch.from_numpy(pixels.view(np.int16))[None], device.terms_of(pieces, card), clipped=True
    )
    wanted = card.preprocessing.normalise(pixels, pieces[0].values)
    np.testing.assert_allclose(values[0].numpy(), wanted, rtol=3e-7, atol=1e-7)


def test_ids_that_need_two_bytes():
    scores = torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 2.0]]).reshape(1, 2, 1, 3)
    card, _ = model("softmax")
    found = {}
    for last in (7, 700):
        ids = np.array([0, last], np.uint8 if last < 256 else np.uint16)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(device, "id_table", lambda card, ids=ids: ids)
            (found[last],) = device.choose_on_device(scores, card, Ask())
    assert found[7].tolist() == [[[7, 0, 7]]]
    assert found[700].tolist() == [[[700, 0, 700]]]
    assert (found[7].dtype, found[700].dtype) == (torch.uint8, torch.int32)


def test_equal_scores_go_to_the_first():
    card, _ = model("softmax")
    (labels,) = device.choose_on_device(torch.ones(1, 3, 2, 2), card, Ask())
    assert labels.tolist() == [[[0, 0], [0, 0]]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float32])
@pytest.mark.parametrize("name", HEADS)
def test_nothing_is_computed_in_two_places(name, dtype):
    """Tensors without values, which know on which device they would be, refuse to meet others."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    card, _ = model(name, preprocessing=CLIPPED)
    with FakeTensorMode(), torch.device("cuda"):
        pixels = torch.empty(2, 32, 64, 1, dtype=dtype)
        terms = torch.empty(2, 5, 1)
        network = torch.nn.Conv2d(1, len(HEADS[name][1]), 1)
        with torch.inference_mode():
            scores = network(device.normalised(pixels, terms, clipped=True))
            found = device.choose_on_device(scores, card, Ask(confidence=True))
    assert [one.device.type for one in found] == ["cuda", "cuda"]
    assert [tuple(one.shape) for one in found] == [(2, 32, 64)] * 2
    assert found[0].dtype == torch.uint8


# -- bf16 ------------------------------------------------------------------------------------------------


def test_weights_are_halved_once_and_the_answer_stays():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.GroupNorm(2, 8), torch.nn.ConvTranspose2d(8, 2, 2, 2)
    ).eval()
    batch = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        wanted = network(batch)
        halved = torch_run.with_halved_weights(copy.deepcopy(network))
        found = halved(batch)
    assert torch.equal(wanted, found)
    assert halved[0].weight.dtype == halved[2].bias.dtype == torch.bfloat16
    assert halved[1].weight.dtype == torch.float32  # where autocast keeps 32 bits, so do we


# -- how many at once ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "total", "tile", "expected"),
    [
        (8 << 30, 8 << 30, 512, 7),  # a quarter of 8 GB, 1.1 kB a pixel
        (6 << 30, 8 << 30, 512, 7),  # what happens to be free does not change the answer
        (2 << 30, 8 << 30, 512, 3),  # unless it is too little
        (8 << 30, 8 << 30, 1120, 1),
        (1 << 20, 8 << 30, 1120, 1),
        (139 << 30, 139 << 30, 1120, 13),  # 16 megapixels
        (139 << 30, 139 << 30, 256, 32),
    ],
)
def test_a_batch_is_as_large_as_the_memory_of_the_gpu_allows(monkeypatch, free, total, tile, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, total))
    assert torch_run.batch_size("cuda", (tile, tile), 12) == expected
    assert torch_run.batch_size("cpu", (tile, tile), 12) == 1


# -- recordings ------------------------------------------------------------------------------------------


class Played:
    """A recording in memory: gives what it is told to, or cannot be made."""

    made = 0
    error: Exception | None = None
    wrong = False

    def __init__(self, compute, given):
        type(self).made += 1
        if self.error is not None:
            raise self.error
        self.compute = compute

    def __call__(self, given):
        (answer,) = self.compute(*given)
        return ((answer + 1 if self.wrong else answer),)


@pytest.fixture
def played(monkeypatch):
    """Recordings without a GPU; the seconds of each timed call, the usual way first."""
    seconds = [1.0, 0.5]
    kind = type("Played", (Played,), {})

    def timed(compute):
        return seconds.pop(0), compute()

    monkeypatch.setattr(graphs, "Recording", kind)
    monkeypatch.setattr(graphs, "_timed", timed)
    return kind, seconds


def double(values):
    return (values * 2,)


def asked(recorder, key="a", times=4):
    """Ask so many times with other values; return whether each was answered by a recording."""
    kinds = []
    for number in range(times):
        (answer,) = recorder(key, double, (torch.tensor(number),))
        assert int(answer) == 2 * number
        kinds.append(recorder._recording is not None)
    return kinds


def test_the_third_batch_is_played(played):
    assert asked(graphs.Recorder()) == [False, True, True, True]  # made with the second, used from the third
    assert played[0].made == 1


@pytest.mark.parametrize("why", ["slower", "wrong", "impossible", "no room"])
def test_a_recording_that_does_not_pay_is_dropped(played, why):
    kind, seconds = played
    if why == "slower":
        seconds[1] = 0.99
    kind.wrong = why == "wrong"
    kind.error = {
        "impossible": RuntimeError("operation not permitted when stream is capturing"),
        "no room": torch.OutOfMemoryError("CUDA out of memory"),
    }.get(why)
    assert asked(graphs.Recorder()) == [False] * 4
    assert kind.made == 1  # and not tried again


def test_another_size_gives_the_recording_up(played):
    kind, seconds = played
    recorder = graphs.Recorder()
    asked(recorder)
    seconds += [1.0, 0.5]
    assert asked(recorder, "b") == [False, True, True, True]
    assert kind.made == 2


# -- on a GPU --------------------------------------------------------------------------------------------


@on_gpu
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int32])
@pytest.mark.parametrize("name", HEADS)
def test_a_real_gpu_chooses_what_numpy_chooses(name, dtype):
    card, network = model(name, preprocessing=CLIPPED)
    gpu = device.DeviceBackend(network, card, Engine("cuda", "torch", "fp32"))
    pieces = two_pieces(dtype)
    for ask in (Ask(), Ask(confidence=True)):
        wanted = numpy_answers(card, network, pieces, ask)
        for _ in range(4):  # the third and fourth from a recording, if that pays
            for one, other in zip(wanted, gpu.answer(pieces, ask), strict=True):
                assert (one.labels == other.labels).mean() > 0.99


@on_gpu
def test_a_recording_gives_the_same_bits():
    network = torch.nn.Conv2d(3, 4, 3, padding=1).cuda().eval()
    with torch.inference_mode(), torch.cuda.stream(torch.cuda.Stream()):
        first, second = (torch.rand(2, 3, 64, 64, device="cuda") for _ in range(2))
        network(first)
        recording = graphs.Recording(lambda batch: (network(batch),), (first,))
        for batch in (first, second):
            assert torch.equal(recording((batch,))[0], network(batch))


def test_nothing_of_a_gpu_is_touched_without_one():
    with device.DeviceBackend(lines([0.5]), model("binary")[0], CPU)._stream() as stream:
        assert stream is None
    assert isinstance(device.DeviceBackend(lines([0.5]), model("binary")[0], CPU)._stream(), nullcontext)


@pytest.mark.parametrize(("built", "words"), [(True, "no CUDA GPU is available"), (False, "processors only")])
def test_who_has_a_torch_for_processors_only_is_told(monkeypatch, built, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    with pytest.raises(DeviceError, match=words):
        choose_engine(PredictSettings(device="cuda"))
