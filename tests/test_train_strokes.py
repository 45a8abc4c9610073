"""Learning from strokes in the Train dock: what is drawn stays, the answer changes, nothing blocks."""

import numpy as np
import pytest
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QMessageBox

from dock_helpers import BEETLE, make_card

pytest.importorskip("pytestqt")

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import DeviceError, SpecimenError
from napari_specimen_seg.core.image import Prediction
from napari_specimen_seg.plugin.stroke_layers import BACKGROUND, painted_map, with_class
from napari_specimen_seg.plugin.train import TrainDock
from napari_specimen_seg.plugin.train_layers import open_pairs
from napari_specimen_seg.training import instant_process


class Teachable:
    """Stands in for the process that learns: it says everywhere what was drawn last."""

    made: list["Teachable"] = []  # noqa: RUF012
    error: Exception | None = None

    def __init__(self, model):
        self.model, self.says, self.rounds, self.is_alive = model, [0], [], True
        self.class_map = PRESETS["beetle-parts"]
        Teachable.made.append(self)

    def predict(self, image, report):
        report_labels = np.full((image.height, image.width), self.says[-1], self.class_map.label_dtype)
        return Prediction(report_labels, None, self.class_map, {})

    def learn(self, lessons, *, class_map, report):
        if self.error is not None:
            raise self.error
        self.class_map = class_map
        self.rounds.append(lessons)
        self.says.append(int(max(lesson.labels[lesson.known].max() for lesson in lessons)))
        return [self.predict(lesson.image, report) for lesson in lessons]

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


def test_without_a_picture_it_says_what_to_do(panel):
    panel._dock.viewer.layers.clear()
    panel.go.click()
    assert panel._dock.status.text.text() == "no picture is open. Open one that is no stack, then draw on it."
