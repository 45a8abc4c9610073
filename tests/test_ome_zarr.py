import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_specimen_seg.core.errors import ReadError
from napari_specimen_seg.core.files import lazy, ome_zarr
from napari_specimen_seg.core.files.images import read_image
from napari_specimen_seg.core.image import COLORS

RANDOM = np.random.default_rng(3)
AXES = {
    "t": {"name": "t", "type": "time"},
    "c": {"name": "c", "type": "channel"},
    "z": {"name": "z", "type": "space", "unit": "micrometer"},
    "y": {"name": "y", "type": "space", "unit": "micrometer"},
    "x": {"name": "x", "type": "space", "unit": "micrometer"},
}


@pytest.fixture
def write(tmp_path):
    """Write levels as an OME-Zarr of version 0.4 or 0.5."""

    def _write(levels, axes, version="0.4", scale=None, name="a.ome.zarr", **further):
        old = version != "0.5"
        group = zarr.create_group(tmp_path / name, zarr_format=2 if old else 3)
        for number, level in enumerate(levels):
            chunks = tuple(min(4, n) for n in level.shape)
            group.create_array(str(number), data=level, chunks=chunks)
        step = [{"type": "scale", "scale": scale or [1.0] * len(axes)}]
        datasets = [{"path": str(n), "coordinateTransformations": step} for n in range(len(levels))]
        meta = {
            "multiscales": [{"version": version, "axes": [AXES[a] for a in axes], "datasets": datasets}],
            **further,
        }
        group.attrs.update(meta if old else {"ome": {"version": version, **meta}})
        return tmp_path / name

    return _write


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_pyramid_with_scale(write, version):
    data = RANDOM.integers(0, 999, (3, 8, 10)).astype(np.uint16)
    image = read_image(write([data, data[:, ::2, ::2]], "zyx", version, [2.0, 0.5, 0.25]))
    assert image.name == "a"
    assert image.axes == "ZYX"
    assert image.spacing == (2.0, 0.5, 0.25)
    assert image.unit == "um"
    np.testing.assert_array_equal(image.data, data)
    np.testing.assert_array_equal(image.levels[0], data[:, ::2, ::2])


def test_channels_go_last_and_short_axes_away(write):
    data = RANDOM.integers(0, 99, (1, 2, 1, 6, 5)).astype(np.uint16)
    names = {"channels": [{"label": "DAPI", "color": "0000FF"}, {"label": "GFP", "color": "00FF00"}]}
    image = read_image(write([data], "tczyx", omero=names))
    assert image.axes == "YXC"
    np.testing.assert_array_equal(image.data, np.moveaxis(data[0, :, 0], 0, -1))
    assert image.channel_names == ("DAPI", "GFP")
    assert not image.is_color


_CHANNELS = {
    "stains": [{"label": n, "color": c} for n, c in zip("abc", ("0000FF", "00FF00", "FF0000"), strict=True)],
    "colours": [{"label": n, "color": "FFFFFF"} for n in ("R", "G", "B")],
    "photograph": [{"label": str(i), "color": c} for i, c in enumerate(("FF0000", "00FF00", "0000FF"))],
}


@pytest.mark.parametrize(
    ("dtype", "channels", "is_color"),
    [
        ("u1", None, True),
        ("u2", None, False),
        ("u1", "stains", False),
        ("u2", "colours", True),
        ("u1", "photograph", True),
        ("u2", "photograph", False),
    ],
)
def test_which_three_channels_are_colours(write, dtype, channels, is_color):
    data = RANDOM.integers(0, 99, (3, 6, 5)).astype(dtype)
    further = {} if channels is None else {"omero": {"channels": _CHANNELS[channels]}}
    image = read_image(write([data], "cyx", **further))
    assert image.is_color is is_color
    assert (image.channel_names == COLORS) is is_color
    np.testing.assert_array_equal(image.data, np.moveaxis(data, 0, -1))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_lazy(write, monkeypatch, version):
    for module in (lazy, ome_zarr):
        monkeypatch.setattr(module, "LAZY_BYTES", 10)
    data = RANDOM.integers(0, 99, (2, 9, 7)).astype(np.uint8)
    image = read_image(write([data], "cyx", version))
    assert not isinstance(image.data, np.ndarray)
    np.testing.assert_array_equal(image.data.compute(), np.moveaxis(data, 0, -1))


def test_without_units_there_is_no_scale(write, monkeypatch):
    for axis in "yx":
        monkeypatch.delitem(AXES[axis], "unit")
    image = read_image(write([np.zeros((4, 5), np.uint8)], "yx", scale=[4.0, 4.0]))
    assert image.spacing is None
    assert image.unit == "pixel"


def test_bioformats2raw_layout(write, tmp_path):
    write([np.ones((4, 5), np.uint8)], "yx", name="a.zarr/0")
    zarr.open_group(tmp_path / "a.zarr", mode="a", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    assert read_image(tmp_path / "a.zarr").data.shape == (4, 5)


def test_what_is_no_picture(write, tmp_path):
    zarr.create_group(tmp_path / "empty.zarr")
    with pytest.raises(ReadError, match="without OME metadata"):
        read_image(tmp_path / "empty.zarr")
    plate = zarr.create_group(tmp_path / "plate.zarr", zarr_format=2)
    plate.attrs["plate"] = {}
    with pytest.raises(ReadError, match="Open one of its fields"):
        read_image(tmp_path / "plate.zarr")
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / ".zgroup").write_text("{")
    with pytest.raises(ReadError, match="no Zarr group"):
        read_image(tmp_path / "broken.zarr")


def test_damage_is_one_line(write):
    path = write([np.ones((4, 5), np.uint8)], "yx")
    chunk = next(p for p in (path / "0").rglob("*") if p.is_file() and not p.name.startswith("."))
    chunk.write_bytes(b"nonsense")
    with pytest.raises(ReadError, match="damaged") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["../../outside", "/etc", "0/../.."])
def test_paths_do_not_leave_the_folder(write, where):
    path = write([np.ones((4, 5), np.uint8)], "yx")
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["multiscales"][0]["datasets"][0]["path"] = where
    (path / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(ReadError):
        read_image(path)


class _Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("dtype", ["|O", "|u1"])
def test_pickled_chunks_are_refused(write, tmp_path, dtype):
    path = write([np.ones((4, 5), np.uint8)], "yx")
    meta = json.loads((path / "0" / ".zarray").read_text())
    meta |= {
        "dtype": dtype,
        "filters": [{"id": "pickle", "protocol": 5}],
        "compressor": None,
        "chunks": [4, 5],
    }
    (path / "0" / ".zarray").write_text(json.dumps(meta))
    canary = tmp_path / "canary"
    for chunk in (path / "0").rglob("*"):
        if chunk.is_file() and not chunk.name.startswith("."):
            chunk.write_bytes(pickle.dumps(_Touch(canary)))
    with pytest.raises(ReadError):
        read_image(path)
    assert not canary.exists()


def test_real_ones(shared):
    wing = read_image(shared / "data/wings_hopperscapes/ome_zarr_left_forewing.zarr")
    assert wing.data.shape == (896, 687, 3)
    assert wing.is_color
    assert [level.shape for level in wing.levels] == [(448, 343, 3), (224, 171, 3)]
    stack = read_image(shared / "data/readers/galaxy_bmcv/ome-zarr-examples/image-03.zarr")
    assert (stack.axes, stack.spacing, stack.unit) == ("ZYX", (1.0, 1.0, 1.0), "um")
