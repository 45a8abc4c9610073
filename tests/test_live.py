"""Results that are shown while they are made: from the dock's side, without a window."""

import itertools
import threading
import time
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from qtpy.QtCore import QSettings
from scipy.ndimage import binary_erosion

from dock_helpers import finish, until
from napari_specimen_seg.core.files import label_store, labels_tiff, read_labels
from napari_specimen_seg.core.image import SpecimenImage
from napari_specimen_seg.models.predictor import Predictor
from napari_specimen_seg.plugin import kept_results, live, live_view
from napari_specimen_seg.plugin.live_view import view_of
from napari_specimen_seg.plugin.results import is_edited, origin_of
from napari_specimen_seg.plugin.save import save_work
from napari_specimen_seg.plugin.segment import SegmentDock
from napari_specimen_seg.plugin.undo import forget_under
from napari_specimen_seg.plugin.view_order import View, first_look
from small_network import Threshold, card

SIDE = 200


class Slow(Threshold):
    """Waits before every tile until the test lets one through; copies of it are the same in this."""

    gate = threading.Semaphore()
    seen = itertools.count()
    error = None

    def forward(self, x):
        while not Slow.gate.acquire(timeout=0.05):
            pass
        if next(Slow.seen) > 6 and Slow.error is not None:
            raise Slow.error
        return super().forward(x)


@pytest.fixture
def network():
    Slow.gate, Slow.seen, Slow.error = threading.Semaphore(10**6), itertools.count(), None
    return Slow


@pytest.fixture
def viewer(qapp):
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def dock(viewer, network, tmp_path, monkeypatch, qtbot):
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))
    folder = tmp_path / "models" / "threshold"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(card().model_dump_json(), encoding="utf-8")
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("napari_specimen_seg.models.library.BUNDLED", tmp_path / "none")
    predictor = Predictor(card(), network())
    monkeypatch.setattr("napari_specimen_seg.models.predictor.load_model", lambda name: predictor)
    monkeypatch.setattr(live_view, "EVERY_MS", 10)
    made = SegmentDock(viewer)
    qtbot.addWidget(made)
    made.options.set_values({"backend": "torch"})  # others would take the network apart
    yield made
    network.gate.release(10**6)
    made.shut_down()


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    """Let every result count as too large for the memory."""
    monkeypatch.setattr("napari_specimen_seg.models.large.STORED_ABOVE", 100)
    monkeypatch.setattr(label_store, "CHUNK", 32)
    monkeypatch.setattr(label_store, "COARSEST", 32)
    monkeypatch.setattr(kept_results, "results_folder", lambda: tmp_path / "results")


def pixels(height=SIDE, width=SIDE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def truth(values):
    return np.where(values > 127, 2, 1)


def stop_after(qtbot, dock, network, tiles):
    """Start a run, let some tiles through, and cancel it."""
    # Tiles are handed on in the order in which they were begun: two may be done that nobody has seen yet.
    network.gate = threading.Semaphore(tiles + 2)
    dock.go.click()
    qtbot.waitUntil(
        lambda: dock._live._view is not None and dock._live._view.live.progress[0] >= tiles, timeout=90_000
    )
    dock.cancel()
    network.gate.release(10**6)
    finish(qtbot, dock)


def test_tiles_appear_while_others_are_computed(dock, viewer, network, qtbot):
    values = pixels()
    viewer.add_image(values, name="scan")
    network.gate = threading.Semaphore(3)
    dock.go.click()
    until(qtbot, lambda: "scan labels" in viewer.layers)
    layer = viewer.layers["scan labels"]
    part = np.asarray(layer.data)
    assert 0 < np.count_nonzero(part) < part.size
    np.testing.assert_array_equal(part[part > 0], truth(values)[part > 0])
    network.gate.release(10**6)
    finish(qtbot, dock)
    assert viewer.layers["scan labels"] is layer
    np.testing.assert_array_equal(layer.data, truth(values))
    assert layer.metadata["provenance"]["model"]["name"] == "threshold"
    assert not is_edited(layer, [()])
    assert [one.name for one in viewer.layers] == ["scan", "scan labels"]


def test_a_stopped_run_stays_and_is_continued(dock, viewer, network, qtbot):
    values = pixels()
    viewer.add_image(values, name="scan")
    stop_after(qtbot, dock, network, 4)
    layer = viewer.layers["scan labels"]
    done = np.count_nonzero(layer.data)
    assert 0 < done < values.size
    assert "tiles done. Press Continue" in dock.status.text.text()
    assert dock.go.text() == "Continue"
    before = next(network.seen)
    painted = tuple(np.argwhere(layer.data)[0])
    layer.data[painted] = 0  # by hand meanwhile, where a tile is done
    dock.go.click()
    finish(qtbot, dock)
    assert viewer.layers["scan labels"] is layer
    wanted = truth(values)
    wanted[painted] = 0
    np.testing.assert_array_equal(layer.data, wanted)
    total = len(Predictor(card(), network()).plan(values).tiles)
    assert next(network.seen) - before - 1 <= total - 4
    assert dock.go.text().startswith("Segment")


def test_a_picture_that_was_changed_meanwhile_is_segmented_from_the_beginning(dock, viewer, network, qtbot):
    values = pixels()
    viewer.add_image(values, name="scan")
    stop_after(qtbot, dock, network, 4)
    values[:] = pixels(seed=1)  # in place, which napari does not notice
    dock.go.click()
    finish(qtbot, dock)
    np.testing.assert_array_equal(viewer.layers["scan labels"].data, truth(values))
    assert "its pixels were changed, so it was segmented from the beginning" in dock.status.text.text()


def test_nothing_is_left_of_the_tiles_of_other_pixels(dock, viewer, network, qtbot):
    values = pixels()
    viewer.add_image(values, name="scan")
    dock.options.set_values({"confidence": True, "backend": "torch"})
    stop_after(qtbot, dock, network, 4)
    layer = viewer.layers["scan labels"]
    state = origin_of(layer).unfinished
    state.engines["another machine"] = None
    values[:] = pixels(seed=1)
    network.gate = threading.Semaphore(0)
    dock.go.click()
    qtbot.waitUntil(lambda: not state.done, timeout=30_000)
    assert not layer.data.any()
    assert not state.confidence.any()
    assert not state.engines
    network.gate.release(10**6)
    finish(qtbot, dock)
    np.testing.assert_array_equal(layer.data, truth(values))


def test_objects_that_do_not_fit_are_refused_before_the_work(dock, viewer, network, qtbot, monkeypatch):
    viewer.add_image(pixels(), name="scan")
    dock.options.set_values({"instances": True, "backend": "torch"})
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=SIDE * SIDE * 10))
    before = next(network.seen)
    dock.go.click()
    finish(qtbot, dock)
    assert "separating objects needs" in dock.status.text.text()
    assert next(network.seen) == before + 1


def test_other_settings_do_not_continue(dock, viewer, network, qtbot):
    viewer.add_image(pixels(), name="scan")
    stop_after(qtbot, dock, network, 4)
    part = viewer.layers["scan labels"]
    before = part.data.copy()
    dock.options.set_values({"tile": 80, "backend": "torch"})
    assert dock.go.text() == "Segment"
    dock.go.click()
    finish(qtbot, dock)
    np.testing.assert_array_equal(part.data, before)
    assert len([one for one in viewer.layers if one.name.startswith("scan labels")]) == 2


def test_a_second_run_replaces_with_undo_and_cancel_leaves_the_first(dock, viewer, network, qtbot):
    values = pixels()
    image = viewer.add_image(values, name="scan")
    dock.go.click()
    finish(qtbot, dock)
    layer = viewer.layers["scan labels"]
    first = layer.data.copy()
    values[:] = pixels(seed=1)
    image.refresh()
    stop_after(qtbot, dock, network, 4)
    np.testing.assert_array_equal(layer.data, first)
    assert dock.status.text.text() == "Cancelled. Nothing was changed."
    assert [one.name for one in viewer.layers] == ["scan", "scan labels"]
    dock.go.click()
    finish(qtbot, dock)
    np.testing.assert_array_equal(layer.data, truth(values))
    layer.undo()
    np.testing.assert_array_equal(layer.data, first)


def test_one_plane_of_a_stack(dock, viewer, qtbot):
    stack = np.stack([pixels(seed=n) for n in range(3)])
    viewer.add_image(stack, name="scan")
    viewer.dims.set_point(0, 2)
    dock.go.click()
    finish(qtbot, dock)
    layer = viewer.layers["scan labels"]
    np.testing.assert_array_equal(layer.data[2], truth(stack[2]))
    assert not layer.data[:2].any()


def test_the_whole_stack_begins_with_the_plane_that_is_shown(dock, viewer, network, qtbot):
    stack = np.stack([pixels(seed=n) for n in range(3)])
    viewer.add_image(stack, name="scan")
    viewer.dims.set_point(0, 2)
    dock.picture.planes.setCurrentText("whole stack")
    network.gate = threading.Semaphore(4)
    dock.go.click()
    until(qtbot, lambda: "scan labels" in viewer.layers)
    assert not viewer.layers["scan labels"].data[:2].any()
    assert viewer.layers["scan labels"].data[2].any()
    network.gate.release(10**6)
    finish(qtbot, dock)
    np.testing.assert_array_equal(viewer.layers["scan labels"].data, truth(stack))


def test_confidence_and_objects_come_too(dock, viewer, qtbot):
    values = pixels()
    viewer.add_image(values, name="scan")
    dock.options.set_values({"confidence": True, "instances": True, "backend": "torch"})
    dock.go.click()
    finish(qtbot, dock)
    assert viewer.layers["scan confidence"].data.min() > 0
    objects = viewer.layers["scan objects"]
    np.testing.assert_array_equal(objects.metadata["object_class"][objects.data], truth(values))


def test_a_failure_keeps_what_is_done(dock, viewer, network, qtbot, monkeypatch):
    viewer.add_image(pixels(), name="scan")
    network.error = RuntimeError("boom")
    monkeypatch.setattr("napari.utils.notifications.show_error", lambda text: None)
    dock.go.click()
    finish(qtbot, dock)
    assert "boom" in dock.status.text.text()
    assert origin_of(viewer.layers["scan labels"]).unfinished.done
    assert dock.go.text() == "Continue"


# -- larger than the memory --------------------------------------------------------------------------


def test_a_large_result_can_be_painted_on_measured_and_saved(
    dock, viewer, on_disk, qtbot, tmp_path, monkeypatch
):
    monkeypatch.setattr(labels_tiff, "PYRAMID_PIXELS", 100)
    monkeypatch.setattr(labels_tiff, "COARSEST", 32)
    monkeypatch.setattr(labels_tiff, "TILE", 32)
    values = pixels()
    viewer.add_image(da.from_array(values, chunks=64), name="scan", scale=(2, 2), units=("um", "um"))
    dock.go.click()
    finish(qtbot, dock)
    layer = viewer.layers["scan labels"]
    np.testing.assert_array_equal(np.asarray(layer.store.labels), truth(values))
    assert layer.editable
    assert layer.as_layer_data_tuple()[2] == "labels"
    np.testing.assert_allclose(layer.scale, (2, 2))
    layer.selected_label, layer.brush_size = 0, 9
    layer.paint((100, 100), 0)
    assert layer.store.labels[100, 100] == 0
    assert layer.store.levels[1][50, 50] == 0
    painted = np.asarray(layer.store.labels)
    layer.undo()
    np.testing.assert_array_equal(np.asarray(layer.store.labels), truth(values))
    layer.redo()
    np.testing.assert_array_equal(np.asarray(layer.store.labels), painted)
    save_work(viewer, layer, viewer.layers["scan"], tmp_path / "saved.tif")(lambda progress: None)
    found = read_labels(tmp_path / "saved.tif")
    np.testing.assert_array_equal(np.asarray(found.data), painted)
    np.testing.assert_array_equal(np.asarray(found.levels[0]), painted[::2, ::2])
    assert found.provenance["edited"]
    assert (found.pixel_size, found.unit) == (2, "um")


def test_tools_of_large_labels(dock, viewer, on_disk, qtbot):
    values = np.zeros((SIDE, SIDE), np.uint8)
    values[50:90, 60:120] = 255
    viewer.add_image(da.from_array(values, chunks=64), name="scan")
    dock.go.click()
    finish(qtbot, dock)
    layer = viewer.layers["scan labels"]
    layer.fill((60, 70), 5)
    assert (np.asarray(layer.store.labels)[50:90, 60:120] == 5).all()
    assert np.count_nonzero(np.asarray(layer.store.labels) == 5) == 40 * 60
    layer.undo()
    layer.data_setitem((np.array([1, 150]), np.array([3, 199])), 7)
    assert (layer.store.labels[1, 3], layer.store.labels[150, 199]) == (7, 7)
    layer.undo()
    np.testing.assert_array_equal(np.asarray(layer.store.labels), truth(values))
    layer.preserve_labels = True
    layer.paint((60, 70), 5)
    assert layer.store.labels[60, 70] == 2
    layer.selected_label = (3, 2)  # what a pyramid says of a pixel: level and value
    assert layer.selected_label == 2
    assert viewer.layers["scan labels"].get_status((60, 70), world=True)["value"]


@pytest.mark.parametrize("stored", [False, True])
def test_what_is_painted_where_no_tile_is_done_stays(dock, viewer, network, qtbot, stored, request):
    if stored:
        request.getfixturevalue("on_disk")
    values = pixels()
    viewer.add_image(values, name="scan")
    stop_after(qtbot, dock, network, 4)
    layer = viewer.layers["scan labels"]
    content = np.asarray(layer.store.labels) if stored else layer.data
    undone, done = (
        tuple(np.argwhere(binary_erosion(part, iterations=8))[0]) for part in (content == 0, content > 0)
    )
    layer.brush_size = 6
    layer.paint(done, 5)
    layer.paint(undone, 5)
    painted = np.asarray(layer.store.labels if stored else layer.data).copy() == 5
    dock.go.click()
    finish(qtbot, dock)
    expected = np.where(painted, 5, truth(values))
    np.testing.assert_array_equal(np.asarray(layer.store.labels if stored else layer.data), expected)
    layer.undo()  # of the stroke on what was done; the other would bring nothing back but a hole
    layer.undo()
    found = np.asarray(layer.store.labels if stored else layer.data)
    assert found[done] == truth(values)[done]
    assert found[undone] == 5
    assert (found > 0).all()
    assert is_edited(layer, [()])


def test_strokes_are_forgotten_only_where_a_tile_came(viewer):
    layer = viewer.add_labels(np.zeros((40, 40), np.uint8))
    layer.brush_size = 3
    for at in ((5, 5), (30, 30)):
        layer.paint(at, 2)
    layer.data_setitem((np.array([20]), np.array([5])), 3)
    forget_under(layer, (slice(18, 40), slice(18, 40)))
    layer.undo()
    assert layer.data[20, 5] == 0
    layer.undo()
    assert (layer.data[5, 5], layer.data[30, 30]) == (0, 2)
    layer.undo()
    assert layer.data[30, 30] == 2
    forget_under(layer, (slice(0, 40), slice(0, 6)))
    layer.redo()
    assert (layer.data[5, 5], layer.data[20, 5]) == (0, 0)


def test_the_confidence_of_a_large_picture_is_shown_from_the_disk(dock, viewer, on_disk, qtbot):
    values = pixels()
    image = viewer.add_image(da.from_array(values, chunks=64), name="scan", scale=(2, 2))
    dock.options.set_values({"confidence": True})
    for _ in range(2):  # the second takes the place of the first
        dock.go.click()
        finish(qtbot, dock)
        sure = viewer.layers["scan confidence"]
        assert [one.name for one in viewer.layers if "confidence" in one.name] == ["scan confidence"]
    assert not sure.visible
    assert sure.multiscale
    assert tuple(sure.scale) == tuple(image.scale)
    full = np.asarray(sure.data[0])
    assert full.shape == values.shape
    assert full.min() > 0.5
    for number, level in enumerate(sure.data):
        np.testing.assert_array_equal(np.asarray(level), full[:: 2**number, :: 2**number])
    assert len(sure.data) == len(viewer.layers["scan labels"].store.levels) > 1


def test_a_large_result_is_continued_by_the_next_program(dock, viewer, network, on_disk, qtbot, tmp_path):
    import tifffile

    path = tmp_path / "scan.tif"
    values = pixels()
    tifffile.imwrite(path, values, tile=(64, 64))
    image = viewer.add_image(
        da.from_array(values, chunks=64), name="scan", metadata={"specimen_source": str(path)}
    )
    stop_after(qtbot, dock, network, 4)
    layer = viewer.layers["scan labels"]
    assert dock.go.text() == "Continue"
    layer.store.close()
    done = len(layer.store.finished())
    viewer.layers.remove(layer)
    live_view._open.clear()  # as if the program had ended
    assert image in viewer.layers
    before = next(network.seen)
    dock.go.click()
    finish(qtbot, dock)
    again = viewer.layers["scan labels"]
    assert again.store.continued
    first_look_too = len(Predictor(card(), network()).plan(values).tiles) - done + 1
    assert next(network.seen) - before - 1 <= first_look_too
    np.testing.assert_array_equal(np.asarray(again.store.labels), truth(values))


def test_a_large_picture_that_was_changed_is_refused_every_time(dock, viewer, network, on_disk, qtbot):
    values = pixels()
    viewer.add_image(values, name="scan")
    stop_after(qtbot, dock, network, 4)
    values[:] = pixels(seed=1)
    layer = viewer.layers["scan labels"]
    done = layer.store.count
    for _ in range(2):
        dock.go.click()
        finish(qtbot, dock)
        assert "its pixels were changed since this was broken off" in dock.status.text.text()
        assert layer.store.count == done


def test_two_runs_on_one_large_picture_have_stores_of_their_own(dock, viewer, on_disk, qtbot):
    viewer.add_image(da.from_array(pixels(), chunks=64), name="scan")
    for _ in range(2):
        dock.go.click()
        finish(qtbot, dock)
    found = [one for one in viewer.layers if hasattr(one, "store")]
    assert len({one.store.folder for one in found}) == 2


def test_the_next_program_knows_that_somebody_painted(dock, viewer, on_disk, qtbot):
    viewer.add_image(da.from_array(pixels(), chunks=64), name="scan")
    dock.go.click()
    finish(qtbot, dock)
    layer = viewer.layers["scan labels"]
    assert not is_edited(layer, [()])
    layer.selected_label, layer.brush_size = 5, 9
    layer.paint((100, 100), 5)
    assert is_edited(layer, [()])
    layer.store.close()
    viewer.layers.remove(layer)
    live_view._open.clear()  # as if the program had ended
    dock.go.click()
    finish(qtbot, dock)
    again = viewer.layers["scan labels"]
    assert again.store.continued
    assert again.store.labels[100, 100] == 5
    assert is_edited(again, [()])


def test_two_pictures_of_one_file_never_share_a_store(dock, viewer, network, on_disk, qtbot, tmp_path):
    path = tmp_path / "scan.tif"
    path.write_bytes(b"two pictures")
    first, second = pixels(), pixels(seed=1)
    source = {"specimen_source": str(path)}
    viewer.add_image(da.from_array(first, chunks=64), name="one", metadata=source)
    stop_after(qtbot, dock, network, 4)
    viewer.layers["one labels"].store.close()
    viewer.layers.clear()
    live_view._open.clear()  # as if the program had ended
    viewer.add_image(da.from_array(second, chunks=64), name="two", metadata=source)
    dock.go.click()
    finish(qtbot, dock)
    again = viewer.layers["two labels"]
    assert not again.store.continued
    np.testing.assert_array_equal(np.asarray(again.store.labels), truth(second))


def test_a_result_in_use_is_not_forgotten(tmp_path):
    import os

    with label_store.open_store(tmp_path / "old.zarr", label_store.StoreShape((8, 8)), {}) as store:
        notes = store.folder / "finished.jsonl"
        notes.touch()
        for path in (*store.folder.iterdir(), store.folder):
            os.utime(path, times=(0, 0))
        kept_results.forget_old(tmp_path)
        assert store.folder.exists()
    for path in (*store.folder.iterdir(), store.folder):
        os.utime(path, times=(0, 0))
    kept_results.forget_old(tmp_path)
    assert not store.folder.exists()


@pytest.mark.parametrize("touched", ["finished.jsonl", "edited", "closed", "."])
def test_old_results_are_forgotten(tmp_path, touched):
    import os

    for store in (tmp_path / "old.zarr", tmp_path / "new.zarr"):
        store.mkdir()
        for name in ("finished.jsonl", "edited", "closed", "."):
            (store / name).touch()
            age = 1 if (store.name, name) == ("new.zarr", touched) else 15
            os.utime(store / name, times=(time.time() - age * 86400,) * 2)
    kept_results.forget_old(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new.zarr"]


def test_every_stroke_says_that_the_result_is_still_wanted(dock, viewer, on_disk, qtbot, monkeypatch):
    import os

    monkeypatch.setattr(live_view, "FLUSH_AFTER_MS", 10)
    viewer.add_image(da.from_array(pixels(), chunks=64), name="scan")
    dock.go.click()
    finish(qtbot, dock)
    layer = viewer.layers["scan labels"]
    layer.paint((100, 100), 5)
    mark = layer.store.folder / "edited"
    qtbot.waitUntil(lambda: not layer.store.cache.waiting, timeout=10_000)
    os.utime(mark, times=(0, 0))
    layer.paint((50, 50), 5)
    qtbot.waitUntil(lambda: mark.stat().st_mtime > 0, timeout=10_000)


# -- where one looks ---------------------------------------------------------------------------------


def test_the_view_in_pixels_of_the_picture(viewer):
    image = viewer.add_image(pixels(1000, 2000), scale=(0.5, 0.5), translate=(10, 20))
    viewer.canvas.size = (300, 400)
    camera = viewer.scene.camera
    camera.center, camera.zoom = (0, 10 + 250, 20 + 500), 2
    assert view_of(viewer, image) == View(350, 650, 800, 1200)
    assert view_of(viewer, image).center == (500, 1000)


def test_the_view_of_a_stack_has_its_plane(viewer):
    image = viewer.add_image(np.zeros((4, 30, 40), np.uint8))
    viewer.dims.set_point(0, 3)
    assert view_of(viewer, image).plane == (3,)
    viewer.dims.ndisplay = 3
    assert view_of(viewer, image) == View(0, 30, 0, 40, (3,))


def test_the_first_tiles_are_those_in_view(dock, viewer, network, qtbot):
    viewer.add_image(pixels(), name="scan")
    viewer.canvas.size = (30, 30)
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 180, 180), 1
    network.gate = threading.Semaphore(3)
    dock.go.click()
    until(qtbot, lambda: "scan labels" in viewer.layers)
    assert np.asarray(viewer.layers["scan labels"].data)[180, 180]
    network.gate.release(10**6)
    finish(qtbot, dock)


# -- a first look ------------------------------------------------------------------------------------


def test_a_first_look_is_one_tile_of_what_is_visible():
    values = pixels(1024, 1024)
    image = SpecimenImage(values)
    small, step, top, left = first_look(image, View(100, 900, 200, 1000), 64 * 64)
    assert (step, top, left) == (16, 96, 192)
    np.testing.assert_array_equal(small.data, values[96:900:16, 192:1000:16])
    assert first_look(image, View(0, 200, 0, 200), 64 * 64) is None


def test_a_first_look_reads_the_smaller_levels():
    values = pixels(1024, 1024)
    levels = tuple(da.from_array(values[:: 2**n, :: 2**n], chunks=64) for n in (1, 2, 3))
    image = SpecimenImage(da.from_array(values, chunks=64), levels=levels)
    small, step, _, _ = first_look(image, View(0, 1024, 0, 1024), 64 * 64)
    assert step == 16
    np.testing.assert_array_equal(small.data, values[::16, ::16])
    assert first_look(image.replace(levels=()), View(0, 1024, 0, 1024), 64 * 64) is None


def test_a_preview_is_shown_first_and_gone_at_the_end(dock, viewer, network, qtbot, monkeypatch):
    monkeypatch.setattr(live, "PREVIEW_TILES", 2)
    values = np.kron(np.array([[0, 255], [255, 0]], np.uint8), np.ones((100, 100), np.uint8))
    viewer.add_image(values, name="scan")
    viewer.canvas.size = (400, 400)
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 100, 100), 1
    network.gate = threading.Semaphore(1)
    dock.go.click()
    until(qtbot, lambda: "scan preview" in viewer.layers)
    preview = viewer.layers["scan preview"]
    assert not preview.editable
    for row, column, label in ((50, 50, 1), (50, 150, 2), (150, 150, 1)):
        at = tuple(round(c) for c in preview.world_to_data((row, column)))
        assert preview.data[at] == label
    network.gate.release(10**6)
    finish(qtbot, dock)
    assert [one.name for one in viewer.layers] == ["scan", "scan labels"]
    np.testing.assert_array_equal(viewer.layers["scan labels"].data, truth(values))
