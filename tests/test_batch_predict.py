import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fake_model import CLASSES, load, write_model
from napari_specimen_seg.batch import plan_jobs, predict_files, repeat_files
from napari_specimen_seg.batch.record import RunRecord
from napari_specimen_seg.core import log
from napari_specimen_seg.core.errors import CancelledError, DeviceError, ModelError
from napari_specimen_seg.core.files import read_labels
from napari_specimen_seg.core.progress import Progress
from napari_specimen_seg.models.settings import PredictSettings

PIXELS = np.array([[0, 10, 20], [200, 250, 0]], np.uint8)
EXPECTED = np.array([[0, 1, 1], [2, 2, 0]])


@pytest.fixture
def model(tmp_path) -> Path:
    return write_model(tmp_path / "model")


@pytest.fixture(autouse=True)
def log_file(tmp_path, monkeypatch):
    path = tmp_path / "errors.log"
    monkeypatch.setattr(log, "log_path", lambda: path)
    return path


def picture(path: Path, pixels=PIXELS) -> Path:
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, pixels)
    return path


def predict(pictures, model, out, settings=None, **options):
    settings = settings or PredictSettings()
    jobs = plan_jobs(pictures, out, confidence=settings.confidence)
    return list(predict_files(jobs, model, settings, load=load, **options))


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_labels_have_classes_pixel_size_and_origin(tmp_path, model):
    out = tmp_path / "out"
    (result,) = predict([picture(tmp_path / "a" / "x.tif")], model, out, pixel_size=(0.5, 0.25), unit="mm")
    assert (result.status, result.outputs) == ("done", (out / "x.tif", out / "x.json"))
    labels = read_labels(out / "x.tif")
    np.testing.assert_array_equal(labels.data, EXPECTED)
    assert labels.class_map == CLASSES
    assert (labels.pixel_size_yx, labels.unit) == ((0.5, 0.25), "mm")
    record = json.loads((out / "x.json").read_text("ascii"))
    assert record["input"]["name"] == "x.tif"
    assert record["files"]["picture"] == "../a/x.tif"
    assert record["settings"] == PredictSettings().model_dump(mode="json")
    inside = {key: value for key, value in record.items() if key != "files"}
    assert labels.provenance == inside


def test_confidence_is_a_file_of_its_own(tmp_path, model):
    out = tmp_path / "out"
    predict([picture(tmp_path / "x.tif")], model, out, PredictSettings(confidence=True))
    confidence = tifffile.imread(out / "x_confidence.tif")
    assert confidence.dtype == np.float32
    np.testing.assert_array_equal(confidence, np.full((2, 3), 0.75))


def test_objects_have_numbers_and_keep_their_class(tmp_path, model):
    predict([picture(tmp_path / "x.tif")], model, tmp_path / "out", PredictSettings(instances=True))
    labels = read_labels(tmp_path / "out" / "x.tif")
    np.testing.assert_array_equal(labels.data, [[0, 2, 2], [2, 2, 0]])
    assert labels.object_class is not None
    np.testing.assert_array_equal(labels.object_class, [0, 1, 2])
    assert labels.class_map == CLASSES


def test_stacks_keep_their_planes(tmp_path, model):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.stack([PIXELS] * 5), imagej=True, metadata={"axes": "ZYX"})
    (result,) = predict([path], model, tmp_path / "out", PredictSettings(confidence=True))
    assert result.status == "done"
    labels = read_labels(tmp_path / "out" / "x.tif")
    assert (labels.data.shape, labels.axes) == ((5, 2, 3), "ZYX")
    assert tifffile.imread(tmp_path / "out" / "x_confidence.tif").shape == (5, 2, 3)


def test_what_is_finished_is_skipped_and_not_touched(tmp_path, model):
    out = tmp_path / "out"
    x, y = picture(tmp_path / "x.tif"), picture(tmp_path / "y.tif")
    predict([x], model, out)
    before = bytes_in(out)
    results = predict([x, y], model, out)
    assert [(r.path.name, r.status) for r in results] == [("x.tif", "skipped"), ("y.tif", "done")]
    assert before.items() <= bytes_in(out).items()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"settings": PredictSettings(tile=128)}, "tile was None, is 128"),
        ({"pixel_size": 2.0, "unit": "um"}, "another pixel size was given"),
        ({"model": "other"}, "it was made by another model (fake)"),
        ({"picture": PIXELS[::-1]}, "it was made from another picture (x.tif)"),
    ],
)
def test_results_of_something_else_are_kept_unless_told_otherwise(tmp_path, model, change, why):
    out, path = tmp_path / "out", picture(tmp_path / "x.tif")
    predict([path], model, out)
    before = bytes_in(out)
    model = write_model(tmp_path / "other", version="2") if change.pop("model", None) else model
    if "picture" in change:
        picture(path, change.pop("picture"))
    (result,) = predict([path], model, out, **change)
    assert result.status == "failed"
    assert why in result.message
    assert "--overwrite" in result.message
    assert str(out / "x.tif") in result.message
    assert bytes_in(out) == before
    (result,) = predict([path], model, out, overwrite=True, **change)
    assert result.status == "done"
    assert bytes_in(out) != before


@pytest.mark.parametrize("name", ["x.tif", "x.json"])
def test_a_file_of_somebody_else_is_never_replaced(tmp_path, model, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    (result,) = predict([picture(tmp_path / "x.tif")], model, out)
    assert result.status == "failed"
    assert "--overwrite" in result.message
    assert bytes_in(out) == {name: b"mine"}


def test_a_mask_that_was_removed_is_made_anew(tmp_path, model):
    out, path = tmp_path / "out", picture(tmp_path / "x.tif")
    predict([path], model, out, PredictSettings(confidence=True))
    (out / "x.tif").unlink()
    (result,) = predict([path], model, out)
    assert result.status == "done"
    assert sorted(p.name for p in out.iterdir()) == ["x.json", "x.tif"]  # no confidence that is not true


def test_a_record_that_is_missing_is_written_anew(tmp_path, model):
    out, path = tmp_path / "out", picture(tmp_path / "x.tif")
    predict([path], model, out)
    before = bytes_in(out)
    (out / "x.json").unlink()
    (result,) = predict([path], model, out)
    assert result.status == "skipped"
    assert bytes_in(out) == before
    (out / "x.json").unlink()
    (result,) = predict([path], model, out, PredictSettings(tile=64))
    assert (result.status, (out / "x.json").exists()) == ("failed", False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_picture_itself_is_never_replaced(tmp_path, model, overwrite):
    path = picture(tmp_path / "x.tif")
    before = path.read_bytes()
    (result,) = predict([path], model, tmp_path, overwrite=overwrite)
    assert result.status == "failed"
    assert "replace the picture itself" in result.message
    assert path.read_bytes() == before


def test_one_bad_picture_does_not_stop_the_others(tmp_path, model, log_file):
    pictures = [picture(tmp_path / f"{name}.tif") for name in ("a", "full", "bug", "z")]
    (tmp_path / "empty.png").touch()
    results = predict([*pictures, tmp_path / "empty.png", tmp_path / "gone.png"], model, tmp_path / "out")
    assert [r.status for r in results] == ["done", "failed", "failed", "done", "failed", "failed"]
    messages = {r.path.stem: r.message for r in results}
    assert "memory" in messages["full"]
    assert "ZeroDivisionError" in messages["bug"]
    assert "ZeroDivisionError" in log_file.read_text("utf-8")
    assert "empty" in messages["empty"]
    assert all("\n" not in r.message for r in results)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.json", "a.tif", "z.json", "z.tif"]


def test_no_such_model_is_said_once_and_at_once(tmp_path):
    with pytest.raises(ModelError, match="is no model"):
        predict([picture(tmp_path / "x.tif")], tmp_path / "nothing", tmp_path / "out")


def test_an_altered_model_is_not_used(tmp_path, model):
    card = model / "card.json"
    card.write_text(card.read_text("utf-8").replace("bright", "light"), encoding="utf-8")
    with pytest.raises(ModelError, match="altered"):
        predict([picture(tmp_path / "x.tif")], model, tmp_path / "out")


def test_stopping_keeps_what_is_finished(tmp_path, model):
    pictures = [picture(tmp_path / f"{name}.tif") for name in "abc"]
    jobs = plan_jobs(pictures, tmp_path / "out")
    finished = []

    def report(progress: Progress) -> None:
        if finished and progress.stage == "tile":
            raise CancelledError

    with pytest.raises(CancelledError):
        finished.extend(predict_files(jobs, model, load=load, report=report))
    assert [r.path.name for r in finished] == ["a.tif"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.json", "a.tif"]


def test_several_processes_give_the_same_bytes_as_one(tmp_path, model):
    pictures = [picture(tmp_path / f"{i}.tif", np.roll(PIXELS, i)) for i in range(4)]
    die = picture(tmp_path / "die.tif")
    settings = PredictSettings(confidence=True)
    predict(pictures, model, tmp_path / "one", settings)
    results = predict([*pictures, die], model, tmp_path / "two", settings, workers=2)
    assert bytes_in(tmp_path / "one") == bytes_in(tmp_path / "two")
    assert {r.path.stem: r.status for r in results} == {**dict.fromkeys("0123", "done"), "die": "failed"}


def test_a_cluster_gives_the_same_bytes(tmp_path, model):
    distributed = pytest.importorskip("distributed")
    pictures = [picture(tmp_path / f"{i}.tif", np.roll(PIXELS, i)) for i in range(3)]
    bug = picture(tmp_path / "bug.tif")
    predict(pictures, model, tmp_path / "one")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        results = predict([*pictures, bug], model, tmp_path / "two", scheduler=cluster.scheduler_address)
    assert bytes_in(tmp_path / "one") == bytes_in(tmp_path / "two")
    assert {r.path.stem: r.status for r in results} == {**dict.fromkeys("012", "done"), "bug": "failed"}


def test_a_scheduler_that_is_not_there_is_named(tmp_path, model):
    pytest.importorskip("distributed")
    with pytest.raises(DeviceError, match="no scheduler answers at nowhere"):
        predict([picture(tmp_path / "x.tif")], model, tmp_path / "out", scheduler="nowhere")


# -- making it again -----------------------------------------------------------------------------------


def repeat(records, folder, **options):
    return list(repeat_files(records, folder, load=load, **options))


def test_a_mask_is_made_again_to_the_same_bytes(tmp_path, model):
    settings = PredictSettings(confidence=True, tile=128)
    predict([picture(tmp_path / "a" / "x.tif")], model, tmp_path / "out", settings, pixel_size=2.0, unit="um")
    (result,) = repeat([tmp_path / "out" / "x.json"], tmp_path / "again")
    assert (result.status, result.message) == ("done", "")
    assert bytes_in(tmp_path / "again") == bytes_in(tmp_path / "out")


def test_records_of_one_name_from_two_folders_are_made_again(tmp_path, model):
    for folder in "ab":
        predict([picture(tmp_path / folder / "x.tif")], model, tmp_path / f"out {folder}")
    records = [tmp_path / f"out {folder}" / "x.json" for folder in "ab"]
    assert [result.status for result in repeat(records, tmp_path / "again")] == ["done", "done"]
    names = sorted(path.name for path in (tmp_path / "again").glob("*.tif"))
    assert names == ["out a_x.tif", "out b_x.tif"]


def test_a_folder_that_may_not_be_written_to_is_refused_before_the_work(tmp_path, model, monkeypatch):
    from napari_specimen_seg.batch import predicting

    monkeypatch.setattr(predicting.os, "access", lambda path, mode: False)
    monkeypatch.setattr(predicting, "_picture", None)  # which would be read next
    (result,) = predict([picture(tmp_path / "x.tif")], model, tmp_path / "out" / "deeper")
    assert result.status == "failed"
    assert "writing is not allowed here" in result.message


def test_a_model_that_has_a_name_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "own"))
    write_model(tmp_path / "own" / "fake")
    predict([picture(tmp_path / "x.tif")], "fake", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "x.json").read_text("ascii"))["files"]["model"] == "fake"
    repeat([tmp_path / "out" / "x.json"], tmp_path / "again")
    assert bytes_in(tmp_path / "again") == bytes_in(tmp_path / "out")


@pytest.mark.parametrize(("computed_by", "chosen"), [("openvino", "openvino"), ("onnxruntime", "auto")])
def test_what_computed_then_computes_again(tmp_path, model, computed_by, chosen):
    predict([picture(tmp_path / "x.tif")], model, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "x.json").read_text("ascii"))
    record["engine"] = {"device": "cpu", "backend": computed_by, "precision": "fp32"}
    (tmp_path / "x.json").write_text(json.dumps(record), encoding="ascii")
    settings = RunRecord.read(tmp_path / "x.json").settings_then()
    assert settings == PredictSettings(device="cpu", backend=chosen, precision="fp32")


def test_pictures_and_model_that_moved_are_found_by_what_they_are(tmp_path, model):
    path = picture(tmp_path / "a" / "x.tif")
    predict([path], model, tmp_path / "out")
    path.rename(picture(tmp_path / "b" / "decoy.tif", PIXELS[::-1]).with_name("renamed.tif"))
    model.rename(tmp_path / "moved")
    record = tmp_path / "out" / "x.json"
    (gone,) = repeat([record], tmp_path / "again")
    assert "the picture is not there any more" in gone.message
    assert "--images" in gone.message
    (gone,) = repeat([record], tmp_path / "again", images=tmp_path / "b")
    assert "--model" in gone.message
    (result,) = repeat([record], tmp_path / "again", images=tmp_path / "b", model=tmp_path / "moved")
    assert (result.status, result.message) == ("done", "")
    assert (tmp_path / "again" / "x.tif").read_bytes() == (tmp_path / "out" / "x.tif").read_bytes()


def test_another_picture_or_model_is_not_used_to_repeat(tmp_path, model):
    path = picture(tmp_path / "x.tif")
    predict([path], model, tmp_path / "out")
    other = write_model(tmp_path / "other", version="2")
    (result,) = repeat([tmp_path / "out" / "x.json"], tmp_path / "again", model=other)
    assert "not the same model" in result.message
    picture(path, PIXELS[::-1])
    (result,) = repeat([tmp_path / "out" / "x.json"], tmp_path / "again")
    assert "the picture was changed" in result.message
    assert not (tmp_path / "again").exists()


def test_a_result_that_differs_is_told_with_what_changed(tmp_path, model):
    predict([picture(tmp_path / "x.tif")], model, tmp_path / "out")
    path = tmp_path / "out" / "x.json"
    record = json.loads(path.read_text("ascii"))
    record["versions"]["numpy"] = "1.0"
    record["files"]["sha256"]["x.tif"] = "0" * 64
    path.write_text(json.dumps(record), encoding="ascii")
    (result,) = repeat([path], tmp_path / "again")
    assert result.status == "failed"
    assert "x.tif is not the same to the last byte (numpy was 1.0, is" in result.message
    assert (tmp_path / "again" / "x.tif").exists()


def test_what_is_no_record_is_said(tmp_path, model):
    (tmp_path / "x.json").write_text('{"classes": []}', encoding="ascii")
    (result,) = repeat([tmp_path / "x.json"], tmp_path / "again")
    assert result.message.startswith("it is not a provenance file (")


# -- disks ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user who may not write")
def test_a_folder_that_may_not_be_written_is_named(tmp_path, model):
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    (result,) = predict([picture(tmp_path / "x.tif")], model, out)
    assert "writing is not allowed here" in result.message


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, model, monkeypatch):
    def full(file, *args, **options):
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    out = tmp_path / "out"
    pictures = [picture(tmp_path / "x.tif"), picture(tmp_path / "y.tif")]
    monkeypatch.setattr(tifffile, "imwrite", full)
    results = predict(pictures, model, out)
    assert [r.message for r in results] == [
        f"{out / name}: the disk is full. Free some space or choose another folder."
        for name in ("x.tif", "y.tif")
    ]
    assert list(out.iterdir()) == []


def test_a_function_of_the_script_is_found_inside_of_a_partial_too():
    from functools import partial

    from napari_specimen_seg.batch.predicting import _refuse_out_of_reach

    def load(name, device):
        raise AssertionError

    load.__module__ = "__main__"
    with pytest.raises(DeviceError, match="stands in the script itself"):
        _refuse_out_of_reach(partial(partial(load, device="cpu")))
