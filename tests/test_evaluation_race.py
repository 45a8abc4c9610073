"""Models that are timed in processes of their own, and the command that compares them."""

import json
import pickle

import numpy as np
import pytest

from napari_specimen_seg.cli import main
from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import CancelledError, DeviceError, ModelError
from napari_specimen_seg.core.image import SpecimenImage
from napari_specimen_seg.core.input_settings import Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.core.progress import silent
from napari_specimen_seg.evaluation.pairs import Case
from napari_specimen_seg.evaluation.race import ProcessSource, folder_bytes

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.timeout(600)  # every process imports torch anew

GRAY = SpecimenImage(np.arange(96 * 128, dtype=np.uint16).reshape(96, 128) % 251)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model with random weights."""
    from napari_specimen_seg.models.bundle import write_bundle
    from napari_specimen_seg.models.card import Binary, ModelCard
    from napari_specimen_seg.models.network import build_network

    card = ModelCard(
        name="tiny",
        architecture="FPN",
        encoder="tu-resnet10t",
        class_map=PRESETS["specimen"],
        head=Binary(),
        preprocessing=Preprocessing(
            geometry=Tiles(size=64, halo=8), channels="gray", mean=(0.0,), std=(1.0,)
        ),
    )
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny"
    write_bundle(path, card, build_network(card).state_dict())
    return path


@pytest.fixture
def case(tmp_path):
    return Case("one", tmp_path / "one.png", tmp_path / "one.png")


def test_time_memory_and_facts_are_measured_and_the_answer_is_the_models_own(folder, case):
    from napari_specimen_seg.models.predictor import load_model

    source = ProcessSource("tiny", folder)
    try:
        answer = source.answer(case, GRAY, silent)
        again = source.answer(case, GRAY, silent)
    finally:
        source.close()
    np.testing.assert_array_equal(answer.labels.data, load_model(folder).predict(GRAY).labels)
    np.testing.assert_array_equal(answer.labels.data, again.labels.data)
    assert answer.seconds > 0
    assert answer.memory > source.facts.loaded > 10_000_000
    assert source.facts.parameters > 1_000_000
    assert source.facts.bytes == folder_bytes(folder) > 4 * source.facts.parameters
    assert source.describe()["precision"] == "fp32"


def test_what_goes_wrong_in_the_process_is_told_here(folder, case, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = bytearray((broken / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (broken / "model.safetensors").write_bytes(weights)
    source = ProcessSource("broken", broken)
    try:
        with pytest.raises(ModelError, match="altered"):
            source.answer(case, GRAY, silent)
    finally:
        source.close()


def test_errors_travel_between_processes():
    for error in (ModelError("altered", path="m", advice="Get it anew."), CancelledError()):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert type(again) is type(error)
        assert str(again) == str(error)


def test_a_process_that_dies_is_one_line_and_the_next_picture_gets_a_new_one(folder, case):
    source = ProcessSource("tiny", folder)
    try:
        source.answer(case, GRAY, silent)
        source._process.kill()
        with pytest.raises(DeviceError, match="process of tiny ended"):
            source.answer(case, GRAY, silent)
        assert source.answer(case, GRAY, silent).seconds > 0
    finally:
        source.close()


def test_cancelling_ends_the_process(folder, case):
    source = ProcessSource("tiny", folder)

    def stop(_):
        raise CancelledError

    with pytest.raises(CancelledError):
        source.answer(case, GRAY, stop)
    assert source._process is None


def test_compare_from_the_command_line(folder, tmp_path, capsys):
    from PIL import Image

    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for number in range(2):
        picture = np.roll(GRAY.data, 7 * number).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray((picture > 120).astype(np.uint8)).save(tmp_path / "labels" / f"{number}_mask.png")
    code = main(
        ["compare", str(folder), str(folder), "--images", str(tmp_path / "images"), "--labels",
         str(tmp_path / "labels"), "-o", str(tmp_path / "out"), "--max-loss", "0", "--json"]
    )  # fmt: skip
    said = json.loads(capsys.readouterr().out)
    assert code == 0
    first, second = said["models"]
    assert (first["model"], second["model"]) == ("tiny 1", "tiny 2")
    assert second["difference"] == 0
    assert first["seconds_per_megapixel"] > 0
    assert first["peak_bytes"] > 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["classes.csv", "images.csv", "models.csv", "report.html", "samples.png", "scores.csv",
                     "summary.json"]  # fmt: skip
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Comparison of tiny 1, tiny 2" in page
