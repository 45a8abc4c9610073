"""What napari gets to see when it opens something with this plugin."""

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image, Labels
from npe2 import PluginManager
from PIL import Image as Pillow

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.errors import ReadError
from napari_specimen_seg.core.files.labels import write_labels
from napari_specimen_seg.core.image import SpecimenLabels
from napari_specimen_seg.plugin.reader import MAX_SAMPLES, get_reader

PLUGIN = "napari-specimen-seg"
GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.fixture(scope="module", autouse=True)
def _plugins():
    PluginManager.instance().discover()


@pytest.fixture
def open_path():
    viewer = ViewerModel()

    def _open(path, **how):
        return viewer.open(path, plugin=PLUGIN, **how)

    return _open


def save(path, data=GRAY):
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(data).save(path)
    return path


@pytest.mark.parametrize(
    "suffix", ["png", "PNG", "jpg", "jp2", "webp", "bmp", "gif", "pgm", "tga", "tif", "TIFF"]
)
def test_pictures_open(tmp_path, open_path, suffix):
    (layer,) = open_path(save(tmp_path / f"leaf.{suffix}"))
    assert isinstance(layer, Image)
    assert layer.name == "leaf"
    assert layer.data.shape[:2] == (3, 4)
    assert layer.source.reader_plugin == PLUGIN


def test_scale_and_units(tmp_path, open_path):
    tifffile.imwrite(tmp_path / "a.tif", GRAY, imagej=True, metadata={"unit": "um"}, resolution=(4, 2))
    (layer,) = open_path(tmp_path / "a.tif")
    assert layer.scale.tolist() == [0.5, 0.25]
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    assert layer.axis_labels == ("y", "x")


@pytest.mark.parametrize("name", ["mask.tif", "mask.png"])
def test_our_labels_open_as_labels(tmp_path, open_path, name):
    labels = SpecimenLabels(GRAY % 10, spacing=(0.5, 0.5), unit="mm", class_map=PRESETS["beetle-parts"])
    write_labels(tmp_path / name, labels)
    (layer,) = open_path(tmp_path / name)
    assert isinstance(layer, Labels)
    np.testing.assert_array_equal(layer.data, GRAY % 10)
    assert layer.scale == pytest.approx([0.5, 0.5], rel=1e-4)
    assert layer.get_status((0.0, 0.5), world=True)["value"] == "1; class_name: head"
    layer.paint((0, 0), 3)
    assert layer.data[0, 0] == 3


def test_large_integers_are_labels_as_in_napari(tmp_path, open_path):
    tifffile.imwrite(tmp_path / "a.tif", GRAY.astype(np.int64))
    (layer,) = open_path(tmp_path / "a.tif")
    assert isinstance(layer, Labels)
    tifffile.imwrite(tmp_path / "b.tif", GRAY.astype(np.int32) - 5)
    (layer,) = open_path(tmp_path / "b.tif")
    assert isinstance(layer, Image)  # there are no labels below zero


@pytest.mark.parametrize(
    ("name", "kind"),
    [("labels/a.png", Labels), ("Masks/a.png", Labels), ("a_mask.png", Labels), ("photos/a.png", Image)],
)
def test_plain_masks_are_labels_where_their_name_says_so(tmp_path, open_path, name, kind):
    (layer,) = open_path(save(tmp_path / name))
    assert isinstance(layer, kind)
    assert (np.asarray(layer.data) == GRAY).all()


def test_folder_of_one_size_is_a_stack(tmp_path, open_path):
    save(tmp_path / "leaves" / "a.png")
    save(tmp_path / "leaves" / "b.png", GRAY + 1)
    (layer,) = open_path(tmp_path / "leaves")
    assert layer.name == "leaves"
    assert layer.data.shape == (2, 3, 4)


def test_folder_of_different_sizes_is_one_layer_each(tmp_path, open_path):
    save(tmp_path / "leaves" / "a.png")
    save(tmp_path / "leaves" / "b.png", GRAY.T.copy())
    assert [layer.name for layer in open_path(tmp_path / "leaves")] == ["a", "b"]


def test_files_as_a_stack(tmp_path, open_path):
    paths = [save(tmp_path / f"{n}.png", GRAY + n) for n in range(3)]
    (layer,) = open_path(paths, stack=True)
    assert layer.data[:, 0, 0].tolist() == [0, 1, 2]
    save(paths[1], GRAY.T.copy())
    with pytest.raises(ReadError, match="without stacking"):
        open_path(paths, stack=True)


def test_competition_sample(tmp_path, open_path):
    for name in ("s1", "s2"):
        save(tmp_path / "train" / name / "images" / f"{name}.png")
        save(tmp_path / "train" / name / "masks" / "m.png", np.full_like(GRAY, 255))
    image, labels = open_path(tmp_path / "train" / "s1")
    assert (image.name, labels.name) == ("s1", "s1 labels")
    assert (labels.data == 1).all()
    assert len(open_path(tmp_path / "train")) == 4


def test_too_many_samples(tmp_path, open_path):
    for number in range(MAX_SAMPLES + 1):
        save(tmp_path / f"s{number}" / "images" / f"s{number}.png")
    with pytest.raises(ReadError, match="21 samples"):
        open_path(tmp_path)


def test_trouble_is_one_line_and_adds_no_layer(tmp_path, open_path):
    path = save(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:50])
    viewer = ViewerModel()
    with pytest.raises(ReadError) as caught:
        viewer.open(path, plugin=PLUGIN)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert not viewer.layers


@pytest.mark.parametrize("name", ["a.csv", "a.npy", "a.npz", "a.py", "a.mp4", "a.h5", "a", "a.svg"])
def test_what_is_left_to_others(tmp_path, name):
    (tmp_path / name).write_bytes(b"II*\0")
    assert get_reader(str(tmp_path / name)) is None
    readers = {
        r.plugin_name for r in PluginManager.instance().iter_compatible_readers([str(tmp_path / name)])
    }
    assert PLUGIN not in readers


def test_folders_and_addresses_that_are_left_to_others(tmp_path):
    assert get_reader(str(tmp_path)) is None
    (tmp_path / "table.csv").touch()
    assert get_reader(str(tmp_path)) is None
    (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
    assert get_reader(str(tmp_path)) is None
    assert get_reader("https://example.org/a.png") is None
    assert get_reader([]) is None
    assert get_reader([str(save(tmp_path / "a.png")), str(tmp_path / "table.csv")]) is None


def test_napari_keeps_its_own_reader(tmp_path):
    """Without being asked for, this plugin does not read: napari's own does, as before."""
    viewer = ViewerModel()
    (layer,) = viewer.open(save(tmp_path / "a.png"))
    assert layer.source.reader_plugin == "napari"


def test_every_pattern_of_the_manifest_is_read():
    from napari_specimen_seg.core.files.formats import PICTURE_SUFFIXES
    from napari_specimen_seg.plugin.model_reader import SUFFIXES

    manifest = PluginManager.instance().get_manifest(PLUGIN)
    patterns = {pattern for reader in manifest.contributions.readers for pattern in reader.filename_patterns}
    assert patterns == {f"*{suffix}" for suffix in (*PICTURE_SUFFIXES, *SUFFIXES)}


SAMPLES = [("sheet", "specimen-sheet", (640, 1000)), ("tissue", "tissue", (512, 512))]


@pytest.mark.parametrize(("key", "name", "size"), SAMPLES)
def test_samples_need_no_network(monkeypatch, key, name, size):
    import socket

    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a sample used the network"))
    viewer = ViewerModel()
    (layer,) = viewer.open_sample(PLUGIN, key)
    assert layer.name == name
    assert layer.rgb
    assert layer.data.shape == (*size, 3)
    assert (str(layer.units[0]) == "millimeter") is (key == "sheet")


def test_the_labelled_sample_has_labels_that_lie_on_their_pictures():
    viewer = ViewerModel()
    layers = viewer.open_sample(PLUGIN, "labelled")
    assert [layer.name for layer in layers[:3]] == ["beetle 1", "beetle 1 labels", "beetle 2"]
    for image, labels in zip(layers[::2], layers[1::2], strict=True):
        assert image.data.shape == (640, 500, 3)
        assert labels.data.shape == (640, 500)
        assert tuple(image.translate) == tuple(labels.translate)
        assert "elytra" in {item.name for item in labels.metadata["class_map"]}
