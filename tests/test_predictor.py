"""One predict for all: geometries, heads, kinds of pictures; stub networks give answers by hand."""

from typing import ClassVar

import numpy as np
import pytest

from napari_specimen_seg.core.classes import PRESETS, ClassMap, LabelClass
from napari_specimen_seg.core.errors import (
    CancelledError,
    DeviceError,
    ImageError,
    ModelError,
    SpecimenWarning,
)
from napari_specimen_seg.core.image import SpecimenImage
from napari_specimen_seg.core.input_settings import ByDtype, ByPercentile, FixedResize, PadToSquare, Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.models.card import Binary, ModelCard, Sigmoid, Softmax
from napari_specimen_seg.models.predictor import Predictor
from napari_specimen_seg.models.settings import PredictSettings

torch = pytest.importorskip("torch")

GRAY = {"channels": "gray", "mean": (0.0,), "std": (1.0,)}


class Pixelwise(torch.nn.Module):
    """Answers for every pixel from that pixel alone: 10 * (value - 0.5) per output channel's threshold."""

    def __init__(self, *limits: float) -> None:
        super().__init__()
        self.limits = limits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([10 * (x[:, :1] - limit) for limit in self.limits], dim=1)


def stub(head, limits, class_map=None, geometry=None, values=None, **changes):
    class_map = class_map or PRESETS["specimen"]
    preprocessing = Preprocessing(
        geometry=geometry or Tiles(size=64, halo=8), values=values or ByDtype(), **GRAY
    )
    card = ModelCard(
        name="stub",
        architecture="Unet",
        encoder="resnet18",
        class_map=class_map,
        head=head,
        preprocessing=preprocessing,
        **changes,
    )
    return Predictor(card, Pixelwise(*limits))


def three_classes():
    return ClassMap(
        classes=(
            LabelClass(id=0, name="background", color="#000000"),
            LabelClass(id=4, name="a", color="#010101"),
            LabelClass(id=9, name="b", color="#020202"),
        )
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (64, 64), (65, 1), (130, 201)])
def test_the_answer_has_exactly_the_pictures_size(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    picture.flat[0] = 255
    picture.flat[-1] = 0
    if picture.size == 1:
        with pytest.warns(SpecimenWarning):
            labels = stub(Binary(), [0.5]).predict(picture).labels
    else:
        labels = stub(Binary(), [0.5]).predict(picture).labels
    assert labels.shape == shape
    assert labels.dtype == np.uint8
    assert (labels == (picture / 255 > 0.5)).all()


@pytest.mark.parametrize(
    ("dtype", "scale"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1), (np.float64, 1)]
)
def test_any_depth_gives_the_same_answer(dtype, scale):
    picture = (np.array([[0.0, 0.4, 0.6, 1.0]]) * scale).astype(dtype)
    assert stub(Binary(), [0.5]).predict(picture).labels.tolist() == [[0, 0, 1, 1]]


def test_twelve_bit_pictures_use_their_bits():
    picture = SpecimenImage(np.array([[0, 1000, 3000, 4095]], np.uint16), bit_depth=12)
    assert stub(Binary(), [0.5]).predict(picture).labels.tolist() == [[0, 0, 1, 1]]


def test_values_are_scaled_by_the_whole_picture_never_by_a_tile():
    """A dark half and a bright half: tiles that scaled themselves would both find their brightest half."""
    picture = np.zeros((200, 400), np.uint8)
    picture[:, :200] = np.arange(200)[:, None] // 20
    picture[:, 200:] = 200 + np.arange(200)[:, None] // 20
    predictor = stub(Binary(), [0.5], values=ByPercentile(low=0, high=100))
    labels = predictor.predict(picture).labels
    assert not labels[:, :200].any()
    assert labels[:, 200:].all()


def test_colour_alpha_and_grey_pictures_agree():
    gray = np.array([[0, 255], [255, 0]], np.uint8)
    rgb = np.repeat(gray[..., None], 3, -1)
    rgba = np.concatenate([rgb, np.full((2, 2, 1), 255, np.uint8)], -1)
    predictor = stub(Binary(), [0.5])
    answers = [predictor.predict(p).labels.tolist() for p in (gray, rgb, rgba)]
    assert answers == [[[0, 1], [1, 0]]] * 3


def test_stacks_go_plane_by_plane_and_give_what_the_planes_give():
    rng = np.random.default_rng(1)
    stack = rng.integers(0, 256, (2, 3, 20, 30)).astype(np.uint8)
    predictor = stub(Binary(), [0.5], values=ByPercentile())
    seen = []
    labels = predictor.predict(stack, report=lambda p: seen.append((p.stage, p.done, p.total))).labels
    assert labels.shape == stack.shape
    assert (labels[1, 2] == predictor.predict(stack[1, 2]).labels).all()
    assert [s for s in seen if s[0] == "plane"] == [("plane", i, 6) for i in range(6)]


def test_softmax_takes_the_largest_and_the_first_of_equals():
    predictor = stub(Softmax(), [0.0, 0.0, 0.9], three_classes())
    assert predictor.predict(np.array([[0, 255]], np.uint8)).labels.tolist() == [[0, 0]]
    predictor = stub(Softmax(), [0.5, 0.4, 0.2], three_classes())
    assert predictor.predict(np.array([[0, 255]], np.uint8)).labels.tolist() == [[9, 9]]


@pytest.mark.parametrize(("overlap", "expected"), [("later", [[0, 4, 9]]), ("highest", [[0, 4, 4]])])
def test_where_sigmoid_channels_overlap_the_rule_decides(overlap, expected):
    """Channel a is on from 0.3 and always the more probable one, channel b from 0.7."""
    predictor = stub(Sigmoid(overlap=overlap), [0.3, 0.7], three_classes())
    assert predictor.predict(np.array([[51, 128, 230]], np.uint8)).labels.tolist() == expected


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_the_threshold_means_a_probability_with_or_without_activation(activation):
    predictor = stub(Binary(threshold=0.5), [0.5], activation=activation)
    if activation:
        predictor = Predictor(predictor.card, torch.nn.Sequential(Pixelwise(0.5), torch.nn.Sigmoid()))
    picture = np.linspace(0, 1, 101, dtype=np.float32)[None]
    for threshold in (0.1, 0.5, 0.9):
        answer = predictor.predict(picture, PredictSettings(threshold=threshold, confidence=True))
        probability = 1 / (1 + np.exp(-10 * (picture - 0.5)))
        assert (answer.labels == (probability > threshold)).mean() > 0.99
        expected = np.where(answer.labels > 0, probability, 1 - probability)
        np.testing.assert_allclose(answer.confidence, expected, atol=1e-5)


def test_confidence_of_softmax_is_the_probability_of_the_choice():
    predictor = stub(Softmax(), [0.5, 0.4, 0.2], three_classes())
    answer = predictor.predict(np.array([[0, 255]], np.uint8), PredictSettings(confidence=True))
    odds = np.exp([-5, -4, -2])
    np.testing.assert_allclose(answer.confidence, [[odds[2] / odds.sum()] * 2], rtol=1e-5)


@pytest.mark.parametrize("answer", ["smooth", "nearest"])
@pytest.mark.parametrize("kind", ["pad", "resize"])
def test_whole_picture_geometries_bring_the_answer_back(kind, answer):
    geometry = (
        PadToSquare(size=64, answer=answer)
        if kind == "pad"
        else FixedResize(height=32, width=96, answer=answer)
    )
    picture = np.zeros((200, 100), np.uint8)
    picture[50:150, 25:75] = 255
    labels = stub(Binary(), [0.5], geometry=geometry).predict(picture).labels
    assert labels.shape == picture.shape
    assert (labels == (picture > 0)).mean() > 0.97


def test_smooth_answers_do_not_depend_on_the_bands(monkeypatch):
    from napari_specimen_seg.models import resample

    scores = np.random.default_rng(0).normal(size=(3, 7, 5)).astype(np.float32)

    def whole():
        return np.concatenate([part for _, part in resample.smooth_bands(scores, 31, 44)], 1)

    once = whole()
    monkeypatch.setattr(resample, "BAND_BYTES", 3 * 44 * 4)
    assert (once == whole()).all()
    given = torch.from_numpy(scores)[None]
    reference = torch.nn.functional.interpolate(given, (31, 44), mode="bilinear", align_corners=False)[0]
    np.testing.assert_allclose(once, reference.numpy(), atol=1e-5)


def test_cancelling_passes_through_and_leaves_the_model_usable():
    predictor = stub(Binary(), [0.5])
    picture = np.random.default_rng(0).integers(0, 256, (300, 300)).astype(np.uint8)

    def stop(progress):
        if progress.stage == "tile" and progress.done == 2:
            raise CancelledError

    with pytest.raises(CancelledError):
        predictor.predict(picture, report=stop)
    assert predictor.predict(picture).labels.shape == picture.shape


class Hungry(Pixelwise):
    """Runs out of memory for more than `allowed` tiles at once."""

    allowed = 1
    sizes: ClassVar[list[int]] = []  # of the class: the network is computed as a copy

    def forward(self, x):
        Hungry.sizes.append(len(x))
        if len(x) > Hungry.allowed:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return super().forward(x)


def test_out_of_memory_halves_the_batch_then_explains(monkeypatch):
    from napari_specimen_seg.models.torch_run import TorchBackend

    monkeypatch.setattr(TorchBackend, "batch_size", lambda *args: 4)
    monkeypatch.setattr(Hungry, "sizes", [])
    predictor = Predictor(stub(Binary(), [0.5]).card, Hungry(0.5))
    picture = np.random.default_rng(0).integers(0, 256, (200, 250)).astype(np.uint8)
    assert (predictor.predict(picture).labels == (picture / 255 > 0.5)).all()
    assert list(dict.fromkeys(Hungry.sizes)) == [4, 2, 1]
    monkeypatch.setattr(Hungry, "allowed", 0)
    with pytest.raises(DeviceError, match="cpu ran out of memory"):
        predictor.predict(picture)


@pytest.mark.parametrize(
    ("picture", "settings", "error", "words"),
    [
        (np.zeros((0, 5), np.uint8), {}, ImageError, "empty"),
        (np.full((4, 4), np.nan, np.float32), {}, ImageError, "no pixel has a finite value"),
        (np.zeros((4, 4, 3), np.uint8), {"device": "cuda"}, DeviceError, "no CUDA GPU"),
        (np.zeros((4, 4, 3), np.uint8), {"precision": "int8"}, DeviceError, "int8"),
        (SpecimenImage(np.zeros((4, 4, 7), np.uint8), axes="YXC"), {}, ImageError, "7 of them"),
        (
            SpecimenImage(np.zeros((4, 4, 2), np.uint8), axes="YXC", channel_names=("DAPI", "GFP")),
            {},
            ImageError,
            "DAPI, GFP",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(picture, settings, error, words):
    if settings.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(error, match=words):
        stub(Binary(), [0.5]).predict(picture, PredictSettings(**settings))


def test_settings_that_do_not_apply_are_refused():
    picture = np.zeros((4, 4), np.uint8)
    with pytest.raises(ModelError, match="a tile size does not apply"):
        stub(Binary(), [0.5], geometry=PadToSquare(size=64)).predict(picture, PredictSettings(tile=128))
    with pytest.raises(ModelError, match="a threshold does not apply"):
        stub(Softmax(), [0.1, 0.2, 0.3], three_classes()).predict(picture, PredictSettings(threshold=0.4))


def test_a_picture_larger_than_memory_is_refused_before_it_is_read():
    import dask.array as da

    huge = SpecimenImage(da.zeros((10_000_000, 10_000_000), dtype=np.uint8, chunks=(4096, 4096)))
    with pytest.raises(ImageError, match="GB of memory"):
        stub(Binary(), [0.5]).predict(huge)


def test_what_made_a_prediction_is_told():
    answer = stub(Binary(), [0.5]).predict(np.array([[0, 255]], np.uint8))
    assert answer.provenance["engine"] == {"device": "cpu", "backend": "torch", "precision": "fp32"}
    assert answer.provenance["model"]["name"] == "stub"
    assert answer.provenance["settings"]["threshold"] is None


def test_objects_are_numbered_when_asked_for():
    pytest.importorskip("napari_specimen_seg.core.instances")
    picture = np.zeros((40, 40), np.uint8)
    picture[5:15, 5:15] = 255
    picture[25:35, 25:35] = 255
    answer = stub(Binary(), [0.5]).predict(picture, PredictSettings(instances=True))
    assert sorted(np.unique(answer.objects)) == [0, 1, 2]
    assert list(answer.object_classes) == [0, 1, 1]
    assert (answer.labels == (answer.objects > 0)).all()


def test_a_real_network_agrees_between_tiles_and_the_whole_picture(tmp_path):
    from napari_specimen_seg.models.bundle import read_card, write_bundle
    from napari_specimen_seg.models.network import build_network

    card = ModelCard(
        name="tiny",
        architecture="Unet",
        encoder="tu-resnet18",
        options={"encoder_depth": 3, "decoder_channels": (16, 8, 8)},
        class_map=three_classes(),
        head=Softmax(),
        preprocessing=Preprocessing(geometry=Tiles(size=96, halo=24)),
    )
    torch.manual_seed(0)
    network = build_network(card)
    write_bundle(tmp_path / "tiny", card, network.state_dict())
    predictor = Predictor(read_card(tmp_path / "tiny"), tmp_path / "tiny")
    picture = np.random.default_rng(0).integers(0, 256, (150, 170, 3)).astype(np.uint8)
    tiled = predictor.predict(picture).labels
    whole = predictor.predict(picture, PredictSettings(tile=256)).labels
    assert (tiled == whole).mean() > 0.98
    assert (tiled == predictor.predict(picture).labels).all()


@pytest.mark.parametrize("name", ["beetle-parts", "nuclei"])
def test_bundled_models_are_whole_small_and_scored(name):
    from napari_specimen_seg.models.library import BUNDLED

    folder = BUNDLED / name
    if not folder.is_dir():
        pytest.skip("not trained yet")
    predictor = Predictor(__import__("napari_specimen_seg").load_model(name).card, folder)
    assert (folder / "model.safetensors").stat().st_size < 15e6
    assert predictor.card.scores["val"]["mean iou"] > 0.4
    assert predictor.card.license
    assert predictor.card.training.attribution
    assert sum(p.numel() for p in predictor.network.parameters()) > 1e6
