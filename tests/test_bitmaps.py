"""PNG, JPEG and the other formats that are no TIFF."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from napari_specimen_seg.core.errors import ReadError, SpecimenWarning
from napari_specimen_seg.core.files import bitmaps, lazy
from napari_specimen_seg.core.files.images import read_image, read_indices, read_size
from napari_specimen_seg.core.image import COLORS

RANDOM = np.random.default_rng(2)
RGB = RANDOM.integers(0, 256, (20, 33, 3)).astype(np.uint8)
DEEP = RANDOM.integers(0, 65536, (20, 33, 3)).astype(np.uint16)
SMOOTH = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8)


@pytest.fixture
def save(tmp_path):
    def _save(picture, name, **how):
        path = tmp_path / name
        (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path, **how)
        return path

    return _save


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.ppm", "a.tga"])
def test_colour_without_loss(save, name):
    image = read_image(save(RGB, name))
    np.testing.assert_array_equal(image.data, RGB)
    assert image.axes == "YXC"
    assert image.channel_names == COLORS
    assert image.name == "a"


def test_webp_and_jpeg_2000_without_loss(save):
    np.testing.assert_array_equal(read_image(save(RGB, "a.webp", lossless=True)).data, RGB)
    np.testing.assert_array_equal(read_image(save(RGB, "a.jp2", irreversible=False)).data, RGB)


@pytest.mark.parametrize(
    "name", ["a.jpg", "b.png", "noending", "right\u202egnp.exe", "new\nline.png", "%s{0}.png"]
)
def test_content_counts_not_the_name(save, name):
    np.testing.assert_array_equal(read_image(save(RGB, name, format="PNG")).data, RGB)


def test_png_of_16_bits(tmp_path):
    gray = DEEP[..., 0].copy()
    for data in (gray, DEEP):
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(data))
        image = read_image(tmp_path / "a.png")
        assert image.data.dtype == np.uint16
        np.testing.assert_array_equal(image.data, data)


def test_png_of_16_bits_with_transparency(tmp_path):
    data = np.concatenate([DEEP, DEEP[..., :1]], axis=-1)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(data))
    with pytest.warns(SpecimenWarning, match="transparent"):
        np.testing.assert_array_equal(read_image(tmp_path / "a.png").data, data)


def _palette_png(colors):
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    picture.putpalette([value for color in colors for value in color])
    return picture


def test_palette(save):
    path = save(_palette_png([(0, 0, 0), (255, 0, 0), (0, 9, 7)]), "a.png")
    assert read_image(path).data.tolist() == [[[0, 0, 0], [255, 0, 0]], [[0, 9, 7], [255, 0, 0]]]
    assert read_indices(path).data.tolist() == [[0, 1], [2, 1]]


def test_palette_of_grays_is_gray(save):
    image = read_image(save(_palette_png([(9, 9, 9), (200, 200, 200), (5, 5, 5)]), "a.png"))
    assert image.axes == "YX"
    assert image.data.tolist() == [[9, 200], [5, 200]]


def test_palette_with_transparency(save):
    with pytest.warns(SpecimenWarning, match="transparent"):
        image = read_image(save(_palette_png([(0, 0, 0), (255, 0, 0), (0, 9, 7)]), "a.png", transparency=0))
    assert image.data[0].tolist() == [[0, 0, 0, 0], [255, 0, 0, 255]]


def test_one_bit(save):
    image = read_image(save(Image.fromarray(np.array([[255, 0]], np.uint8)).convert("1"), "a.png"))
    assert image.data.dtype == bool
    assert image.data.tolist() == [[True, False]]


def test_gray_with_transparency_is_colour_unless_opaque(save):
    opaque = np.dstack([SMOOTH, np.full_like(SMOOTH, 255)])
    image = read_image(save(Image.fromarray(opaque, "LA"), "a.png"))
    assert image.axes == "YX"
    np.testing.assert_array_equal(image.data, SMOOTH)
    with pytest.warns(SpecimenWarning, match="transparent"):
        image = read_image(save(Image.fromarray(np.dstack([SMOOTH, SMOOTH]), "LA"), "b.png"))
    np.testing.assert_array_equal(image.data, SMOOTH[..., None].repeat(4, axis=-1))


def test_opaque_colour_keeps_its_channels(save):
    data = np.dstack([RGB, np.full_like(RGB[..., 0], 255)])
    image = read_image(save(data, "a.png"))
    np.testing.assert_array_equal(image.data, data)
    assert image.is_color


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.png"])
@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, -1), (8, 1)])
def test_orientation(save, name, orientation, turns):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(SMOOTH, name, exif=exif)
    image = read_image(path)
    plane = image.data if image.data.ndim == 2 else image.data[..., 0]
    assert np.abs(plane.astype(int) - np.rot90(SMOOTH, turns)).max() <= 8
    assert read_size(path) == plane.shape


def test_cmyk_of_adobe(save):
    """Adobe stores inks inverted; without inks the paper is white."""
    with pytest.warns(SpecimenWarning, match="CMYK"):
        image = read_image(save(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "a.jpg"))
    assert image.data.min() >= 250


def test_twelve_bit_jpeg(tmp_path):
    data = (SMOOTH.astype(np.uint16) * 16)[:, :64]
    content = imagecodecs.jpeg_encode(data, bitspersample=12, level=100)
    (tmp_path / "a.jpg").write_bytes(content)
    image = read_image(tmp_path / "a.jpg")
    assert image.bit_depth == 12
    assert np.abs(image.data.astype(int) - data).max() < 32
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(ReadError, match="damaged"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("bits", [12, 16])
def test_deep_jpeg_2000(tmp_path, bits):
    data = DEEP >> (16 - bits)
    content = imagecodecs.jpeg2k_encode(data, level=0, reversible=True, bitspersample=bits)
    (tmp_path / "a.jp2").write_bytes(content)
    image = read_image(tmp_path / "a.jp2")
    np.testing.assert_array_equal(image.data, data)
    assert image.bit_depth == (12 if bits == 12 else None)


def test_deep_pnm(tmp_path):
    (tmp_path / "a.ppm").write_bytes(
        b"P6 # note 1\n2 1\n# more\n65535\n" + struct.pack(">6H", 1, 2, 3, 4, 5, 65535)
    )
    assert read_image(tmp_path / "a.ppm").data.tolist() == [[[1, 2, 3], [4, 5, 65535]]]
    (tmp_path / "a.pgm").write_bytes(b"P5\n2 1\n65535\n" + struct.pack(">2H", 1, 65534))
    image = read_image(tmp_path / "a.pgm")
    assert image.data.dtype == np.uint16
    assert image.data.tolist() == [[1, 65534]]


def test_animation_is_a_stack(save):
    frames = [Image.new("RGB", (7, 5), color) for color in ("red", "lime", "blue")]
    image = read_image(save(frames[0], "a.gif", save_all=True, append_images=frames[1:]))
    assert image.axes == "QYXC"
    assert image.data[:, 0, 0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_previews_in_a_photograph_are_no_stack(save):
    """Cameras put a small second picture into the file (MPO)."""
    path = save(SMOOTH, "a.jpg", format="MPO", save_all=True, append_images=[Image.new("L", (8, 8))])
    assert read_image(path).data.shape == SMOOTH.shape


# -- damage and lies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.gif", "a.ppm", "a.tga", "a.jp2"])
def test_cut_files_are_refused(save, name, share):
    path = save(RGB, name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ReadError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"just text", "not a picture"),
        (b"\x93NUMPY\x01\x00", "a NumPy array"),
        (b"%PDF-1.7", "a PDF"),
        (b"PK\x03\x04", "zip archive"),
        (b"\0" * 4096, "not a picture"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path, content, says):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ReadError, match=says):
        read_image(tmp_path / "a.png")


def test_camera_raw_is_refused(tmp_path):
    (tmp_path / "a.nef").write_bytes(b"II*\0")
    with pytest.raises(ReadError, match="Develop it"):
        read_image(tmp_path / "a.nef")


@pytest.mark.parametrize("name", ["missing.png", "missing"])
def test_missing(tmp_path, name):
    with pytest.raises(ReadError, match="no such file"):
        read_image(tmp_path / name)


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_headers_that_lie_cost_nothing(tmp_path):
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(b"0")) + _chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ReadError, match=r"30\.0 GB"):
        read_image(tmp_path / "a.png")


def test_limit_is_ours_not_pillows(save, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    np.testing.assert_array_equal(read_image(save(RGB, "a.png")).data, RGB)
    assert Image.MAX_IMAGE_PIXELS == 10
    monkeypatch.setattr(lazy, "MAX_BYTES", 100)
    with pytest.raises(ReadError, match="allowed"):
        read_image(save(RGB, "b.png"))


def test_damaged_colour_profile_does_not_spoil_the_pixels(save):
    path = save(RGB, "a.png")
    content = path.read_bytes()
    bomb = _chunk(b"iCCP", b"x\0\0" + zlib.compress(b"\0" * (80 << 20)))
    path.write_bytes(content[:33] + bomb + content[33:])
    with pytest.warns(SpecimenWarning, match="notes in the file"):
        image = read_image(path)
    np.testing.assert_array_equal(image.data, RGB)


def test_only_listed_formats_are_tried(tmp_path):
    """Pillow would start Ghostscript for PostScript."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(ReadError, match="not a picture"):
        read_image(tmp_path / "a.png")
    assert not {"EPS", "WMF", "PSD", "FPX"} & {name for names in bitmaps._PILLOW.values() for name in names}
