"""Pictures larger than the memory in the batch: the same answer, and going on after a break."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile

from napari_specimen_seg.batch import plan_jobs, predict_files
from napari_specimen_seg.core.errors import CancelledError, ImageError
from napari_specimen_seg.core.files import label_store, labels_tiff, read_labels, tiff
from napari_specimen_seg.core.files.confidence import is_confidence
from napari_specimen_seg.core.image import SpecimenImage
from napari_specimen_seg.models import large, memory
from napari_specimen_seg.models.devices import Engine
from napari_specimen_seg.models.settings import PredictSettings
from small_network import load, load_by_percentile


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch):
    monkeypatch.setattr(large, "STORED_ABOVE", 100)
    monkeypatch.setattr(label_store, "CHUNK", 32)
    monkeypatch.setattr(label_store, "COARSEST", 32)
    monkeypatch.setattr(labels_tiff, "COARSEST", 32)
    monkeypatch.setattr(labels_tiff, "PYRAMID_PIXELS", 100)
    monkeypatch.setattr(labels_tiff, "TILE", 32)


@pytest.fixture
def scan(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (300, 333), dtype=np.uint8)
    path = tmp_path / "in" / "scan.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="deflate")
    return path


def run(scan, folder, settings=None, **options):
    jobs = plan_jobs([scan], folder, confidence=bool(settings and settings.confidence))
    return list(predict_files(jobs, "threshold", settings or PredictSettings(), **{"load": load, **options}))


def truth(scan):
    return np.where(tifffile.imread(scan) > 127, 2, 1)


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_large_picture_leaves_a_tiff_with_a_pyramid_and_nothing_else(scan, tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "LAZY_BYTES", 4000)
    (result,) = run(scan, tmp_path / "out")
    assert (result.status, result.message) == ("done", "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scan.json", "scan.tif"]
    found = read_labels(tmp_path / "out" / "scan.tif")
    np.testing.assert_array_equal(np.asarray(found.data), truth(scan))
    np.testing.assert_array_equal(np.asarray(found.levels[0]), truth(scan)[::2, ::2])
    assert found.class_map.name_of(2) == "bright"
    assert found.provenance["model"]["name"] == "threshold"
    record = json.loads((tmp_path / "out" / "scan.json").read_text())
    assert record["files"]["sha256"]["scan.tif"] == sha(tmp_path / "out" / "scan.tif")
    (again,) = run(scan, tmp_path / "out")
    assert again.status == "skipped"


@pytest.mark.parametrize("loader", [load, load_by_percentile])
def test_the_way_through_the_store_changes_no_byte(scan, tmp_path, monkeypatch, loader):
    settings = PredictSettings(confidence=True)
    run(scan, tmp_path / "stored", settings, load=loader)
    monkeypatch.setattr(large, "STORED_ABOVE", 1 << 28)
    run(scan, tmp_path / "memory", settings, load=loader)
    for name in ("scan.tif", "scan_confidence.tif"):
        assert sha(tmp_path / "stored" / name) == sha(tmp_path / "memory" / name)


def test_objects_are_separated_where_they_fit(scan, tmp_path):
    (result,) = run(scan, tmp_path / "out", PredictSettings(instances=True))
    assert result.status == "done"
    found = read_labels(tmp_path / "out" / "scan.tif")
    np.testing.assert_array_equal(found.object_class[np.asarray(found.data)], truth(scan))


def test_objects_that_do_not_fit_are_refused_before_the_work(scan, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "BYTES_TO_SEPARATE", 10**15)
    (result,) = run(scan, tmp_path / "out", PredictSettings(instances=True))
    assert result.status == "failed"
    assert "separating objects needs" in result.message
    assert not (tmp_path / "out" / ".scan.unfinished.zarr").exists()


def test_confidence_of_what_is_too_large_for_imagej_is_written_in_tiles(scan, tmp_path, monkeypatch):
    from napari_specimen_seg.core.files import confidence

    monkeypatch.setattr(confidence, "IMAGEJ_BYTES", 1000)
    monkeypatch.setattr(confidence, "TILE", 32)
    run(scan, tmp_path / "out", PredictSettings(confidence=True))
    path = tmp_path / "out" / "scan_confidence.tif"
    assert is_confidence(path)
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].is_tiled
        assert file.asarray().shape == (300, 333)
        assert 0.3 < file.asarray().mean() < 1


# -- going on --------------------------------------------------------------------------------------


def tiles_begun(seen):
    """Return how many tiles a run computed, by its reports."""
    done = [progress.done for progress in seen if progress.stage == "tile"]
    return max(done) - min(done)


def test_stopped_work_goes_on_where_it_was(scan, tmp_path, monkeypatch):
    def stop(progress):
        if progress.stage == "tile" and progress.done >= 20:
            raise CancelledError

    with pytest.raises(CancelledError):
        run(scan, tmp_path / "out", report=stop)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".scan.unfinished.zarr"]
    seen = []
    (result,) = run(scan, tmp_path / "out", report=seen.append)
    assert (result.status, result.warnings) == ("done", ())
    assert tiles_begun(seen) <= max(p.total for p in seen if p.stage == "tile") - 19
    run(scan, tmp_path / "at once")
    assert sha(tmp_path / "out" / "scan.tif") == sha(tmp_path / "at once" / "scan.tif")
    assert not (tmp_path / "out" / ".scan.unfinished.zarr").exists()


def test_what_was_begun_otherwise_is_kept_unless_it_may_be_replaced(scan, tmp_path):
    def stop(progress):
        if progress.stage == "tile" and progress.done >= 20:
            raise CancelledError

    with pytest.raises(CancelledError):
        run(scan, tmp_path / "out", report=stop)
    for settings, words in (({"tile": 128}, "(tile)"), ({"confidence": True}, "(confidence)")):
        (result,) = run(scan, tmp_path / "out", PredictSettings(**settings))
        assert result.status == "failed"
        assert f"begun otherwise {words}" in result.message
        assert "--overwrite" in result.message
    (result,) = run(scan, tmp_path / "out", PredictSettings(device="cpu"))  # which auto means here
    assert (result.status, result.warnings) == ("done", ())


def test_what_was_begun_otherwise_is_given_up_when_asked_to(scan, tmp_path):
    def stop(progress):
        if progress.stage == "tile" and progress.done >= 20:
            raise CancelledError

    with pytest.raises(CancelledError):
        run(scan, tmp_path / "out", report=stop)
    (result,) = run(scan, tmp_path / "out", PredictSettings(tile=128), overwrite=True)
    assert result.status == "done"
    assert "begun otherwise (tile); begun anew" in result.warnings[0]
    np.testing.assert_array_equal(np.asarray(read_labels(tmp_path / "out" / "scan.tif").data), truth(scan))


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from napari_specimen_seg.core.files import label_store
from napari_specimen_seg.models import large, memory
import test_large
label_store.CHUNK = label_store.COARSEST = 32
label_store.FLUSH_EVERY_S = 0
large.STORED_ABOVE = 100
def report(progress):
    if progress.stage == "tile" and progress.done == 20:
        os.kill(os.getpid(), signal.SIGKILL)
test_large.run(Path({scan!r}), Path({folder!r}), report=report)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")
def test_killed_work_goes_on_and_gives_the_same_bytes(scan, tmp_path):
    script = KILLED.format(tests=str(Path(__file__).parent), scan=str(scan), folder=str(tmp_path / "out"))
    child = subprocess.run([sys.executable, "-c", script], check=False, env={**os.environ})
    assert child.returncode == -signal.SIGKILL
    seen = []
    run(scan, tmp_path / "out", report=seen.append)
    assert tiles_begun(seen) < max(p.total for p in seen if p.stage == "tile")
    run(scan, tmp_path / "at once")
    assert sha(tmp_path / "out" / "scan.tif") == sha(tmp_path / "at once" / "scan.tif")


# -- in Python -------------------------------------------------------------------------------------


def test_a_picture_that_is_made_while_it_is_read(tmp_path):
    pixels = np.random.default_rng(2).integers(0, 256, (2, 200, 150), dtype=np.uint8)
    image = SpecimenImage(da.from_array(pixels, chunks=(1, 70, 70)), "made", "ZYX")
    predictor, settings = load(""), PredictSettings()
    assert large.needs_store(image, predictor)
    with large.open_result(tmp_path / "s.zarr", predictor, image, settings, {"name": "made"}) as store:
        parts = list(large.predict_into(store, predictor, image, settings))
        assert len(parts) == 2 * len(predictor.plan(image).tiles)
        np.testing.assert_array_equal(np.asarray(store.labels), np.where(pixels > 127, 2, 1))
        assert not list(large.predict_into(store, predictor, image, settings))


def test_order_decides_what_comes_first(tmp_path):
    image = SpecimenImage(da.from_array(np.eye(300, dtype=np.uint8), chunks=100), "made")
    predictor, settings = load(""), PredictSettings()
    with large.open_result(tmp_path / "s.zarr", predictor, image, settings, {}) as store:
        parts = large.predict_into(store, predictor, image, settings, order=lambda left: list(left)[-1])
        numbers = [part.number for part in parts]
    assert numbers == sorted(numbers, reverse=True)


def test_memory_for_objects_is_asked_for_before_the_work(tmp_path, monkeypatch):
    image = SpecimenImage(da.from_array(np.eye(99, dtype=np.uint8) * 255, chunks=40), "made")
    predictor, settings = load(""), PredictSettings(instances=True)
    monkeypatch.setattr(memory, "BYTES_TO_SEPARATE", 10**15)
    with pytest.raises(ImageError, match="made: separating objects needs"):
        large.open_result(tmp_path / "s.zarr", predictor, image, settings, {})
    assert not (tmp_path / "s.zarr").exists()
    with pytest.raises(ImageError, match="separating objects needs"):
        predictor.predict(image, settings, unexpected)


def unexpected(progress):
    raise AssertionError(progress)


def test_labels_are_gone_on_with_where_there_is_no_memory_for_objects(tmp_path, monkeypatch):
    image = SpecimenImage(da.from_array(np.eye(99, dtype=np.uint8) * 255, chunks=40), "made")
    predictor, settings = load(""), PredictSettings(instances=True)
    folder = tmp_path / "s.zarr"
    with large.open_result(folder, predictor, image, settings, {}) as store:
        list(large.predict_into(store, predictor, image, settings))
        with monkeypatch.context() as full:
            full.setattr(memory, "BYTES_TO_SEPARATE", 10**15)
            with pytest.raises(ImageError, match="what is segmented already is kept"):
                large.stored_prediction(store, predictor, settings)
    with large.open_result(folder, predictor, image, PredictSettings(), {}) as store:
        assert store.continued
        assert not list(large.predict_into(store, predictor, image, PredictSettings()))


def test_what_computed_is_kept_for_those_who_go_on(tmp_path):
    pixels = np.random.default_rng(2).integers(0, 256, (200, 150), dtype=np.uint8)
    image = SpecimenImage(da.from_array(pixels, chunks=70), "made")
    predictor, settings = load(""), PredictSettings()
    usual = predictor.stream
    folder = tmp_path / "s.zarr"

    def first_on_a_gpu(*args, **kwargs):
        for number, part in enumerate(usual(*args, **kwargs)):
            if number == 2:
                return
            yield replace(part, engine=Engine("cuda", "torch", "fp32"))

    predictor.stream = first_on_a_gpu
    with large.open_result(folder, predictor, image, settings, {}) as store:
        assert len(list(large.predict_into(store, predictor, image, settings))) == 2
    predictor.stream = usual
    with large.open_result(folder, predictor, image, settings, {}) as store:
        assert store.continued
        list(large.predict_into(store, predictor, image, settings))
        told = large.stored_prediction(store, predictor, settings).provenance
    assert told["engine"]["device"] == "cuda"
    assert [other["device"] for other in told["other_engines"]] == ["cpu"]
