"""Class maps: what is accepted, what is refused and with which words."""

import json

import pytest

from napari_specimen_seg import ClassMap, LabelClass
from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import ClassMapError, SpecimenWarning

BACKGROUND = {"id": 0, "name": "background", "color": "#000000"}


def test_json_round_trip_keeps_ids_names_and_colours():
    class_map = PRESETS["fish-traits"]
    again = ClassMap.parse(json.loads(class_map.model_dump_json()))
    assert again == class_map
    assert again.ids == tuple(range(13))
    assert again.by_name("trunk").rgb == (0, 124, 124)


def test_rgb_lists_are_read_as_colours():
    class_map = ClassMap.parse({"classes": [{"id": 0, "name": "background", "rgb": [0, 0, 0]}]})
    assert class_map.background.color == "#000000"


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ([BACKGROUND, {"id": 0, "name": "a", "color": "#010101"}], "the id '0' occurs twice"),
        ([BACKGROUND, {"id": 1, "name": "background", "color": "#010101"}], "the name 'background' occurs"),
        ([BACKGROUND, {"id": 1, "name": "a", "color": "#000000"}], "the colour '#000000' occurs twice"),
        ([{"id": 1, "name": "a", "color": "#010101"}], "the background is missing"),
        ([BACKGROUND, {"id": 1, "name": " ", "color": "#010101"}], "the name is empty"),
        ([BACKGROUND, {"id": 1.5, "name": "a", "color": "#010101"}], "classes.1.id"),
        ([BACKGROUND, {"id": True, "name": "a", "color": "#010101"}], "classes.1.id"),
        ([BACKGROUND, {"id": 70000, "name": "a", "color": "#010101"}], "classes.1.id"),
        ([BACKGROUND, {"id": 1, "name": "a", "color": "red"}], "classes.1.color"),
        ([BACKGROUND, {"id": 1, "name": "a", "rgb": [1, 2, 300]}], "0 to 255"),
        ([BACKGROUND, {"id": 1, "name": "a", "color": "#010101", "x": 1}], "classes.1.x"),
        ([], "classes"),
    ],
)
def test_contradictions_are_refused_in_one_line(classes, words):
    with pytest.raises(ClassMapError, match=words) as caught:
        ClassMap.parse({"classes": classes}, source="classes.json")
    assert str(caught.value).startswith("classes.json: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["=1+1", "@sum", "-2", "<b>fin</b>", "a\nb", "Background"])
def test_odd_names_are_kept_with_a_warning(name):
    with pytest.warns(SpecimenWarning):
        class_map = ClassMap.parse({"classes": [BACKGROUND, {"id": 1, "name": name, "color": "#010101"}]})
    assert class_map.name_of(1) == name


def test_label_dtype_follows_the_largest_id():
    small = ClassMap(classes=(LabelClass(**BACKGROUND), LabelClass(id=255, name="a", color="#010101")))
    large = ClassMap(classes=(LabelClass(**BACKGROUND), LabelClass(id=256, name="a", color="#010101")))
    assert (small.label_dtype, large.label_dtype) == ("uint8", "uint16")


def test_maps_for_unknown_ids_are_stable_and_distinct():
    class_map = ClassMap.of_ids([7, 3, 300])
    assert class_map.ids == (0, 3, 7, 300)
    assert class_map.name_of(7) == "label 7"
    assert len({c.color for c in ClassMap.of_ids(list(range(2000)))}) == 2000
    assert class_map.by_id(7).color == ClassMap.of_ids([7]).by_id(7).color


def test_palette_holds_colours_by_id():
    palette = ClassMap.parse({"classes": [BACKGROUND, {"id": 2, "name": "a", "color": "#0a0b0c"}]}).palette()
    assert palette.tolist() == [[0, 0, 0], [0, 0, 0], [10, 11, 12]]


@pytest.mark.parametrize("kind", ["ReadError", "ModelError", "CancelledError"])
def test_errors_travel_between_processes(kind):
    import pickle

    from napari_specimen_seg.core import errors

    error = getattr(errors, kind)
    made = (
        error() if kind == "CancelledError" else error("is cut short", path="a.png", advice="Copy it again.")
    )
    again = pickle.loads(pickle.dumps(made))  # noqa: S301 - what this test itself wrote
    assert (type(again), str(again)) == (type(made), str(made))
