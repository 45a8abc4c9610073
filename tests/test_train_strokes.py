"""Learning from strokes in the Train dock: what is drawn stays, the answer changes, nothing blocks."""

import shlex
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QMessageBox

from dock_helpers import BEETLE, make_card

pytest.importorskip("pytestqt")

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import DeviceError, SpecimenError
from napari_specimen_seg.core.image import Prediction
from napari_specimen_seg.core.progress import Progress
from napari_specimen_seg.plugin.stroke_layers import BACKGROUND, painted_map, with_class
from napari_specimen_seg.plugin.train import TrainDock
from napari_specimen_seg.plugin.train_layers import open_pairs
from napari_specimen_seg.training import instant_process


class Teachable:
    """Stands in for the process that learns: it says everywhere what was drawn last."""

    made: list["Teachable"] = []  # noqa: RUF012
    error: Exception | None = None

    def __init__(self, model):
        self.model, self.says, self.rounds, self.asked, self.is_alive = model, [0], [], [], True
        self.class_map = PRESETS["beetle-parts"]
        Teachable.made.append(self)

    def predict(self, image, report):
        self.asked.append(image)
        report_labels = np.full((image.height, image.width), self.says[-1], self.class_map.label_dtype)
        return Prediction(report_labels, None, self.class_map, {})

    def learn(self, lessons, *, class_map, answer, report):
        if self.error is not None:
            raise self.error
        self.class_map = class_map
        self.rounds.append(lessons)
        self.says.append(int(max(lesson.labels[lesson.known].max() for lesson in lessons)))
        return [self.predict(image, report) for image in answer]

    def steps(self, report):
        return 7 * len(self.rounds)

    def undo(self, report):
        return len(self.says) > 1 and bool(self.says.pop())

    def save(self, folder, *, overwrite, report):
        if folder.exists() and not overwrite:
            raise SpecimenError("the folder exists")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "card.json").write_text(make_card(folder.name, *BEETLE[1:]).model_dump_json())

    def close(self):
        self.is_alive = False


@pytest.fixture
def panel(make_napari_viewer, tmp_path, monkeypatch, qtbot):
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "models"))
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))
    monkeypatch.setattr(instant_process, "InstantProcess", Teachable)
    monkeypatch.setattr(Teachable, "made", [])
    monkeypatch.setattr(Teachable, "error", None)
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((30, 40), np.uint8), name="scan")
    dock = TrainDock(viewer)
    viewer.window.add_dock_widget(dock, name="Train")
    dock.mode_strokes.click()
    dock.strokes.start_from.choose("beetle-parts")
    yield dock.strokes
    dock.shut_down()


def learned(panel, qtbot, action):
    action()
    qtbot.waitUntil(lambda: panel._dock.job is None, timeout=10_000)
    return panel._dock.viewer.layers


def draw(panel, class_id, rows=slice(2, 5)):
    panel.legend.buttons[class_id].click()
    layer = panel._dock.viewer.layers["scan strokes"]
    assert (layer.selected_label, layer.mode) == (class_id, "paint")
    layer.data[rows] = class_id
    return layer


def test_without_strokes_the_answer_is_shown(panel, qtbot):
    layers = learned(panel, qtbot, panel.go.click)
    assert [layer.name for layer in layers] == ["scan", "scan answer"]
    assert layers.selection.active.name == "scan"
    assert panel._dock.status.text.text().startswith("Draw strokes")


def test_strokes_teach_and_stay_as_they_are(panel, qtbot):
    strokes = draw(panel, 3)
    draw(panel, BACKGROUND, slice(20, 22))
    before = strokes.data.copy()
    layers = learned(panel, qtbot, panel.go.click)
    assert [layer.name for layer in layers] == ["scan", "scan answer", "scan strokes"]
    assert layers.selection.active is strokes
    assert (layers["scan answer"].data == 3).all()
    assert (strokes.data == before).all()
    (lesson,) = Teachable.made[0].rounds[0]
    assert sorted(np.unique(lesson.labels[lesson.known])) == [0, 3]
    assert lesson.known.sum() == 5 * 40
    assert open_pairs(panel._dock.viewer) == []  # neither strokes nor answers are anybody's labels
    draw(panel, 5, slice(10, 12))
    layers = learned(panel, qtbot, panel.go.click)
    assert (layers["scan answer"].data == 5).all()
    assert len(layers) == 3


def test_a_round_can_be_forgotten(panel, qtbot):
    draw(panel, 3)
    learned(panel, qtbot, panel.go.click)
    layers = learned(panel, qtbot, panel.undo.click)
    assert (layers["scan answer"].data == 0).all()
    learned(panel, qtbot, panel.undo.click)
    assert panel._dock.status.text.text() == "There is no round to undo."


def test_it_learns_by_itself_after_a_stroke(panel, qtbot):
    strokes = draw(panel, 2)
    panel.by_itself.setChecked(True)
    strokes.events.paint(value=[])
    qtbot.waitUntil(lambda: bool(Teachable.made and Teachable.made[0].rounds), timeout=10_000)
    qtbot.waitUntil(lambda: panel._dock.job is None, timeout=10_000)
    assert (panel._dock.viewer.layers["scan answer"].data == 2).all()


def test_a_class_that_the_model_does_not_know(panel, qtbot):
    panel.name.setText("gall")
    panel.add.click()
    new = max(PRESETS["beetle-parts"].ids) + 1
    assert panel._dock.viewer.layers["scan strokes"].selected_label == new
    draw(panel, new)
    layers = learned(panel, qtbot, panel.go.click)
    assert layers["scan answer"].metadata["class_map"].name_of(new) == "gall"
    panel.name.setText("gall")
    panel.add.click()
    assert "there is a class 'gall' already" in panel._dock.status.text.text()


def test_what_was_learned_is_saved_and_offered(panel, qtbot, tmp_path, monkeypatch):
    panel.save.click()
    assert "nothing was learned yet" in panel._dock.status.text.text()
    draw(panel, 3)
    learned(panel, qtbot, panel.go.click)
    panel.out.setText("taught")
    learned(panel, qtbot, panel.save.click)
    assert (tmp_path / "models" / "taught" / "card.json").is_file()
    assert panel._dock.status.text.text() == "Saved as taught."
    assert panel._dock.after.model == tmp_path / "models" / "taught"
    assert panel._dock.after.evaluate.isHidden()
    assert "taught" in panel.start_from.models
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    panel.save.click()
    assert panel._dock.job is None


def test_a_process_that_dies_is_one_line_and_the_strokes_stay(panel, qtbot, monkeypatch):
    monkeypatch.setattr(Teachable, "error", DeviceError("the process that learns has ended"))
    strokes = draw(panel, 3)
    layers = learned(panel, qtbot, panel.go.click)
    assert "the process that learns has ended" in panel._dock.status.text.text()
    assert [layer.name for layer in layers] == ["scan", "scan strokes"]
    assert (strokes.data == 3).sum() == 120
    assert panel.go.isEnabled()


def test_what_a_lost_process_had_learned_is_not_saved_as_if_it_were_there(panel, qtbot, tmp_path):
    draw(panel, 3)
    learned(panel, qtbot, panel.go.click)
    Teachable.made[0].is_alive = False
    panel.out.setText("taught")
    for button in (panel.save, panel.undo):
        learned(panel, qtbot, button.click)
        assert "what was learned is lost" in panel._dock.status.text.text()
        assert "Press Learn: the strokes are still there." in panel._dock.status.text.text()
    assert not (tmp_path / "models" / "taught").exists()
    assert len(Teachable.made) == 1
    learned(panel, qtbot, panel.go.click)
    learned(panel, qtbot, panel.save.click)
    assert [len(process.rounds) for process in Teachable.made] == [1, 1]
    assert (tmp_path / "models" / "taught" / "card.json").is_file()


def test_the_process_ends_with_the_dock_and_with_another_model(panel, qtbot):
    draw(panel, 3)
    learned(panel, qtbot, panel.go.click)
    first = Teachable.made[0]
    panel.start_from.choose("nuclei")
    assert not first.is_alive
    assert sorted(panel.legend.buttons) == [1, BACKGROUND]


def test_colours_and_names_of_what_is_drawn_are_all_different():
    grown = with_class(with_class(PRESETS["beetle-parts"], "a"), "b")
    painted = painted_map(grown)
    assert painted.ids[0] == 0
    assert painted.ids[-1] == BACKGROUND
    assert {item.id for item in grown.foreground} < set(painted.ids)


def test_strokes_on_the_background_are_seen_on_white_and_named(panel):
    draw(panel, BACKGROUND)
    (layer,) = [each for each in panel._dock.viewer.layers if each.name.endswith("strokes")]
    shown = layer.colormap.map(BACKGROUND)[:3]
    assert 0.4 < shown.min() <= shown.max() < 0.6
    where = layer.data_to_world(np.argwhere(layer.data == BACKGROUND)[0])
    assert "class_name: background" in layer.get_status(where, world=True)["value"]
    panel.name.setText("wing")
    panel.add_class()
    assert "wing" in layer.features["class_name"].tolist()


def test_without_a_picture_it_says_what_to_do(panel):
    assert panel.empty.isHidden()
    panel._dock.viewer.layers.clear()
    assert not panel.empty.isHidden()
    assert panel.main.isHidden()
    panel.learn()
    assert panel._dock.status.text.text() == "no picture is open. Open one, then draw on it."


# -- stacks ----------------------------------------------------------------------------------------------


@pytest.fixture
def stack(panel):
    viewer = panel._dock.viewer
    viewer.layers.clear()
    viewer.add_image(np.arange(4 * 30 * 40, dtype=np.uint16).reshape(4, 30, 40), name="scan")
    viewer.dims.set_point(0, 1)
    return viewer


def test_planes_with_strokes_are_lessons_and_the_shown_one_is_answered_first(panel, stack, qtbot):
    strokes = draw(panel, 3, np.s_[1, 2:5])
    assert strokes.data.shape == (4, 30, 40)
    draw(panel, BACKGROUND, np.s_[3, 20:22])
    learned(panel, qtbot, panel.go.click)
    process = Teachable.made[0]
    assert [lesson.image.name for lesson in process.rounds[0]] == ["scan_001", "scan_003"]
    assert [int(lesson.known.sum()) for lesson in process.rounds[0]] == [120, 80]
    answer = stack.layers["scan answer"]
    qtbot.waitUntil(lambda: (answer.data[3] == 3).all(), timeout=10_000)
    first, second = (int(np.asarray(image.data)[0, 0]) // 1200 for image in process.asked)
    assert (first, second) == (1, 3)
    assert (answer.data[1] == 3).all()
    assert not answer.data[[0, 2]].any()  # nobody looked there


def test_a_plane_is_answered_when_it_is_shown(panel, stack, qtbot):
    draw(panel, 2, np.s_[1, 2:5])
    learned(panel, qtbot, panel.go.click)
    answer = stack.layers["scan answer"]
    stack.dims.set_point(0, 2)
    qtbot.waitUntil(lambda: (answer.data[2] == 2).all(), timeout=10_000)
    asked = len(Teachable.made[0].asked)
    stack.dims.set_point(0, 1)
    qtbot.wait(400)
    assert len(Teachable.made[0].asked) == asked  # it has an answer of this round
    draw(panel, 5, np.s_[1, 8:10])
    learned(panel, qtbot, panel.go.click)
    stack.dims.set_point(0, 2)
    qtbot.waitUntil(lambda: (answer.data[2] == 5).all(), timeout=10_000)


def test_learning_does_not_wait_for_answers_on_other_planes(panel, stack, qtbot, monkeypatch):
    draw(panel, 2, np.s_[:, 2:5])
    begun, go_on = threading.Event(), threading.Event()
    answered = Teachable.predict

    def slow(self, image, report):
        begun.set() if len(self.asked) else None
        while len(self.asked) and not go_on.wait(0.01):
            report(Progress("tile", 0, 1))
        return answered(self, image, report)

    monkeypatch.setattr(Teachable, "predict", slow)
    learned(panel, qtbot, panel.go.click)
    qtbot.waitUntil(begun.is_set, timeout=10_000)
    assert panel.go.isEnabled()
    panel.go.click()
    go_on.set()
    qtbot.waitUntil(lambda: len(Teachable.made[0].rounds) == 2, timeout=10_000)


@pytest.fixture
def answering(panel, stack, qtbot, monkeypatch):
    """A panel whose model answers on the second of two planes with strokes until `go_on` is set."""
    draw(panel, 2, np.s_[[1, 3], 2:5])
    begun, go_on, answered = threading.Event(), threading.Event(), Teachable.predict

    def slow(self, image, report):
        if len(self.asked):
            begun.set()
        while len(self.asked) and not go_on.wait(0.01):
            if not self.is_alive:
                raise DeviceError("the process that learns has ended")
            report(Progress("tile", 0, 1))
        return answered(self, image, report)

    monkeypatch.setattr(Teachable, "predict", slow)
    learned(panel, qtbot, panel.go.click)
    qtbot.waitUntil(begun.is_set, timeout=10_000)
    yield go_on
    go_on.set()


def test_an_answer_that_was_broken_off_for_something_else_follows(panel, stack, answering, qtbot):
    answer = stack.layers["scan answer"]
    assert not answer.data[3].any()
    panel.out.setText("taught")
    panel.save.click()
    answering.set()
    qtbot.waitUntil(lambda: panel._dock.status.text.text() == "Saved as taught.", timeout=10_000)
    qtbot.waitUntil(lambda: (answer.data[3] == 2).all(), timeout=10_000)


def test_an_answer_that_the_person_broke_off_does_not_follow(panel, stack, answering, qtbot):
    panel._dock.cancel()
    answering.set()
    qtbot.waitUntil(lambda: panel._dock.job is None, timeout=10_000)
    qtbot.wait(400)
    assert not stack.layers["scan answer"].data[3].any()


def test_another_model_during_an_answer_is_no_error(panel, answering, qtbot):
    panel.start_from.choose("nuclei")
    qtbot.waitUntil(lambda: panel._dock.job is None, timeout=10_000)
    assert "has ended" not in panel._dock.status.text.text()
    assert not Teachable.made[0].is_alive
    assert sorted(panel.legend.buttons) == [1, BACKGROUND]


def test_strokes_that_do_not_fit_into_the_memory_are_one_line(panel, stack, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    panel.legend.buttons[3].click()
    assert "need more memory than is free" in panel._dock.status.text.text()
    assert [layer.name for layer in stack.layers] == ["scan"]


# -- reproduce -------------------------------------------------------------------------------------------


def test_the_command_learns_the_same_from_the_files_that_are_saved(panel, stack, qtbot, tmp_path):
    torch = pytest.importorskip("torch")
    from napari_specimen_seg.models.bundle import read_card, read_weights
    from napari_specimen_seg.training.config import TrainConfig
    from napari_specimen_seg.training.instant import InstantSession
    from napari_specimen_seg.training.instant_run import run_instant
    from test_instant import card, write

    stack.layers["scan"].metadata["bit_depth"] = 14
    model = write(tmp_path / "models" / "toy", card())
    panel.start_from.refresh()
    panel.start_from.choose("toy")
    dock = panel._dock
    dock.reproduce.toggle.click()
    assert dock.reproduce.command.toPlainText().endswith(" --instant 6")
    draw(panel, 1, np.s_[1, 2:5])
    draw(panel, BACKGROUND, np.s_[3, 20:22])
    learned(panel, qtbot, panel.go.click)
    panel.out.setText("taught")
    command = shlex.split(dock.reproduce.command.toPlainText())
    assert command == [
        *("specimen-seg", "train", "--config", "train.toml"),
        *("-o", str(tmp_path / "models" / "taught"), "--instant-steps", "7"),
    ]
    dock.reproduce.save_settings(tmp_path / "train.toml")
    qtbot.waitUntil(lambda: "Wrote 2 pictures with strokes" in dock.status.text.text(), timeout=10_000)

    session = InstantSession(model)
    session.learn(Teachable.made[0].rounds[0], steps=7, class_map=panel._class_map, answer=())
    session.save(tmp_path / "here")
    run_instant(TrainConfig.from_toml(tmp_path / "train.toml"), tmp_path / "there", 0, print, steps=7)
    here, there = (
        read_weights(folder, read_card(folder)) for folder in (tmp_path / "here", tmp_path / "there")
    )
    assert all(torch.equal(value, there[key]) for key, value in here.items())


@pytest.mark.parametrize(("name", "first"), [("", "my-model"), ("taught", "taught")])
def test_the_command_works_when_the_model_is_saved(panel, qtbot, tmp_path, name, first):
    models, dock = tmp_path / "models", panel._dock
    panel.out.setText(name)
    dock.reproduce.toggle.click()
    draw(panel, 3)
    learned(panel, qtbot, panel.go.click)
    learned(panel, qtbot, lambda: dock.reproduce.save_settings(tmp_path / "train.toml"))
    (models / f"{first}-data" / "images" / ".DS_Store").touch()
    learned(panel, qtbot, lambda: dock.reproduce.save_settings(tmp_path / "train.toml"))
    assert "Wrote 1 picture with" in dock.status.text.text()
    assert f"-o {models / first} " in dock.reproduce.command.toPlainText()
    learned(panel, qtbot, panel.save.click)
    assert f"-o {models / first}-2 " in dock.reproduce.command.toPlainText()
    assert f"{first} is there already, so the command makes {first}-2." in dock.reproduce.note.text()
    dock.reproduce.save_settings(tmp_path / "train.toml")
    assert str(models / f"{first}-data" / "images") in (tmp_path / "train.toml").read_text()
    qtbot.waitUntil(lambda: dock.job is None, timeout=10_000)


def test_rounds_are_told_to_be_learned_in_one(panel, qtbot):
    draw(panel, 3)
    for _ in range(2):
        learned(panel, qtbot, panel.go.click)
    assert "in one round what was learned in 2" in panel.recipe().note
    assert panel.recipe().command.endswith(" --instant-steps 14")
    panel.out.setText("a/b")
    note = panel.recipe().note
    assert note == "a model cannot be called 'a/b'. Use letters, digits and spaces in its name."
