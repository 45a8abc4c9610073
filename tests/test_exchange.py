"""COCO, Label Studio and GeoJSON: what they look like, and that nothing is lost on the way there and back."""

import io
import json
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_specimen_seg.core.classes import ClassMap, LabelClass
from napari_specimen_seg.core.errors import ReadError, SpecimenError, WriteError
from napari_specimen_seg.core.exchange import brush, coco, geojson, label_studio
from napari_specimen_seg.core.exchange.documents import file_name, without_upload
from napari_specimen_seg.core.exchange.sketch import Polygons, Region, Sketch, class_map_for, drawn, labels_of
from napari_specimen_seg.core.image import SpecimenLabels

FILE = Path("x.json")
CLASSES = ClassMap(
    classes=(
        LabelClass(id=0, name="background", color="#000000"),
        LabelClass(id=2, name="leaf", color="#00ff00"),
        LabelClass(id=5, name='the "other" leaf', color="#ff8000"),
    )
)
LEAF_WITH_HOLE = np.array([[2, 2, 2, 0], [2, 0, 2, 5], [2, 2, 2, 5]], np.uint8)
OBJECTS = SpecimenLabels(
    np.array([[3, 3, 7], [3, 3, 7]], np.uint8),
    "o",
    "YX",
    class_map=CLASSES,
    object_class=np.array([0, 0, 0, 2, 0, 0, 0, 5], np.uint16),
)


def labels(data, class_map=CLASSES):
    return SpecimenLabels(np.asarray(data), "a", "YX", class_map=class_map)


def there(kind, subject, name="a.jpg"):
    """Write labels in a format; return the document."""
    picture, class_map = drawn(subject, name)
    file = io.StringIO()
    if kind == "coco":
        coco.write_coco(file, [picture], lambda: class_map)
    elif kind == "geojson":
        geojson.write_geojson(file, picture, class_map)
    else:
        label_studio.write_tasks(file, [picture], lambda: class_map)
    return json.loads(file.getvalue())


def back(kind, content, size, **how):
    """Read a document; return labels."""
    if kind == "coco":
        (sketch,), class_map = coco.read_coco(content, FILE)
    elif kind == "geojson":
        sketch, colors = geojson.read_geojson(content, FILE)
        class_map = class_map_for([sketch], colors)
    else:
        (sketch,), class_map = label_studio.read_label_studio(content, FILE), CLASSES
    return labels_of(sketch, size, class_map, **how)


@pytest.mark.parametrize("kind", ["coco", "geojson", "label-studio"])
def test_labels_come_back(kind):
    found = back(kind, there(kind, labels(LEAF_WITH_HOLE)), (3, 4))
    np.testing.assert_array_equal(found.data, LEAF_WITH_HOLE)
    assert found.class_map == CLASSES
    assert found.object_class is None


@pytest.mark.parametrize("kind", ["coco", "geojson"])
def test_objects_come_back_with_their_numbers(kind):
    found = back(kind, there(kind, OBJECTS), (2, 3))
    np.testing.assert_array_equal(found.data, OBJECTS.data)
    np.testing.assert_array_equal(found.object_class, OBJECTS.object_class)


@pytest.mark.parametrize("kind", ["coco", "geojson", "label-studio"])
def test_a_person_decides_whether_objects_or_classes(kind):
    document = there(kind, OBJECTS)
    assert back(kind, document, (2, 3), objects=False).data.tolist() == [[2, 2, 5], [2, 2, 5]]
    numbered = back(kind, document, (2, 3), objects=True)
    assert len(np.unique(numbered.data)) == 2
    assert numbered.object_class[numbered.data].tolist() == [[2, 2, 5], [2, 2, 5]]


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 2, 5])))
def test_nothing_is_lost(data):
    for kind in ("coco", "geojson", "label-studio"):
        found = back(kind, there(kind, labels(data)), data.shape)
        np.testing.assert_array_equal(found.data, data)


def test_labels_without_classes_get_names():
    document = there("coco", labels([[0, 1]], None))
    assert [category["name"] for category in document["categories"]] == ["label 1"]


def test_stacks_are_refused():
    with pytest.raises(WriteError, match="it is a stack"):
        drawn(SpecimenLabels(np.zeros((2, 3, 3), np.uint8), "a", "ZYX"), "a.tif")


# -- COCO ------------------------------------------------------------------------------------------------


def test_coco_as_others_know_it():
    document = there("coco", labels([[0, 2, 2], [0, 2, 2]]))
    assert document["images"] == [{"id": 1, "file_name": "a.jpg", "height": 2, "width": 3}]
    assert document["categories"][0] == {"id": 2, "name": "leaf", "supercategory": "", "color": "#00ff00"}
    assert document["annotations"] == [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 2,
            "segmentation": [[1, 0, 3, 0, 3, 2, 1, 2]],
            "area": 4,
            "bbox": [1, 0, 2, 2],
            "iscrowd": 0,
        }
    ]


def test_what_has_holes_is_given_as_run_lengths_that_pycocotools_reads():
    mask = pytest.importorskip("pycocotools.mask")
    first = there("coco", labels(LEAF_WITH_HOLE))["annotations"][0]
    assert first["segmentation"]["size"] == [3, 4]
    assert mask.area(first["segmentation"]) == first["area"] == 8
    assert coco._decoded(first["segmentation"]["counts"]) == [0, 4, 1, 4, 3]


def test_ids_that_cannot_be_class_ids_are_numbered_anew():
    content = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 0, "name": "a"}, {"id": 9, "name": "b"}],
    }
    assert coco.category_ids(content) == {0: 1, 9: 2}
    assert [c.name for c in coco.read_coco(content, FILE)[1]] == ["background", "a", "b"]


def test_later_regions_lie_on_top():
    square = [[0, 0, 2, 0, 2, 1, 0, 1]]
    content = {
        "images": [{"id": 1, "file_name": "x/a.png", "height": 1, "width": 3}],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "segmentation": square},
            {"image_id": 1, "category_id": 2, "segmentation": [[1, 0, 9, 0, 9, 1, 1, 1]]},
            {"image_id": 1, "category_id": 1, "segmentation": square, "iscrowd": 1},  # a box of a crowd
        ],
    }
    assert back("coco", content, (1, 3)).data.tolist() == [[1, 2, 2]]


@pytest.mark.parametrize(
    "shape",
    [
        {"size": [2, 3], "counts": [7]},
        {"size": [2, 3], "counts": [-1, 7]},
        {"size": [3, 2], "counts": [6]},
        {"size": [2, 3], "counts": "zzzz"},
        {"size": [2, 3], "counts": "~" * 40},
        {"size": [2, 3], "counts": ["a"]},
        {"size": [2, 3], "counts": [10**30]},
        {"size": [2, 3]},
        {"size": 10**30, "counts": [6]},
        [[0, 0, 1]],
        [["a"] * 6],
        [[float("nan")] * 6],
        [{}],
    ],
)
def test_regions_that_make_no_sense_are_told(shape):
    with pytest.raises(ReadError):
        coco.CocoShape(shape).fill(2, 3)


@pytest.mark.parametrize(
    "shape", [[], None, [[0, 0, 1, 1]], [[-9, -9, -5, -9, -5, -5]], {"size": [2, 3], "counts": [6]}]
)
def test_regions_without_pixels_are_none(shape):
    window, mask = coco.CocoShape(shape).fill(2, 3)
    assert not mask.any()
    np.zeros((2, 3))[window][mask] = 1


def test_polygons_far_outside_do_no_harm():
    window, mask = coco.CocoShape([[-1e12, -1e12, 1e12, -1e12, 1e12, 1e12, -1e12, 1e12]]).fill(2, 3)
    assert mask.all()
    assert np.zeros((2, 3))[window].shape == (2, 3)


# -- GeoJSON ---------------------------------------------------------------------------------------------


def test_geojson_as_qupath_knows_it():
    (leaf, other) = there("geojson", labels(LEAF_WITH_HOLE))["features"]
    assert leaf["geometry"]["type"] == "Polygon"
    assert leaf["geometry"]["coordinates"][0] == [[0, 0], [3, 0], [3, 3], [0, 3], [0, 0]]
    assert len(leaf["geometry"]["coordinates"]) == 2
    assert leaf["properties"]["objectType"] == "annotation"
    assert leaf["properties"]["classification"] == {"name": "leaf", "color": [0, 255, 0]}
    assert other["properties"]["classification"]["name"] == 'the "other" leaf'
    assert there("geojson", OBJECTS)["features"][0]["properties"]["objectType"] == "detection"


def test_geojson_of_others():
    ring = [[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}},
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": None},
        {
            "type": "Feature",
            "geometry": {
                "type": "GeometryCollection",
                "geometries": [{"type": "MultiPolygon", "coordinates": [[ring]]}],
            },
            "properties": {"classification": {"name": "Tumor", "colorRGB": -3670016}},
        },
    ]
    for content in (features, {"type": "FeatureCollection", "features": features}):
        sketch, colors = geojson.read_geojson(content, FILE)
        assert [region.class_name for region in sketch.regions] == ["unclassified", "Tumor"]
        assert colors == {"Tumor": "#c80000"}
    assert len(geojson.read_geojson(features[2], FILE)[0].regions) == 1


@pytest.mark.parametrize(
    "content",
    [
        {"type": "FeatureCollection", "features": [{}]},
        {"type": "FeatureCollection", "features": 7},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[["a", 1]] * 4]}},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[1e400, 1]] * 4]}},
        {"type": "Topology"},
        {},
        [],
    ],
)
def test_geojson_that_makes_no_sense_is_told(content):
    with pytest.raises(ReadError):
        geojson.read_geojson(content, FILE)


# -- Label Studio ----------------------------------------------------------------------------------------


def test_tasks_as_label_studio_knows_them():
    (task,) = there("label-studio", labels(LEAF_WITH_HOLE), "my leaf.jpg")
    assert task["data"] == {"image": "/data/local-files/?d=my%20leaf.jpg"}
    (prediction,) = task["predictions"]
    assert [result["value"]["brushlabels"] for result in prediction["result"]] == [
        ["leaf"],
        ['the "other" leaf'],
    ]
    first = prediction["result"][0]
    assert (first["original_height"], first["original_width"]) == (3, 4)
    assert (first["from_name"], first["to_name"], first["type"]) == ("label", "image", "brushlabels")
    np.testing.assert_array_equal(brush.unpack(first["value"]["rle"], 3, 4), LEAF_WITH_HOLE == 2)
    assert file_name(task["data"]["image"]) == "my leaf.jpg"


def test_the_interface_names_classes_and_colours():
    text = label_studio.labeling_config(CLASSES)
    assert '<Label value="leaf" background="#00ff00"/>' in text
    assert "<Label value='the \"other\" leaf'" in text
    assert re.search(r'<BrushLabels name="label" toName="image">', text)


def one_task(*results, **more):
    return [
        {
            "data": {"image": "/data/upload/3/0a1b2c3d-leaf.png"},
            "annotations": [{"result": list(results), **more}],
        }
    ]


def shape_of(kind, **value):
    return {
        "type": kind,
        "original_height": 10,
        "original_width": 20,
        "value": {kind: ["leaf"], **value},
    }


@pytest.mark.parametrize(
    ("result", "pixels", "corner"),
    [
        (shape_of("rectanglelabels", x=10, y=20, width=50, height=40), 10 * 4, (2, 2)),
        (shape_of("rectanglelabels", x=50, y=50, width=25, height=20, rotation=90), 5 * 2, (5, 8)),
        (shape_of("polygonlabels", points=[[0, 0], [50, 0], [50, 100], [0, 100]]), 100, (0, 0)),
        (shape_of("ellipselabels", x=50, y=50, radiusX=10, radiusY=20), 12, (3, 9)),
    ],
)
def test_other_shapes_are_painted(result, pixels, corner):
    (sketch,) = label_studio.read_label_studio(one_task(result), FILE)
    assert (sketch.size, sketch.name) == ((10, 20), "leaf.png")
    found = labels_of(sketch, sketch.size, CLASSES).data
    assert (found == 2).sum() == pixels
    assert tuple(np.argwhere(found)[0]) == corner


def test_the_newest_annotation_counts_and_cancelled_ones_do_not():
    whole = [[0, 0], [100, 0], [100, 100], [0, 100]]
    old, new = (shape_of("polygonlabels", points=whole) for _ in range(2))
    new["value"]["polygonlabels"] = ["other"]
    task = one_task(old, created_at="2024-01-01")[0]
    task["annotations"] += [
        {"result": [new], "created_at": "2024-05-01"},
        {"result": [], "created_at": "2025-01-01", "was_cancelled": True},
    ]
    task["predictions"] = [{"result": [old, old]}]
    assert [r.class_name for r in label_studio.read_label_studio([task], FILE)[0].regions] == ["other"]
    task["annotations"] = []
    assert len(label_studio.read_label_studio([task], FILE)[0].regions) == 2
    task["predictions"] = []
    assert label_studio.read_label_studio([task], FILE) == []


@pytest.mark.parametrize(
    "content",
    [
        [{"image": "a.png", "tag": []}],
        {"tasks": []},
        one_task({"type": "brushlabels", "value": {"brushlabels": ["a"], "rle": [1]}}),
        one_task(shape_of("polygonlabels", points=[[1, 2, 3]])),
        one_task(shape_of("rectanglelabels", x="a")),
        one_task({**shape_of("polygonlabels", points=[]), "original_width": 10**12}),
    ],
)
def test_tasks_that_make_no_sense_are_told(content):
    with pytest.raises(ReadError):
        label_studio.read_label_studio(content, FILE)


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_brushes_are_packed_and_unpacked(mask):
    np.testing.assert_array_equal(brush.unpack(brush.pack(mask), *mask.shape), mask)


def test_long_runs_are_packed_in_pieces():
    mask = np.zeros((300, 300), bool)
    mask[100:, 3:] = True
    packed = brush.pack(mask)
    assert len(packed) < 3000
    np.testing.assert_array_equal(brush.unpack(packed, 300, 300), mask)


def test_words_that_are_not_repeated():
    """As Label Studio itself packs: two pixels whose eight bytes all differ, the last of each its alpha."""
    values = [1, 2, 3, 255, 5, 6, 7, 0]
    bits = f"{8:032b}{7:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16)) + "000" + f"{7:03b}"
    bits += "".join(f"{v:08b}" for v in values)
    packed = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    assert brush.unpack(packed, 1, 2).tolist() == [[True, False]]


@pytest.mark.parametrize("packed", [1 << 31, None, ["a"], [300], [float("nan")], {}])
def test_what_is_not_packed_is_told(packed):
    with pytest.raises(ReadError):
        brush.unpack(packed, 2, 2)


@given(st.binary(max_size=60))
def test_packed_nonsense_is_told(data):
    head = brush.pack(np.zeros((2, 2), bool))[:7]
    for packed in (data, bytes(head) + data):
        with suppress(ReadError):
            brush.unpack(packed, 2, 2)


# -- classes and names -----------------------------------------------------------------------------------


def region(name, class_id=None):
    return Region(name, Polygons([]), class_id)


def test_classes_keep_ids_where_files_agree():
    sketch = Sketch("a", (region("b", 7), region("a", 3)))
    assert [(c.id, c.name) for c in class_map_for([sketch])][1:] == [(3, "a"), (7, "b")]


@pytest.mark.parametrize("ids", [(3, 3), (None, 3), (70000, 3), (0, 1)])
def test_else_they_are_numbered_by_name(ids):
    sketch = Sketch("a", (region("b", ids[0]), region("a", ids[1])))
    assert [(c.id, c.name) for c in class_map_for([sketch])][1:] == [(1, "a"), (2, "b")]


def test_a_region_called_background_is_background():
    sketch = Sketch("a", (region("Background"), region("a")))
    assert [c.name for c in class_map_for([sketch])] == ["Background", "a"]


def test_a_name_that_cannot_be_a_class_is_told():
    with pytest.raises(SpecimenError):
        class_map_for([Sketch("a", (region("x" * 300),))])


def test_a_class_that_the_map_lacks_is_told():
    with pytest.raises(ReadError, match="'moss', which the class map lacks"):
        labels_of(Sketch("a", (region("moss"),)), (2, 2), CLASSES)


@pytest.mark.parametrize("size", [(0, 5), (10**6, 10**6)])
def test_sizes_that_cannot_be_meant(size):
    with pytest.raises(ReadError, match="cannot be meant"):
        labels_of(Sketch("a", ()), size, CLASSES)


def test_corners_far_outside_do_no_harm():
    far = Polygons([(np.array([[-1e300, -1e300], [1e300, -1e300], [1e300, 1e300], [-1e300, 1e300]]),)])
    assert far.fill(3, 2)[1].all()


def test_numbers_that_would_fill_the_memory_are_given_anew():
    square = Polygons([(np.array([[0, 0], [1, 0], [1, 1], [0, 1]]),)])
    sketch = Sketch("a", (Region("leaf", square, 2, 4_000_000_000),))
    found = labels_of(sketch, (2, 2), CLASSES)
    assert found.data.tolist() == [[1, 0], [0, 0]]
    assert len(found.object_class) == 2


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a/b/leaf.png", "leaf.png"),
        ("C:\\photos\\leaf.png", "leaf.png"),
        ("https://example.org/photos/my%20leaf.png?x=1", "my leaf.png"),
        ("/data/local-files/?d=photos/my%20leaf.png", "my leaf.png"),
        ("../../etc/passwd", "passwd"),
    ],
)
def test_the_name_in_a_path_or_address(text, name):
    assert file_name(text) == name


def test_what_label_studio_puts_before_uploads_is_taken_away():
    assert without_upload("0a1b2c3d-leaf.png") == "leaf.png"
    for name in ("leaf-2.png", "0a1b2c3d.png", "0A1B2C3D-leaf.png", "0a1b2c3d-"):
        assert without_upload(name) == name
