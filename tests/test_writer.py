"""A Labels layer that is saved and opened again is the same layer."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from npe2 import PluginManager

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import WriteError
from napari_specimen_seg.core.files.labels import read_labels
from napari_specimen_seg.core.image import SpecimenLabels
from napari_specimen_seg.plugin.layers import labels_layer
from napari_specimen_seg.plugin.reader import read_layers
from napari_specimen_seg.plugin.writer import labels_of, write_color_png, write_index_png, write_tiff

BEETLE = PRESETS["beetle-parts"]
DATA = np.random.default_rng(0).integers(0, 10, (40, 30), np.uint8)


@pytest.fixture
def layers():
    from napari.layers import Labels

    def make(labels, **attributes):
        data, kept, _ = labels_layer(labels)
        return Labels(data, **{**kept, **attributes})

    return make


def saved(layer):
    data, meta, kind = layer.as_layer_data_tuple()
    assert kind == "labels"
    return data, meta


def opened(path):
    from napari.layers import Labels

    ((data, attributes, kind),) = read_layers(str(path))
    assert kind == "labels"
    return Labels(data, **attributes)


def assert_same_layer(one, two):
    assert np.array_equal(np.asarray(one.data), np.asarray(two.data))
    assert np.allclose(one.scale, two.scale, rtol=0, atol=0)
    assert one.units == two.units
    assert one.axis_labels == two.axis_labels
    assert one.metadata["class_map"] == two.metadata["class_map"]
    assert one.metadata["provenance"] == two.metadata["provenance"]
    pd.testing.assert_frame_equal(one.features, two.features)
    ids = np.unique(one.data)
    assert np.array_equal(one.colormap.map(ids), two.colormap.map(ids))


@pytest.mark.parametrize(("write", "suffix"), [(write_tiff, ".tif"), (write_index_png, ".png")])
@pytest.mark.parametrize("unit", ["um", "mm", "inch"])
def test_pixels_names_colours_scale_units_and_table(layers, tmp_path, write, suffix, unit):
    source = SpecimenLabels(
        DATA,
        "beetle",
        "YX",
        (0.1, 1 / 3),
        unit,
        class_map=BEETLE,
        provenance={"model": {"name": "beetle-parts"}},
    )
    layer = layers(source)
    layer.features = layer.features.assign(area=np.arange(10) / 3)
    path = tmp_path / f"a{suffix}"
    assert write(str(path), *saved(layer)) == [str(path)]
    assert_same_layer(layer, opened(path))


def test_stacks_keep_their_axes(layers, tmp_path):
    source = SpecimenLabels(np.stack([DATA, DATA]), "s", "TYX", (3, 0.5, 0.5), "um", class_map=BEETLE)
    layer = layers(source)
    write_tiff(str(tmp_path / "a.tif"), *saved(layer))
    assert_same_layer(layer, opened(tmp_path / "a.tif"))


def test_objects_keep_their_classes(layers, tmp_path):
    numbers = np.arange(12, dtype=np.uint16).reshape(3, 4)
    source = SpecimenLabels(numbers, "o", "YX", class_map=BEETLE, object_class=np.array([0, 5, 2] * 4))
    write_tiff(str(tmp_path / "a.tif"), *saved(layers(source)))
    found = opened(tmp_path / "a.tif")
    assert found.metadata["object_class"].tolist() == [0, 5, 2] * 4
    assert found.features["class_name"].tolist()[:3] == ["background", "elytra", "eyes"]


def test_colour_png(layers, tmp_path):
    layer = layers(SpecimenLabels(DATA, "beetle", "YX", (0.5, 0.5), "mm", class_map=BEETLE))
    path = tmp_path / "a.png"
    write_color_png(str(path), *saved(layer))
    found = read_labels(path)
    assert np.array_equal(found.data, DATA)
    assert (found.class_map, found.spacing, found.unit) == (BEETLE, (0.5, 0.5), "mm")


def test_a_layer_painted_without_classes(tmp_path):
    from napari.layers import Labels

    layer = Labels(DATA.astype(np.int64) * 50, scale=(2, 2))
    write_tiff(str(tmp_path / "a.tif"), *saved(layer))
    found = read_labels(tmp_path / "a.tif")
    assert found.data.tolist() == layer.data.tolist()
    assert (found.class_map, found.spacing, found.unit) == (None, (2, 2), "pixel")
    write_color_png(str(tmp_path / "a.png"), *saved(layer))
    assert read_labels(tmp_path / "a.png").class_map.name_of(50) == "label 50"
    layer.data[0, 0] = 70_000
    with pytest.raises(WriteError, match="too many values"):
        write_color_png(str(tmp_path / "b.png"), *saved(layer))


def test_what_is_there_is_replaced(layers, tmp_path):
    layer = layers(SpecimenLabels(DATA, "b", "YX", class_map=BEETLE))
    path = tmp_path / "a.tif"
    path.write_bytes(b"old")
    write_tiff(str(path), *saved(layer))
    assert np.array_equal(tifffile.imread(path), DATA)


def test_units_that_differ_between_rows_and_columns():
    meta = {"scale": (1000.0, 2.0), "units": ("micrometer", "millimeter"), "name": "a"}
    found = labels_of(DATA, meta)
    assert (found.spacing, found.unit) == ((1.0, 2.0), "mm")
    second = labels_of(DATA, {"scale": (1.0, 2.0), "units": ("pixel", "millimeter")})
    assert (second.spacing, second.unit) == ((1.0, 2.0), "pixel")
    assert labels_of([DATA, DATA[::2, ::2]], {"scale": (1.0, 1.0), "units": ("pixel",) * 2}).spacing is None


def test_only_labels_are_claimed():
    manager = PluginManager.instance()
    manager.discover(include_npe1=False)
    manifest = manager.get_manifest("napari-specimen-seg")
    writers = manifest.contributions.writers
    assert [w.display_name for w in writers] == ["Specimen labels (TIFF)", "Index PNG", "Colour PNG"]
    for writer in writers:
        assert writer.layer_types == ["labels"]
        assert callable(writer.get_callable())


def test_saving_from_napari(make_napari_viewer, layers, tmp_path):
    viewer = make_napari_viewer()
    layer = viewer.add_layer(layers(SpecimenLabels(DATA, "b", "YX", (0.02, 0.02), "mm", class_map=BEETLE)))
    path = tmp_path / "a.tif"
    assert layer.save(str(path), plugin="napari-specimen-seg") == [str(path)]
    viewer.layers.clear()
    viewer.open(str(path), plugin="napari-specimen-seg")
    assert_same_layer(layer, viewer.layers[0])
