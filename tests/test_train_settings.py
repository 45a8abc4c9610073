"""The settings of the Train dock: every field has a control, changes are marked, kept and taken back."""

import pytest
from qtpy.QtCore import QPointF, QSettings, Qt
from qtpy.QtGui import QWheelEvent

from train_dock_helpers import looked, write_pictures

pytest.importorskip("pytestqt")

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import SpecimenError
from napari_specimen_seg.core.input_settings import FixedResize, Tiles
from napari_specimen_seg.plugin.train import TrainDock
from napari_specimen_seg.plugin.train_recipe import base_of
from napari_specimen_seg.plugin.train_settings import (
    ELSEWHERE,
    SECTIONS,
    TrainSettings,
    fields_of,
    group_model,
)
from napari_specimen_seg.training.config import TrainConfig
from napari_specimen_seg.training.recipes import RECIPES

GROUPS = [name for name in TrainConfig.model_fields if name != "recipe"]


@pytest.fixture
def settings(qtbot):
    made = TrainSettings()
    qtbot.addWidget(made)
    qtbot.addWidget(made.data)
    return made


def control(settings, group, name):
    return next(
        section.forms[group].controls[name]
        for section in settings.sections.values()
        if group in section.forms and name in section.forms[group].controls
    )


def test_every_setting_has_one_control_with_help(settings):
    shown = [(g, n) for title in SECTIONS for g, names in fields_of(title).items() for n in names]
    every = {(group, name) for group in GROUPS for name in group_model(group).model_fields}
    assert len(shown) == len(set(shown))
    assert set(shown) == every - ELSEWHERE
    for group, name in shown:
        field = group_model(group).model_fields[name]
        assert field.title
        assert control(settings, group, name).widget.toolTip() == field.description != None  # noqa: E711


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_is_shown_as_it_is(settings, name):
    base = base_of(RECIPES[name], "", None, layers=False)
    settings.show_base(base, keep=False)
    assert settings.changes() == {}
    assert settings.base.changed(settings.values()) == base


def test_changes_are_marked_and_taken_back_one_by_one(settings):
    settings.show_base(RECIPES["herbarium"], keep=False)
    settings.set("augment", crop=None, rotate=20.0)
    settings.set("input", geometry=Tiles(size=256, halo=16))
    settings.set("learn", losses={"dice": 2.0})
    assert settings.changes() == {
        "augment": {"crop": None, "rotate": 20.0},
        "input": {"geometry": Tiles(size=256, halo=16)},
        "learn": {"losses": {"dice": 2.0}},
    }
    assert settings.toggle.text() == "▸ More (4 changed)"
    assert settings.toggles["Augmentation"].text() == "▸ Augmentation (2 changed)"
    form = settings.sections["Augmentation"].forms["augment"]
    undo = form._marks["rotate"][1]
    assert undo.toolTip() == "Back to 10"
    undo.click()
    assert "rotate" not in settings.changes()["augment"]
    settings.reset_all.click()
    assert settings.changes() == {}
    assert settings.toggle.text() == "▸ More"


def test_another_base_keeps_what_the_person_changed_if_asked_to(settings):
    settings.show_base(RECIPES["embryo-gray"], keep=False)
    settings.set("learn", epochs=7)
    settings.show_base(RECIPES["herbarium"], keep=True)
    assert settings.values()["learn"]["epochs"] == 7
    settings.show_base(RECIPES["herbarium"], keep=False)
    assert settings.values()["learn"]["epochs"] == RECIPES["herbarium"].learn.epochs


def test_what_cannot_be_meant_is_one_line(settings):
    control(settings, "network", "options").widget.setText("[1")
    with pytest.raises(SpecimenError, match="Options"):
        settings.values()
    control(settings, "network", "options").widget.setText('{"decoder_channels": [8, 4]}')
    assert settings.values()["network"]["options"] == {"decoder_channels": [8, 4]}
    box = control(settings, "input", "geometry")
    box.set(Tiles(size=64, halo=16))
    box.widget.forms["tiles"].controls["halo"].set(40)
    with pytest.raises(SpecimenError, match=r"Size: .*halo"):
        settings.values()


def test_a_size_is_chosen_by_kind(settings):
    box = control(settings, "input", "geometry")
    box.widget.combo.setCurrentText("stretched")
    box.widget.forms["resize"].set_values({"height": 320, "width": 800})
    assert box.get() == FixedResize(height=320, width=800)
    assert control(settings, "input", "channels").get() == "rgb"
    control(settings, "input", "channels").widget.setCurrentText("4")
    assert settings.values()["input"]["channels"] == 4


def test_classes_come_from_presets_files_or_masks(settings, tmp_path):
    box = control(settings, "data", "class_map")
    assert box.get() is None
    box.widget.setCurrentText("nuclei")
    assert box.get() == PRESETS["nuclei"]
    from napari_specimen_seg.core.files import write_class_map

    write_class_map(tmp_path / "c.json", PRESETS["specimen"])
    box.widget.choose(tmp_path / "c.json")
    assert box.get() == PRESETS["specimen"]


def test_the_wheel_scrolls_and_changes_nothing(settings, qtbot):
    spin = control(settings, "learn", "epochs").widget
    before = spin.value()
    down = QPointF(5, 5)
    event = QWheelEvent(
        down, down, QPointF(0, 120).toPoint(), QPointF(0, 120).toPoint(), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    from qtpy.QtWidgets import QApplication

    QApplication.sendEvent(spin, event)
    assert spin.value() == before


def test_numbers_are_written_as_in_the_files(settings):
    spin = control(settings, "learn", "lr").widget
    spin.setValue(0.00025)
    assert spin.text() == "0.00025"
    assert spin.valueFromText("1e-4") == pytest.approx(1e-4)
    assert spin.valueFromText("0,01") == pytest.approx(0.01)


@pytest.fixture
def dock(make_napari_viewer, tmp_path, monkeypatch):
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "models"))
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))
    viewer = make_napari_viewer()
    dock = TrainDock(viewer)
    viewer.window.add_dock_widget(dock, name="Train")
    yield dock
    dock.shut_down()


def test_all_settings_fit_into_the_narrowest_dock(dock):
    from napari_specimen_seg.plugin.dock import MIN_WIDTH

    dock.settings.toggle.setChecked(True)
    for section in dock.settings.sections.values():
        section.toggle.setChecked(True)
    dock.settings.set("augment", crop=(0.25, 0.9))
    dock.settings.set("learn", discriminative=(400.0, 4.0), losses={"lovasz": 1.0})
    assert dock.setup.minimumSizeHint().width() <= MIN_WIDTH - 14  # beside the scroll bar


def test_what_was_set_for_a_folder_is_there_again(dock, qtbot, tmp_path):
    data = write_pictures(tmp_path / "a")
    other = write_pictures(tmp_path / "b")
    looked(dock, data, qtbot)
    dock.setup.recipe.setCurrentText("herbarium")
    dock.settings.set("learn", epochs=3, discriminative=None)
    dock.setup.remember()
    dock.setup.recipe.setCurrentText("general")
    looked(dock, other, qtbot)
    assert dock.settings.changes() == {}
    looked(dock, data, qtbot)
    assert dock.setup.recipe.currentText() == "herbarium"
    assert dock.settings.changes() == {"learn": {"epochs": 3, "discriminative": None}}


def test_zero_is_background_or_nothing(dock):
    dock.data.zero.setCurrentText("means not labelled")
    assert dock.settings.values()["data"]["ignore_id"] == 0
    dock.settings.set("data", ignore_id=None)
    assert dock.data.zero.currentText() == "is background"


def test_open_labels_bring_their_classes_and_a_model_its_network(tmp_path):
    from napari_specimen_seg.models.bundle import read_card
    from napari_specimen_seg.models.library import find_model

    card = read_card(find_model("beetle-parts"))
    base = base_of(TrainConfig(), "beetle-parts", card.class_map, layers=True)
    assert (base.network.start_from, base.network.encoder) == ("beetle-parts", card.encoder)
    assert base.learn.head == card.head.kind
    assert base_of(RECIPES["fish-traits"], "", card.class_map, layers=True).data.kind == "classes"
    # one specimen is what this recipe looks for, whatever its parts are called
    assert (
        base_of(RECIPES["herbarium"], "", card.class_map, layers=True).data.class_map == PRESETS["specimen"]
    )
