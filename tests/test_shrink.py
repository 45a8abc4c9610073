"""Models made smaller: sizes, answers, what is refused, and that they are models like any other."""

from importlib.util import find_spec

import numpy as np
import pytest

from napari_specimen_seg.cli import main
from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import DeviceError, ModelError, WriteError
from napari_specimen_seg.core.image import SpecimenImage
from napari_specimen_seg.core.input_settings import PadToSquare, Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.models.bundle import read_card, write_bundle
from napari_specimen_seg.models.card import Binary, ModelCard, Softmax
from napari_specimen_seg.models.exporting import export_model
from napari_specimen_seg.models.predictor import load_model
from napari_specimen_seg.models.settings import PredictSettings

torch = pytest.importorskip("torch")
if find_spec("openvino") is None or find_spec("nncf") is None:  # importing them would already report home
    pytest.skip("the extra openvino is not installed", allow_module_level=True)

pytestmark = [
    pytest.mark.timeout(900),
    # of torch, nncf and their neighbours about each other
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

PICTURE = SpecimenImage(
    (np.add.outer(np.arange(150), 2 * np.arange(200))[..., None] * np.array([1, 2, 3]) % 256).astype(np.uint8)
)


def write_model(folder, geometry, **changes):
    from napari_specimen_seg.models.network import build_network

    card = ModelCard(
        name="leaf",
        architecture="FPN",
        encoder="tu-resnet10t",
        class_map=PRESETS["beetle-parts"],
        head=Softmax(),
        preprocessing=Preprocessing(geometry=geometry),
        scores={"val": {"mean iou": 0.9}},
    ).model_copy(update=changes)
    torch.manual_seed(0)
    write_bundle(folder, card, build_network(card).state_dict())
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model in tiles, one that pads, and calibration pictures."""
    from PIL import Image

    place = tmp_path_factory.mktemp("shrink")
    write_model(place / "tiles", Tiles(size=96, halo=16))
    write_model(place / "whole", PadToSquare(size=128))
    (place / "pictures").mkdir()
    for number in range(4):
        picture = np.roll(PICTURE.data, 20 * number, axis=1)
        Image.fromarray(picture).save(place / "pictures" / f"{number}.png")
    return place


@pytest.fixture(scope="module")
def small(place):
    """The model in tiles in every form."""
    made = {}
    for kind, precision in (
        ("openvino", "fp32"),
        ("openvino", "bf16"),
        ("openvino", "int8"),
        ("onnx", "int8"),
    ):
        path = place / f"{kind}-{precision}"
        export_model(place / "tiles", path, kind, precision=precision, calibrate=place / "pictures")
        made[kind, precision] = path
    return made


def answers(folder, **settings):
    return load_model(folder).predict(PICTURE, PredictSettings(**settings))


def weight_of(folder):
    return sum(p.stat().st_size for p in folder.iterdir() if p.suffix in (".bin", ".onnx", ".safetensors"))


def agreement(one, other):
    return float(np.mean(one.labels == other.labels))


def test_float32_answers_like_torch(place, small):
    assert agreement(answers(place / "tiles"), answers(small["openvino", "fp32"])) > 0.999


@pytest.mark.parametrize(
    ("form", "least"), [(("openvino", "bf16"), 0.9), (("openvino", "int8"), 0.8), (("onnx", "int8"), 0.7)]
)
def test_smaller_numbers_answer_nearly_alike(place, small, form, least):
    # The weights are random, so that the classes of most pixels are a narrow choice.
    assert agreement(answers(place / "tiles"), answers(small[form])) > least


def test_an_onnx_file_in_int8_is_computed_by_openvino_as_by_onnxruntime(small):
    found = answers(small["onnx", "int8"], backend="openvino")
    assert found.provenance["engine"] == {"device": "cpu", "backend": "openvino", "precision": "int8"}
    assert agreement(found, answers(small["onnx", "int8"])) > 0.9


@pytest.mark.parametrize(
    ("form", "times"), [(("openvino", "bf16"), 1.95), (("openvino", "int8"), 3.5), (("onnx", "int8"), 3.5)]
)
def test_they_are_smaller_than_float32(small, form, times):
    assert weight_of(small["openvino", "fp32"]) > times * weight_of(small[form])


def test_the_answer_does_not_depend_on_the_number_of_cores(small):
    before = torch.get_num_threads()
    found = []
    for cores in (1, 3):
        torch.set_num_threads(cores)
        try:
            found.append(answers(small["openvino", "fp32"], confidence=True))
        finally:
            torch.set_num_threads(before)
    np.testing.assert_array_equal(found[0].labels, found[1].labels)
    np.testing.assert_array_equal(found[0].confidence, found[1].confidence)


def test_the_card_says_what_it_is_and_claims_no_scores(place, small):
    card = read_card(small["openvino", "int8"])
    assert (card.name, card.scores, card.weights_file) == ("leaf-int8", {}, "model.bin")
    assert read_card(place / "tiles").card_sha256 in card.training.notes
    assert card.class_map == PRESETS["beetle-parts"]
    engine = answers(small["openvino", "int8"]).provenance["engine"]
    assert engine == {"device": "cpu", "backend": "openvino", "precision": "int8"}
    assert answers(small["onnx", "int8"]).provenance["engine"]["precision"] == "int8"


def test_pictures_of_any_size_and_stacks_work(small):
    model = load_model(small["openvino", "int8"])
    for shape in ((40, 70, 3), (211, 96, 3), (2, 50, 60, 3)):
        assert model.predict(np.zeros(shape, np.uint8)).labels.shape == shape[:-1]


def test_a_model_that_sees_the_whole_picture_is_shrunk_too(place):
    path = export_model(
        place / "whole", place / "whole-int8", "openvino", precision="int8", calibrate=place / "pictures"
    )
    assert agreement(answers(place / "whole"), answers(path)) > 0.8


def test_a_torch_model_can_be_computed_by_openvino_as_it_is(place):
    found = answers(place / "tiles", backend="openvino")
    assert agreement(answers(place / "tiles"), found) > 0.999
    assert found.provenance["engine"]["backend"] == "openvino"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "fp32"}, "was made for int8"),
        ({"backend": "torch"}, "cannot be computed by torch"),
        ({"device": "cuda"}, "computes on the CPU"),
    ],
)
def test_what_a_shrunk_model_cannot_do_is_said(small, settings, message):
    with pytest.raises(DeviceError, match=message):
        answers(small["openvino", "int8"], **settings)


@pytest.mark.parametrize("settings", [{"precision": "int8"}, {"precision": "int8", "backend": "openvino"}])
def test_int8_of_a_float_model_says_how_to_get_it(place, settings):
    with pytest.raises(DeviceError, match="export MODEL"):
        answers(place / "tiles", **settings)


@pytest.mark.parametrize("name", ["model.xml", "model.bin", "card.json"])
def test_a_changed_byte_is_noticed(small, tmp_path, name):
    for file in small["openvino", "int8"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError):
        answers(tmp_path)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (b"<!DOCTYPE net [<!ENTITY a 'b'>]><net/>", "defines entities"),
        (b"<net", "no XML"),
        (b"<net><layers><layer type='Loop' version='opset5'/></layers></net>", "refused"),
        (b"<net><layers><layer type='Convolution' version='extension'/></layers></net>", "refused"),
    ],
)
def test_a_description_from_a_stranger_is_looked_at_first(graph, message, tmp_path):
    from napari_specimen_seg.models.openvino_run import check_graph

    with pytest.raises(ModelError, match=message):
        check_graph(graph, tmp_path)


def test_what_cannot_be_shrunk_is_refused(place, small, tmp_path):
    for path in small.values():
        with pytest.raises(ModelError, match="exported or imported already"):
            export_model(path, tmp_path / "x", "openvino")
    for kind in ("openvino", "onnx"):
        with pytest.raises(ModelError, match="--calibrate"):
            export_model(place / "tiles", tmp_path / "x", kind, precision="int8")
    with pytest.raises(ModelError, match="not written in bf16"):
        export_model(place / "tiles", tmp_path / "x", "onnx", precision="bf16")
    with pytest.raises(WriteError, match="exists"):
        export_model(place / "tiles", small["openvino", "fp32"], "openvino")
    assert not (tmp_path / "x").exists()


def test_pictures_that_do_not_fit_are_no_calibration(place, tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "five.tif", np.zeros((5, 30, 30), np.uint8), metadata={"axes": "CYX"})
    with pytest.raises(ModelError, match="no picture can be used"):
        export_model(place / "tiles", tmp_path / "x", "openvino", precision="int8", calibrate=tmp_path)


def test_calibration_shows_the_network_what_prediction_shows_it(place, monkeypatch):
    from napari_specimen_seg.models.calibration import calibration_inputs
    from napari_specimen_seg.models.torch_run import TorchBackend

    model, usual, seen = load_model(place / "tiles"), TorchBackend.scores, []

    def scores(self, batch):
        seen.extend(np.ascontiguousarray(one[None]) for one in batch)
        return usual(self, batch)

    monkeypatch.setattr(TorchBackend, "scores", scores)
    model.predict(PICTURE, PredictSettings(backend="torch"))
    monkeypatch.undo()
    inputs = calibration_inputs(model.card, [place / "pictures" / "0.png"])
    assert sorted(a.tobytes() for a in inputs) == sorted(a.tobytes() for a in seen)
    assert len(calibration_inputs(model.card, place / "pictures", most=5)) == 5


def test_export_from_the_command_line(place, tmp_path, capsys):
    words = ["export", str(place / "tiles"), "-o", str(tmp_path / "out"), "--format", "openvino"]
    assert main([*words, "--precision", "bf16"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out")
    assert read_card(tmp_path / "out").openvino.precision == "bf16"
    assert main([*words, "--precision", "int8"]) == 1
    assert main([*words, "--precision", "int4"]) == 2


def test_nothing_is_reported_to_anybody(small):
    import sys

    answers(small["openvino", "int8"])
    assert sys.modules["openvino_telemetry"] is None


def test_a_binary_model_keeps_its_threshold(place, tmp_path):
    write_model(
        tmp_path / "binary",
        Tiles(size=96, halo=16),
        class_map=PRESETS["specimen"],
        head=Binary(threshold=0.4),
    )
    path = export_model(tmp_path / "binary", tmp_path / "small", "openvino")
    assert read_card(path).head.threshold == 0.4
    assert agreement(answers(tmp_path / "binary"), answers(path)) > 0.999
