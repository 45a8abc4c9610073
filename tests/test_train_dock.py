"""The Train dock: data are looked at, a run is started in a process of its own, watched and stopped."""

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from train_dock_helpers import looked, small, write_pictures

pytest.importorskip("pytestqt")

from napari_specimen_seg.core.errors import WriteError
from napari_specimen_seg.core.image import SpecimenImage
from napari_specimen_seg.plugin.train import TrainDock
from napari_specimen_seg.plugin.train_layers import Snapshot, write_snapshots
from napari_specimen_seg.training.events import EpochEnded, Noted, Stepped
from napari_specimen_seg.training.live import LiveRun


@pytest.fixture
def data(tmp_path):
    return write_pictures(tmp_path)


@pytest.fixture
def dock(make_napari_viewer, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "models"))
    viewer = make_napari_viewer()
    dock = TrainDock(viewer)
    viewer.window.add_dock_widget(dock, name="Train")
    yield dock
    dock.watcher.discard()
    dock.shut_down()


def test_data_are_looked_at_before_anything_trains(dock, data, qtbot):
    (data / "labels" / "p03.png").unlink()
    looked(dock, data, qtbot)
    assert dock.data.about.text() == "11 pairs · 1 classes · 9 to learn from, 2 to validate on"
    texts = [dock.data.findings.item(i).text() for i in range(dock.data.findings.count())]
    assert "▲ p03.png has no mask" in texts


def test_the_form_follows_the_recipe_and_the_settings_say_so(dock, data, qtbot):
    looked(dock, data, qtbot)
    dock.setup.recipe.setCurrentText("embryo-gray")
    assert dock.settings.values()["learn"]["epochs"] == 24
    dock.settings.set("learn", epochs=3)
    config = dock.setup.config()
    assert (config.recipe, config.learn.epochs, config.input.channels) == ("embryo-gray", 3, "gray")
    recipe = dock.setup.recipe_text()
    assert recipe.command.startswith("specimen-seg train --config train.toml -o ")
    assert 'recipe = "embryo-gray"' in recipe.settings


def test_open_layers_become_training_data(dock, qtbot):
    rng = np.random.default_rng(0)
    for number in range(2):
        dock.viewer.add_image(rng.integers(0, 255, (40, 50), dtype=np.uint8), name=f"scan {number}")
        labels = np.zeros((40, 50), np.uint8)
        labels[5:20, 5:20] = 1
        dock.viewer.add_labels(labels, name=f"labels {number}")
    dock.data.use_layers()
    assert dock.data.about.text() == "2 pairs of picture and labels are open."
    config, write = dock.setup.prepared("test")
    write()
    assert len(list(config.data.images.iterdir())) == 2
    assert sorted(p.name for p in config.data.images.iterdir()) == sorted(
        p.name for p in config.data.labels.iterdir()
    )


def test_open_layers_replace_what_was_written_of_them_and_nothing_else(tmp_path):
    image = SpecimenImage(np.full((4, 5), 7, np.uint8), "scan", "YX")
    one, two = (Snapshot(name, image, np.eye(4, 5, dtype=np.uint8), None) for name in ("one", "two"))
    images, labels = write_snapshots([one, two], tmp_path / "ours")
    write_snapshots([two], tmp_path / "ours")
    assert [p.name for p in (*images.iterdir(), *labels.iterdir())] == ["two.tif", "two.tif"]
    theirs = tmp_path / "theirs" / "images"
    theirs.mkdir(parents=True)
    (theirs / "scan.tif").write_bytes(b"a photograph")
    with pytest.raises(WriteError, match="not written here"):
        write_snapshots([one], tmp_path / "theirs")
    assert [p.read_bytes() for p in theirs.iterdir()] == [b"a photograph"]


def test_at_first_it_says_what_to_do_and_can_do_it(dock, data, qtbot, monkeypatch):
    assert dock.empty.isVisibleTo(dock)
    assert not dock.setup.isVisibleTo(dock)
    assert not dock.go.isVisibleTo(dock)
    assert dock.status.isHidden()
    dock.mode_strokes.click()
    assert not dock.empty.isVisibleTo(dock)
    dock.mode_whole.click()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(data / "images"))
    dock.empty.ways[0].click()
    assert not dock.empty.isVisibleTo(dock)
    assert dock.setup.isVisibleTo(dock)
    qtbot.waitUntil(lambda: dock._looked is not None and dock.job is None, timeout=60_000)
    assert dock.data.about.text().startswith("12 pairs")  # the masks beside them are found


def test_the_sample_with_labels_can_be_learned_from(dock, qtbot):
    dock.viewer.window.show()
    dock.empty.sample.click()
    assert not dock.empty.sample.isEnabled()
    assert not dock.viewer.layers  # they are drawn in another thread
    qtbot.waitUntil(dock.empty.sample.isEnabled, timeout=60_000)
    assert [layer.name for layer in dock.viewer.layers[:2]] == ["beetle 1", "beetle 1 labels"]
    assert dock.data.uses_layers
    assert not dock.empty.isVisibleTo(dock)
    qtbot.waitUntil(lambda: dock._looked is not None and dock.job is None, timeout=60_000)
    assert dock.data.about.text() == "4 pairs · 9 classes · 3 to learn from, 1 to validate on"


def test_a_sample_that_cannot_be_drawn_is_one_line(dock, qtbot, monkeypatch):
    from napari_specimen_seg.core.errors import ReadError
    from napari_specimen_seg.plugin import empty

    def refuse(_report):
        raise ReadError("there is no paper")

    monkeypatch.setattr(empty, "drawing", lambda _key: refuse)
    dock.empty.sample.click()
    qtbot.waitUntil(dock.empty.sample.isEnabled, timeout=60_000)
    assert dock.status.text.text() == "there is no paper"


def test_a_sample_that_comes_when_the_dock_is_closed_is_not_shown(dock, qtbot):
    dock.empty.sample.click()
    dock.shut_down()
    qtbot.waitUntil(dock.empty.sample.isEnabled, timeout=60_000)
    assert not dock.viewer.layers


def test_nothing_chosen_is_one_line(dock, qtbot):
    dock.train()
    assert "no pictures are chosen" in dock.status.text.text()
    assert not dock.watcher.is_running


def test_samples_can_be_looked_at(dock, data, qtbot):
    looked(dock, data, qtbot)
    dock.setup.recipe.setCurrentText("embryo-gray")
    samples = dock.setup.samples
    dock.setup.preview.click()
    qtbot.waitUntil(lambda: samples.sheet is not None and not samples.is_busy, timeout=60_000)
    first = samples.sheet
    samples.new.click()
    qtbot.waitUntil(lambda: samples.sheet is not first, timeout=60_000)
    assert (samples.sheet.picture != first.picture).any()
    second = samples.sheet
    dock.settings.set("augment", flip_horizontal=False, flip_vertical=False, quarter_turns=False)
    qtbot.waitUntil(lambda: samples.sheet is not second and not samples.is_busy, timeout=60_000)
    samples.layers.click()
    assert dock.viewer.layers["augmented samples"].data.shape == (3 * 260 - 4, 4 * 260 - 4)
    assert set(np.unique(dock.viewer.layers["augmented labels"].data)) == {0, 1}


@pytest.mark.timeout(300)
def test_a_run_is_started_watched_and_stopped(dock, data, qtbot, tmp_path):
    looked(dock, data, qtbot)
    small(dock, tmp_path / "out", epochs=400)
    dock.train()
    assert not dock.go.isEnabled()
    qtbot.waitUntil(lambda: len(dock.curves.epochs) >= 1, timeout=200_000)
    qtbot.waitUntil(
        lambda: any("while training" in layer.name for layer in dock.viewer.layers), timeout=20_000
    )
    dock.stop_and_keep()
    qtbot.waitUntil(lambda: not dock.watcher.is_running, timeout=60_000)
    assert (tmp_path / "out" / "card.json").is_file()
    assert dock.status.text.text().startswith("Done: out.")
    assert dock.go.isEnabled()
    assert not dock.after.isHidden()


def test_a_run_that_goes_on_elsewhere_can_be_watched(dock, qtbot, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    run = LiveRun(folder)
    run.begin()
    run.write(Noted("hello"))
    run.write(EpochEnded(1, 0.5, 0.6, 0.7, 0.8, 1e-3, best=True, iou={"specimen": 0.7}))
    dock.watch(folder)
    qtbot.waitUntil(lambda: len(dock.curves.epochs) == 1, timeout=5_000)
    for tab in range(4):
        dock.curves.tabs.setCurrentIndex(tab)
    dock.stop_and_keep()
    assert run.stop_file.exists()
    run.end()
    qtbot.waitUntil(lambda: not dock.watcher.is_running, timeout=5_000)
    assert dock.go.isEnabled()


def test_watching_nothing_is_one_line(dock, tmp_path):
    dock.watch(tmp_path)
    assert "no training goes on in this folder" in dock.status.text.text()


def test_only_some_steps_are_written_and_half_lines_wait(tmp_path):
    run = LiveRun(tmp_path)
    for step in range(50):
        run.write(Stepped(1, step, 50, 0.1, 0.1, 1.0))
    events, position = run.read(0)
    assert 1 <= len(events) < 10
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"event": "no')
    assert run.read(position) == ([], position)
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('te", "text": "x"}\n')
    assert [e["event"] for e in run.read(position)[0]] == ["note"]


def test_a_process_that_is_gone_works_on_nothing(tmp_path):
    run = LiveRun(tmp_path)
    assert run.pid() is None
    run.begin()
    assert run.pid() is not None
    text = (tmp_path / "running.json").read_text()
    (tmp_path / "running.json").write_text(text.replace('"born": ', '"born": 1'))
    assert run.pid() is None
