import gc
import json
import weakref

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from qtpy.QtCore import QPoint, QPointF, QSettings, Qt
from qtpy.QtWidgets import QApplication, QFileDialog

from dock_helpers import Models, finish, until, write_models
from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.image import SpecimenLabels
from napari_specimen_seg.core.regions import components
from napari_specimen_seg.plugin.calibrate import RULER, set_pixel_size
from napari_specimen_seg.plugin.family import family_of, labels_of, picture_for
from napari_specimen_seg.plugin.layers import labels_layer
from napari_specimen_seg.plugin.live import Unfinished
from napari_specimen_seg.plugin.measure import MeasureDock
from napari_specimen_seg.plugin.measure_run import measure_work
from napari_specimen_seg.plugin.plot import Bars, histogram
from napari_specimen_seg.plugin.results import KEY, Origin
from napari_specimen_seg.plugin.segment import SegmentDock
from napari_specimen_seg.plugin.table import number_text

CLASSES = PRESETS["beetle-parts"]

# rows 0-1: head (1) twice, apart; row 3: elytra (5)
MASK = np.array(
    [
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [5, 5, 5, 5, 5, 5],
    ],
    np.uint8,
)


@pytest.fixture(autouse=True)
def _own_settings(tmp_path):
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))


@pytest.fixture
def viewer(qapp):
    from napari.components import ViewerModel

    return ViewerModel()


def add(viewer, data=MASK, name="scan labels", **more):
    from napari.layers import Labels

    content, attributes, _ = labels_layer(SpecimenLabels(data.copy(), name, class_map=CLASSES))
    return viewer.add_layer(Labels(content, **{**attributes, **more}))


@pytest.fixture
def labels(viewer):
    return add(viewer)


@pytest.fixture
def dock(viewer, labels, qtbot):
    made = MeasureDock(viewer)
    qtbot.addWidget(made)
    finish(qtbot, made)
    yield made
    made.shut_down()


def shown(dock):
    """The table as text, with headings."""
    model = dock.table.model()
    head = [model.headerData(c, Qt.Orientation.Horizontal) for c in range(model.columnCount())]
    rows = [[model.index(r, c).data() for c in range(model.columnCount())] for r in range(model.rowCount())]
    return [head, *rows]


def row_named(dock, name):
    model = dock.table.model()
    return next(r for r in range(model.rowCount()) if model.index(r, 0).data() == name)


def click_row(qtbot, dock, name):
    index = dock.table.model().index(row_named(dock, name), 0)
    dock.table.scrollTo(index)
    where = dock.table.visualRect(index).center()
    qtbot.mouseClick(dock.table.viewport(), Qt.MouseButton.LeftButton, pos=where)


# -- the table ---------------------------------------------------------------------------------------


def test_labels_are_measured_per_class_at_once(dock):
    table = shown(dock)
    assert table[0] == ["Class", "Area (px²)", "% of specimen", "Parts"]
    assert table[1] == ["head", "5", "45.45", "2"]
    assert table[5] == ["elytra", "6", "54.55", "1"]
    assert len(table) == 10


def test_areas_have_the_unit_of_the_layer(dock, labels, qtbot):
    labels.units = ("mm", "mm")
    labels.scale = (0.5, 0.5)
    until(qtbot, lambda: "Area (mm²)" in shown(dock)[0])
    finish(qtbot, dock)
    assert shown(dock)[1][:2] == ["head", "1.25"]
    assert dock.pixel_size.value.value() == 0.5


def test_painting_measures_again(dock, labels, qtbot):
    labels.brush_size = 1
    labels.paint((2, 2), 5)
    until(qtbot, lambda: shown(dock)[5][1] == "7")
    labels.undo()
    until(qtbot, lambda: shown(dock)[5][1] == "6")
    labels.data = np.zeros_like(MASK)
    until(qtbot, lambda: shown(dock)[5][1] == "0")


def test_edits_during_measuring_are_not_lost(dock, labels, qtbot):
    dock.measure_now()
    labels.data[2, 2] = 5
    dock.measure_now()
    finish(qtbot, dock)
    assert shown(dock)[5][1] == "7"


@pytest.mark.parametrize(("level", "rows"), [("object", 3), ("specimen", 3)])
def test_objects_and_specimens_have_rows_of_their_own(dock, qtbot, level, rows):
    dock.levels.buttons[level].setChecked(True)
    finish(qtbot, dock)
    assert len(shown(dock)) - 1 == rows


def test_columns_can_be_chosen_and_stay_chosen(dock, viewer, qtbot):
    actions = {action.text(): action for action in dock.view.menu.actions()}
    actions["% of picture"].trigger()
    actions["Parts"].trigger()
    assert shown(dock)[0] == ["Class", "Area (px²)", "% of specimen", "% of picture"]
    dock.measure_now()
    finish(qtbot, dock)
    assert shown(dock)[0][-1] == "% of picture"
    other = MeasureDock(viewer)
    qtbot.addWidget(other)
    finish(qtbot, other)
    assert shown(other)[0][-1] == "% of picture"
    other.view.reset_columns()
    assert shown(other)[0][-1] == "Parts"
    other.shut_down()


def test_sorting_sorts_numbers_as_numbers(dock, qtbot):
    dock.table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    assert [row[0] for row in shown(dock)[1:3]] == ["elytra", "head"]
    dock.measure_now()
    finish(qtbot, dock)
    assert [row[0] for row in shown(dock)[1:3]] == ["elytra", "head"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "5"), (58.213, "58.21"), (0.0001234567, "0.0001235"), (123456.7, "123457"), (float("nan"), "")],
)
def test_numbers_in_cells(value, text):
    assert number_text(value) == text


def test_rows_have_the_colour_of_their_class(dock):
    icon = dock.table.model().index(row_named(dock, "elytra"), 0).data(Qt.ItemDataRole.DecorationRole)
    color = icon.pixmap(14, 14).toImage().pixelColor(3, 3)
    assert color.name() == CLASSES.by_name("elytra").color


# -- selecting ---------------------------------------------------------------------------------------


def test_a_row_selects_its_label(dock, labels, qtbot):
    click_row(qtbot, dock, "elytra")
    assert labels.selected_label == 5
    assert not labels.show_selected_label
    dock.only.click()
    assert labels.show_selected_label


def test_a_label_selects_its_row(dock, labels):
    labels.selected_label = 5
    assert dock.table.selected_row == 4
    labels.selected_label = 99
    assert dock.table.selected_row is None


def test_a_click_on_the_picture_selects_row_and_label(dock, labels):
    dock.select_at((3, 2))
    assert dock.table.selected_row == 4
    assert labels.selected_label == 5
    dock.select_at((2, 2))  # background
    assert dock.table.selected_row == 4
    dock.select_at((99, 2))
    assert dock.table.selected_row == 4


@pytest.mark.parametrize(("moved", "row"), [(0, 4), (9, None)])
def test_a_click_counts_and_a_drag_does_not(dock, labels, moved, row):
    class Event:
        type = "mouse_press"
        pos = np.array([50, 50])
        position = (3.0, 2.0)

    dock.table.select_row(None)
    event = Event()
    steps = dock._on_mouse(labels, event)
    next(steps)
    event.type = "mouse_release"
    event.pos = np.array([50 + moved, 50])
    assert next(steps, None) is None
    assert dock.table.selected_row == row


def test_a_click_on_an_object_selects_that_object(dock, labels, qtbot):
    dock.levels.buttons["object"].setChecked(True)
    finish(qtbot, dock)
    dock.select_at((0, 4))
    frame = dock.measured.frame
    assert frame["area"].iloc[dock.table.selected_row] == 1
    assert labels.selected_label == 1


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 5])))
def test_every_pixel_finds_the_row_of_its_part(mask):
    """Parts may lie inside of each other's boxes, and of the same class inside of each other's holes."""
    measured = measure_work(SpecimenLabels(mask, "m", "YX", class_map=CLASSES), "object")(lambda _: None)
    parts, _ = components(mask)
    for point in np.ndindex(*mask.shape):
        row = measured.row_at(point)
        assert (None if row is None else measured.frame["index"].iloc[row]) == (parts[point] or None)


def test_a_result_that_is_being_written_is_measured_at_its_end(dock, labels, qtbot):
    origin = Origin("picture", str(labels.unique_id), "labels", running=True)
    labels.metadata[KEY] = origin
    labels.data_setitem((np.array([2]), np.array([2])), 5)
    assert not dock._timer.isActive()
    origin.running = False
    labels.data_setitem((np.array([2]), np.array([3])), 5)
    assert dock._timer.isActive()


def test_a_part_of_a_picture_is_told(viewer, labels, qtbot):
    unfinished = Unfinished((), labels.data, None)
    unfinished.done, unfinished.total = {((), 0), ((), 1)}, 9
    labels.metadata[KEY] = Origin("picture", str(labels.unique_id), "labels", unfinished=unfinished)
    made = MeasureDock(viewer)
    qtbot.addWidget(made)
    finish(qtbot, made)
    assert "Only 2 of 9 tiles are segmented" in made.status.text.text()
    made.shut_down()


def test_an_object_row_brings_the_object_into_view(dock, viewer, qtbot):
    dock.levels.buttons["object"].setChecked(True)
    finish(qtbot, dock)
    lonely = int(np.flatnonzero(dock.measured.frame["area"].to_numpy() == 1)[0])
    viewer.scene.camera.zoom = 0.1
    before = viewer.layers.selection.active
    dock.table.selectRow(dock.table.order().index(lonely))
    assert viewer.scene.camera.center[-2:] == (0.0, 4.0)
    assert viewer.scene.camera.zoom == 96  # one pixel is not to be seen otherwise
    assert viewer.layers.selection.active is before
    assert not dock.only.isEnabled()
    dock.levels.buttons["class"].setChecked(True)
    finish(qtbot, dock)
    assert dock.only.isEnabled()


def test_object_masks_select_by_number(viewer, qtbot):
    from napari.layers import Labels

    numbers = np.array([[5, 5, 0, 9], [0, 0, 0, 40]], np.uint16)
    classes = np.zeros(41, np.uint8)
    classes[[5, 9, 40]] = [1, 5, 5]
    content, attributes, _ = labels_layer(
        SpecimenLabels(numbers, "objects", class_map=CLASSES, object_class=classes)
    )
    layer = viewer.add_layer(Labels(content, **attributes))
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    dock.levels.buttons["object"].setChecked(True)
    finish(qtbot, dock)
    assert dock.measured.frame["index"].tolist() == [5, 9, 40]
    dock.select_at((0, 3))
    assert layer.selected_label == 9
    layer.selected_label = 40
    assert dock.table.selected_row == 2
    dock.levels.buttons["class"].setChecked(True)
    finish(qtbot, dock)
    dock.select_at((1, 3))
    assert dock.measured.frame["class_name"].iloc[dock.table.selected_row] == "elytra"
    assert layer.selected_label == 40
    dock.shut_down()


def test_labels_without_classes_have_the_colours_of_the_layer(viewer, qtbot):
    layer = viewer.add_labels(np.array([[1, 1, 0, 2]], np.uint8), name="mine")
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    finish(qtbot, dock)
    shown_colors = [dock.view.plot._bars.colors[0], dock.view.plot._bars.colors[1]]
    wanted = [np.round(np.asarray(layer.get_color(i))[:3] * 255).astype(int).tolist() for i in (1, 2)]
    assert [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in shown_colors] == wanted
    dock.shut_down()


def test_looking_at_another_plane_measures_nothing(viewer, qtbot):
    add(viewer, np.stack([MASK, MASK]), name="stack")
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    finish(qtbot, dock)
    qtbot.wait(400)  # what adding the layer has set going
    finish(qtbot, dock)
    viewer.dims.set_current_step(0, 1)
    assert not dock._timer.isActive()
    viewer.layers["stack"].data_setitem((np.array([1]), np.array([2]), np.array([2])), 5)
    assert dock._timer.isActive()
    dock._timer.stop()
    viewer.layers["stack"].undo()
    assert dock._timer.isActive()
    dock.shut_down()


def test_stacks_have_rows_per_plane_and_a_row_shows_its_plane(viewer, qtbot):
    add(viewer, np.stack([MASK, MASK * 0, MASK]), name="stack")
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    finish(qtbot, dock)
    assert "Plane" in shown(dock)[0]
    assert len(shown(dock)) - 1 == 27
    dock.table.selectRow(20)
    assert viewer.dims.current_step[0] == 2
    dock.shut_down()


# -- pixel size --------------------------------------------------------------------------------------


@pytest.fixture
def family(viewer):
    """A picture, labels of the same name, and a picture that has nothing to do with them."""
    picture = viewer.add_image(np.zeros(MASK.shape), name="scan")
    other = viewer.add_image(np.zeros(MASK.shape), name="other")
    layer = add(viewer)
    return picture, other, layer


def test_labels_and_their_picture_are_one_family(viewer, family):
    picture, _, layer = family
    assert picture_for(viewer, layer) is picture
    assert family_of(viewer, layer) == [layer, picture]
    assert labels_of(layer, viewer).name == "scan"


def test_setting_the_pixel_size_scales_labels_and_picture(viewer, family, qtbot):
    picture, other, layer = family
    picture.translate = layer.translate = (10, 20)
    camera = viewer.scene.camera
    camera.center, camera.zoom = (0, 12, 24), 8
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    dock.pixel_size.value.setValue(0.25)
    dock.pixel_size.unit.setCurrentText("µm")
    assert dock.pixel_size.set.isVisibleTo(dock)
    dock.pixel_size.set.click()
    finish(qtbot, dock)
    for changed in (picture, layer):
        assert changed.scale.tolist() == [0.25, 0.25]
        assert changed.translate.tolist() == [2.5, 5.0]
        assert [str(unit) for unit in changed.units] == ["micrometer", "micrometer"]
    assert other.scale.tolist() == [1, 1]
    assert (camera.center, camera.zoom) == ((0, 3, 6), 32)
    assert "Area (µm²)" in shown(dock)[0]
    assert not dock.pixel_size.set.isVisibleTo(dock)
    dock.shut_down()


def test_stacked_planes_keep_their_distance(viewer):
    layer = viewer.add_labels(np.zeros((3, 4, 5), np.uint8), scale=(7, 1, 1))
    set_pixel_size([layer], 0.5, "mm")
    assert layer.scale.tolist() == [7, 0.5, 0.5]
    assert [str(unit) for unit in layer.units] == ["pixel", "millimeter", "millimeter"]


def test_a_line_of_known_length_gives_the_pixel_size(viewer, family, qtbot):
    picture, _, layer = family
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    ruler = dock.pixel_size
    ruler.ruler.click()
    assert ruler.panel.isVisibleTo(dock)
    ruler.draw.click()
    shapes = viewer.layers[RULER]
    assert shapes.mode == "add_line"
    ruler.use.click()
    assert "no line" in dock.status.text.text()
    shapes.add_lines([[0, 0], [3, 4]])  # 5 pixels
    ruler.length.setValue(10)
    ruler.length_unit.setCurrentText("mm")
    ruler.use.click()
    finish(qtbot, dock)
    assert layer.scale.tolist() == picture.scale.tolist() == shapes.scale.tolist() == [2, 2]
    ruler.length.setValue(5)  # and once more, now that the layers are scaled
    ruler.use.click()
    finish(qtbot, dock)
    assert layer.scale.tolist() == [1, 1]
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 2
    dock.shut_down()


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_a_pixel_size_that_makes_no_sense_changes_nothing(dock, labels, size):
    from napari_specimen_seg.core.errors import ImageError

    with pytest.raises(ImageError, match="makes no sense"):
        set_pixel_size([labels], size, "mm")
    assert labels.scale.tolist() == [1, 1]


# -- the plot ----------------------------------------------------------------------------------------


def test_plot_has_class_colours_unit_and_a_word_on_hover(dock, labels, qtbot):
    labels.units = ("mm", "mm")
    until(qtbot, lambda: "Area (mm²)" in shown(dock)[0])
    finish(qtbot, dock)
    plot = dock.view.plot
    assert plot._bars.axis == "Area (mm²)"
    assert plot._bars.colors[4] == CLASSES.by_id(5).color
    plot.canvas.resize(300, 240)
    dock.show()
    qtbot.waitExposed(dock)
    QApplication.processEvents()
    where = plot.canvas.getPlotItem().vb.mapViewToScene(QPointF(1.0, 4.0))
    assert plot.text_at(where) == "elytra: 6 mm²"
    assert plot.text_at(QPointF(-5, -5)) == ""
    chosen = []
    plot.bar_chosen.connect(chosen.append)
    point = plot.canvas.mapFromScene(where)
    qtbot.mouseClick(plot.canvas.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(point.x(), point.y()))
    assert chosen == [4]
    assert labels.selected_label == 5


def test_another_measurement_can_be_plotted(dock):
    dock.view.quantity.setCurrentIndex(dock.view.quantity.findText("Parts"))
    dock.view.quantity.activated.emit(dock.view.quantity.currentIndex())
    assert dock.view.plot._bars.values[0] == 2
    assert dock.view.plot._bars.axis == "Parts"


def test_many_rows_become_a_histogram():
    bars = Bars(["n"] * 40, ["#ff0000"] * 30 + ["#00ff00"] * 10, [*range(39), float("nan")], "Area", "px²")
    bins = histogram(bars)
    assert {color: int(counts.sum()) for color, counts in bins.counts.items()} == {
        "#ff0000": 30,
        "#00ff00": 9,
    }
    assert (bins.edges[0], bins.edges[-1]) == (0, 38)


@pytest.mark.parametrize("values", [[3.0] * 30, [float("nan")] * 30, [float("inf")] * 30])
def test_a_histogram_of_one_value_or_none_is_no_error(values):
    bins = histogram(Bars(["n"] * 30, ["#ff0000"] * 30, values, "Area", ""))
    assert sum(int(c.sum()) for c in bins.counts.values()) == sum(np.isfinite(values))


# -- what goes out -----------------------------------------------------------------------------------


def test_copy_is_what_is_shown_for_a_spreadsheet(dock):
    dock.copy.click()
    lines = QApplication.clipboard().text().splitlines()
    assert lines[0].split("\t") == ["Class", "Area (px²)", "% of specimen", "Parts"]
    assert lines[1].split("\t") == ["head", "5", str(500 / 11), "2"]
    assert len(lines) == 10


def test_saved_table_is_the_whole_table(dock, tmp_path, monkeypatch):
    target = tmp_path / "areas.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(target), ""))
    dock.save.click()
    frame = pd.read_csv(target)
    assert frame.columns[:3].tolist() == ["image", "index", "class_name"]
    assert frame["area"].tolist() == dock.measured.frame["area"].tolist()
    assert str(target) in dock.status.text.text()


def test_a_folder_that_cannot_be_written_is_one_line(dock, tmp_path, monkeypatch):
    target = tmp_path / "no such folder" / "file" / "areas.csv"
    (tmp_path / "no such folder").write_text("a file")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(target), ""))
    dock.save.click()
    assert str(tmp_path) in dock.status.text.text()
    assert len(shown(dock)) == 10


def test_reproduce_shows_the_command(dock, labels):
    dock.reproduce.toggle.click()
    assert "specimen-seg measure" in dock.reproduce.command.toPlainText()
    assert "Save the labels first" in dock.reproduce.note.text()
    assert json.loads(dock.reproduce.settings.toPlainText())["per"] == "class"


# -- what can go wrong -------------------------------------------------------------------------------


def test_errors_are_one_line(dock, labels, qtbot, monkeypatch):
    from napari_specimen_seg.core.errors import MeasureError

    def fail(*args, **kwargs):
        raise MeasureError("labels and picture differ in size")

    monkeypatch.setattr("napari_specimen_seg.core.measure.measure", fail)
    notes = []
    monkeypatch.setattr("napari.utils.notifications.show_error", notes.append)
    dock.measure_now()
    finish(qtbot, dock)
    assert notes == ["labels and picture differ in size"]
    assert dock.status.text.text() == notes[0]
    assert not dock.view.isVisibleTo(dock)


def test_strange_values_are_warned_of(dock, labels, qtbot):
    labels.data[0, 3] = 77
    dock.measure_now()
    finish(qtbot, dock)
    assert "77" in dock.status.text.text()
    assert "label 77" in [row[0] for row in shown(dock)]


def test_layers_may_be_closed_during_measuring(dock, viewer, qtbot):
    dock.measure_now()
    viewer.layers.clear()
    finish(qtbot, dock)
    assert dock.empty.isVisibleTo(dock)
    assert dock.measured is None


def test_another_layer_during_measuring_is_measured_next(dock, viewer, qtbot):
    dock.measure_now()
    add(viewer, MASK * 0 + 5, name="full")
    finish(qtbot, dock)
    assert dock.picker.layer.name == "full"
    assert shown(dock)[5][1] == "24"


def test_a_closed_dock_leaves_the_layer_as_it_was(viewer, labels, qtbot):
    dock = MeasureDock(viewer)
    finish(qtbot, dock)
    before = len(labels.mouse_drag_callbacks)
    dock.only.click()
    dock.shut_down()
    assert not labels.show_selected_label
    assert len(labels.mouse_drag_callbacks) == before - 1
    labels.data = MASK * 0  # nobody listens any more
    dock.deleteLater()


def test_a_closed_dock_is_kept_by_nobody(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    add(viewer)
    dock = MeasureDock(viewer)
    holder = viewer.window.add_dock_widget(dock, name="Measure")
    finish(qtbot, dock)
    viewer.window.remove_dock_widget(holder)
    gone = weakref.ref(dock)
    del dock, holder
    qtbot.wait(10)
    gc.collect()
    assert gone() is None


def test_work_reports_so_that_it_can_be_cancelled():
    from napari_specimen_seg.core.errors import CancelledError

    def stop(progress):
        raise CancelledError

    with pytest.raises(CancelledError):
        measure_work(SpecimenLabels(MASK, class_map=CLASSES), "class")(stop)


def test_segment_dock_opens_the_measure_dock_with_its_result(
    make_napari_viewer, qtbot, tmp_path, monkeypatch
):
    write_models(tmp_path / "models")
    monkeypatch.setenv("SPECIMEN_SEG_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("napari_specimen_seg.models.predictor.load_model", Models())
    viewer = make_napari_viewer()
    viewer.add_image(MASK, name="scan")
    segment = SegmentDock(viewer)
    viewer.window.add_dock_widget(segment, name="Segment (Specimen Segmentation)")
    segment.models.choose("beetle")
    segment.go.click()
    finish(qtbot, segment)
    segment.measure.click()
    found = viewer.window._qt_window.findChildren(MeasureDock)
    assert len(found) == 1
    finish(qtbot, found[0])
    assert shown(found[0])[1] == ["head", "5", "45.45", "2"]
    segment.measure.click()
    assert len(viewer.window._qt_window.findChildren(MeasureDock)) == 1


def test_a_small_screen_is_enough(dock):
    dock.pixel_size.ruler.click()
    dock.reproduce.toggle.click()
    content = dock.body.parentWidget()
    assert content.minimumSizeHint().width() <= 303
    assert dock.minimumSizeHint().height() < 400


def test_the_dock_can_be_narrow(dock):
    from napari_specimen_seg.plugin.dock import MIN_WIDTH

    dock.pixel_size.ruler.click()
    assert dock.body.parentWidget().minimumSizeHint().width() <= MIN_WIDTH - 14  # beside the scroll bar


# -- larger than the memory --------------------------------------------------------------------------


def test_labels_that_are_read_from_the_disk_can_be_made_paintable(dock, viewer, qtbot, tmp_path, monkeypatch):
    import dask.array as da

    monkeypatch.setattr("napari_specimen_seg.plugin.paintable.results_folder", lambda: tmp_path / "kept")
    monkeypatch.setattr("napari_specimen_seg.plugin.paintable.BAND", 30)
    assert dock.paintable.isHidden()  # those in memory can be painted on
    values = np.random.default_rng(0).integers(0, 9, (2, 40, 70)).astype(np.uint8)
    levels = [da.from_array(values, chunks=20), da.from_array(values[:, ::2, ::2], chunks=20)]
    made = viewer.add_labels(levels, multiscale=True, name="saved", scale=(1, 3, 3), units=("mm",) * 3)
    made.metadata["class_map"] = PRESETS["beetle-parts"]
    dock.choose(made)
    assert not dock.paintable.isHidden()
    assert not made.editable
    dock.paintable.go.click()
    until(qtbot, lambda: viewer.layers["saved"] is not made and dock.job is None)
    layer = viewer.layers["saved"]
    np.testing.assert_array_equal(np.asarray(layer.store.labels), values)
    np.testing.assert_allclose(layer.scale, (1, 3, 3))
    assert layer.metadata["class_map"] == PRESETS["beetle-parts"]
    assert layer.editable
    layer.selected_label, layer.brush_size = 5, 4
    layer.paint((1, 20, 20), 5)
    assert layer.store.labels[1, 20, 20] == 5
    assert dock.picker.layer is layer
    assert dock.paintable.isHidden()


def test_a_copy_that_was_painted_on_and_not_saved_is_found_again(viewer, tmp_path, monkeypatch):
    import dask.array as da

    from napari_specimen_seg.core.progress import silent
    from napari_specimen_seg.plugin.paintable import copy_work, paintable_layer

    monkeypatch.setattr("napari_specimen_seg.plugin.paintable.results_folder", lambda: tmp_path / "kept")
    source = tmp_path / "saved.tif"
    source.write_bytes(b"pretend")
    lazy = da.zeros((40, 70), dtype=np.uint8, chunks=20)
    made = viewer.add_labels(lazy, metadata={"specimen_source": str(source)})
    store = copy_work(made)(silent)
    paintable_layer(made, store).data_setitem((np.array([3]), np.array([4])), 7)
    other = copy_work(made)(silent)  # while the first is in use
    assert other.labels[3, 4] == 0
    for one in (other, store):
        one.close()
    again = copy_work(made)(silent)
    assert again.labels[3, 4] == 7
    again.close()
    source.write_bytes(b"other content")
    fresh = copy_work(made)(silent)
    assert fresh.labels[3, 4] == 0
    fresh.close()


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_specimen_seg.plugin.paintable.results_folder", lambda: tmp_path / "kept")
    return tmp_path / "kept"


def test_a_copy_is_of_one_layer_and_its_pixels(viewer, tmp_path, kept):
    import dask.array as da

    from napari_specimen_seg.core.progress import silent
    from napari_specimen_seg.plugin.paintable import copy_work

    source = {"specimen_source": str(tmp_path)}  # a folder, as OME-Zarr is: what is in it does not change it
    folders, values = [], []
    for name, fill in (("one", 1), ("one", 2), ("two", 2), ("two", 2)):
        viewer.layers.clear()
        lazy = da.full((40, 70), fill, dtype=np.uint8, chunks=20)
        made = viewer.add_labels(lazy, name=name, metadata=source)
        with copy_work(made)(silent) as store:
            folders.append(store.folder)
            values.append(int(store.labels[3, 4]))
    assert values == [1, 2, 2, 2]
    assert len(set(folders)) == 3
    assert folders[2] == folders[3]


def test_bringing_a_copy_in_order_can_be_cancelled_and_lets_go_of_it(viewer, kept):
    import dask.array as da

    from napari_specimen_seg.core.errors import CancelledError
    from napari_specimen_seg.core.progress import silent
    from napari_specimen_seg.plugin.paintable import copy_work

    made = viewer.add_labels(da.ones((40, 70), dtype=np.uint8, chunks=20))
    with copy_work(made)(silent) as store:
        folder = store.folder
    (folder / "closed").unlink()  # as if the program had been killed

    def stop(progress):
        if progress.stage == "checking what is done":
            raise CancelledError

    with pytest.raises(CancelledError):
        copy_work(made)(stop)
    with copy_work(made)(silent) as again:
        assert again.folder == folder


def test_old_copies_are_forgotten_when_one_is_made(viewer, kept):
    import os

    import dask.array as da

    from napari_specimen_seg.core.progress import silent
    from napari_specimen_seg.plugin.paintable import copy_work

    (kept / "old.zarr").mkdir(parents=True)
    os.utime(kept / "old.zarr", times=(0, 0))
    copy_work(viewer.add_labels(da.ones((40, 70), dtype=np.uint8, chunks=20)))(silent).close()
    assert not (kept / "old.zarr").exists()


@pytest.mark.parametrize(
    ("answer", "value", "says"), [("go on", 7, True), ("begin anew", 1, False), ("cancel", 1, False)]
)
def test_what_was_painted_earlier_is_gone_on_with_only_if_wanted(
    dock, viewer, qtbot, kept, monkeypatch, answer, value, says
):
    import dask.array as da

    from napari_specimen_seg.core.progress import silent
    from napari_specimen_seg.plugin import paintable

    made = viewer.add_labels(da.ones((40, 70), dtype=np.uint8, chunks=20), name="saved")
    store = paintable.copy_work(made)(silent)
    earlier = paintable.paintable_layer(made, store)
    earlier.data_setitem((np.array([3]), np.array([4])), 7)
    earlier.events.paint(value=[])
    store.close()
    asked = []
    monkeypatch.setattr(paintable, "ask_to_go_on", lambda parent, name: asked.append(name) or answer)
    said = []
    monkeypatch.setattr(dock.status, "show_hint", said.append)
    dock.choose(made)
    dock.paintable.go.click()
    assert not dock.paintable.go.isEnabled()
    until(qtbot, lambda: bool(asked) and dock.job is None and dock.paintable.go.isEnabled())
    layer = viewer.layers["saved"]
    assert (layer is made) == (answer == "cancel")
    assert int(np.asarray(layer.data[0] if layer.multiscale else layer.data)[3, 4]) == value
    assert asked == ["saved"]
    assert (paintable.PAINTED in said) == says
