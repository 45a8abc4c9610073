"""Runs of the Train dock from their beginning to whatever end: kept, left behind, found again, failed."""

import gc
import os
import shlex
import signal
import subprocess
import sys
from collections import namedtuple
from contextlib import suppress

import numpy as np
import psutil
import pytest
from PIL import Image
from qtpy.QtCore import QSettings, Qt, QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QMessageBox

from train_dock_helpers import looked, small, write_pictures

pytest.importorskip("pytestqt")

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import SpecimenError
from napari_specimen_seg.plugin import train_rate, train_watch
from napari_specimen_seg.plugin.train import TrainDock
from napari_specimen_seg.plugin.train_curves import CLASSES, RATE, spread, upper
from napari_specimen_seg.plugin.train_findings import FindingsList
from napari_specimen_seg.plugin.train_left import left_runs, note_run
from napari_specimen_seg.plugin.train_rate import Found
from napari_specimen_seg.training.config import TrainConfig
from napari_specimen_seg.training.live import LiveRun


@pytest.fixture
def data(tmp_path):
    return write_pictures(tmp_path)


@pytest.fixture
def open_docks(make_napari_viewer, tmp_path, monkeypatch):
    """Open a viewer with a Train dock, as often as asked."""
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "models"))
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))
    made = []
    viewer = make_napari_viewer()

    def make():
        dock = TrainDock(viewer)
        viewer.window.add_dock_widget(dock, name=f"Train {len(made)}")
        made.append(dock)
        return dock

    yield make
    for dock in made:
        if dock.is_open:
            dock.watcher.discard()
            dock.shut_down()


@pytest.fixture
def dock(open_docks):
    return open_docks()


@pytest.fixture
def sleeper(dock, tmp_path):
    """Let the dock believe that a process which only sleeps is a run that has begun."""
    folder = tmp_path / "models" / "sleepy"
    folder.mkdir(parents=True)
    (folder / "train.toml").write_text("")
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    dock.watcher._child = child
    dock.watcher._follow(LiveRun(folder), 0)
    dock.watcher._began = True
    note_run(folder)
    dock._show_running()
    yield child, folder
    child.kill()
    child.wait()


def press(text):
    """Press a button of the question that is asked next."""

    def in_dialog():
        box = QApplication.activeModalWidget()
        assert isinstance(box, QMessageBox)
        next(b for b in box.buttons() if b.text().replace("&", "") == text).click()

    QTimer.singleShot(300, in_dialog)


# -- the same again ------------------------------------------------------------------------------------


@pytest.mark.timeout(400)
def test_the_shown_command_makes_the_same_model_and_the_buttons_lead_on(dock, data, qtbot, tmp_path):
    looked(dock, data, qtbot)
    small(dock, tmp_path / "models" / "toy", epochs=1)
    recipe = dock.setup.recipe_text()
    dock.train()
    with suppress(psutil.NoSuchProcess):  # the window comes before the run
        assert psutil.Process(dock.watcher._child.pid).nice() != psutil.Process().nice()
    qtbot.waitUntil(lambda: not dock.watcher.is_running, timeout=150_000)
    assert dock.status.text.text().startswith("Done: toy."), dock.status.text.text()
    dock.reproduce.save_settings(tmp_path / "train.toml")
    command = shlex.split(recipe.command)
    command[command.index("-o") + 1] = "again"
    done = subprocess.run(
        [sys.executable, "-m", "napari_specimen_seg", *command[1:]],
        cwd=tmp_path,
        capture_output=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    first, second = (p / "model.safetensors" for p in (tmp_path / "models" / "toy", tmp_path / "again"))
    assert first.read_bytes() == second.read_bytes()
    assert left_runs() == []
    evaluate_what_was_held_out(dock, qtbot)


def evaluate_what_was_held_out(dock, qtbot):
    from napari_specimen_seg.core.files import read_labels
    from napari_specimen_seg.plugin.evaluate import EvaluateDock
    from napari_specimen_seg.plugin.segment import SegmentDock

    dock.after.evaluate.click()
    qtbot.waitUntil(lambda: dock.job is None, timeout=60_000)
    (other,) = dock.viewer.window._qt_window.findChildren(EvaluateDock)
    assert [chosen.name for chosen in other.competitors.chosen] == ["toy"]
    assert other.data.labels.line.text() == "validation labels of toy"
    assert other.data.images.line.text() == "validation pictures of toy"
    masks = sorted(other.data.labels.path.iterdir())
    assert str(other.data.labels.path) in other.recipe().command
    assert len(masks) == 2
    assert len(list(other.data.images.path.iterdir())) == 2
    assert set(np.unique(read_labels(masks[0]).data)) == {0, 1}
    dock.after.use.click()
    (segment,) = dock.viewer.window._qt_window.findChildren(SegmentDock)
    assert segment.models.name == "toy"
    assert "toy" in dock.setup.start_from.models
    place = other.data.labels.path.parent
    for made in (other, segment):
        made.shut_down()
    gc.collect()
    assert not place.exists()  # nobody needs it any more


# -- closing -------------------------------------------------------------------------------------------


def test_staying_keeps_the_window_and_the_run(dock, sleeper):
    press("Cancel")
    assert dock._guard.eventFilter(dock.viewer.window._qt_window, QCloseEvent())
    assert sleeper[0].poll() is None
    assert dock.watcher.is_running


def test_a_run_can_be_left_alone_and_is_offered_again(dock, sleeper, open_docks, qtbot):
    child, folder = sleeper
    holder = dock.parent()
    dock._guard.watch_holder(holder)
    press("Keep training")
    holder.destroyOnClose()  # what the cross of the dock does
    assert not dock.is_open
    assert child.poll() is None
    LiveRun(folder).begin()  # this process stands for the run
    again = open_docks()
    assert again.left.run is not None
    assert again.left.text.text() == "The training of sleepy goes on."
    again.left.act.click()
    assert again.watcher.is_running
    assert again.watcher.run.folder == folder
    assert again.left.isHidden()
    LiveRun(folder).end()
    again.watcher.let_go()


def test_a_run_can_be_stopped_and_kept_on_leaving(dock, sleeper):
    press("Stop and keep the best model")
    assert not dock._guard.eventFilter(dock.viewer.window._qt_window, QCloseEvent())
    assert (sleeper[1] / "stop").exists()


def test_a_run_can_be_thrown_away_on_leaving(dock, sleeper):
    press("Discard")
    assert not dock._guard.eventFilter(dock.viewer.window._qt_window, QCloseEvent())
    assert sleeper[0].poll() is not None
    assert not sleeper[1].exists()
    assert left_runs() == []


def test_a_folder_that_holds_something_is_never_begun_in_nor_thrown_away(dock, tmp_path):
    folder = tmp_path / "models" / "finished"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text("{}")
    with pytest.raises(SpecimenError, match="not empty"):
        dock.watcher.start(TrainConfig(), folder, resume=False)
    assert not dock.watcher.is_running
    assert [path.name for path in folder.parent.iterdir()] == ["finished"]
    dock.watcher.discard()
    assert (folder / "card.json").is_file()


def test_nothing_is_asked_where_nothing_runs(dock):
    assert not dock._guard.eventFilter(dock.viewer.window._qt_window, QCloseEvent())


def test_runs_that_were_left_behind_are_told_by_their_state(dock, tmp_path, monkeypatch):
    cut, gone = tmp_path / "cut", tmp_path / "gone"
    cut.mkdir()
    (cut / "train.toml").write_text("")
    for folder in (gone, cut):
        note_run(folder)
    assert [(run.folder, run.state) for run in left_runs()] == [(cut, "cut off")]
    dock.left.refresh()
    assert dock.left.act.text() == "Go on"
    dock.left.dismiss.click()
    assert left_runs() == []
    assert dock.left.isHidden()


# -- failing -------------------------------------------------------------------------------------------


def end_of(dock, qtbot):
    qtbot.waitUntil(lambda: not dock.watcher.is_running, timeout=10_000)
    assert dock.go.isEnabled()
    assert dock.stop.isHidden()
    return dock.status.text.text()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_run_is_one_line_with_what_to_do(dock, sleeper, qtbot):
    child, folder = sleeper
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_text("")
    child.send_signal(signal.SIGKILL)
    line = end_of(dock, qtbot)
    assert line == (
        "training ended early: its process was ended from outside "
        "(signal 9, as systems do when memory runs out). "
        "Press Train to go on after the last finished epoch."
    )


def test_a_full_disk_is_told(dock, sleeper, qtbot, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(train_watch.shutil, "disk_usage", lambda _: usage(1000))
    sleeper[0].kill()
    assert f"the disk of {sleeper[1]} is full" in end_of(dock, qtbot)


def test_a_folder_that_vanished_is_told(dock, sleeper, qtbot):
    (sleeper[1] / "train.toml").unlink()
    sleeper[1].rmdir()
    sleeper[0].terminate()
    sleeper[0].wait()
    dock.watcher._child = None  # as for a run that was attached to
    assert "is gone" in end_of(dock, qtbot)


def test_no_masks_are_one_line_and_nothing_changes(dock, qtbot, tmp_path):
    write_pictures(tmp_path / "d", 3)
    (tmp_path / "others").mkdir()
    (tmp_path / "d" / "labels" / "p01.png").rename(tmp_path / "others" / "else.png")
    names = [layer.name for layer in dock.viewer.layers]
    dock.data.use_folders(tmp_path / "d" / "images", tmp_path / "others")
    qtbot.waitUntil(lambda: "mask" in dock.status.text.text(), timeout=60_000)
    qtbot.waitUntil(lambda: dock.job is None, timeout=10_000)
    assert "no picture has a mask" in dock.status.text.text()
    assert [layer.name for layer in dock.viewer.layers] == names
    assert dock.go.isEnabled()


def test_stopping_before_it_has_begun_ends_it(dock, sleeper, qtbot):
    dock.watcher._began = False
    dock.stop.click()
    assert dock.stop.text() == "Stopping…"
    assert end_of(dock, qtbot) == "Stopped before there was a model to keep."
    assert sleeper[0].poll() is not None


# -- what is seen --------------------------------------------------------------------------------------


def test_curves_grow_by_steps_and_epochs(dock, qtbot):
    curves = dock.curves
    curves.colors = {"wing": "#000066", "leg": "#ff0000"}
    for step in range(1, 5):
        curves.add_step({"epoch": 1, "step": step, "steps": 4, "loss": 1 / step, "lr": 1e-3 * step})
    event = {"epoch": 1, "loss": 0.5, "validation_loss": 0.6, "mean_iou": 0.7, "mean_dice": 0.8, "best": True}
    curves.add_epoch({**event, "iou": {"wing": 0.7, "leg": 0.71}})
    curves.add_epoch({**event, "epoch": 2, "best": False, "iou": {"wing": 0.6, "leg": 0.72}})
    assert curves.best["epoch"] == 1
    for tab in range(4):
        curves.tabs.setCurrentIndex(tab)
    assert [step[0] for step in curves.steps] == [0.25, 0.5, 0.75, 1.0]
    curves.tabs.setCurrentIndex(CLASSES)
    shown = len(curves.plots[CLASSES].canvas.getPlotItem().items)
    curves.chips["wing"].click()
    assert len(curves.plots[CLASSES].canvas.getPlotItem().items) < shown
    curves.add_step({"epoch": 1, "step": 3, "steps": 4, "loss": 0.1, "lr": 0.0})  # gone on from a checkpoint
    assert [step[0] for step in curves.steps] == [0.25, 0.5, 0.75]
    assert RATE == 3
    curves.clear_epochs()
    assert curves.isHidden()


def test_names_at_the_ends_of_lines_do_not_lie_on_each_other():
    assert spread([0.5, 0.5, 0.1], 0.1, 0, 1) == pytest.approx([0.5, 0.6, 0.1])
    assert spread([0.98, 0.99], 0.1, 0, 1) == pytest.approx([0.9, 1.0])
    assert spread([], 0.1, 0, 1) == []


def test_a_start_that_shoots_out_does_not_flatten_the_rest():
    assert upper([None, float("nan")]) == 1.0
    assert upper([1000.0] + [1.0] * 99) == pytest.approx(1.5 * 1.05, rel=0.1)


def test_dark_classes_can_be_seen(dock):
    plot = dock.curves.plots[0]
    dock.viewer.theme = "dark"
    assert plot.readable("#ffff00") == "#ffff00"
    assert plot.readable("#000066") != "#000066"
    dock.viewer.theme = "light"
    assert plot.readable("#000066") == "#000066"
    assert plot.readable("#ffff00") != "#ffff00"


def test_a_learning_rate_is_taken_from_its_curve(dock):
    panel = dock.setup.rate
    rates = tuple(1e-7 * 10 ** (i / 10) for i in range(60))
    panel.show_found(Found(rates, tuple(1 / (i + 1) for i in range(60)), 0.0024))
    assert panel.take.text() == "Use 0.0024"
    panel.choose(0.0005)
    panel.take.click()
    assert dock.settings.values()["learn"]["lr"] == pytest.approx(0.0005)
    assert panel.isHidden()


@pytest.mark.timeout(300)
def test_the_finder_runs_in_a_process_that_can_be_ended(dock, data, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(train_rate, "STEPS", 20)
    looked(dock, data, qtbot)
    small(dock, tmp_path / "x")
    dock.setup.find_rate.click()
    qtbot.waitUntil(lambda: not dock.status.bar.isHidden(), timeout=10_000)
    dock.status.cancel.click()
    qtbot.waitUntil(lambda: dock.job is None, timeout=5_000)
    assert dock.status.text.text().startswith("Cancelled")
    dock.setup.find_rate.click()
    qtbot.waitUntil(lambda: dock.job is None, timeout=200_000)
    assert not dock.setup.rate.isHidden(), dock.status.text.text()
    assert 0 < dock.setup.rate.rate <= 1


# -- open layers ---------------------------------------------------------------------------------------


def test_planes_of_stacks_with_labels_are_pictures(dock):
    dock.viewer.add_image(np.zeros((3, 20, 30), np.uint8), name="stack")
    labels = np.zeros((3, 20, 30), np.uint8)
    labels[0, 2:5] = labels[2, 5:9] = 1
    dock.viewer.add_labels(labels, name="truth", metadata={"class_map": PRESETS["specimen"]})
    dock.data.use_layers()
    (pair,) = dock.data.pairs
    assert (pair.stem, pair.planes) == ("stack", (3,))
    assert dock.data.is_ready
    assert dock.setup.config().data.class_map == PRESETS["specimen"]
    _, write = dock.setup.prepared("test")
    images, _ = write()
    assert sorted(p.name for p in images.iterdir()) == ["stack_000.tif", "stack_002.tif"]
    assert not dock.data._select("another_002")
    assert dock.data._select("stack_002")
    assert dock.viewer.layers.selection.active.name == "truth"
    assert dock.viewer.dims.current_step[0] == 2


@pytest.mark.parametrize(
    ("layers", "stems"),
    [
        ({"a": (), "a_001": ()}, ["a", "a_001"]),
        ({"a_001": (), "a": (3,)}, ["a_001", "a-2"]),
        ({"a": (3,), "a_001": ()}, ["a", "a_001-2"]),
        ({"a_1": (), "a": (3,)}, ["a_1", "a"]),
        ({"Scan": (), "scan": ()}, ["Scan", "scan-2"]),
        ({"s": (2, 3), "s_001": (3,), "S_001_002": ()}, ["s", "s_001-2", "S_001_002-2"]),
    ],
)
def test_no_two_pictures_are_written_to_one_file(layers, stems):
    from napari.layers import Image

    from napari_specimen_seg.plugin.train_layers import free_stem, stem_of

    taken, files = [], []
    for (name, planes), stem in zip(layers.items(), stems, strict=True):
        found = free_stem(Image(np.zeros((*planes, 20, 30), np.uint8), name=name, rgb=False), taken)
        assert found == stem
        files += [stem_of(found, at).casefold() for at in np.ndindex(*planes)]
    assert len(set(files)) == len(files)


def test_files_that_a_desktop_leaves_are_no_pictures(tmp_path):
    from napari_specimen_seg.core.image import SpecimenImage
    from napari_specimen_seg.plugin.train_layers import Held, TooFewError, write_open

    held = Held("one", SpecimenImage(np.zeros((4, 5), np.uint8)), np.eye(4, 5, dtype=np.uint8), None)
    for _ in range(2):
        with pytest.raises(TooFewError):
            write_open([held], tmp_path)
        (tmp_path / "images" / ".DS_Store").touch()


def test_a_stack_that_nobody_has_labelled_yet_is_no_error(dock, qtbot):
    dock.viewer.add_image(np.zeros((3, 20, 30), np.uint8), name="stack")
    dock.viewer.add_labels(np.zeros((3, 20, 30), np.uint8), name="truth")
    dock.data.use_layers()
    qtbot.waitUntil(lambda: "Label another picture" in dock.status.text.text(), timeout=20_000)
    assert dock.status.icon.isHidden()


def test_helpers_of_a_training_are_nobodys_pictures(dock):
    from napari_specimen_seg.plugin.family import HELPER
    from napari_specimen_seg.plugin.picture_choice import _is_picture

    helper = dock.viewer.add_image(np.zeros((20, 30), np.uint8), name="seen", metadata={HELPER: True})
    dock.viewer.add_labels(np.ones((20, 30), np.uint8), name="seen labels")
    dock.data.use_layers()
    assert dock.data.pairs == []
    assert not _is_picture(helper)


@pytest.fixture
def odd_masks(tmp_path):
    """Nine pictures; the masks of three are too low."""
    data = write_pictures(tmp_path / "odd", 9)
    for number in (2, 5, 7):
        Image.fromarray(np.ones((50, 64), np.uint8)).save(data / "labels" / f"p{number:02}.png")
    return data


def test_a_finding_names_its_picture_and_a_click_moves_the_view_to_it(dock, qtbot, odd_masks):
    dock.viewer.add_image(np.zeros((3000, 3000), np.uint8), name="big")
    looked(dock, odd_masks, qtbot)
    found = dock.data.findings
    lines = [found.item(i) for i in range(found.count())]
    assert lines[0].text() == "✖ p02.png: the mask has 50 x 64 pixels, its picture 64 x 64"
    assert found.toolTip() == ""
    plain = next(line for line in lines if "only" in line.text())
    assert "Click" in lines[0].toolTip()
    assert "Click" not in plain.toolTip()
    assert not plain.flags() & Qt.ItemFlag.ItemIsSelectable
    for _ in range(2):  # the second time it is open already
        dock.data.open_finding(lines[0])
        assert [layer.name for layer in dock.viewer.layers] == ["big", "p02", "p02 [1]"]
    camera = getattr(dock.viewer, "scene", dock.viewer).camera
    np.testing.assert_allclose(camera.center[-2:], (31.5, 31.5))


def test_the_last_finding_can_be_read_whole(qtbot, tmp_path):
    made = FindingsList()
    qtbot.addWidget(made)
    made.resize(240, 50)
    made.show()
    text = "a line about a picture that is so long that it wraps"
    made.show_findings([("warning", f"{number} {text}", ()) for number in range(7)])
    for width in (240, 150, 400):
        made.resize(width, made.height())
        QApplication.processEvents()
        made.scrollToBottom()
        last = made.visualItemRect(made.item(6))
        assert last.bottom() <= made.viewport().height()
        assert last.height() >= made.sizeHintForRow(6)
    made.show_findings([("warning", "short", ())])
    assert made.height() < 40


def test_what_a_run_is_refused_for_names_the_file_once(tmp_path, odd_masks, capsys):
    from napari_specimen_seg.cli import main

    given = ["--images", str(odd_masks / "images"), "--labels", str(odd_masks / "labels")]
    assert main(["train", *given, "-o", str(tmp_path / "m"), "--device", "cpu"]) == 1
    assert "p02.png: the mask has 50 x 64 pixels" in (said := capsys.readouterr().err)
    assert said.count("p02.png") == 1


def test_offenders_among_open_layers_are_selected(dock, qtbot):
    rng = np.random.default_rng(0)
    for number in range(3):
        dock.viewer.add_image(rng.integers(0, 255, (40, 50), dtype=np.uint8), name=f"scan {number}")
        labels = np.zeros((40, 50), np.uint8)
        labels[5:20, 5 : 10 + number] = 0 if number == 1 else 7
        dock.viewer.add_labels(labels, name=f"labels {number}")
    dock.data.use_layers()
    dock.data.zero.setCurrentText("means not labelled")
    qtbot.waitUntil(lambda: dock.data.findings.count() > 0 and dock.job is None, timeout=60_000)
    found = [dock.data.findings.item(i) for i in range(dock.data.findings.count())]
    item = next(item for item in found if "scan_1.tif" in item.text())
    dock.viewer.layers["labels 1"].visible = False
    dock.data.open_finding(item)
    assert dock.viewer.layers.selection.active is dock.viewer.layers["labels 1"]
    assert dock.viewer.layers["labels 1"].visible
