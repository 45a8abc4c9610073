"""TIFF: what is written in one way comes back as it is displayed."""

import pickle

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from napari_specimen_seg.core.errors import ReadError, SpecimenWarning
from napari_specimen_seg.core.files import lazy, tiff
from napari_specimen_seg.core.files.images import read_image, read_indices, read_size
from napari_specimen_seg.core.image import COLORS

RANDOM = np.random.default_rng(1)
GRAY = RANDOM.integers(0, 200, (12, 17)).astype(np.uint8)
RGB = RANDOM.integers(0, 256, (32, 48, 3)).astype(np.uint8)


@pytest.fixture
def write(tmp_path):
    def _write(data, **how):
        path = tmp_path / "picture.tif"
        tifffile.imwrite(path, data, **how)
        return path

    return _write


@pytest.fixture
def all_lazy(monkeypatch):
    for module in (tiff, lazy):
        monkeypatch.setattr(module, "LAZY_BYTES", 100)


@pytest.mark.parametrize("dtype", ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("byteorder", "<>")
def test_every_number_type(write, dtype, byteorder):
    data = GRAY.astype(dtype)
    image = read_image(write(data, photometric="minisblack", byteorder=byteorder))
    assert image.data.dtype == data.dtype
    assert image.data.dtype.isnative
    assert image.axes == "YX"
    np.testing.assert_array_equal(image.data, data)


@pytest.mark.parametrize("tile", [None, (16, 32)])
@pytest.mark.parametrize(
    "compression",
    ["zlib", "lzw", "packbits", "lzma", "zstd", "jpeg2000", "jpegxl", "jpegxr", "png", "lerc", "deflate"],
)
def test_compressions_without_loss(write, compression, tile):
    image = read_image(write(RGB, photometric="rgb", compression=compression, tile=tile))
    np.testing.assert_array_equal(image.data, RGB)
    assert image.is_color


@pytest.mark.parametrize(
    "how", [{"bigtiff": True}, {"predictor": True, "compression": "zlib"}, {"rowsperstrip": 5}]
)
def test_layouts(write, how):
    np.testing.assert_array_equal(read_image(write(RGB, photometric="rgb", **how)).data, RGB)


def test_planes_of_samples(write):
    path = write(np.moveaxis(RGB, -1, 0).copy(), photometric="rgb", planarconfig="separate")
    image = read_image(path)
    assert image.axes == "YXC"
    np.testing.assert_array_equal(image.data, RGB)


@pytest.mark.parametrize(("bits", "expected"), [(2, [0, 85, 170, 255]), (4, [0, 17, 34, 51])])
def test_few_bits_are_spread_over_eight(write, bits, expected):
    image = read_image(write(np.arange(4, dtype=np.uint8)[None], bitspersample=bits))
    assert image.data.tolist() == [expected]
    assert image.bit_depth is None


def test_few_bits_of_labels_stay(write):
    path = write(np.arange(4, dtype=np.uint8)[None], bitspersample=2)
    assert read_indices(path).data.tolist() == [[0, 1, 2, 3]]


def test_twelve_bits_stay_and_are_told(write):
    data = np.array([[0, 4095, 7]], np.uint16)
    image = read_image(write(data, bitspersample=12))
    np.testing.assert_array_equal(image.data, data)
    assert image.bit_depth == 12


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (np.array([[True, False]]), [[False, True]]),
        (np.array([[0, 255, 3]], np.uint8), [[255, 0, 252]]),
        (np.array([[0, 65535, 3]], np.uint16), [[65535, 0, 65532]]),
        (np.array([[0.0, 1.0]], np.float32), [[0.0, 1.0]]),
    ],
)
def test_white_is_zero(write, data, expected):
    path = write(data, photometric="miniswhite")
    assert read_image(path).data.tolist() == expected
    assert read_indices(path).data.tolist() == data.tolist()


def _palette(scale):
    table = np.zeros((3, 256), np.uint16)
    table[:, 1] = [255 * scale, 0, 0]
    table[:, 2] = [0, 128 * scale, 7 * scale]
    return table


@pytest.mark.parametrize("scale", [257, 1], ids=["16 bits", "8 bits written by mistake"])
def test_palette(write, scale):
    path = write(np.array([[0, 1, 2]], np.uint8), photometric="palette", colormap=_palette(scale))
    assert read_image(path).data.tolist() == [[[0, 0, 0], [255, 0, 0], [0, 128, 7]]]
    assert read_indices(path).data.tolist() == [[0, 1, 2]]


def test_pages_with_palettes_of_their_own(tmp_path, monkeypatch):
    gray = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for table in (_palette(257), gray, _palette(257)[::-1].copy()):
            file.write(np.array([[0, 1]], np.uint8), photometric="palette", colormap=table, metadata=None)
    expected = [[[[0, 0, 0], [255, 0, 0]]], [[[0, 0, 0], [1, 1, 1]]], [[[0, 0, 0], [0, 0, 255]]]]
    assert read_image(tmp_path / "a.tif").data.tolist() == expected
    monkeypatch.setattr(tiff, "LAZY_BYTES", 1)
    assert read_image(tmp_path / "a.tif").data.compute().tolist() == expected


def test_gray_palette_stays_gray(write):
    ramp = np.tile(np.arange(256, dtype=np.uint16)[::-1] * 257, (3, 1))
    image = read_image(write(np.array([[0, 1]], np.uint8), photometric="palette", colormap=ramp))
    assert image.axes == "YX"
    assert image.data.tolist() == [[255, 254]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("is_lazy", [False, True])
def test_orientation(write, monkeypatch, orientation, is_lazy):
    if is_lazy:
        monkeypatch.setattr(tiff, "LAZY_BYTES", 10)
    path = write(RGB, photometric="rgb", extratags=[(274, "H", 1, orientation, True)], resolution=(100, 50))
    exif = Image.Exif()
    exif[0x0112] = orientation
    truth = Image.fromarray(RGB)
    truth.info["exif"] = exif.tobytes()
    image = read_image(path)
    np.testing.assert_array_equal(np.asarray(image.data), np.asarray(ImageOps.exif_transpose(truth)))
    assert read_size(path) == (image.height, image.width)
    height, width = image.pixel_size_yx
    assert (height > width) == (orientation < 5)


def test_orientation_that_does_not_exist(write):
    np.testing.assert_array_equal(read_image(write(GRAY, extratags=[(274, "H", 1, 99, True)])).data, GRAY)


# -- colours -------------------------------------------------------------------------------------------


def test_cmyk_is_what_pillow_shows(write):
    cmyk = RANDOM.integers(0, 256, (9, 11, 4)).astype(np.uint8)
    with pytest.warns(SpecimenWarning, match="CMYK"):
        image = read_image(write(cmyk, photometric="separated"))
    np.testing.assert_array_equal(image.data, np.asarray(Image.fromarray(cmyk, "CMYK").convert("RGB")))
    with pytest.warns(SpecimenWarning, match="CMYK"):
        deep = read_image(write(cmyk.astype(np.uint16) * 257, photometric="separated"))
    assert np.abs(deep.data / 257 - image.data).max() < 1


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [
        ((255, 0, 0), (255, 255, 255)),
        ((0, 0, 0), (0, 0, 0)),
        ((136, 81, 70), (255, 0, 0)),
        ((75, 68, 144), (0, 0, 255)),
    ],
)
def test_lab(write, lab, rgb):
    """Red and blue of sRGB are L*a*b* (54.3, 80.8, 69.9) and (29.6, 68.3, -112.0) under D50."""
    image = read_image(write(np.full((2, 2, 3), lab, np.uint8), photometric="cielab"))
    assert np.abs(image.data.astype(int) - rgb).max() <= 6


def test_ycbcr_without_compression(tmp_path):
    path = tmp_path / "a.tif"
    picture = Image.fromarray(RGB).convert("YCbCr")
    picture.save(path)
    assert np.abs(read_image(path).data.astype(int) - np.asarray(picture.convert("RGB"))).max() <= 1


def test_transparency_is_told(write):
    data = np.concatenate([RGB, RGB[..., :1]], axis=-1)
    with pytest.warns(SpecimenWarning, match="transparent"):
        image = read_image(write(data, photometric="rgb", extrasamples=["unassalpha"]))
    np.testing.assert_array_equal(image.data, data)
    assert image.channel_names == (*COLORS, "alpha")


def test_opaque_is_silent(write):
    data = np.concatenate([RGB, np.full_like(RGB[..., :1], 255)], axis=-1)
    np.testing.assert_array_equal(
        read_image(write(data, photometric="rgb", extrasamples=["unassalpha"])).data, data
    )


def test_colours_multiplied_by_transparency_are_divided(write):
    data = np.array([[[50, 0, 100, 100], [0, 0, 0, 0], [9, 8, 7, 255]]], np.uint8)
    with pytest.warns(SpecimenWarning, match="transparent"):
        image = read_image(write(data, photometric="rgb", extrasamples=["assocalpha"]))
    assert image.data.tolist() == [[[128, 0, 255, 100], [0, 0, 0, 0], [9, 8, 7, 255]]]


def test_further_samples_of_a_colour_picture_are_left_out(write):
    data = np.concatenate([RGB, RGB[..., :1]], axis=-1)
    with pytest.warns(SpecimenWarning, match="1 more channel"):
        image = read_image(write(data, photometric="rgb", extrasamples=["unspecified"]))
    np.testing.assert_array_equal(image.data, RGB)


def test_many_samples_are_channels(write):
    data = RANDOM.integers(0, 99, (6, 7, 5)).astype(np.uint16)
    image = read_image(write(data, photometric="minisblack", planarconfig="contig"))
    np.testing.assert_array_equal(image.data, data)
    assert not image.is_color
    assert image.channel_names[0] == "channel 1"


def test_raw_pattern_is_refused(write):
    with pytest.raises(ReadError, match="raw pattern"):
        read_image(write(GRAY, photometric="cfa"))


def test_complex_numbers_are_refused(write):
    with pytest.raises(ReadError, match="complex64"):
        read_image(write(GRAY.astype(np.complex64)))


# -- axes and calibration ------------------------------------------------------------------------------


def test_pages_are_planes(write):
    data = np.stack([GRAY, GRAY + 1])
    image = read_image(write(data, photometric="minisblack"))
    assert image.axes == "QYX"
    assert image.planes() == (2,)
    np.testing.assert_array_equal(image.data, data)


def test_imagej_hyperstack(write):
    data = RANDOM.integers(0, 99, (2, 3, 4, 6, 5)).astype(np.uint8)
    metadata = {"axes": "TZCYX", "unit": "micron", "spacing": 2.0}
    image = read_image(write(data, imagej=True, metadata=metadata, resolution=(4, 8)))
    assert image.axes == "TZYXC"
    np.testing.assert_array_equal(image.data, np.moveaxis(data, 2, -1))
    assert image.spacing == (1.0, 2.0, 0.125, 0.25)
    assert image.unit == "um"
    assert not image.is_color  # four stains, not red, green, blue and transparency


def test_ome(write):
    data = RANDOM.integers(0, 99, (3, 6, 5)).astype(np.uint16)
    metadata = {
        "axes": "CYX",
        "PhysicalSizeX": 500.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.25,
        "SignificantBits": 12,
        "Channel": {"Name": ["DAPI", "GFP", "RFP"]},
    }
    image = read_image(write(data, ome=True, metadata=metadata))
    np.testing.assert_array_equal(image.data, np.moveaxis(data, 0, -1))
    assert image.spacing == pytest.approx((250.0, 500.0))
    assert image.unit == "nm"
    assert image.bit_depth == 12
    assert image.channel_names == ("DAPI", "GFP", "RFP")


def test_ome_channels_called_as_colours(write):
    data = np.moveaxis(RGB, -1, 0).copy()
    image = read_image(write(data, ome=True, metadata={"axes": "CYX", "Channel": {"Name": ["R", "G", "B"]}}))
    assert image.is_color
    np.testing.assert_array_equal(image.data, RGB)


def test_more_stack_axes_than_can_be_shown(write):
    data = np.zeros((2, 2, 2, 2, 3, 4), np.uint8)
    with pytest.raises(ReadError, match="4 stack axes"):
        read_image(write(data, metadata={"axes": "TQZIYX"}))


def test_pages_of_other_sizes_are_told(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GRAY)
        file.write(RGB, photometric="rgb")
    with pytest.warns(SpecimenWarning, match="1 more picture"):
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data, GRAY)


@pytest.mark.parametrize("subifds", [True, False])
@pytest.mark.parametrize("reduced", [1, 0], ids=["marked", "not marked"])
def test_pyramid(tmp_path, subifds, reduced):
    if not subifds and not reduced:
        pytest.skip("pages of other sizes without a mark are pictures of their own")
    levels = [RGB, RGB[::2, ::2], RGB[::4, ::4]]
    how = {"photometric": "rgb", "tile": (16, 16), "metadata": None}
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(levels[0], **how, subifds=2 if subifds else 0)
        for level in levels[1:]:
            file.write(level, **how, subfiletype=reduced)
    image = read_image(tmp_path / "a.tif")
    for found, level in zip([image.data, *image.levels], levels, strict=True):
        np.testing.assert_array_equal(found, level)


# -- lazy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"byteorder": ">"},
        {"tile": (16, 16), "compression": "zlib"},
        {"rowsperstrip": 4, "compression": "lzw"},
    ],
    ids=["contiguous", "big-endian", "tiles", "strips"],
)
def test_lazy_pictures_have_the_same_pixels(write, all_lazy, how):
    image = read_image(write(RGB.astype(np.uint16), photometric="rgb", **how))
    assert not isinstance(image.data, np.ndarray)
    np.testing.assert_array_equal(image.data[3:20, 7:30].compute(), RGB[3:20, 7:30])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image.data)).compute(), RGB)  # noqa: S301


def test_lazy_colours(write, all_lazy):
    path = write(
        np.tile(np.arange(3, dtype=np.uint8), (40, 5)), photometric="palette", colormap=_palette(257)
    )
    image = read_image(path)
    assert image.data.shape == (40, 15, 3)
    assert image.data[0, :3].compute().tolist() == [[0, 0, 0], [255, 0, 0], [0, 128, 7]]


def test_lazy_file_that_is_gone(write, all_lazy):
    path = write(RGB, photometric="rgb", compression="zlib", rowsperstrip=4)
    image = read_image(path)
    path.unlink()
    with pytest.raises(ReadError, match="a part of the picture cannot be read"):
        image.data.compute()


def test_one_large_piece_is_read_at_once(write, all_lazy):
    path = write(RGB, photometric="rgb", compression="zlib", rowsperstrip=32)
    with pytest.warns(SpecimenWarning, match="one compressed piece"):
        image = read_image(path)
    np.testing.assert_array_equal(image.data, RGB)


def test_one_piece_that_is_too_large(write, all_lazy, monkeypatch):
    monkeypatch.setattr(lazy, "MAX_BYTES", 1000)
    with pytest.raises(ReadError, match=r"takes 0\.0 GB.*tiled TIFF"):
        read_image(write(RGB, photometric="rgb", compression="zlib", rowsperstrip=32))


# -- damage --------------------------------------------------------------------------------------------

_KINDS = {
    "plain": {},
    "strips": {"compression": "zlib", "rowsperstrip": 4},
    "jpeg": {"compression": "jpeg", "rowsperstrip": 16},
    "tiles": {"tile": (16, 16), "compression": "lzw"},
    "ome": {"ome": True},
    "imagej": {"imagej": True, "byteorder": ">"},
}


def _data_or_error(path):
    try:
        return read_image(path).data
    except ReadError as error:
        return error


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(_KINDS)), st.floats(0.0, 0.999))
def test_cut_files_are_refused_or_whole(tmp_path_factory, kind, share):
    path = tmp_path_factory.mktemp("cut") / "a.tif"
    stack = np.stack([RGB, RGB[::-1]])
    metadata = {"axes": "ZYXS"} if kind in ("ome", "imagej") else None
    tifffile.imwrite(path, stack, photometric="rgb", metadata=metadata, **_KINDS[kind])
    whole = read_image(path).data
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    found = _data_or_error(path)
    if isinstance(found, ReadError):
        assert str(found).startswith(f"{path}: ")
        assert "\n" not in str(found)
    else:
        np.testing.assert_array_equal(found, whole)


def test_other_files_of_a_set_are_not_opened(tmp_path):
    """The metadata name a second file, as multi-file OME-TIFF does; planes of this one are read."""
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.stack([GRAY, GRAY]), ome=True, metadata={"axes": "ZYX"})
    content = path.read_bytes()
    first = content.index(b'SizeZ="2"')
    path.write_bytes(content[:first] + b'SizeZ="3"' + content[first + 9 :])
    with pytest.warns(SpecimenWarning, match="further planes"):
        assert read_image(path).data.shape == (2, *GRAY.shape)


def test_nothing_is_printed(write, capfd):
    path = write(RGB, photometric="rgb")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ReadError):
        read_image(path)
    assert capfd.readouterr() == ("", "")
