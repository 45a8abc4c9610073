"""Specks, holes, rims, cuts: written out, as scikit-image and SciPy define them, and by command."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.draw import disk
from skimage.measure import label
from skimage.morphology import disk as disc
from skimage.segmentation import expand_labels

from napari_specimen_seg.cli import main
from napari_specimen_seg.core import log, part_runs
from napari_specimen_seg.core import refine as operations
from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import ClassMapError, MeasureError
from napari_specimen_seg.core.files import read_labels, write_labels
from napari_specimen_seg.core.image import SpecimenLabels
from napari_specimen_seg.core.refining import RefineSettings, refine

MAP = PRESETS["beetle-parts"]
pictures = arrays(np.uint8, st.tuples(st.integers(1, 16), st.integers(1, 16)), elements=st.integers(0, 3))


@pytest.fixture(autouse=True, params=[1 << 20, 24], ids=["whole", "in bands"])
def _bands(request, monkeypatch):
    monkeypatch.setattr(part_runs, "BLOCK_PIXELS", request.param)
    monkeypatch.setattr(operations, "_SIDE", 512 if request.param > 24 else 7)


def rows(*lines):
    return np.array([[int(c) for c in line.replace(".", "0")] for line in lines], np.uint8)


# -- written out -----------------------------------------------------------------------------------------

HEAD = rows(
    "..........",
    ".11111....",
    ".1...1.22.",
    ".1.2.1.2.2",
    ".1...1.22.",
    ".11111..1.",
    ".......1..",
)


def test_specks():
    assert np.array_equal(
        operations.remove_small(HEAD, 3),
        rows(
            "..........",
            ".11111....",
            ".1...1.22.",
            ".1...1.2.2",
            ".1...1.22.",
            ".11111....",
            "..........",
        ),
    )
    assert operations.remove_small(HEAD, 2, classes=[1]).tolist() == HEAD.tolist()
    assert np.argwhere(operations.remove_small(HEAD, 2) != HEAD).tolist() == [[3, 3]]


def test_holes_are_filled_around_what_is_in_them():
    filled = operations.fill_holes(HEAD)
    assert np.array_equal(
        filled,
        rows(
            "..........",
            ".11111....",
            ".11111.22.",
            ".11211.222",
            ".11111.22.",
            ".11111..1.",
            ".......1..",
        ),
    )
    assert np.array_equal(operations.fill_holes(HEAD, 8)[:, :7], HEAD[:, :7])  # the hole has 9 with the eye
    assert np.array_equal(operations.fill_holes(HEAD, 9), filled)
    assert np.array_equal(operations.fill_holes(HEAD, classes=[2])[:, :7], HEAD[:, :7])


def test_the_innermost_of_nested_holes_counts():
    nested = rows("1111111", "1.....1", "1.222.1", "1.2.2.1", "1.222.1", "1.....1", "1111111")
    assert operations.fill_holes(nested)[3].tolist() == [1, 1, 2, 2, 2, 1, 1]
    assert operations.fill_holes(nested, classes=[1])[3].tolist() == [1, 1, 2, 1, 2, 1, 1]
    assert operations.fill_holes(nested, 1)[3].tolist() == [1, 0, 2, 2, 2, 0, 1]


def test_a_notch_at_the_edge_of_the_picture_is_no_hole():
    assert operations.fill_holes(rows("1.1", "1.1", "111")).tolist() == rows("1.1", "1.1", "111").tolist()


def test_the_largest_part_of_each_class():
    assert (
        operations.keep_largest(rows("11.2", "...2", "1.33", "..2.")).tolist()
        == rows("11.2", "...2", "..33", "....").tolist()
    )
    assert operations.keep_largest(rows("1.1.1")).tolist() == [[1, 0, 0, 0, 0]]
    assert operations.keep_largest(rows("1.1.2.2"), classes=[2]).tolist() == rows("1.1.2..").tolist()


def test_growing_stops_at_other_classes_and_ties_go_to_the_lowest_id():
    assert operations.dilate(rows("2...1"), 2).tolist() == rows("22111").tolist()
    assert operations.dilate(rows("2.1..3"), 1).tolist() == rows("211133").tolist()
    assert operations.dilate(rows("2.1..3"), 1, classes=[2]).tolist() == rows("221..3").tolist()


def test_lengths_where_pixels_are_not_square():
    point = np.zeros((5, 5), np.uint8)
    point[2, 2] = 1
    tall = operations.dilate(point, 2.0, pixel_size=(2.0, 1.0))
    assert (tall.sum(axis=0).tolist(), tall.sum(axis=1).tolist()) == ([1, 1, 3, 1, 1], [0, 1, 5, 1, 0])
    assert operations.erode(np.ones((3, 3), np.uint8), 5.0).all()


def test_smoothing_takes_the_majority_and_touches_chosen_classes_only():
    rough = rows("11111", "11.11", "11111", ".....", "..1..", ".....")
    smooth = rows("11111", "11111", "11111", ".....", ".....", ".....")
    assert operations.smooth(rough, 1.5).tolist() == smooth.tolist()
    assert operations.smooth(rough, 1.5, classes=[2]).tolist() == rough.tolist()
    assert operations.smooth(rows("111", "1.."), 1e6).all()


def test_a_cut_leaves_two_parts():
    labels = np.zeros((50, 60), np.uint8)
    for centre in ((20, 20), (20, 37)):
        labels[disk(centre, 10)] = 3
    cut = operations.split(labels)
    assert label(cut, connectivity=2).max() == 2
    assert 0 < np.count_nonzero(cut != labels) < 30
    assert operations.split(labels, classes=[1]).tolist() == labels.tolist()


# -- as others define it ---------------------------------------------------------------------------------


@given(pictures, st.integers(1, 9))
@settings(max_examples=40)
def test_specks_and_largest_parts_as_by_scikit_image(labels, area):
    small, largest = np.zeros_like(labels), np.zeros_like(labels)
    for class_id in range(1, 4):
        parts = label(labels == class_id, connectivity=2)
        areas = np.bincount(parts.ravel())
        small[(parts > 0) & (areas[parts] >= area)] = class_id
        if areas.size > 1:
            largest[parts == 1 + np.argmax(areas[1:])] = class_id
    np.testing.assert_array_equal(operations.remove_small(labels, area), small)
    np.testing.assert_array_equal(operations.keep_largest(labels), largest)


@given(pictures)
@settings(max_examples=40)
def test_holes_as_by_scipy(labels):
    filled = operations.fill_holes(labels)
    masks = {i: ndimage.binary_fill_holes(labels == i) for i in range(1, 4)}
    for class_id, mask in masks.items():
        assert not (filled == class_id)[~mask].any()
    in_a_hole = np.any(list(masks.values()), axis=0) & (labels == 0)
    np.testing.assert_array_equal(filled != labels, in_a_hole)
    alone = (labels == 1).astype(np.uint8)
    np.testing.assert_array_equal(operations.fill_holes(alone) == 1, masks[1])


@given(pictures, st.sampled_from([1, 2, 3]))
@settings(max_examples=40)
def test_growing_and_shrinking_as_by_scikit_image(labels, radius):
    grown = operations.dilate(labels, radius)
    np.testing.assert_array_equal(grown > 0, expand_labels(labels, radius) > 0)
    assert (grown == labels)[labels > 0].all()
    shrunk = operations.erode(labels, radius)
    around = disc(radius)
    majority = []
    for class_id in range(4):
        mask = labels == class_id
        if class_id:
            expected = ndimage.binary_erosion(mask, around, border_value=1)
            np.testing.assert_array_equal(shrunk == class_id, expected)
        majority.append(2 * ndimage.convolve(mask.astype(int), around.astype(int), mode="constant") + mask)
    np.testing.assert_array_equal(operations.smooth(labels, radius), np.argmax(majority, axis=0))


ALL = RefineSettings(
    smooth=1, fill_holes=True, remove_small=4, keep_largest=True, erode=1, dilate=1, split=True
)
ONE_BY_ONE = [RefineSettings(**{name: value}) for name, value in ALL if value is not None]


@given(pictures, st.sampled_from([ALL, *ONE_BY_ONE]), st.sets(st.integers(1, 3), max_size=2))
@settings(max_examples=60)
def test_nothing_else_changes(labels, wanted, classes):
    refined = refine(labels, wanted, classes=classes)
    after = refined.labels.data
    assert after.dtype == labels.dtype
    assert set(np.unique(after)) <= set(np.unique(labels)) | {0}
    free = classes | {0}
    changed = after != labels
    assert set(labels[changed].tolist()) | set(after[changed].tolist()) <= free
    assert refined.changed == np.count_nonzero(changed)
    back = after.copy()
    back[refined.where] = refined.before[refined.where]
    np.testing.assert_array_equal(back, labels)
    if refined.box is not None:
        assert np.count_nonzero(changed[refined.box]) == refined.changed


@given(pictures, st.sampled_from([{"fill_holes": True}, {"remove_small": 5}, {"keep_largest": True}]))
@settings(max_examples=40)
def test_twice_is_once(labels, wanted):
    once = refine(labels, RefineSettings(**wanted)).labels.data
    assert refine(once, RefineSettings(**wanted)).changed == 0


# -- labels of files -------------------------------------------------------------------------------------


def test_units_and_names():
    labels = SpecimenLabels(HEAD, spacing=(0.5, 0.5), unit="mm", class_map=MAP)
    small = RefineSettings(remove_small=0.75)
    by_unit = refine(labels, small, unit="mm", classes=["eyes"]).labels
    np.testing.assert_array_equal(by_unit.data, operations.remove_small(HEAD, 3, [2]))
    assert refine(labels, small, unit="um").changed == 0
    assert refine(labels, small).changed == 0  # 0.75 pixels
    assert by_unit.spacing == (0.5, 0.5)
    with pytest.raises(MeasureError, match="not known"):
        refine(HEAD, small, unit="mm")
    with pytest.raises(ClassMapError, match=r"no class 'wing'. Its classes are head, eyes"):
        refine(labels, small, classes=["wing"])
    with pytest.raises(MeasureError, match="number objects"):
        refine(labels.replace(object_class=np.arange(3)), small)


def test_what_a_speck_leaves_inside_a_class_is_filled():
    labels = rows("11111", "11211", "11111")
    assert (refine(labels, RefineSettings(remove_small=2, fill_holes=True)).labels.data == 1).all()
    assert refine(labels, RefineSettings(fill_holes=True)).changed == 0


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint64"])
def test_labels_of_any_type_and_layout(dtype):
    labels = (HEAD > 0) if dtype == "bool" else HEAD.astype(dtype)
    wanted = RefineSettings(smooth=1, fill_holes=True, erode=1, dilate=1, split=True)
    expected = refine(np.ascontiguousarray(labels), wanted).labels.data
    labels.flags.writeable = False
    np.testing.assert_array_equal(refine(labels, wanted).labels.data, expected)
    np.testing.assert_array_equal(refine(np.asfortranarray(labels), wanted).labels.data, expected)
    with pytest.raises(MeasureError, match="no pixels"):
        refine(labels[:0], wanted)


def test_planes_one_by_one():
    stack = np.stack([HEAD, HEAD[::-1], np.zeros_like(HEAD)])
    refined = refine(stack, RefineSettings(fill_holes=True)).labels.data
    for before, after in zip(stack, refined, strict=True):
        np.testing.assert_array_equal(after, operations.fill_holes(before))


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(log, "log_path", lambda: tmp_path / "errors.log")

    def run(*arguments):
        code = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


@pytest.fixture
def masks(tmp_path):
    for name in ("a", "b"):
        write_labels(tmp_path / f"{name}.tif", HEAD, MAP, 0.5, "mm", provenance={"input": {"name": "a.jpg"}})
    return tmp_path


def test_refine_writes_labels_and_skips_them_later(run, masks):
    words = ("refine", masks / "*.tif", "-o", masks / "out", "--fill-holes", "--classes", "head")
    code, out, err = run(*words)
    assert (code, out) == (0, [str(masks / "out" / f"{name}.tif") for name in "ab"])
    assert err[-1] == "2 done"
    found = read_labels(masks / "out" / "a.tif")
    np.testing.assert_array_equal(found.data, operations.fill_holes(HEAD, classes=[1]))
    assert (found.pixel_size, found.unit, found.class_map) == (0.5, "mm", MAP)
    assert found.provenance["input"] == {"name": "a.jpg"}
    note = found.provenance["refined"][-1]
    assert (note["settings"], note["classes"]) == ({"fill_holes": True}, ["head"])
    again = (masks / "out" / "a.tif").read_bytes()
    code, _, err = run(*words)
    assert (code, err[-1]) == (0, "2 skipped")
    assert run(*words, "--overwrite")[0] == 0
    assert (masks / "out" / "a.tif").read_bytes() == again


def test_refine_overwrites_nothing_unasked_and_goes_on(run, masks):
    assert run("refine", masks / "a.tif", "-o", masks / "out", "--fill-holes")[0] == 0
    (masks / "c.tif").write_bytes(b"no picture")
    code, _, err = run("refine", masks, "-o", masks / "out", "--keep-largest")
    assert code == 1
    assert "it exists, and was made otherwise. Allow overwriting with --overwrite" in err[0]
    assert err[-1] == "1 done, 2 failed"
    code, _, err = run("refine", masks / "a.tif", "-o", masks, "--keep-largest", "--overwrite")
    assert code == 1
    assert "would replace the labels themselves" in err[0]


def test_refine_for_machines_and_in_units(run, masks):
    words = ("--remove-small", "0.75", "--unit", "mm", "--classes", "2", "--json")
    code, out, _ = run("refine", masks / "a.tif", "-o", masks / "out", *words)
    assert (code, json.loads("".join(out))["counts"]) == (0, {"done": 1})
    expected = operations.remove_small(HEAD, 3, [2])
    np.testing.assert_array_equal(read_labels(masks / "out" / "a.tif").data, expected)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what to do"),
        (("--max-hole", "3"), "--max-hole says which holes"),
        (("--remove-small", "-1"), "--remove-small"),
        (("--dilate", "nan"), "finite numbers above zero"),
        (("--smooth", "inf"), "finite numbers above zero"),
        (("--fill-holes", "--classes", ","), "--classes needs"),
        (("--dilate", "1", "--pixel-size", "0.1"), "needs its unit"),
        (("--dilate", "1", "--unit", "kg"), "not a unit of length"),
    ],
)
def test_wrong_usage_is_2(run, masks, words, said):
    code, _, err = run("refine", masks / "a.tif", "-o", masks / "out", *words)
    assert code == 2
    assert said in "\n".join(err)
    assert not (masks / "out").exists()
