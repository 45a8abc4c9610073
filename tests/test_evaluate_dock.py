"""The Evaluate dock: what is chosen, what it shows, and what a click leads to."""

import json
import threading

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QSettings, Qt
from qtpy.QtWidgets import QFileDialog

from dock_helpers import Models, finish, until, write_models
from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.image import SpecimenLabels
from napari_specimen_seg.plugin.evaluate import HINT, NEXT, EvaluateDock
from napari_specimen_seg.plugin.evaluate_layers import KEY
from napari_specimen_seg.plugin.evaluate_run import worst_pictures
from napari_specimen_seg.plugin.layers import labels_layer

CLASSES = PRESETS["beetle-parts"]
HEAD, EYES, PRONOTUM = 1, 2, 4


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
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def dock(viewer, models, qtbot):
    made = EvaluateDock(viewer)
    qtbot.addWidget(made)
    yield made
    if models.gate is not None:
        models.gate.set()
    made.shut_down()


def beetle(number):
    """Head, eyes and pronotum below each other; `number` moves the eyes into the head."""
    labels = np.zeros((24, 32), np.uint8)
    labels[2:10, 4:28] = HEAD
    labels[4:6, 6:10] = EYES
    labels[12:22, 4:28] = PRONOTUM
    labels[4:6, 6 : 6 + number] = HEAD
    return labels


@pytest.fixture
def data(tmp_path):
    """Three pictures; in the masks 0, 2 and 3 columns of the eyes are taken for head."""
    for folder in ("images", "labels", "masks"):
        (tmp_path / "set" / folder).mkdir(parents=True)
    for number in (0, 2, 3):
        truth = Image.fromarray(beetle(0))
        truth.save(tmp_path / "set" / "labels" / f"beetle_{number}.png")
        # the fake model answers with the picture's values
        Image.fromarray(beetle(number)).save(tmp_path / "set" / "images" / f"beetle_{number}.png")
        Image.fromarray(beetle(number)).save(tmp_path / "set" / "masks" / f"beetle_{number}.png")
    (tmp_path / "set" / "classes.json").write_text(CLASSES.model_dump_json(), encoding="utf-8")
    return tmp_path / "set"


@pytest.fixture
def evaluated(dock, data, qtbot):
    dock.data.labels.choose(data / "labels")
    dock.competitors.add_masks(data / "masks")
    dock.evaluate()
    finish(qtbot, dock)
    return dock


def visible_tabs(dock):
    return [dock.tabs.tabText(i) for i in range(dock.tabs.count()) if dock.tabs.isTabVisible(i)]


# -- what is chosen --------------------------------------------------------------------------------------


def test_at_first_it_says_what_to_do(dock):
    assert dock.empty.isVisibleTo(dock)
    for part in (dock.main, dock.status, dock.tabs, dock.save, dock.reproduce.toggle):
        assert not part.isVisibleTo(dock)


def test_a_folder_or_open_labels_are_a_beginning(dock, data, viewer, monkeypatch, qtbot):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(data / "labels"))
    dock.empty.ways[0].click()
    assert not dock.empty.isVisibleTo(dock)
    assert dock.data.images.path == data / "images"
    assert dock.status.text.text() == NEXT
    dock.data.labels.choose(None)
    dock.competitors.add_masks(data / "masks")
    assert dock.status.text.text() == HINT
    dock.competitors.remove("masks")
    assert dock.empty.isVisibleTo(dock)
    dock.empty.sample.click()
    assert not dock.empty.sample.isEnabled()
    until(qtbot, dock.empty.sample.isEnabled)
    dock.data.take_layers()
    assert dock.data.from_layer.isChecked()
    assert dock.data.picker.layer.name == "beetle 4 labels"


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (lambda dock, data: None, "nothing to evaluate is chosen"),
        (lambda dock, data: dock.competitors.add_masks(data / "masks"), "no labels are chosen"),
        (lambda dock, data: dock.competitors.add_model("cells"), "no labels are chosen"),
        (
            lambda dock, data: (
                dock.competitors.add_masks(data / "masks"), dock.data.from_layer.setChecked(True)
            ),
            "no labels are open",
        ),
        (
            lambda dock, data: (dock.competitors.add_masks(data / "masks"), dock.ignore.setText("x, 3")),
            "not a list of values",
        ),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(dock, data, qtbot, choose, message):
    choose(dock, data)
    dock.evaluate()
    finish(qtbot, dock)
    assert message in dock.status.text.text()
    assert dock.go.isEnabled()


def test_the_folder_of_pictures_beside_the_labels_is_proposed(dock, data):
    dock.data.labels.choose(data / "labels")
    assert dock.data.images.path == data / "images"


def test_a_folder_can_be_shown_by_a_name(dock, data):
    line = dock.data.labels
    line.choose(data / "labels", "validation labels of toy")
    assert line.line.text() == "validation labels of toy"
    assert str(data / "labels") in line.line.toolTip()
    dock.competitors.add_masks(data / "masks")
    assert dock.request().labels == data / "labels"
    assert f"--labels {data / 'labels'}" in dock.recipe().command
    line.line.setText(str(data / "masks"))  # the person typed another
    assert line.path == data / "masks"
    line.choose(data / "labels")
    assert (line.path, line.line.text()) == (data / "labels", str(data / "labels"))


def test_a_report_is_not_proposed_where_it_would_be_lost(dock, data, qtbot, monkeypatch):
    asked = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **_: (asked.append(a[2]), ("", ""))[1])
    dock.data.labels.choose(data / "labels")
    dock.competitors.add_masks(data / "masks")
    dock.evaluate()
    finish(qtbot, dock)
    dock.save_report()
    dock.keep(object(), data / "labels")
    dock.save_report()
    assert asked == [str(data / "evaluation"), "evaluation"]


def test_chips_can_be_added_and_removed(dock, data):
    assert dock.competitors.add_model("beetle")
    dock.competitors.add_masks(data / "masks")
    dock.competitors.add_masks(data / "masks")
    assert [c.name for c in dock.competitors.chosen] == ["beetle", "masks", "masks 2"]
    assert dock.go.text() == "Compare"
    dock.competitors.chips[1].click()
    dock.competitors.chips[1].click()
    assert [c.name for c in dock.competitors.chosen] == ["beetle"]
    assert dock.go.text() == "Evaluate"


def test_a_model_that_is_none_is_refused_with_a_reason(dock, tmp_path):
    assert not dock.competitors.add_model(str(tmp_path))
    assert "no model folder" in dock.status.text.text()
    assert dock.competitors.chosen == []


def test_the_menu_offers_models_and_open_labels(dock, viewer):
    viewer.add_labels(beetle(0), name="truth")
    viewer.add_labels(beetle(2), name="mine & yours")
    dock.data.from_layer.setChecked(True)
    dock.data.picker.choose(viewer.layers["truth"])
    dock.competitors._fill_menu()
    texts = [action.text() for action in dock.competitors.menu.actions() if action.text()]
    assert texts[:3] == ["beetle", "cells", "whole"]
    assert texts[-1] == "Layer: mine && yours"


# -- scores ----------------------------------------------------------------------------------------------


def test_masks_are_scored(evaluated):
    scores = evaluated.tabs.evaluated.evaluation.scores()
    eyes = scores.classes.set_index("class").loc["eyes"]
    assert eyes["iou"] == (24 - 10) / 24
    assert evaluated.status.text.text() == "Compared 3 pictures."
    assert "mean IoU" in evaluated.tabs.about.text()
    assert visible_tabs(evaluated) == ["Scores", "Confusion", "Pictures"]
    assert evaluated.tabs.classes.frame_model.rowCount() == len(CLASSES)


def test_a_model_is_scored_and_takes_the_picture(dock, data, models, qtbot):
    dock.data.labels.choose(data / "labels")
    dock.competitors.add_model("beetle")
    dock.evaluate()
    finish(qtbot, dock)
    assert len(models.loaded[0].asked) == 3
    assert dock.tabs.evaluated.comparison.scores["beetle"].names == ("beetle_0", "beetle_2", "beetle_3")


def test_a_picture_that_fails_is_told_and_the_rest_is_shown(dock, data, qtbot):
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(data / "masks" / "beetle_2.png")
    dock.data.labels.choose(data / "labels")
    dock.competitors.add_masks(data / "masks")
    dock.evaluate()
    finish(qtbot, dock)
    assert "Compared 2 pictures. beetle_2.png: " in dock.status.text.text()


def test_nothing_that_can_be_compared_is_an_error(dock, data, qtbot):
    for path in (data / "masks").iterdir():
        Image.fromarray(np.zeros((5, 5), np.uint8)).save(path)
    dock.data.labels.choose(data / "labels")
    dock.competitors.add_masks(data / "masks")
    dock.evaluate()
    finish(qtbot, dock)
    assert "24 x 32 pixels, the prediction 5 x 5" in dock.status.text.text()
    assert dock.tabs.isHidden()


def test_cancel_stops_between_tiles(dock, data, models, qtbot):
    models.gate = threading.Event()
    dock.data.labels.choose(data / "labels")
    dock.competitors.add_model("beetle")
    dock.evaluate()
    until(qtbot, lambda: bool(models.loaded and models.loaded[0].asked))
    dock.cancel()
    finish(qtbot, dock)
    assert "Cancelled" in dock.status.text.text()
    assert dock.go.isEnabled()


def test_the_agreement_of_two_people_is_shown(dock, data, qtbot):
    dock.second.choose(data / "masks")
    dock.data.labels.choose(data / "labels")
    dock.competitors.add_masks(data / "masks")
    dock.evaluate()
    finish(qtbot, dock)
    assert "Two people:" in dock.tabs.about.text()
    table = dock.tabs.classes.frame_model
    headings = [table.headerData(i, Qt.Orientation.Horizontal) for i in range(table.columnCount())]
    assert "two people" in headings


def test_values_to_ignore(dock, data, qtbot):
    dock.ignore.setText("2, 255")
    dock.data.labels.choose(data / "labels")
    dock.competitors.add_masks(data / "masks")
    dock.evaluate()
    finish(qtbot, dock)
    assert dock.tabs.evaluated.evaluation.settings.ignore == (2, 255)
    assert dock.tabs.evaluated.evaluation.scores().mean_iou == 1


def test_plots_follow_the_theme(evaluated, viewer):
    viewer.theme = "light"
    assert evaluated.tabs.bars.canvas is not None
    assert evaluated.tabs.bars.text_color != "#ffffff"


# -- clicks ----------------------------------------------------------------------------------------------


def test_a_row_opens_picture_truth_prediction_and_disagreement(evaluated, viewer):
    assert evaluated.tabs._picture_names == ["beetle_3", "beetle_2", "beetle_0"]
    evaluated.tabs.pictures.selectRow(0)
    names = [layer.name for layer in viewer.layers]
    assert names == ["beetle_3", "beetle_3 truth", "beetle_3 masks", "beetle_3 wrong in masks"]
    np.testing.assert_array_equal(viewer.layers["beetle_3 truth"].data, beetle(0))
    wrong = viewer.layers["beetle_3 wrong in masks"].data
    assert wrong.sum() == 3 * 6  # six pixels of another class
    evaluated.tabs.pictures.selectRow(2)
    assert viewer.layers[0].name == "beetle_0"
    assert len(viewer.layers) == 4


def test_what_was_drawn_on_stays(evaluated, viewer):
    evaluated.show_picture("beetle_3")
    viewer.layers["beetle_3 truth"].data[0, 0] = 5
    evaluated.show_picture("beetle_0")
    assert "beetle_3 truth" in viewer.layers
    assert "beetle_3" not in viewer.layers


def test_a_cell_lights_up_its_pixels_in_the_worst_picture_then_in_the_next(evaluated, viewer):
    eyes, head = CLASSES.ids.index(EYES), CLASSES.ids.index(HEAD)
    assert worst_pictures(evaluated.tabs.evaluated, eyes, head) == [("beetle_3", 6), ("beetle_2", 4)]
    evaluated.tabs.grid.cell_chosen.emit(eyes, head)
    marks = viewer.layers["taken: eyes → head"]
    assert np.argwhere(marks.data).tolist() == [[y, x] for y in (4, 5) for x in (6, 7, 8)]
    assert "Picture 1 of 2: beetle_3, 6 pixels" in evaluated.tabs.cell.text()
    evaluated.tabs.grid.cell_chosen.emit(eyes, head)
    assert "Picture 2 of 2: beetle_2, 4 pixels" in evaluated.tabs.cell.text()
    assert viewer.layers["taken: eyes → head"].data.sum() == 4
    evaluated.tabs.grid.cell_chosen.emit(eyes, head)
    assert "Picture 1 of 2" in evaluated.tabs.cell.text()


def removals(viewer):
    """Return a list that grows by every layer that is removed."""
    gone = []
    viewer.layers.events.removed.connect(lambda event: gone.append(event.value.name))
    return gone


def test_going_to_another_picture_removes_no_layer(evaluated, viewer):
    mine = viewer.add_image(np.zeros((4, 4)), name="mine")
    evaluated.tabs.pictures.selectRow(0)
    eyes, head = CLASSES.ids.index(EYES), CLASSES.ids.index(HEAD)
    evaluated.tabs.grid.cell_chosen.emit(eyes, head)
    shown, gone = list(viewer.layers), removals(viewer)
    viewer.layers.selection.active = viewer.layers["beetle_3 truth"]
    viewer.layers["beetle_3 truth"].opacity = 0.2
    evaluated.tabs.grid.cell_chosen.emit(eyes, head)
    evaluated.tabs.pictures.selectRow(2)
    assert gone == []
    assert list(viewer.layers) == shown
    assert [layer.name for layer in shown] == [
        "mine", "beetle_0", "beetle_0 truth", "beetle_0 masks", "beetle_0 wrong in masks",
        "taken: eyes → head",
    ]  # fmt: skip
    np.testing.assert_array_equal(viewer.layers["beetle_0"].data, beetle(0))
    np.testing.assert_array_equal(viewer.layers["beetle_0 masks"].data, beetle(0))
    assert not viewer.layers["taken: eyes → head"].data.any()
    assert [layer.visible for layer in shown] == [True, True, True, False, True, False]
    assert viewer.layers.selection.active is viewer.layers["beetle_0 truth"]
    assert viewer.layers["beetle_0 truth"].opacity == 0.2
    assert (mine.name, mine.data.shape) == ("mine", (4, 4))
    viewer.layers.selection.active = viewer.layers["taken: eyes → head"]
    evaluated.tabs.pictures.selectRow(1)
    assert viewer.layers.selection.active is viewer.layers["beetle_2 wrong in masks"]  # and nothing hidden


def test_the_view_is_as_large_as_the_picture_that_is_shown(evaluated, viewer, data):
    rows, columns = 60, 90
    for folder in ("images", "labels", "masks"):
        Image.fromarray(np.zeros((rows, columns), np.uint8)).save(data / folder / "beetle_2.png")
    evaluated.tabs.evaluated.masks.keep(
        evaluated.tabs.evaluated.cases["beetle_2"],
        SpecimenLabels(np.ones((rows, columns), np.uint8), "beetle_2", class_map=CLASSES),
        {"masks": SpecimenLabels(np.zeros((rows, columns), np.uint8), "beetle_2", class_map=CLASSES)},
    )
    evaluated.show_cell("beetle_3", CLASSES.ids.index(EYES), CLASSES.ids.index(HEAD), "masks")
    for name, size in (("beetle_2", (rows, columns)), ("beetle_0", (24, 32)), ("beetle_2", (rows, columns))):
        evaluated.show_picture(name)
        for layer in viewer.layers:
            assert layer.extent.world[1].tolist() == [size[0] - 1, size[1] - 1], layer.name
        assert viewer.layers.extent.world[1].tolist() == [size[0] - 1, size[1] - 1]


def test_undo_does_not_reach_into_another_picture(evaluated, viewer):
    evaluated.show_picture("beetle_3")
    truth = viewer.layers["beetle_3 truth"]
    truth.data_setitem((np.array([0]), np.array([0])), 5)
    truth.undo()  # as it was: not drawn on
    truth.mode = "paint"
    evaluated.show_picture("beetle_0")
    assert truth.name == "beetle_0 truth"
    assert truth.mode == "pan_zoom"
    truth.redo()
    truth.undo()
    np.testing.assert_array_equal(truth.data, beetle(0))


def test_what_was_drawn_on_stays_and_another_layer_takes_its_place(evaluated, viewer):
    evaluated.show_picture("beetle_3")
    drawn = viewer.layers["beetle_3 truth"]
    drawn.data[0, 0] = 5
    evaluated.show_picture("beetle_0")
    names = ["beetle_0", "beetle_3 truth", "beetle_0 truth", "beetle_0 masks", "beetle_0 wrong in masks"]
    assert [layer.name for layer in viewer.layers] == names
    assert drawn.data[0, 0] == 5
    evaluated.show_picture("beetle_2")
    assert viewer.layers[1] is drawn


def test_layers_that_the_person_removed_come_back(evaluated, viewer):
    evaluated.show_picture("beetle_3")
    viewer.layers.remove("beetle_3")
    viewer.layers.remove("beetle_3 masks")
    evaluated.show_picture("beetle_0")
    names = ["beetle_0", "beetle_0 truth", "beetle_0 masks", "beetle_0 wrong in masks"]
    assert [layer.name for layer in viewer.layers] == names


def test_a_picture_of_another_kind_gets_a_layer_of_its_own(evaluated, viewer, data):
    rgb = np.zeros((24, 32, 3), np.uint8)
    Image.fromarray(rgb).save(data / "images" / "beetle_0.png")
    evaluated.show_picture("beetle_3")
    evaluated.show_picture("beetle_0")
    assert viewer.layers[0].name == "beetle_0"
    assert viewer.layers[0].rgb
    assert len(viewer.layers) == 4


def test_what_is_shown_to_look_at_is_not_learned_from(evaluated, viewer):
    from napari_specimen_seg.plugin.train_layers import open_pairs

    evaluated.tabs.grid.cell_chosen.emit(CLASSES.ids.index(EYES), CLASSES.ids.index(HEAD))
    assert [pair.labels.name for pair in open_pairs(viewer)] == ["beetle_3 truth"]


def test_an_empty_cell_says_so_and_opens_nothing(evaluated, viewer):
    evaluated.tabs.grid.cell_chosen.emit(0, 1)
    assert "0 pixels" in evaluated.tabs.cell.text()
    assert len(viewer.layers) == 0


def test_clicking_a_cell_of_the_grid_tells_its_place(evaluated, qtbot):
    grid = evaluated.tabs.grid
    with qtbot.waitSignal(grid.cell_chosen) as told:
        grid.clicked.emit(grid.grid.index(2, 1))
    assert told.args == [2, 1]
    assert grid.grid.data(grid.grid.index(2, 1)) == "42"
    assert grid.grid.data(grid.grid.index(0, 5)) == ""


# -- several ---------------------------------------------------------------------------------------------


def test_masks_are_compared_with_each_other(dock, data, qtbot, viewer):
    dock.data.labels.choose(data / "labels")
    dock.competitors.add_masks(data / "labels")
    dock.competitors.add_masks(data / "masks")
    dock.evaluate()
    finish(qtbot, dock)
    assert visible_tabs(dock) == ["Scores", "Confusion", "Pictures", "Compare"]
    assert dock.tabs.verdict.text().startswith("Compared with labels. masks: worse by ")
    assert "good" not in dock.tabs.verdict.text()  # nobody gave a limit
    assert dock.tabs.models.frame_model.rowCount() == 2
    dock.tabs.scatter.name_chosen.emit("beetle_2")
    assert "beetle_2 wrong in masks" in viewer.layers
    assert "beetle_2 wrong in labels" in viewer.layers


def test_scores_and_confusion_are_those_of_the_chosen_model(dock, data, qtbot, viewer):
    dock.data.labels.choose(data / "labels")
    dock.competitors.add_masks(data / "labels")
    dock.competitors.add_masks(data / "masks")
    dock.evaluate()
    finish(qtbot, dock)
    eyes, head = CLASSES.ids.index(EYES), CLASSES.ids.index(HEAD)
    assert dock.tabs.about.text().startswith("labels: ")
    assert dock.tabs.grid.grid.counts[eyes, head] == 0
    dock.tabs.choosers[1].setCurrentIndex(1)
    assert dock.tabs.choosers[0].currentText() == "masks"
    assert dock.tabs.about.text().startswith("masks: ")
    assert dock.tabs.grid.grid.counts[eyes, head] == 10
    dock.tabs.grid.cell_chosen.emit(eyes, head)
    assert "Picture 1 of 2: beetle_3, 6 pixels" in dock.tabs.cell.text()
    assert viewer.layers["taken: eyes → head"].data.sum() == 6


def test_one_model_needs_no_choice(evaluated):
    assert all(chooser.isHidden() for chooser in evaluated.tabs.choosers)


def test_headings_say_what_scores_mean(evaluated):
    told, across = Qt.ItemDataRole.ToolTipRole, Qt.Orientation.Horizontal
    assert "1 is perfect" in evaluated.tabs.about.toolTip()
    assert "1 is perfect" in evaluated.tabs.classes.frame_model.headerData(1, across, told)
    assert "1 is perfect" in evaluated.tabs.pictures.frame_model.headerData(1, across, told)
    assert evaluated.tabs.grid.grid.headerData(1, across, told) == "Predicted: head"
    assert evaluated.tabs.grid.grid.headerData(1, across) == "head"


def test_the_colours_of_what_is_wrong_are_told(evaluated):
    from napari_specimen_seg.plugin.evaluate_words import disagreement_legend

    for word in ("missed", "extra", "other&nbsp;class", "#0072b2"):
        assert word in disagreement_legend()


def test_a_row_of_the_models_chooses_the_scatter(dock, data, qtbot):
    dock.second.choose(data / "masks")
    dock.data.labels.choose(data / "labels")
    for folder in ("labels", "masks", "images"):
        dock.competitors.add_masks(data / folder)
    dock.evaluate()
    finish(qtbot, dock)
    axis = dock.tabs.scatter.canvas.getAxis("left")
    assert axis.labelText.startswith("masks")
    dock.tabs.models.selectRow(2)
    assert axis.labelText.startswith("images")


def test_open_labels_are_evaluated_in_the_viewer(dock, viewer, qtbot):
    viewer.add_image(beetle(0), name="scan")
    for name, number in (("scan labels", 0), ("by model", 3)):
        data, attributes, _ = labels_layer(SpecimenLabels(beetle(number), name, class_map=CLASSES))
        viewer.add_labels(data, **attributes)
    dock.data.from_layer.setChecked(True)
    dock.data.picker.choose(viewer.layers["scan labels"])
    dock.competitors.add_layer(viewer.layers["by model"])
    dock.evaluate()
    finish(qtbot, dock)
    assert dock.status.text.text() == "Compared 1 picture."
    dock.tabs.grid.cell_chosen.emit(CLASSES.ids.index(EYES), CLASSES.ids.index(HEAD))
    assert viewer.layers["taken: eyes → head"].data.sum() == 6
    assert "scan" in viewer.layers
    assert KEY not in viewer.layers["scan labels"].metadata


# -- what goes out ---------------------------------------------------------------------------------------


def test_the_report_is_saved_and_can_be_opened(evaluated, tmp_path, qtbot, monkeypatch):
    out = tmp_path / "report"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(out), ""))
    evaluated.save_report()
    finish(qtbot, evaluated)
    assert evaluated.status.text.text() == f"Saved as {out / 'report.html'}."
    assert (out / "scores.csv").is_file()
    opened = []
    where = "napari_specimen_seg.plugin.evaluate.QDesktopServices.openUrl"
    monkeypatch.setattr(where, lambda url: opened.append(url.toLocalFile()))
    evaluated.open.click()
    assert opened == [str(out / "report.html")]


def test_nothing_existing_is_overwritten(evaluated, tmp_path, qtbot, monkeypatch):
    out = tmp_path / "report"
    out.mkdir()
    (out / "scores.csv").write_text("mine")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(out), ""))
    evaluated.save_report()
    finish(qtbot, evaluated)
    assert "exists already. Choose another folder." in evaluated.status.text.text()
    assert (out / "scores.csv").read_text() == "mine"


def test_the_command_line_does_the_same(dock, data):
    dock.data.labels.choose(data / "labels")
    dock.competitors.add_model("beetle")
    dock.form.set_values({"tolerance": 3.0})
    recipe = dock.recipe()
    assert recipe.command.split()[:2] == ["specimen-seg", "evaluate"]
    for words in ("--model beetle", f"--labels {data / 'labels'}", "--tolerance 3.0", "--output report"):
        assert words in recipe.command
    assert json.loads(recipe.settings)["evaluated"] == ["beetle"]
    dock.competitors.add_model("cells")
    assert dock.recipe().command.startswith("specimen-seg compare beetle cells ")


def test_choices_are_there_again_the_next_time(evaluated, viewer, models, data, qtbot):
    again = EvaluateDock(viewer)
    qtbot.addWidget(again)
    assert again.data.labels.path == data / "labels"
    again.shut_down()


def test_only_what_is_kept_for_now_is_forgotten(dock, data, tmp_path):
    from napari_specimen_seg.plugin.memory import recall

    passing = tmp_path / "passing" / "images"
    passing.mkdir(parents=True)
    dock.keep(object(), passing, passing.with_name("labels"))
    for images, remembered in ((passing, ""), (data / "images", str(data / "images"))):
        dock.data.labels.choose(data / "labels")
        dock.data.images.choose(images)
        dock._remember()
        values = recall("evaluate", None)
        assert (values["labels"], values["images"]) == (str(data / "labels"), remembered)


def test_the_dock_is_in_the_manifest_and_can_be_narrow(dock):
    from napari_specimen_seg.plugin.dock import MIN_WIDTH, manifest

    commands = {command.id: command.python_name for command in manifest().contributions.commands}
    name = commands["napari-specimen-seg.evaluate"]
    assert str(name) == "napari_specimen_seg.plugin.evaluate:EvaluateDock"
    assert dock.minimumSizeHint().width() <= MIN_WIDTH


def test_what_differs_between_pictures_is_exchanged(viewer):
    from napari.layers import Image as ImageLayer

    from napari_specimen_seg.plugin.evaluate_exchange import exchange, fits

    dark = np.arange(600, dtype=np.uint16).reshape(20, 30)
    layer = viewer.add_image(dark, name="dark", scale=(0.5, 0.5), units=("um", "um"))
    bright = ImageLayer(dark.T * 100, name="bright", axis_labels=("y", "x"), metadata={"bit_depth": 16})
    assert fits(layer, bright)
    exchange(layer, bright)
    assert (layer.name, layer.data.shape, layer.metadata) == ("bright", (30, 20), {"bit_depth": 16})
    assert layer.contrast_limits == [0, 59900]
    assert tuple(layer.scale) == (1, 1)
    assert layer.axis_labels == ("y", "x")
    for other in (dark.astype(float), np.zeros((4, 20, 30), np.uint16), np.zeros((20, 30, 3), np.uint16)):
        assert not fits(layer, ImageLayer(other))
    assert not fits(layer, ImageLayer([dark, dark[::2, ::2]], multiscale=True))
