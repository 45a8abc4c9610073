"""Areas, parts and shapes: answers written out, counted, and compared with scikit-image."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from skimage.measure import label, regionprops_table

from napari_specimen_seg.core import regions
from napari_specimen_seg.core.classes import PRESETS, ClassMap, LabelClass
from napari_specimen_seg.core.errors import ImageError, MeasureError, SpecimenWarning
from napari_specimen_seg.core.image import SpecimenImage, SpecimenLabels
from napari_specimen_seg.core.measure import MEASUREMENTS, column_titles, measure

MAP = ClassMap(
    classes=(
        LabelClass(id=0, name="background", color="#000000"),
        LabelClass(id=3, name="wing", color="#ff0000"),
        LabelClass(id=1, name="body", color="#00ff00"),
        LabelClass(id=2, name="leg", color="#0000ff"),
    )
)
PICTURE = np.array(
    [
        [1, 1, 0, 0, 3],
        [1, 0, 0, 3, 0],
        [0, 1, 0, 0, 0],
        [0, 0, 0, 0, 3],
    ],
    np.uint8,
)
small_labels = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


def test_each_class_has_a_row_in_the_order_of_the_map():
    table = measure(PICTURE, MAP, pixel_size=0.5, unit="mm", name="a")
    assert list(table.columns) == [
        "image",
        "index",
        "class_name",
        "area",
        "area_mm2",
        "percent_of_specimen",
        "percent_of_picture",
        "parts",
    ]
    assert table.to_numpy().tolist() == [
        ["a", 3, "wing", 3, 0.75, pytest.approx(300 / 7), 15.0, 2],
        ["a", 1, "body", 4, 1.0, pytest.approx(400 / 7), 20.0, 1],
        ["a", 2, "leg", 0, 0.0, 0.0, 0.0, 0],
    ]
    assert table["area"].dtype == np.int64


def test_corners_connect():
    assert measure(np.eye(3, dtype=np.uint8))["parts"].tolist() == [1]


def test_pixels_that_are_not_square():
    labels = SpecimenLabels(PICTURE, spacing=(0.5, 0.25), unit="mm", class_map=MAP, name="b")
    assert measure(labels)["area_mm2"].tolist() == [0.375, 0.5, 0.0]
    assert measure(labels, unit="um")["area_um2"].tolist() == pytest.approx([375e3, 500e3, 0])
    objects = measure(labels, per="object")
    assert objects["height_mm"].tolist() == [1.5, 1.0, 0.5]
    assert objects["width_mm"].tolist() == [0.5, 0.5, 0.25]
    assert np.isnan(objects["perimeter_mm"]).all()


def test_values_without_a_class_are_measured_and_named():
    with pytest.warns(SpecimenWarning, match="does not have label 7"):
        table = measure(np.array([[7, 7, 1, 0]]), MAP)
    assert table[["index", "class_name", "area"]].to_numpy().tolist() == [
        [3, "wing", 0],
        [1, "body", 1],
        [2, "leg", 0],
        [7, "label 7", 2],
    ]
    assert table["percent_of_specimen"].sum() == pytest.approx(100)


def test_no_class_map_gives_made_up_names():
    assert measure(np.array([[5, 0, 9]]))["class_name"].tolist() == ["label 5", "label 9"]


def test_nothing_but_background():
    table = measure(np.zeros((2, 3), np.uint16), MAP)
    assert table["area"].tolist() == [0, 0, 0]
    assert table["percent_of_specimen"].isna().all()
    for per in ("object", "specimen"):
        found = measure(np.zeros((2, 3), np.uint16), MAP, image=np.zeros((2, 3)), per=per)
        assert len(found) == 0
        assert {"image", "index", "class_name", "area", "solidity", "mean_intensity"} <= set(found.columns)


def test_stacks_are_measured_plane_by_plane():
    stack = SpecimenLabels(np.stack([PICTURE, np.zeros_like(PICTURE)]), axes="ZYX", class_map=MAP, name="s")
    table = measure(stack)
    assert table["plane"].tolist() == [0, 0, 0, 1, 1, 1]
    assert table["area"].tolist() == [3, 4, 0, 0, 0, 0]
    assert list(table.columns[:4]) == ["image", "index", "class_name", "plane"]
    assert measure(stack, per="object")["plane"].tolist() == [0, 0, 0]
    assert measure(stack, per="specimen")["plane"].tolist() == [0, 0, 0]


def test_means_of_the_picture():
    image = np.arange(20.0).reshape(4, 5)
    assert measure(PICTURE, MAP, image=image)["mean_intensity"].tolist()[:2] == [31 / 3, 17 / 4]
    table = measure(PICTURE, MAP, image=SpecimenImage(np.stack([image, image + 1, image + 2], -1)))
    assert table[["mean_red", "mean_green", "mean_blue"]].iloc[1].tolist() == [4.25, 5.25, 6.25]
    assert np.isnan(table["mean_red"].iloc[2])
    objects = measure(PICTURE, MAP, image=np.stack([image] * 5, -1), per="object")
    assert objects["mean_channel_5"].tolist() == [4.25, 6.0, 19.0]
    stains = SpecimenImage(np.stack([image, image], -1), axes="YXC", channel_names=("DAPI", "GFP"))
    assert {"mean_DAPI", "mean_GFP"} <= set(measure(PICTURE, MAP, image=stains, per="specimen").columns)


def test_objects_are_connected_parts_of_a_class():
    table = measure(PICTURE, MAP, per="object")
    assert table[["index", "class_name", "area", "bbox_top", "bbox_left"]].to_numpy().tolist() == [
        [1, "body", 4, 0, 0],
        [2, "wing", 2, 0, 3],
        [3, "wing", 1, 3, 4],
    ]


def test_numbers_of_objects_are_kept():
    labels = np.array([[9, 0, 9], [4, 4, 0]], np.uint32)
    table = measure(labels, per="object")
    assert table[["index", "class_name", "area"]].to_numpy().tolist() == [[4, "object", 2], [9, "object", 2]]
    classes = np.zeros(10, np.uint16)
    classes[[4, 9]] = 2, 3
    known = SpecimenLabels(labels, class_map=MAP, object_class=classes)
    assert measure(known, per="object")["class_name"].tolist() == ["leg", "wing"]
    assert measure(known)["area"].tolist() == [2, 0, 2]
    with pytest.raises(MeasureError, match="object 9 has no class"):
        measure(known.replace(object_class=classes[:6]))


def test_large_object_numbers():
    labels = np.array([[0, 3_000_000_000, 5], [5, 0, 0]], np.uint32)
    assert measure(labels, per="object")["index"].tolist() == [5, 3_000_000_000]
    with pytest.raises(MeasureError, match="too large for a class id"):
        measure(labels)


def test_a_mask_with_one_value_is_split_into_parts():
    assert measure(np.array([[1, 0, 1]]), per="object")["area"].tolist() == [1, 1]


def test_specimens_take_their_specks():
    labels = np.zeros((20, 40), np.uint8)
    labels[2:12, 2:12] = 1
    labels[4:6, 4:6] = 3
    labels[5:15, 25:35] = 1
    labels[0, 0] = labels[19, 39] = 2
    labels[0, 20] = 2
    table = measure(labels, MAP, pixel_size=2, unit="um", per="specimen")
    assert table["area"].tolist() == [101, 102]
    assert table["area_wing"].tolist() == [4, 0]
    assert table["area_leg_um2"].tolist() == [4, 8]
    assert table["area_um2"].sum() == np.count_nonzero(labels) * 4
    assert table["class_name"].tolist() == ["specimen", "specimen"]


def test_class_names_that_would_share_a_column():
    rows = (("background", 0), ("x", 1), ("x_mm2", 2))
    clash = ClassMap(classes=tuple(LabelClass(id=i, name=n, color=f"#{i:06x}") for n, i in rows))
    table = measure(np.array([[1, 2, 2]]), clash, 1.0, "mm", per="specimen")
    assert table[["area_x", "area_x_mm2", "area_x_mm2_2", "area_x_mm2_2_mm2"]].to_numpy().tolist() == [
        [1, 1, 2, 2]
    ]


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (np.ones((2, 2)), {}, "whole numbers, not float64"),
        (np.array([[-1, 1]]), {}, "must not be negative, and -1 is"),
        (np.ones((2, 0), int), {}, "no pixels"),
        (np.ones((2, 2), int), {"image": np.ones((2, 3))}, "do not fit"),
        (np.ones((2, 2), int), {"image": np.ones((2, 2, 3, 3))}, "do not fit"),
        (np.ones((2, 2), int), {"image": np.ones((2, 2), complex)}, "have no mean"),
        (np.ones((2, 2), int), {"pixel_size": 0.1}, "has no unit"),
        (np.ones((2, 2), int), {"pixel_size": -1, "unit": "mm"}, "makes no sense"),
        (np.ones((2, 2), int), {"pixel_size": float("nan"), "unit": "mm"}, "makes no sense"),
        (np.ones((2, 2), int), {"pixel_size": 1, "unit": "kg"}, "not a unit of length"),
        (np.ones((2, 2), int), {"per": "pixel"}, "is not known"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(labels, options, message):
    with pytest.raises(MeasureError, match=message) as caught:
        measure(labels, **options)
    assert "\n" not in str(caught.value)


def test_a_colour_picture_is_not_labels():
    with pytest.raises(ImageError, match="colour picture"):
        measure(np.ones((4, 4, 3), np.uint8))


def test_headings_for_every_column():
    titles = column_titles("um")
    table = measure(PICTURE, MAP, 1.5, "um", per="object")
    assert set(table.columns) <= set(titles)
    assert titles["area_um2"] == "Area (µm²)"
    assert titles["area"] == "Area (px²)"
    assert all(item.help.endswith(".") or ")." in item.help for item in MEASUREMENTS)


@given(small_labels)
@settings(max_examples=60, deadline=None)
def test_areas_add_up_to_the_picture(labels):
    table = measure(labels, MAP)
    for row in table.itertuples():
        assert row.area == np.count_nonzero(labels == row.index)
        assert row.parts == label(labels == row.index, connectivity=2).max()
    assert table["area"].sum() + np.count_nonzero(labels == 0) == labels.size
    if labels.any():
        assert table["percent_of_specimen"].sum() == pytest.approx(100)
        assert measure(labels, MAP, per="object")["area"].sum() == np.count_nonzero(labels)
        assert measure(labels, MAP, per="specimen")["area"].sum() == np.count_nonzero(labels)


@given(small_labels, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_bands_change_nothing(labels, rows):
    lazy = da.from_array(labels, chunks=(rows, 3))
    image = np.arange(labels.size * 2.0).reshape(*labels.shape, 2)
    whole = measure(labels, MAP, image=image)
    assert measure(lazy, MAP, image=da.from_array(image, chunks=(2, 2, 2))).equals(whole)


def test_bands_of_a_lazy_picture_end_where_chunks_end():
    lazy = da.zeros((10, 4), chunks=(3, 4), dtype=np.uint8)
    assert [(start, band.shape) for start, band in regions.bands(lazy, 16)] == [
        (0, (3, 4)),
        (3, (3, 4)),
        (6, (3, 4)),
        (9, (1, 4)),
    ]


SKIMAGE = {
    "area": "area",
    "centroid_y": "centroid-0",
    "centroid_x": "centroid-1",
    "bbox_top": "bbox-0",
    "bbox_left": "bbox-1",
    "perimeter": "perimeter",
    "equivalent_diameter": "equivalent_diameter_area",
    "major_axis": "axis_major_length",
    "minor_axis": "axis_minor_length",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
}


def assert_like_skimage(numbers, table):
    names = {name.split("-")[0] for name in SKIMAGE.values()}
    expected = regionprops_table(numbers, properties=sorted(names))
    for ours, theirs in SKIMAGE.items():
        np.testing.assert_allclose(table[ours], expected[theirs], rtol=1e-9, atol=1e-7, err_msg=ours)


@given(small_labels)
@settings(max_examples=40, deadline=None)
def test_shapes_are_those_of_skimage(labels):
    if np.unique(labels[labels > 0]).size > 1:
        assert_like_skimage(labels, measure(labels, per="object"))


def test_nuclei_are_measured_as_by_skimage(shared):
    import tifffile

    paths = sorted((shared / "data/dsb2018/val/labels").glob("*.tif"))[:6]
    assert paths
    for path in paths:
        numbers = tifffile.imread(path)
        assert_like_skimage(numbers, measure(numbers, per="object"))


def test_beetle_parts_are_counted(shared):
    paths = sorted((shared / "data/beetles9/val/labels").glob("*.png"))[:6]
    assert paths
    for path in paths:
        labels = np.asarray(Image.open(path))
        table = measure(labels, PRESETS["beetle-parts"])
        assert table["index"].tolist() == list(range(1, 10))
        assert table["area"].tolist() == [int((labels == i).sum()) for i in range(1, 10)]
        assert table["parts"].tolist() == [label(labels == i, connectivity=2).max() for i in range(1, 10)]
