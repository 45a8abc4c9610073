import gc
import json
import subprocess
import sys
import threading
import warnings
import weakref
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication, QFileDialog

from dock_helpers import BEETLE, NUCLEI, WHOLE, Models, finish, make_card, until, write_models
from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import ImageError, SpecimenWarning
from napari_specimen_seg.core.files import read_labels, write_labels
from napari_specimen_seg.core.progress import Progress
from napari_specimen_seg.plugin import all_pictures, save
from napari_specimen_seg.plugin import segment as segment_module
from napari_specimen_seg.plugin.card_view import card_html, summary
from napari_specimen_seg.plugin.layers import labels_layer
from napari_specimen_seg.plugin.options import options_of
from napari_specimen_seg.plugin.results import is_edited, origin_of, provenance_now, replace_with_undo
from napari_specimen_seg.plugin.segment import SegmentDock
from napari_specimen_seg.plugin.status import TimeLeft, describe, duration

CLASSES = PRESETS["beetle-parts"]


@pytest.fixture(autouse=True)
def _own_settings(tmp_path):
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))


@pytest.fixture
def models(tmp_path, monkeypatch):
    write_models(tmp_path / "models")
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("napari_specimen_seg.models.library.BUNDLED", tmp_path / "none")
    fake = Models()
    monkeypatch.setattr("napari_specimen_seg.models.predictor.load_model", fake)
    return fake


@pytest.fixture
def viewer(qapp):
    """Layers and dims as in a window, without the window: most of what a dock does needs no more."""
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def dock(viewer, models, qtbot):
    made = SegmentDock(viewer)
    qtbot.addWidget(made)
    yield made
    if models.gate is not None:
        models.gate.set()
    made.shut_down()


def picture(value=1, shape=(6, 8)):
    return np.full(shape, value, np.uint8)


def run(qtbot, dock):
    dock.go.click()
    finish(qtbot, dock)


# -- the result as a layer ---------------------------------------------------------------------------


def test_result_lies_directly_above_its_picture(dock, viewer, qtbot):
    placed = {
        "scale": (2.0, 3.0),
        "translate": (5.0, 6.0),
        "rotate": 30.0,
        "shear": [0.1],
        "units": ("mm", "mm"),
        "axis_labels": ("y", "x"),
        "affine": [[1, 0, 9], [0, 1, 8], [0, 0, 1]],
    }
    image = viewer.add_image(picture(), name="scan", **placed)
    other = viewer.add_image(picture(3), name="other")
    dock.picker.choose(image)
    run(qtbot, dock)
    assert [layer.name for layer in viewer.layers] == ["scan", "scan labels", "other"]
    result = viewer.layers["scan labels"]
    assert result.data.dtype == np.uint8
    assert (result.data == 1).all()
    np.testing.assert_allclose(result.scale, image.scale)
    np.testing.assert_allclose(result.translate, image.translate)
    np.testing.assert_allclose(result.rotate, image.rotate)
    np.testing.assert_allclose(result.shear, image.shear)
    np.testing.assert_allclose(result.affine.affine_matrix, image.affine.affine_matrix)
    assert result.units == image.units
    assert result.axis_labels == image.axis_labels
    assert viewer.layers.selection.active is result
    assert (other.data == 3).all()


def test_result_has_class_colours_and_names(dock, viewer, qtbot):
    viewer.add_image(picture(5), name="scan")
    run(qtbot, dock)
    result = viewer.layers["scan labels"]
    np.testing.assert_allclose(np.asarray(result.get_color(5))[:3] * 255, CLASSES.by_id(5).rgb, atol=1)
    assert "elytra" in result.get_status((2, 2))["value"]
    assert result.metadata["class_map"] == CLASSES


def test_colour_pictures_and_lazy_pyramids_are_segmented_at_full_size(dock, viewer, qtbot):
    full = np.zeros((64, 64, 3), np.uint8)
    full[10, 20, 0] = 4
    pyramid = [da.from_array(full), da.from_array(full[::2, ::2])]
    viewer.add_image(pyramid, name="scan", multiscale=True, rgb=True)
    run(qtbot, dock)
    result = viewer.layers["scan labels"]
    assert result.data.shape == (64, 64)
    assert result.data[10, 20] == 4
    assert result.data.sum() == 4


def test_channels_that_are_called_so_are_no_planes(dock, viewer, models, qtbot):
    image = np.zeros((3, 6, 8), np.uint8)
    image[0] = 2
    viewer.add_image(
        image, name="scan", axis_labels=("c", "y", "x"), scale=(1, 0.5, 0.5), units=("pixel", "mm", "mm")
    )
    run(qtbot, dock)
    result = viewer.layers["scan labels"]
    assert (result.data == np.full((6, 8), 2)).all()
    assert result.scale.tolist() == [0.5, 0.5]
    assert models.loaded[0].asked[0][0].axes == "YXC"


def test_one_plane_of_a_stack_or_all_of_it(dock, viewer, qtbot):
    stack = np.stack([picture(1), picture(2), picture(3)])
    viewer.add_image(stack, name="stack")
    viewer.dims.set_current_step(0, 1)
    assert dock.picture.planes.isVisibleTo(dock)
    dock.picture.planes.setCurrentText("this plane")
    run(qtbot, dock)
    result = viewer.layers["stack labels"]
    assert [plane.max() for plane in result.data] == [0, 2, 0]
    dock.picture.planes.setCurrentText("whole stack")
    run(qtbot, dock)
    assert [plane.max() for plane in result.data] == [1, 2, 3]
    assert len(viewer.layers) == 2
    result.undo()
    assert [plane.max() for plane in result.data] == [0, 2, 0]


def test_planes_are_asked_for_only_where_there_are_some(dock, viewer):
    viewer.add_image(picture(), name="scan")
    assert not dock.picture.planes.isVisibleTo(dock)


def test_confidence_and_objects_are_layers_of_their_own(dock, viewer, qtbot):
    viewer.add_image(picture(2), name="scan")
    dock.options.set_values({"confidence": True, "instances": True})
    run(qtbot, dock)
    names = ["scan", "scan confidence", "scan labels", "scan objects"]
    assert [layer.name for layer in viewer.layers] == names
    assert viewer.layers["scan confidence"].data.max() == 0.5
    assert viewer.layers["scan objects"].data.max() == 14
    assert dock.picker.layer.name == "scan"
    run(qtbot, dock)
    assert [layer.name for layer in viewer.layers] == names


def test_measure_opens_with_separated_objects(dock, viewer, qtbot, monkeypatch):
    viewer.add_image(picture(2), name="scan")
    dock.options.set_values({"instances": True})
    run(qtbot, dock)
    chosen = []
    opened = type("Opened", (), {"choose": lambda self, layer: chosen.append(layer.name)})
    monkeypatch.setattr(segment_module, "open_dock", lambda *_: opened())
    viewer.layers.selection.active = viewer.layers["scan"]
    dock.open_measure()
    dock.options.set_values({"instances": False})
    dock.open_measure()
    assert chosen == ["scan objects", "scan labels"]


def opened_mask(viewer, path, values=((0, 1), (5, 5))):
    from napari.layers import Labels

    write_labels(path, np.array(values, np.uint8), PRESETS["beetle-parts"])
    content, attributes, _ = labels_layer(read_labels(path))
    return viewer.add_layer(Labels(content, **attributes))


def test_a_mask_that_was_opened_has_its_legend_and_is_saved_where_it_was(
    dock, viewer, qtbot, tmp_path, monkeypatch
):
    viewer.add_image(picture(2), name="scan")
    mask = opened_mask(viewer, tmp_path / "mask.tif")
    viewer.layers.selection.active = mask
    assert dock.legend.buttons[5].text() == "elytra"
    assert dock.save.isVisibleTo(dock)
    dock.legend.buttons[5].click()
    assert (mask.selected_label, mask.mode) == (5, "paint")
    mask.brush_size = 1
    mask.paint((0, 0), 5)
    asked = []

    def ask(parent, title, start, filters):
        asked.append(start)
        return start, ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    dock.save_labels()
    finish(qtbot, dock)
    assert asked == [str(tmp_path / "mask.tif")]
    found = read_labels(tmp_path / "mask.tif")
    assert found.data.tolist() == [[5, 1], [5, 5]]
    assert found.class_map == PRESETS["beetle-parts"]
    viewer.layers.selection.active = viewer.layers["scan"]
    assert not dock.legend.buttons
    assert not dock.save.isVisibleTo(dock)


def test_samples_are_not_saved_into_the_folder_of_a_program(monkeypatch, tmp_path):
    import skimage
    from napari.layers import Image, Labels

    monkeypatch.setattr(save, "_last", [])
    sample = Image(picture(), name="tissue", metadata={"specimen_source": skimage.__file__})
    labels = Labels(np.zeros((4, 4), np.uint8), name="tissue labels")
    assert save.proposed(labels, sample) == Path.home() / "tissue_labels.tif"
    monkeypatch.setattr(save, "_last", [tmp_path])
    assert save.proposed(labels, sample) == tmp_path / "tissue_labels.tif"
    own = Image(picture(), name="scan", metadata={"specimen_source": str(tmp_path / "scan.jpg")})
    assert save.proposed(labels, own) == tmp_path / "scan_labels.tif"


# -- the second run --------------------------------------------------------------------------------


def test_second_run_replaces_the_result_and_undo_brings_it_back(dock, viewer, qtbot):
    image = viewer.add_image(picture(1), name="scan")
    other = viewer.add_labels(picture(7), name="mine")
    dock.picker.choose(image)
    run(qtbot, dock)
    result = viewer.layers["scan labels"]
    image.data = picture(4)
    run(qtbot, dock)
    assert [layer.name for layer in viewer.layers] == ["scan", "scan labels", "mine"]
    assert viewer.layers["scan labels"] is result
    assert (result.data == 4).all()
    result.undo()
    assert (result.data == 1).all()
    result.redo()
    assert (result.data == 4).all()
    assert (other.data == 7).all()


@pytest.mark.parametrize("share", [0.02, 0.9])
def test_replacing_few_or_many_pixels_is_one_step_of_undo(viewer, share):
    rng = np.random.default_rng(0)
    old = rng.integers(0, 5, (3, 20, 30)).astype(np.uint8)
    layer = viewer.add_labels(old.copy())
    new = np.where(rng.random((20, 30)) < share, 9, old[1]).astype(np.uint8)
    assert replace_with_undo(layer, (1,), new)
    assert (layer.data[1] == new).all()
    layer.undo()
    assert (layer.data == old).all()
    layer.redo()
    assert (layer.data[1] == new).all()
    assert not replace_with_undo(layer, (1,), new)


def test_labels_that_need_a_wider_type_are_not_cut(viewer):
    layer = viewer.add_labels(picture(1))
    replace_with_undo(layer, (), np.full((6, 8), 300, np.uint16))
    assert (layer.data == 300).all()
    layer.undo()
    assert (layer.data == 1).all()


@pytest.fixture
def edited(dock, viewer, qtbot):
    """A picture whose result was painted on."""
    viewer.add_image(picture(1), name="scan")
    run(qtbot, dock)
    result = viewer.layers["scan labels"]
    result.brush_size = 1
    result.paint((2, 2), 5)
    return result


def answer(monkeypatch, text):
    asked = []
    monkeypatch.setattr(segment_module, "ask_to_replace", lambda parent, name: asked.append(name) or text)
    return asked


def test_hand_edits_are_replaced_only_if_the_person_says_so(dock, edited, qtbot, monkeypatch):
    asked = answer(monkeypatch, "replace")
    run(qtbot, dock)
    assert asked == ["scan labels"]
    assert (edited.data == 1).all()
    edited.undo()
    assert edited.data[2, 2] == 5


def test_hand_edits_can_be_kept_beside_the_new_result(dock, viewer, edited, qtbot, monkeypatch):
    answer(monkeypatch, "keep")
    run(qtbot, dock)
    assert len(viewer.layers) == 3
    assert edited.data[2, 2] == 5
    newer = next(layer for layer in viewer.layers[1:] if layer is not edited)
    assert (newer.data == 1).all()


def test_cancel_leaves_hand_edits_and_runs_nothing(dock, viewer, models, edited, qtbot, monkeypatch):
    answer(monkeypatch, "cancel")
    run(qtbot, dock)
    assert edited.data[2, 2] == 5
    assert len(viewer.layers) == 2
    assert len(models.loaded[0].asked) == 1
    assert dock.go.isEnabled()


def test_an_edit_that_was_undone_is_none(dock, edited, qtbot, monkeypatch):
    asked = answer(monkeypatch, "cancel")
    edited.undo()
    run(qtbot, dock)
    assert asked == []


def test_after_undo_of_a_run_nothing_is_asked(dock, viewer, qtbot, monkeypatch):
    asked = answer(monkeypatch, "cancel")
    image = viewer.add_image(picture(1), name="scan")
    run(qtbot, dock)
    image.data = picture(2)
    run(qtbot, dock)
    viewer.layers["scan labels"].undo()
    run(qtbot, dock)
    assert asked == []
    assert (viewer.layers["scan labels"].data == 2).all()


def test_edits_from_the_console_count_too(dock, viewer, qtbot, monkeypatch):
    asked = answer(monkeypatch, "cancel")
    viewer.add_image(picture(1), name="scan")
    run(qtbot, dock)
    viewer.layers["scan labels"].data[0, 0] = 3
    run(qtbot, dock)
    assert asked == ["scan labels"]


def test_edits_made_during_the_run_are_asked_about(dock, viewer, models, qtbot, monkeypatch):
    asked = answer(monkeypatch, "cancel")
    models.gate = threading.Event()
    viewer.add_image(picture(1), name="scan")
    models.gate.set()
    run(qtbot, dock)
    result = viewer.layers["scan labels"]
    models.gate.clear()
    dock.go.click()
    until(qtbot, lambda: dock.status.bar.isVisibleTo(dock))
    result.paint((3, 3), 6)
    models.gate.set()
    finish(qtbot, dock)
    assert asked == ["scan labels"]
    assert result.data[3, 3] == 6


def test_another_plane_of_an_edited_stack_is_not_asked_about(dock, viewer, qtbot, monkeypatch):
    asked = answer(monkeypatch, "cancel")
    viewer.add_image(np.stack([picture(1), picture(2)]), name="stack")
    dock.picture.planes.setCurrentText("this plane")
    viewer.dims.set_current_step(0, 0)
    run(qtbot, dock)
    viewer.layers["stack labels"].data[0, 0, 0] = 5
    viewer.dims.set_current_step(0, 1)
    run(qtbot, dock)
    assert asked == []
    assert is_edited(viewer.layers["stack labels"], [(0,)])


def test_a_model_with_other_classes_gets_a_layer_of_its_own(dock, viewer, qtbot):
    viewer.add_image(picture(1), name="scan")
    run(qtbot, dock)
    dock.models.choose("cells")
    run(qtbot, dock)
    maps = [layer.metadata["class_map"] for layer in viewer.layers[1:]]
    assert PRESETS["nuclei"] in maps
    assert CLASSES in maps


def test_a_copy_of_a_result_is_never_touched(dock, viewer, qtbot):
    image = viewer.add_image(picture(1), name="scan")
    run(qtbot, dock)
    result = viewer.layers["scan labels"]
    twin = viewer.add_labels(result.data.copy(), metadata=dict(result.metadata))
    assert origin_of(twin) is None
    image.data = picture(2)
    run(qtbot, dock)
    assert (twin.data == 1).all()
    assert (result.data == 2).all()


# -- progress, cancel, errors ------------------------------------------------------------------------


def test_cancel_is_told_at_once_and_changes_nothing(dock, viewer, models, qtbot):
    models.gate = threading.Event()
    viewer.add_image(picture(1), name="scan")
    dock.go.click()
    assert not dock.go.isEnabled()
    until(qtbot, lambda: dock.status.cancel.isVisibleTo(dock))
    dock.status.cancel.click()
    assert dock.status.cancel.text() == "Cancelling…"
    finish(qtbot, dock)
    assert dock.status.text.text() == "Cancelled. Nothing was changed."
    assert len(viewer.layers) == 1
    assert dock.go.isEnabled()


def test_work_that_does_not_listen_is_left_behind(dock, viewer, models, qtbot, monkeypatch):
    monkeypatch.setattr("napari_specimen_seg.plugin.workers.PATIENCE_MS", 20)
    deaf = threading.Event()
    monkeypatch.setattr(
        "napari_specimen_seg.models.predictor.load_model", lambda name: deaf.wait(10) and models(name)
    )
    viewer.add_image(picture(1), name="scan")
    dock.go.click()
    until(qtbot, lambda: dock.status.cancel.isVisibleTo(dock))
    dock.cancel()
    finish(qtbot, dock)
    assert dock.status.text.text().startswith("Cancelled")
    deaf.set()
    from napari_specimen_seg.plugin.workers import _running

    until(qtbot, lambda: not _running)
    assert len(viewer.layers) == 1


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ImageError("scan: the picture has 5 channels, the model takes rgb"), "5 channels"),
        (RuntimeError("CUDA out of memory"), "memory"),
        (MemoryError(), "memory"),
        (SystemExit(1), "SystemExit"),
        (StopIteration(), "StopIteration"),
    ],
)
def test_errors_are_one_line_and_leave_the_layers(
    dock, viewer, models, qtbot, tmp_path, monkeypatch, error, text
):
    monkeypatch.setattr("napari_specimen_seg.core.log.log_path", lambda: tmp_path / "errors.log")
    notes = []
    monkeypatch.setattr("napari.utils.notifications.show_error", notes.append)
    models.error = error
    viewer.add_image(picture(1), name="scan")
    run(qtbot, dock)
    line = dock.status.text.text()
    assert text in line
    assert "\n" not in line
    assert notes == [line]
    is_plain = isinstance(error, ImageError)  # says all there is to say: no traceback, no Details
    assert dock.status.details.isVisibleTo(dock) is not is_plain
    assert (type(error).__name__ in dock.status.log.toPlainText()) is not is_plain
    assert [layer.name for layer in viewer.layers] == ["scan"]
    assert dock.go.isEnabled()


def test_too_many_planes_are_refused(dock, viewer, qtbot):
    viewer.add_image(np.zeros((2, 2, 2, 2, 4, 4), np.uint8), name="film")
    assert "up to three plane axes" in _line_after_run(dock, qtbot)


def _line_after_run(dock, qtbot):
    run(qtbot, dock)
    return dock.status.text.text()


def test_warnings_are_told_with_the_result(dock, viewer, models, qtbot, monkeypatch):
    real = models.__call__

    def load(name):
        warnings.warn("scan: 3 values are NaN and count as the darkest", SpecimenWarning, stacklevel=2)
        return real(name)

    monkeypatch.setattr("napari_specimen_seg.models.predictor.load_model", load)
    viewer.add_image(picture(1), name="scan")
    assert "3 values are NaN" in _line_after_run(dock, qtbot)
    assert "scan labels" in viewer.layers


def test_the_picture_may_be_closed_during_the_run(dock, viewer, models, qtbot):
    models.gate = threading.Event()
    viewer.add_image(picture(1), name="scan")
    dock.go.click()
    until(qtbot, lambda: dock.status.cancel.isVisibleTo(dock))
    viewer.layers.clear()
    models.gate.set()
    finish(qtbot, dock)
    assert len(viewer.layers) == 0
    assert dock.empty.isVisibleTo(dock)


def test_the_earlier_result_may_be_closed_during_the_run(dock, viewer, models, qtbot):
    models.gate = threading.Event()
    models.gate.set()
    viewer.add_image(picture(1), name="scan")
    run(qtbot, dock)
    models.gate.clear()
    dock.go.click()
    until(qtbot, lambda: dock.status.cancel.isVisibleTo(dock))
    viewer.layers.remove("scan labels")
    models.gate.set()
    finish(qtbot, dock)
    assert [layer.name for layer in viewer.layers] == ["scan", "scan labels"]


def test_closing_the_dock_stops_the_work(make_napari_viewer, models, qtbot):
    from napari_specimen_seg.plugin.workers import _running

    viewer = make_napari_viewer()
    models.gate = threading.Event()
    viewer.add_image(picture(1), name="scan")
    dock = SegmentDock(viewer)
    holder = viewer.window.add_dock_widget(dock, name="Segment")
    dock.go.click()
    until(qtbot, lambda: dock.status.cancel.isVisibleTo(dock))
    viewer.window.remove_dock_widget(holder)
    until(qtbot, lambda: not _running)
    assert len(viewer.layers) == 1
    viewer.add_image(picture(1))  # nobody listens any more
    assert dock.picker.layer.name == "scan"


def test_closing_the_viewer_stops_the_work(make_napari_viewer, models, qtbot):
    from napari_specimen_seg.plugin.workers import _running

    models.gate = threading.Event()
    viewer = make_napari_viewer()
    viewer.add_image(picture(1), name="scan")
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    dock.go.click()
    until(qtbot, lambda: dock.status.cancel.isVisibleTo(dock))
    viewer.close()
    until(qtbot, lambda: not _running)


def test_activity_dock_shows_the_work_and_can_cancel_it(dock, viewer, models, qtbot):
    from napari.utils.progress import progress

    models.gate = threading.Event()
    viewer.add_image(picture(1), name="scan")
    dock.go.click()
    until(qtbot, lambda: len(progress._all_instances) == 1)
    (bar,) = progress._all_instances
    bar.cancel()
    finish(qtbot, dock)
    assert len(progress._all_instances) == 0
    assert dock.status.text.text().startswith("Cancelled")


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([(0, 0)], None),
        ([(0, 10)], None),
        ([(0, 10), (5, 10)], 5.0),
        ([(2, 10), (4, 10), (6, 10)], 4.0),
    ],
)
def test_time_left_comes_from_the_pace_so_far(reports, expected):
    clock = TimeLeft()
    left = None
    for done, total in reports:
        left = clock.after(Progress("tile", done, total), float(done))
    assert left == expected


def test_a_new_stage_starts_a_new_clock():
    clock = TimeLeft()
    clock.after(Progress("tile", 0, 4), 0.0)
    assert clock.after(Progress("plane", 2, 4), 100.0) is None
    assert clock.after(Progress("plane", 3, 4), 103.0) == 3.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.1, "1 s"), (2.4, "2 s"), (100, "2 min"), (5400, "1 h 30 min")]
)
def test_durations_in_words(seconds, text):
    assert duration(seconds) == text


def test_progress_in_words():
    assert describe(Progress("loading model", 0, 0), None) == "loading model…"
    assert describe(Progress("tile", 31, 48), 2.0) == "tile 31 of 48 · 2 s left"


# -- controls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (BEETLE, ["device", "precision", "tile", "blend", "confidence", "instances"]),
        (NUCLEI, ["device", "precision", "tile", "blend", "threshold", "confidence", "instances"]),
        (WHOLE, ["device", "precision", "confidence", "instances"]),
    ],
)
def test_a_model_has_the_options_that_it_needs_and_no_others(model, names):
    assert options_of(make_card(*model))[0] == names


def test_options_are_passed_on_and_can_be_reset(dock, viewer, models, qtbot):
    viewer.add_image(picture(1), name="scan")
    dock.models.choose("cells")
    assert "0.4" in dock.options.form.controls["threshold"].widget.text()
    dock.options.set_values({"threshold": 0.25, "tile": 128, "device": "cpu"})
    run(qtbot, dock)
    settings = models.loaded[0].asked[0][1]
    assert (settings.threshold, settings.tile, settings.device) == (0.25, 128, "cpu")
    dock.options.reset.click()
    assert dock.settings.threshold is None
    assert dock.settings.tile is None
    dock.models.choose("beetle")
    assert dock.settings.threshold is None


def test_settings_are_remembered_for_a_folder(viewer, models, qtbot, tmp_path):
    from napari.layers import Image

    def scan(folder):
        layer = Image(picture(1), name="scan")
        layer._source = layer.source.model_copy(update={"path": str(tmp_path / folder / "scan.tif")})
        return layer

    dock = SegmentDock(viewer)
    qtbot.addWidget(dock)
    viewer.add_layer(scan("a"))
    dock.models.choose("cells")
    dock.options.set_values({"threshold": 0.25})
    run(qtbot, dock)
    viewer.layers.clear()
    viewer.add_layer(scan("b"))
    dock.models.choose("beetle")
    viewer.layers.clear()
    viewer.add_layer(scan("a"))
    assert dock.models.name == "cells"
    assert dock.settings.threshold == 0.25
    dock.shut_down()


def test_the_picture_follows_the_selection_until_it_is_pinned(dock, viewer):
    first = viewer.add_image(picture(1), name="first")
    second = viewer.add_image(picture(2), name="second")
    assert dock.picker.layer is second
    viewer.layers.selection.active = first
    assert dock.picker.layer is first
    dock.picker.pin.click()
    viewer.layers.selection.active = second
    assert dock.picker.layer is first
    dock.picker.pin.click()
    assert dock.picker.layer is second
    first.name = "renamed"
    assert "renamed" in [dock.picker.combo.itemText(i) for i in range(dock.picker.combo.count())]


def test_the_line_about_the_picture_tells_size_channels_and_pixel_size(dock, viewer):
    image = viewer.add_image(np.zeros((4, 6, 3), np.uint8), name="scan", rgb=True)
    assert dock.picture.about.text() == "4 × 6 px · RGB · pixel size unknown"
    image.units = ("mm", "mm")
    image.scale = (0.021, 0.021)
    assert dock.picture.about.text() == "4 × 6 px · RGB · 0.021 mm per pixel"


def test_legend_takes_a_class_up_for_painting(dock, viewer, qtbot):
    viewer.add_image(picture(1), name="scan")
    assert not dock.legend.isVisibleTo(dock)
    run(qtbot, dock)
    result = viewer.layers["scan labels"]
    viewer.layers.selection.active = viewer.layers["scan"]
    dock.legend.buttons[5].click()
    assert result.selected_label == 5
    assert result.mode == "paint"
    assert viewer.layers.selection.active is result
    result.selected_label = 2
    assert dock.legend.buttons[2].isChecked()
    assert not dock.legend.buttons[5].isChecked()


def test_the_card_tells_what_a_person_needs_and_runs_nothing(dock):
    card = make_card(*BEETLE)
    assert summary(card) == "9 classes · trained on 224 pictures · mean IoU 0.81"
    html = card_html(card)
    assert "Finds &lt;b&gt;parts&lt;/b&gt;." in html
    assert "https://doi.org/10.1/x" in html
    assert "CC-BY-4.0" in html
    dock.models.info.click()
    assert dock.models.view.isVisibleTo(dock.models)


def test_the_result_of_another_model_lies_above_that_of_the_first(dock, viewer, models, qtbot):
    viewer.add_image(picture(1), name="scan")
    for name in ("beetle", "cells"):
        dock.models.choose(name)
        run(qtbot, dock)
    assert [layer.metadata["class_map"] for layer in viewer.layers[1:]] == [
        PRESETS["beetle-parts"],
        PRESETS["nuclei"],
    ]
    assert viewer.layers.selection.active is viewer.layers[2]


def test_nothing_to_do_says_how_to_begin(dock, viewer, qtbot):
    assert dock.empty.isVisibleTo(dock)
    assert not dock.main.isVisibleTo(dock)
    dock.empty.sample.menu().actions()[0].trigger()
    assert not dock.empty.sample.isEnabled()
    until(qtbot, lambda: len(viewer.layers) > 0)
    assert not dock.empty.isVisibleTo(dock)
    assert dock.main.isVisibleTo(dock)


def test_a_model_folder_can_be_chosen(dock, viewer, tmp_path, monkeypatch):
    viewer.add_image(picture(1))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    card = make_card("mine", *NUCLEI[1:])
    (folder / "card.json").write_text(card.model_dump_json(), encoding="utf-8")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: str(folder))
    last = dock.models.combo.count() - 1
    dock.models.combo.setCurrentIndex(last)
    dock.models.combo.activated.emit(last)
    assert dock.models.card == card
    assert dock.models.name == str(folder)


def test_an_altered_card_is_one_line_and_no_run(dock, viewer, models, qtbot, tmp_path):
    viewer.add_image(picture(1))
    path = tmp_path / "models" / "cells" / "card.json"
    path.write_text(path.read_text().replace("0.81", "0.99"), encoding="utf-8")
    dock.models.combo.setCurrentIndex(1)
    dock.models.combo.activated.emit(1)
    assert "altered" in dock.status.text.text()
    run(qtbot, dock)
    assert "altered" in dock.status.text.text()
    assert models.loaded == []


def test_no_model_at_all_says_what_to_do(viewer, tmp_path, monkeypatch, qtbot):
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "none"))
    monkeypatch.setattr("napari_specimen_seg.models.library.BUNDLED", tmp_path / "none")
    dock = SegmentDock(viewer)
    qtbot.addWidget(dock)
    viewer.add_image(picture(1))
    assert "Choose a model folder" in _line_after_run(dock, qtbot)
    dock.shut_down()


def test_reproduce_shows_command_and_settings(dock, viewer, qtbot, tmp_path):
    image = viewer.add_image(picture(1), name="scan")
    dock.models.choose("cells")
    dock.options.set_values({"threshold": 0.25})
    dock.reproduce.toggle.click()
    command = dock.reproduce.command.toPlainText()
    assert command.startswith("specimen-seg predict")
    assert "--threshold 0.25" in command
    assert "save it as scan.tif" in dock.reproduce.note.text()
    image._source = image.source.model_copy(update={"path": str(tmp_path / "scan.tif")})
    dock.options.set_values({"threshold": 0.75})
    dock.reproduce.refresh()
    assert "--threshold 0.75" in dock.reproduce.command.toPlainText()
    assert str(tmp_path / "scan.tif") in dock.reproduce.command.toPlainText()
    assert dock.reproduce.note.text() == ""
    assert json.loads(dock.reproduce.settings.toPlainText())["threshold"] == 0.75
    dock.reproduce.copy_command.click()
    assert QApplication.clipboard().text() == dock.reproduce.command.toPlainText()


# -- the dock in napari ------------------------------------------------------------------------------


def test_docks_are_in_menus_and_palette(make_napari_viewer):
    make_napari_viewer()
    from napari._app_model import get_app_model

    app = get_app_model()
    for name, menu in (("segment", "napari/layers/segment"), ("measure", "napari/layers/measure")):
        command = f"napari-specimen-seg.{name}"
        assert command in app.commands
        assert command in {getattr(item, "command", item).id for item in app.menus.get_menu(menu)}
        assert command in {
            getattr(item, "command", item).id for item in app.menus.get_menu("_command_pallet_")
        }


def test_a_dock_fits_a_small_screen(dock, viewer, qtbot):
    viewer.add_image(picture(1))
    dock.options.more.click()
    dock.models.info.click()
    assert dock.minimumSizeHint().width() <= 303
    assert dock.minimumWidth() <= 320
    assert dock.minimumSizeHint().height() < 400


def test_making_a_dock_opens_no_window_of_its_own(viewer, models):
    before = {w for w in QApplication.topLevelWidgets() if w.isVisible()}
    dock = SegmentDock(viewer)
    assert {w for w in QApplication.topLevelWidgets() if w.isVisible()} <= before
    dock.shut_down()


@pytest.mark.parametrize("name", ["segment:SegmentDock", "measure:MeasureDock"])
def test_opening_a_dock_loads_no_torch(name):
    module, kind = name.split(":")
    code = (
        "import sys, numpy as np\n"
        "from qtpy.QtWidgets import QApplication\n"
        "app = QApplication([])\n"
        "from napari.components import ViewerModel\n"
        "viewer = ViewerModel()\n"
        "viewer.add_image(np.zeros((8, 8), np.uint8)); viewer.add_labels(np.zeros((8, 8), np.uint8))\n"
        f"from napari_specimen_seg.plugin.{module} import {kind}\n"
        f"dock = {kind}(viewer); dock.show(); app.processEvents()\n"
        "heavy = {'torch', 'segmentation_models_pytorch', 'timm', 'torchvision'} & set(sys.modules)\n"
        "print('loaded:', sorted(heavy)); dock.shut_down()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "loaded: []" in done.stdout, done.stderr


def test_a_closed_dock_is_kept_by_nobody(make_napari_viewer, models, qtbot):
    viewer = make_napari_viewer(strict_qt="raise")
    viewer.add_image(picture(1), name="scan")
    dock = SegmentDock(viewer)
    holder = viewer.window.add_dock_widget(dock, name="Segment")
    run(qtbot, dock)
    viewer.window.remove_dock_widget(holder)
    gone = weakref.ref(dock)
    del dock, holder
    qtbot.wait(10)
    gc.collect()
    assert gone() is None


def test_saved_labels_are_the_labels_of_the_dock(dock, viewer, qtbot, tmp_path, monkeypatch):
    viewer.add_image(picture(5), name="scan", scale=(0.5, 0.5), units=("mm", "mm"))
    run(qtbot, dock)
    target = tmp_path / "scan.tif"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(target), ""))
    dock.save.click()
    finish(qtbot, dock)
    back = read_labels(target)
    assert (np.asarray(back.data) == 5).all()
    assert back.class_map == CLASSES
    assert (back.pixel_size, back.unit) == (0.5, "mm")
    assert str(Path(target)) in dock.status.text.text()


# -- the same as the command line ----------------------------------------------------------------------


@pytest.fixture
def photographs(tmp_path):
    """A folder with two pictures and one file that is none."""
    import tifffile

    folder = tmp_path / "photos"
    folder.mkdir()
    for name, value in (("a", 1), ("b", 2)):
        tifffile.imwrite(
            folder / f"{name}.tif",
            picture(value),
            resolution=(20, 20),
            resolutionunit="CENTIMETER",
            metadata=None,
        )
    (folder / "c.tif").write_bytes(b"")
    return folder


def open_like_the_reader(viewer, path):
    from napari.layers import Image

    from napari_specimen_seg.core.files import read_image
    from napari_specimen_seg.plugin.layers import image_layers

    ((data, attributes, _),) = image_layers(read_image(path))
    return viewer.add_layer(Image(data, **attributes))


@pytest.mark.parametrize("size", [None, 0.25])
def test_saved_file_has_the_bytes_of_the_command_line(
    dock, viewer, models, qtbot, tmp_path, photographs, monkeypatch, size
):
    from napari_specimen_seg.batch import plan_jobs, predict_files
    from napari_specimen_seg.plugin.calibrate import set_pixel_size

    layer = open_like_the_reader(viewer, photographs / "a.tif")
    if size is not None:
        set_pixel_size([layer], size, "mm")
        assert "--pixel-size 0.25 --unit mm" in dock.recipe().command
    dock.models.choose("cells")
    dock.options.set_values({"threshold": 0.25})
    run(qtbot, dock)
    target = tmp_path / "mine.tif"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(target), ""))
    dock.save.click()
    finish(qtbot, dock)
    jobs = plan_jobs([photographs / "a.tif"], tmp_path / "theirs")
    (result,) = predict_files(
        jobs, "cells", dock.settings, load=models, pixel_size=size, unit=None if size is None else "mm"
    )
    assert result.status == "done", result.message
    assert target.read_bytes() == jobs[0].labels.read_bytes()


def test_what_made_the_labels_stays_true_after_edits_and_undo(dock, viewer, qtbot):
    viewer.add_image(picture(1), name="scan")
    dock.models.choose("cells")
    for threshold in (0.25, 0.75):
        dock.options.set_values({"threshold": threshold})
        run(qtbot, dock)
    result = viewer.layers["scan labels"]
    assert provenance_now(result)["settings"]["threshold"] == 0.75
    result.data[0, 0] = 0
    assert provenance_now(result)["edited"] is True
    result.data[0, 0] = 1
    assert "edited" not in provenance_now(result)


def test_all_pictures_of_a_folder(dock, viewer, qtbot, tmp_path, photographs, monkeypatch):
    from napari_specimen_seg.core.files import read_labels

    out = tmp_path / "out"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: str(photographs))
    monkeypatch.setattr(all_pictures.ResultsFolder, "ask", lambda self: out)
    open_like_the_reader(viewer, photographs / "a.tif")
    dock.all.click()
    assert not dock.go.isEnabled()
    finish(qtbot, dock)
    assert dock.status.text.text() == f"2 of 3 pictures segmented, 1 failed, labels in {out}."
    assert "c.tif" in dock.status.log.toPlainText()
    assert (np.asarray(read_labels(out / "b.tif").data) == 2).all()
    dock.all.click()
    finish(qtbot, dock)
    expected = f"0 of 3 pictures segmented, 2 were done already, 1 failed, labels in {out}."
    assert dock.status.text.text() == expected
    assert len(viewer.layers) == 1


def test_a_folder_can_be_cancelled(dock, viewer, models, qtbot, tmp_path, photographs, monkeypatch):
    models.gate = threading.Event()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: str(photographs))
    monkeypatch.setattr(all_pictures.ResultsFolder, "ask", lambda self: tmp_path / "out")
    viewer.add_image(picture(1))
    dock.all.click()
    until(qtbot, lambda: "picture 0 of 3" in dock.status.bar.format())
    dock.status.cancel.click()
    finish(qtbot, dock)
    assert dock.status.text.text().startswith("Cancelled")
    assert not list((tmp_path / "out").glob("*.tif"))


@pytest.mark.parametrize(
    ("maps", "loaded", "blocked"),
    [
        ("7f00 r-xp /usr/lib/libLLVM-15.so.1\n", set(), True),
        ("7f00 r-xp /usr/lib/libGL.so\n", set(), False),
        ("7f00 r-xp /usr/lib/libLLVM-15.so.1\n", {"torch"}, False),
        ("7f00 r-xp /usr/lib/libLLVM-15.so.1\n", {"triton"}, False),
        (None, set(), False),
    ],
)
def test_the_compiler_that_would_crash_beside_mesa_is_left_out(tmp_path, monkeypatch, maps, loaded, blocked):
    from napari_specimen_seg.plugin import torch_guard

    path = tmp_path / "maps"
    if maps is not None:
        path.write_text(maps)
    monkeypatch.setattr(torch_guard, "_MAPS", path)
    for name in ("torch", "triton"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        if name in loaded:
            monkeypatch.setitem(sys.modules, name, sys)
    torch_guard.before_torch()
    assert ("triton" in sys.modules and sys.modules["triton"] is None) is blocked
