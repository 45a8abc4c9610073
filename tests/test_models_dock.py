"""The Models dock: the list, importing with questions, dropping, pulling, renaming and removing."""

import re
import threading

import numpy as np
import pytest
import torch
from qtpy.QtCore import QMimeData, QPoint, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QFileDialog, QInputDialog, QLabel, QMessageBox

from dock_helpers import finish, until
from test_models import card as make_card

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import CancelledError, ModelError
from napari_specimen_seg.core.progress import Progress
from napari_specimen_seg.models import library
from napari_specimen_seg.models.bundle import read_card, write_bundle
from napari_specimen_seg.models.card import Softmax, Training
from napari_specimen_seg.models.importing import Question, QuestionsError
from napari_specimen_seg.models.predictor import load_model
from napari_specimen_seg.plugin.card_view import card_html
from napari_specimen_seg.plugin.model_picker import ModelPicker
from napari_specimen_seg.plugin.models import ModelsDock
from onnx_files import by_pixel, node, save


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "own"))
    monkeypatch.setattr(library, "BUNDLED", tmp_path / "bundled")
    scored = make_card(name="leaf", license="MIT", scores={"val": {"mean iou": 0.81}})
    write_bundle(tmp_path / "own" / "leaf", scored, {"a": torch.zeros(2)})
    write_bundle(tmp_path / "bundled" / "beetle", make_card(name="beetle"), {"a": torch.zeros(2)})
    return tmp_path / "own"


@pytest.fixture
def dock(home, qapp, qtbot):
    from napari.components import ViewerModel

    made = ModelsDock(ViewerModel())
    qtbot.addWidget(made)
    made.show()
    yield made
    made.shut_down()


@pytest.fixture
def net(tmp_path):
    model = by_pixel([[1, 0, 0], [0, 1, 0]], ending=[node("Softmax", ["logits"], ["scores"], axis=1)])
    return save(model, tmp_path / "net.onnx")


def texts(dock):
    return [dock.view.item(i).text() for i in range(dock.view.count())]


def choose(dock, name):
    dock.view.setCurrentRow([model.name for model in dock.view.models].index(name))


def fill(dock, **answers):
    for name, text in answers.items():
        field = dock.form.fields[name]
        (field.setCurrentText if hasattr(field, "setCurrentText") else field.setText)(text)


# -- the list --------------------------------------------------------------------------------------


def test_the_list_tells_source_classes_score_size_and_licence(dock):
    assert texts(dock) == [
        "beetle · came with the plugin\n1 class · 0.1 MB · licence not stated",
        "leaf · yours\n1 class · mean IoU 0.81 · 0.1 MB · MIT",
    ]


def test_a_damaged_model_is_listed_with_what_is_wrong(dock, home):
    (home / "leaf" / "card.json").write_text("{")
    dock.refresh()
    assert "cannot be used: the card is not valid JSON" in texts(dock)[1]
    choose(dock, "leaf")
    assert not dock.use.isEnabled()
    assert dock.remove.isEnabled()


def test_what_may_be_done_depends_on_where_a_model_is_from(dock):
    choose(dock, "beetle")
    assert (dock.rename.isEnabled(), dock.remove.isEnabled(), dock.share.isEnabled()) == (False, False, True)
    choose(dock, "leaf")
    assert (dock.rename.isEnabled(), dock.remove.isEnabled(), dock.share.isEnabled()) == (True, True, True)


def test_details_show_card_and_folder(dock, home):
    choose(dock, "leaf")
    dock.details.click()
    assert dock.about.isVisible()
    assert str(home / "leaf") in dock.facts.text()
    assert "MIT" in dock.card.text.text()


def test_the_list_explains_its_scores(dock):
    told = {name: dock.view.item(row).toolTip() for row, name in enumerate(texts(dock))}
    for text, tip in told.items():
        assert ("Mean IoU: overlap of mask and truth: 1 is perfect, 0 none" in tip) == ("mean IoU" in text)
    assert any("mean IoU" in text for text in told)


def test_scores_are_a_table_of_classes():
    scores = {"mean iou": 0.5, "iou head": 0.8, "dice head": 0.9, "iou <i>": 0.1, "iou tail": 0.25}
    parts = {"class_map": PRESETS["beetle-parts"], "head": Softmax()}
    html = card_html(make_card(name="x", **parts, scores={"val": scores, "<b>": {"iou": 1.0}}))
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    cells = [re.sub(r"&nbsp;|<[^>]*>", "|", row).split("|") for row in rows]
    assert [[cell for cell in row if cell] for row in cells] == [
        ["IoU", "Dice"], ["mean", "0.50"], ["head", "0.80", "0.90"], ["tail", "0.25"],
    ]  # fmt: skip
    assert "on validation pictures<br>IoU &lt;i&gt; 0.10" in html
    assert "on &lt;b&gt;<br>IoU 1.00" in html
    assert html.count("Overlap of mask and truth: 1 is perfect, 0 none.") == 1


def test_a_card_is_told_in_plain_words():
    split = "A specimen and its neighbour are always in one split. val: 30 pictures."
    html = card_html(make_card(name="x", training=Training(data="beetles", split=split)))
    assert "are kept together, to learn from or to validate on. Validation: 30 pictures." in html


def test_everything_fits_into_a_narrow_dock(dock, net, qtbot):
    dock.import_path(net)
    finish(qtbot, dock)
    dock.details.setChecked(True)
    dock.resize(316, 700)
    for widget in (
        dock.choose,
        dock.fetch,
        dock.use,
        dock.remove,
        dock.form.go,
        dock.form.fields["preprocessing"],
    ):
        right = widget.mapTo(dock, QPoint(widget.width(), 0)).x()
        assert right <= 316, widget


# -- importing -------------------------------------------------------------------------------------


def test_what_the_file_does_not_tell_is_asked_and_then_it_can_be_used(dock, net, home, qtbot):
    dock.import_path(net)
    finish(qtbot, dock)
    assert dock.form.isVisible()
    assert list(dock.form.fields) == ["classes", "preprocessing", "name", "license"]
    fill(dock, classes="background, leaf", preprocessing="zero-one", name="my leaf", license="CC0-1.0")
    dock.form.go.click()
    finish(qtbot, dock)
    assert not dock.form.isVisible()
    assert dock.view.current.name == "my leaf"
    assert read_card(home / "my leaf").license == "CC0-1.0"
    green = np.zeros((4, 4, 3), np.uint8)
    green[..., 1] = 99
    assert (load_model("my leaf").predict(green).labels == 1).all()


def test_nothing_is_chosen_for_the_person_and_choices_are_explained(dock, net, home, qtbot):
    dock.import_path(net)
    finish(qtbot, dock)
    preprocessing = dock.form.fields["preprocessing"]
    assert preprocessing.currentText() == ""
    fill(dock, classes="background, leaf")
    dock.form.go.click()
    finish(qtbot, dock)
    assert "preprocessing" in dock.form.fields
    assert [path.name for path in home.iterdir()] == ["leaf"]
    dock.form.fields["preprocessing"].setCurrentText("imagenet:pad=512")
    labels = [label.text() for label in dock.form.findChildren(QLabel) if label.isVisible()]
    assert any("padded to a square and resized to 512 x 512 pixels" in text for text in labels)


def test_a_wrong_answer_is_told_and_can_be_mended(dock, net, home, qtbot):
    dock.import_path(net)
    finish(qtbot, dock)
    fill(dock, classes="a, b, c", preprocessing="zero-one")
    dock.form.go.click()
    finish(qtbot, dock)
    assert "3 classes named, but the network answers with 2 channels" in dock.status.text.text()
    assert dock.form.isVisible()
    fill(dock, classes="background, b")
    dock.form.go.click()
    finish(qtbot, dock)
    assert (home / "net" / "card.json").is_file()


def test_dismissing_the_questions_imports_nothing(dock, net, home, qtbot):
    dock.import_path(net)
    finish(qtbot, dock)
    dock.form.stop.click()
    assert not dock.form.isVisible()
    assert [path.name for path in home.iterdir()] == ["leaf"]


def test_a_file_of_a_known_name_gets_another(dock, home, tmp_path, qtbot):
    dock.import_path(home / "leaf")
    finish(qtbot, dock)
    assert dock.view.current.name == "leaf-2"
    assert read_card(home / "leaf-2").name == "leaf-2"


def test_what_is_no_model_is_one_line(dock, home, tmp_path, qtbot):
    (tmp_path / "holiday.pth").write_bytes(b"beach")
    dock.import_path(tmp_path / "holiday.pth")
    finish(qtbot, dock)
    text = dock.status.text.text()
    assert "holiday.pth" in text
    assert len(text.splitlines()) == 1
    assert not dock.form.isVisible()
    assert dock.choose.isEnabled()


def test_files_and_folders_are_chosen_in_dialogs(dock, net, home, monkeypatch, qtbot):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(net), ""))
    dock.choose.click()
    finish(qtbot, dock)
    assert dock.form.isVisible()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(home / "leaf"))
    dock.choose_dir.click()
    finish(qtbot, dock)
    assert dock.view.current.name == "leaf-2"


def drop(dock, *paths):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    where, copy = QPoint(5, 5).toPointF(), Qt.DropAction.CopyAction
    event = QDropEvent(where, copy, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    dock.dropEvent(event)


def test_a_dropped_file_is_imported(dock, net, qtbot):
    drop(dock, net)
    finish(qtbot, dock)
    assert dock.form.isVisible()


def test_several_dropped_files_are_left_alone(dock, net, home):
    drop(dock, net, home)
    assert dock.job is None


@pytest.mark.parametrize(
    ("name", "ours"), [("net.onnx", True), ("net.PTH", True), ("net.zip", False), ("net.png", False)]
)
def test_a_model_dropped_on_the_canvas_goes_to_the_dock(name, ours, tmp_path, monkeypatch):
    from napari_specimen_seg.plugin import model_reader

    (tmp_path / name).touch()
    taken = []
    monkeypatch.setattr(model_reader, "_viewer", object)
    monkeypatch.setattr("napari_specimen_seg.plugin.dock.open_dock", lambda *_: Taking(taken))
    reader = model_reader.get_reader(str(tmp_path / name))
    assert (reader is not None) == ours
    if reader is not None:
        assert reader(str(tmp_path / name)) == [(None,)]
        assert taken == [tmp_path / name]
    monkeypatch.setattr(model_reader, "_viewer", lambda: None)
    assert model_reader.get_reader(str(tmp_path / name)) is None


class Taking:
    def __init__(self, taken):
        self.import_path = taken.append


def test_likely_answers_are_filled_in_to_be_confirmed(dock, tmp_path, monkeypatch, qtbot):
    asked = []

    def assuming(path, folder, options, report):
        asked.append(options)
        if options.head is None:
            questions = (
                Question("head", "One class per pixel?", ("softmax", "sigmoid"), "softmax"),
                Question("classes", "What are they called?", (), "background,class 1"),
                Question("encoder", "Which encoder?", ("resnet18", "resnet34")),
            )
            raise QuestionsError(questions, path=path)
        raise ModelError("enough", path=path)

    monkeypatch.setattr("napari_specimen_seg.models.importing.import_model", assuming)
    (tmp_path / "net.pth").touch()
    dock.import_path(tmp_path / "net.pth")
    finish(qtbot, dock)
    assert list(dock.form.fields) == ["encoder", "head", "classes", "name", "license"]
    assert dock.form.fields["head"].currentText() == "softmax"
    assert dock.form.fields["classes"].text() == "background,class 1"
    assert dock.form.fields["encoder"].currentText() == ""
    fill(dock, encoder="resnet34", classes="background, leaf")
    dock.form.go.click()
    finish(qtbot, dock)
    first, second = asked
    assert first.ask
    assert (second.head, second.classes, second.encoder) == ("softmax", "background, leaf", "resnet34")


# -- the Hub ---------------------------------------------------------------------------------------


def test_a_model_is_pulled_by_its_name(dock, home, tmp_path, monkeypatch, qtbot):
    from huggingface_hub import constants

    from fake_hub import running_hub

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.add("doe/fern", {path.name: path.read_bytes() for path in (home / "leaf").iterdir()})
        dock.repository.setText(" doe/fern ")
        dock.fetch.click()
        finish(qtbot, dock)
    assert dock.view.current.name == "doe/fern"
    assert "from the Hub" in texts(dock)[2]
    assert "From doe/fern at 1111" in dock.facts.text()


def test_what_is_no_repository_is_told_at_once(dock):
    dock.repository.setText("my model")
    dock.fetch.click()
    assert "no repository of the Hub" in dock.status.text.text()
    assert dock.job is None


def test_pulling_can_be_cancelled(dock, monkeypatch, qtbot):
    began = threading.Event()

    def slow(name, folder, options, report):
        began.set()
        while True:
            report(Progress("fetching", 1, 10))

    monkeypatch.setattr("napari_specimen_seg.models.hub.pull", slow)
    dock.repository.setText("doe/fern")
    dock.fetch.click()
    until(qtbot, began.is_set)
    assert not dock.fetch.isEnabled()
    dock.cancel()
    finish(qtbot, dock)
    assert "Cancelled" in dock.status.text.text()
    assert dock.fetch.isEnabled()
    assert CancelledError().cause == "cancelled"


# -- what is done with models ----------------------------------------------------------------------


def test_a_model_is_renamed(dock, home, monkeypatch):
    choose(dock, "leaf")
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("oak", True))
    dock.rename.click()
    assert dock.view.current.name == "oak"
    assert read_card(home / "oak").name == "oak"


def test_a_model_is_removed_after_asking(dock, home, monkeypatch):
    import shutil

    monkeypatch.setattr("send2trash.send2trash", shutil.rmtree)
    choose(dock, "leaf")
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    dock.remove.click()
    assert (home / "leaf").is_dir()
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    dock.remove.click()
    assert not (home / "leaf").exists()
    assert [model.name for model in dock.view.models] == ["beetle"]


def test_a_folder_for_the_hub_is_written(dock, tmp_path, monkeypatch, qtbot):
    (tmp_path / "uploads").mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "uploads"))
    choose(dock, "leaf")
    dock.share.click()
    finish(qtbot, dock)
    assert (tmp_path / "uploads" / "leaf" / "README.md").read_text("utf-8").startswith("---\nlicense: mit")


def test_other_docks_learn_of_new_models_and_keep_their_choice(dock, home, qtbot):
    picker = ModelPicker()
    qtbot.addWidget(picker)
    picker.choose("leaf")
    changes = []
    picker.model_changed.connect(lambda: changes.append(picker.name))
    dock.import_path(home / "leaf")
    finish(qtbot, dock)
    names = [picker.combo.itemText(i) for i in range(picker.combo.count())]
    assert names[:3] == ["beetle", "leaf", "leaf-2"]
    assert (picker.name, changes) == ("leaf", [])
    dock.rename_to(next(m for m in dock.view.models if m.name == "leaf"), "oak")
    assert changes == ["beetle"]


def test_a_picker_leads_to_more_models(home, qtbot):
    picker = ModelPicker()
    qtbot.addWidget(picker)
    place = picker.combo.findText("Get more models…")
    with qtbot.waitSignal(picker.more_asked):
        picker.combo.setCurrentIndex(place)
        picker.combo.activated.emit(place)
    assert picker.name == "beetle"


def test_a_closed_picker_hears_no_more(dock, qtbot):
    picker = ModelPicker()
    picker.deleteLater()
    qtbot.wait(1)
    dock.refresh()
    dock.rename_to(next(m for m in dock.view.models if m.name == "leaf"), "oak")
    assert dock.view.current.name == "oak"
