"""What is written as labels and read again is the same; what others wrote is understood or refused."""

import json
import tempfile
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from napari_specimen_seg.core.classes import PRESETS, ClassMap, LabelClass
from napari_specimen_seg.core.errors import ClassMapError, ImageError, ReadError, SpecimenWarning, WriteError
from napari_specimen_seg.core.files import labels_tiff, tiff
from napari_specimen_seg.core.files.labels import (
    is_specimen_labels,
    read_labels,
    write_color_labels,
    write_labels,
)
from napari_specimen_seg.core.image import SpecimenLabels
from napari_specimen_seg.core.measure import measure

BEETLE = PRESETS["beetle-parts"]
SMALL = np.array([[0, 1, 2], [9, 0, 1]], np.uint8)
PROVENANCE = {
    "model": {"name": "beetle-parts", "sha256": "a" * 64},
    "settings": {"tile": None, "threshold": 0.1},
}


def assert_same(one, two):
    assert np.array_equal(one.data, two.data)
    assert one.data.dtype == two.data.dtype
    for field in ("axes", "spacing", "unit", "class_map", "provenance", "features"):
        assert getattr(one, field) == getattr(two, field), field
    if one.object_class is None:
        assert two.object_class is None
    else:
        assert np.asarray(one.object_class).tolist() == two.object_class.tolist()


names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12).filter(str.strip)
sizes = st.floats(1e-4, 1e4)


@st.composite
def class_maps(draw, largest):
    ids = draw(st.lists(st.integers(1, largest), unique=True, max_size=6))
    titles = draw(st.lists(names, unique=True, min_size=len(ids) + 1, max_size=len(ids) + 1))
    colors = draw(st.lists(st.integers(0, 0xFFFFFF), unique=True, min_size=len(titles), max_size=len(titles)))
    rows = zip([0, *ids], titles, colors, strict=True)
    return ClassMap(classes=tuple(LabelClass(id=i, name=n, color=f"#{c:06x}") for i, n, c in rows))


@st.composite
def label_pictures(draw, dtypes, max_dims):
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    data = draw(arrays(dtype, array_shapes(min_dims=2, max_dims=max_dims, max_side=5)))
    axes = draw(
        st.sampled_from({2: ["YX"], 3: ["ZYX", "TYX", "QYX"], 4: ["TZYX", "QTYX"], 5: ["QTZYX"]}[data.ndim])
    )
    unit = draw(st.sampled_from(["pixel", "nm", "um", "mm", "cm", "m", "inch"]))
    spacing = draw(st.none() | st.tuples(*[sizes] * data.ndim))
    top = int(np.iinfo(dtype).max)
    return SpecimenLabels(
        data,
        "labels",
        axes,
        spacing,
        unit if spacing else "pixel",
        class_map=draw(st.none() | class_maps(min(top, 65535))),
        provenance=draw(
            st.dictionaries(names, st.none() | st.floats(allow_nan=False, allow_infinity=False) | names)
        ),
        object_class=draw(st.none() | st.just([0, 3, 3, 1])),
        features=draw(st.dictionaries(names, st.lists(st.integers() | names, max_size=3), max_size=2)),
    )


def round_trip(labels, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"labels{suffix}"
        write_labels(path, labels)
        first = path.read_bytes()
        write_labels(path, labels, overwrite=True)
        assert path.read_bytes() == first
        assert is_specimen_labels(path)
        return read_labels(path)


@given(label_pictures(["u1", "u2", "u4"], 5))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_tiff_gives_back_what_was_written(labels):
    assert_same(labels, round_trip(labels, ".tif"))


@given(label_pictures(["u1", "u2", "u4"], 4))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_ome_tiff_gives_back_what_was_written(labels):
    assert_same(labels, round_trip(labels, ".ome.tif"))


@given(label_pictures(["u1", "u2"], 2))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_png_gives_back_what_was_written(labels):
    assert_same(labels, round_trip(labels, ".png"))


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize(
    ("dtype", "stored"), [("?", "u1"), ("i1", "u1"), ("i4", "u2"), ("i8", "u2"), ("u8", "u2")]
)
def test_other_types_of_number_are_stored_unsigned(tmp_path, suffix, dtype, stored):
    data = np.array([[0, 1], [1, 0 if dtype in "?i1" else 300]]).astype(dtype)
    found = read_labels(write_labels(tmp_path / f"a{suffix}", data))
    assert found.data.tolist() == data.astype(int).tolist()
    assert found.data.dtype == stored


def test_arguments_come_before_what_the_labels_say(tmp_path):
    labels = SpecimenLabels(
        SMALL[None], "a", "ZYX", (5.0, 1.0, 1.0), "mm", class_map=BEETLE, provenance={"a": 1}
    )
    frame = pd.DataFrame({"index": [0, 1], "area": [np.nan, 2.5], "kind": pd.Categorical(["x", "y"])})
    path = write_labels(
        tmp_path / "a.tif", labels, PRESETS["nuclei"], (0.1, 0.3), "mm", provenance={"b": 2}, features=frame
    )
    found = read_labels(path)
    assert found.class_map == PRESETS["nuclei"]
    assert (found.spacing, found.unit) == ((5.0, 0.1, 0.3), "mm")
    assert found.provenance == {"b": 2}
    assert found.features == {"index": [0, 1], "area": [None, 2.5], "kind": ["x", "y"]}
    assert read_labels(path, BEETLE).class_map == BEETLE


def test_other_programs_see_ids_colours_and_pixel_size(tmp_path):
    path = write_labels(tmp_path / "a.tif", SMALL, BEETLE, 0.021, "mm")
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        assert page.asarray().tolist() == SMALL.tolist()
        assert (page.colormap[:, 1] // 257).tolist() == list(BEETLE.by_id(1).rgb)
        assert tif.imagej_metadata["unit"] == "mm"
        assert page.tags["XResolution"].value == (1000, 21)
        assert page.tags["ResolutionUnit"].value == 1
        assert (
            json.loads(tif.imagej_metadata["Info"])["napari-specimen-seg"]["class_map"]["classes"][1]["name"]
            == "head"
        )
        assert "DateTime" not in page.tags
    with Image.open(write_labels(tmp_path / "a.png", SMALL, BEETLE, 0.021, "mm")) as picture:
        assert picture.mode == "P"
        assert np.asarray(picture).tolist() == SMALL.tolist()
        assert np.asarray(picture.convert("RGB"))[0, 1].tolist() == list(BEETLE.by_id(1).rgb)
        assert picture.info["dpi"] == pytest.approx((25.4 / 0.021,) * 2, rel=1e-4)


def test_object_ids_of_32_bits_are_ome_tiff(tmp_path):
    data = np.array([[0, 70_000], [4_000_000_000, 1]], np.uint32)
    path = write_labels(
        tmp_path / "a.tif", SpecimenLabels(data, spacing=(0.5, 0.5), unit="um", object_class=[0, 1])
    )
    assert tifffile.imread(path).tolist() == data.tolist()
    with tifffile.TiffFile(path) as tif:
        assert tif.is_ome
        assert 'PhysicalSizeX="0.5"' in tif.ome_metadata
        assert tif.pages[0].tags["XResolution"].value == (20_000, 1)
    assert read_labels(path).data.tolist() == data.tolist()


def test_large_labels_are_written_tile_by_tile(tmp_path, monkeypatch):
    monkeypatch.setattr(labels_tiff, "IMAGEJ_BYTES", 1000)
    monkeypatch.setattr(labels_tiff, "CLASSIC_BYTES", 2000)
    data = np.random.default_rng(0).integers(0, 9, (2, 600, 515), np.uint8)
    lazy = SpecimenLabels(da.from_array(data, chunks=(1, 100, 515)), axes="ZYX", spacing=(2, 1, 1), unit="um")
    path = write_labels(tmp_path / "a.tif", lazy, BEETLE)
    with tifffile.TiffFile(path) as tif:
        assert tif.is_bigtiff
        assert tif.pages[0].is_tiled
        assert len(tif.pages) == 2
    found = read_labels(path)
    assert np.array_equal(found.data, data)
    assert found.class_map == BEETLE
    assert found.spacing == (2, 1, 1)


def test_lazy_labels_are_measured_and_written_again(tmp_path, monkeypatch):
    data = np.random.default_rng(0).integers(0, 10, (1500, 1300), np.uint8)
    monkeypatch.setattr(labels_tiff, "IMAGEJ_BYTES", 1000)
    monkeypatch.setattr(tiff, "LAZY_BYTES", 1000)
    found = read_labels(write_labels(tmp_path / "a.tif", data, BEETLE, 0.5, "mm"))
    assert isinstance(found.data, da.Array)
    assert measure(found).equals(measure(data, BEETLE, 0.5, "mm", name="a"))
    again = read_labels(write_labels(tmp_path / "b.tif", found))
    assert np.array_equal(np.asarray(again.data), data)


def test_a_scale_that_another_program_has_set_counts(tmp_path):
    path = write_labels(tmp_path / "a.tif", SMALL, BEETLE, 1 / 3, "mm")

    def edit(resolution, unit):
        with tifffile.TiffFile(path) as tif:
            info, colors = tif.imagej_metadata["Info"], tif.pages[0].colormap
        metadata = {"unit": unit, "Info": info, "axes": "YX"}
        palette = {"photometric": "palette", "colormap": colors}
        scale = {"resolution": resolution, "resolutionunit": 1}
        tifffile.imwrite(path, SMALL, imagej=True, metadata=metadata, **palette, **scale)
        return read_labels(path)

    rounded = edit(((3_000_001, 1_000_000), (3_000_001, 1_000_000)), "mm")
    assert (rounded.spacing, rounded.unit) == ((1 / 3, 1 / 3), "mm")
    other_unit = edit((3e-3, 3e-3), "\\u00B5m")
    assert (other_unit.spacing, other_unit.unit) == ((1 / 3, 1 / 3), "mm")
    changed = edit((4, 4), "mm")
    assert (changed.spacing, changed.unit) == ((0.25, 0.25), "mm")
    removed = edit((1, 1), "pixel")
    assert (removed.spacing, removed.unit) == ((1 / 3, 1 / 3), "mm")
    assert removed.class_map == BEETLE


def test_a_resized_copy_does_not_keep_the_old_pixel_size(tmp_path):
    path = write_labels(tmp_path / "a.tif", SMALL, BEETLE, 0.1, "mm")
    with tifffile.TiffFile(path) as tif:
        info = tif.imagej_metadata["Info"]
    tifffile.imwrite(path, np.repeat(SMALL, 2, 0), imagej=True, metadata={"Info": info, "axes": "YX"})
    found = read_labels(path)
    assert found.spacing is None
    assert found.class_map == BEETLE


@pytest.mark.parametrize(
    ("labels", "name", "message"),
    [
        (np.ones((2, 2)), "a.tif", "whole numbers, not float64"),
        (np.array([[-1]]), "a.tif", "not -1"),
        (np.array([[2**32]]), "a.tif", "not 4294967296"),
        (np.zeros((0, 2), int), "a.tif", "no pixels"),
        (SMALL, "a.jpg", r"not written as \.jpg"),
        (SMALL, "a", "without suffix"),
        (np.zeros((2, 4, 5), int), "a.png", "not a stack"),
        (np.array([[70_000]]), "a.png", "up to 65535"),
    ],
)
def test_what_cannot_be_written(tmp_path, labels, name, message):
    with pytest.raises(WriteError, match=message) as caught:
        write_labels(tmp_path / name, labels)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unless_asked(tmp_path):
    path = write_labels(tmp_path / "a.tif", SMALL)
    with pytest.raises(WriteError, match="exists already"):
        write_labels(path, SMALL + 1)
    assert read_labels(path).data.tolist() == SMALL.tolist()


def test_wrong_pixel_sizes(tmp_path):
    with pytest.raises(ImageError, match="not a unit of length"):
        write_labels(tmp_path / "a.tif", SMALL, pixel_size=1, unit="kg")
    with pytest.raises(ImageError, match="spacing"):
        write_labels(tmp_path / "a.tif", SMALL, pixel_size=-1, unit="mm")


def test_colour_coded_png(tmp_path):
    path = write_color_labels(
        tmp_path / "a.png", SpecimenLabels(SMALL, spacing=(0.5, 0.5), unit="mm"), BEETLE
    )
    assert np.asarray(Image.open(path))[1, 0].tolist() == list(BEETLE.by_id(9).rgb)
    found = read_labels(path)
    assert found.data.tolist() == SMALL.tolist()
    assert (found.class_map, found.spacing, found.unit) == (BEETLE, (0.5, 0.5), "mm")
    objects = SpecimenLabels(np.array([[2, 1]]), class_map=BEETLE, object_class=np.array([0, 5, 7]))
    assert read_labels(write_color_labels(tmp_path / "b.png", objects)).data.tolist() == [[7, 5]]
    with pytest.raises(ClassMapError, match="no colour for label 99"):
        write_color_labels(tmp_path / "c.png", np.array([[99]]), BEETLE)
    with pytest.raises(WriteError, match="without a class map"):
        write_color_labels(tmp_path / "c.png", SMALL)
    with pytest.raises(WriteError, match="as PNG"):
        write_color_labels(tmp_path / "c.tif", SMALL, BEETLE)


def test_other_files_are_not_taken_for_ours(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", SMALL, imagej=True)
    tifffile.imwrite(tmp_path / "o.ome.tif", SMALL)
    Image.fromarray(SMALL).save(tmp_path / "b.png")
    (tmp_path / "c.tif").write_bytes(b"")
    (tmp_path / "d.tif").write_bytes(b"II*\0\x08\0\0\0")
    (tmp_path / "e.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffiTXt")
    (tmp_path / "f.txt").write_text('{"napari-specimen-seg": 1}')
    assert [is_specimen_labels(path) for path in sorted(tmp_path.iterdir())] == [False] * 7
    assert not is_specimen_labels(tmp_path / "missing.tif")
    assert not is_specimen_labels(tmp_path)


@pytest.mark.parametrize(
    "notes",
    [
        '{"napari-specimen-seg": {"format": 1}}',
        '{"napari-specimen-seg": {',
        '{"napari-specimen-seg": ' + "[" * 100_000,
        '{"napari-specimen-seg": {"axes": "YX", "shape": [2, 3], "dtype": "uint8", "class_map": {}}}',
        '{"napari-specimen-seg": {"axes": "YX", "shape": [2, 3], "dtype": "uint8", "spacing": [0, 1]}}',
    ],
)
def test_damaged_notes_leave_the_pixels(tmp_path, notes):
    tifffile.imwrite(tmp_path / "a.tif", SMALL, imagej=True, metadata={"Info": notes})
    with pytest.warns(SpecimenWarning, match="class names in it are damaged"):
        found = read_labels(tmp_path / "a.tif")
    assert found.data.tolist() == SMALL.tolist()
    assert found.class_map is None
    assert not is_specimen_labels(tmp_path / "a.tif")


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_black_and_white_masks(tmp_path):
    mask = np.array([[0, 255], [255, 0]], np.uint8)
    assert read_labels(save(tmp_path / "a.png", mask)).data.tolist() == [[0, 1], [1, 0]]
    assert read_labels(save(tmp_path / "b.png", mask > 0)).data.tolist() == [[0, 1], [1, 0]]
    assert read_labels(save(tmp_path / "c.png", np.stack([mask] * 3, -1))).data.tolist() == [[0, 1], [1, 0]]
    tifffile.imwrite(tmp_path / "d.tif", mask.astype(np.uint16) * 257)
    assert read_labels(tmp_path / "d.tif").data.tolist() == [[0, 1], [1, 0]]
    ignore = ClassMap(
        classes=(*PRESETS["nuclei"].classes, LabelClass(id=255, name="ignore", color="#888888"))
    )
    assert read_labels(tmp_path / "a.png", ignore).data.tolist() == [[0, 255], [255, 0]]
    three = save(tmp_path / "e.png", np.array([[0, 1, 255]], np.uint8))
    assert read_labels(three).data.tolist() == [[0, 1, 255]]


def test_jpeg_masks_are_cut_at_half(tmp_path):
    mask = np.zeros((32, 32), np.uint8)
    mask[5:20, 7:25] = 255
    path = save(tmp_path / "a.jpg", mask, quality=90)
    with pytest.warns(SpecimenWarning, match="neither black nor white"):
        found = read_labels(path)
    assert np.array_equal(found.data, mask > 0)
    gradient = np.repeat(np.arange(256, dtype=np.uint8)[None], 64, 0)
    with pytest.raises(ReadError, match="JPEG changes values"):
        read_labels(save(tmp_path / "b.jpg", gradient))


def test_colour_pictures_need_a_class_map(tmp_path):
    rgb = np.array([[BEETLE.by_id(i).rgb for i in row] for row in SMALL.tolist()], np.uint8)
    path = save(tmp_path / "a.png", rgb)
    with pytest.raises(ReadError, match=r"it is a colour picture\. Give the class map"):
        read_labels(path)
    assert read_labels(path, BEETLE).data.tolist() == SMALL.tolist()
    rgb[0, 0] = 3, 0, 0
    save(path, rgb)
    with pytest.warns(SpecimenWarning, match="17 % of the pixels"):
        found = read_labels(path, BEETLE)
    assert found.data.tolist() == SMALL.tolist()


def test_palette_pictures_by_colour_where_all_colours_are_known(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8))
    picture.putpalette([*BEETLE.by_id(5).rgb, 0, 0, 0, *BEETLE.by_id(3).rgb])
    picture.save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png", BEETLE).data.tolist() == [[5, 0], [3, 5]]
    assert read_labels(tmp_path / "a.png").data.tolist() == [[0, 1], [2, 0]]
    picture.putpalette([1, 2, 3, 4, 5, 6, 7, 8, 9])
    picture.save(tmp_path / "b.png")
    assert read_labels(tmp_path / "b.png", BEETLE).data.tolist() == [[0, 1], [2, 0]]


def test_a_class_map_beside_the_file(tmp_path):
    (tmp_path / "classes.json").write_text(BEETLE.model_dump_json())
    (tmp_path / "val/labels").mkdir(parents=True)
    path = save(tmp_path / "val/labels/a.png", SMALL)
    assert read_labels(path).class_map == BEETLE
    assert read_labels(path, PRESETS["fish-traits"]).class_map == PRESETS["fish-traits"]
    with pytest.warns(SpecimenWarning, match="does not have label 77"):
        assert read_labels(save(path, SMALL + 77)).class_map is None
    (tmp_path / "val/classes.json").write_text("[1, 2]")
    with pytest.warns(SpecimenWarning, match=r"classes\.json beside it is not used"):
        assert read_labels(save(path, SMALL)).class_map is None


def test_a_photograph_is_not_a_mask_in_the_colours_beside_it(tmp_path):
    (tmp_path / "classes.json").write_text(BEETLE.model_dump_json())
    photograph = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    with pytest.raises(ReadError, match="not in the colours"):
        read_labels(save(tmp_path / "a.png", photograph))


def test_many_large_values_number_objects(tmp_path):
    numbers = np.arange(400, dtype=np.uint32).reshape(20, 20) * 1000
    tifffile.imwrite(tmp_path / "a.tif", numbers)
    assert read_labels(tmp_path / "a.tif").data.tolist() == numbers.tolist()


def test_floats_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((3, 3), np.float32))
    with pytest.raises(ReadError, match="whole numbers, not float32"):
        read_labels(tmp_path / "a.tif")


# -- real files ------------------------------------------------------------------------------------------


def test_bad_masks_behave_as_expected(shared):
    manifest = json.loads((shared / "bad_inputs/manifest.json").read_text())
    cases = [item for item in manifest["items"] if item["path"].startswith("mask/")]
    cases = [item for item in cases if (shared / "bad_inputs" / item["path"]).exists()]
    assert cases
    for item in cases:
        path = shared / "bad_inputs" / item["path"]
        if item["expect"] == "ok":
            assert set(np.unique(read_labels(path).data)) == {0, 1}
        else:
            with pytest.raises(ReadError) as caught:
                read_labels(path)
            assert "\n" not in str(caught.value)


def test_labels_of_other_programs(shared):
    wings = sorted((shared / "data/wings_hopperscapes/masks_only").glob("*.tif"))
    assert [sorted(set(np.unique(read_labels(path).data))) for path in wings] == [[0, 1, 2, 3]] + [[0, 1]] * 3
    butterflies = sorted((shared / "data/butterfly_battus/dev/labels").glob("*.png"))
    for path in butterflies[:3]:
        found = read_labels(path)
        assert np.array_equal(found.data, np.asarray(Image.open(path)))
        assert found.class_map.name_of(1) == "lepidopteran"
    nuclei = sorted((shared / "data/dsb2018/val/labels").glob("*.tif"))[0]
    assert np.array_equal(read_labels(nuclei).data, tifffile.imread(nuclei))
    assert read_labels(nuclei).class_map is None
    plant = shared / "data/plants_plantcv/setaria_small_plant_mask.png"
    assert set(np.unique(read_labels(plant).data)) == {0, 1}


def test_colour_masks_of_other_programs(shared):
    beetle = sorted((shared / "data/beetles9/val/masks_rgb").glob("*.png"))[0]
    index = beetle.parent.parent / "labels" / beetle.name
    assert np.array_equal(read_labels(beetle).data, np.asarray(Image.open(index)))
    assert read_labels(index).class_map.name_of(5) == "elytra"
    soft = shared / "data/fish_bgnn/masks_only/dev/INHS_142865_antialiased_1101_colours.png"
    with pytest.warns(SpecimenWarning, match=r"2\.2 % of the pixels"):
        read_labels(soft, PRESETS["fish-traits"])


def test_a_sample_of_the_data_science_bowl(shared):
    samples = sorted((shared / "data/dsb2018/original_layout/dev/stage1_train").iterdir())
    found = read_labels(samples[0], PRESETS["nuclei"])
    assert int(found.data.max()) == len(list((samples[0] / "masks").glob("*.png")))


def test_real_masks_survive(shared, tmp_path):
    for number, path in enumerate(sorted((shared / "data/beetles9/val/labels").glob("*.png"))[:3]):
        labels = read_labels(path).replace(spacing=(0.021, 0.021), unit="mm", provenance=PROVENANCE)
        for suffix in (".tif", ".png"):
            assert_same(labels, read_labels(write_labels(tmp_path / f"{number}{suffix}", labels)))
