"""PNG and JPEG decoded directly: value for value what Pillow gives, and Pillow where anything is unusual."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from napari_specimen_seg.core.errors import ReadError
from napari_specimen_seg.core.files import bitmaps, decoders, png_bands
from napari_specimen_seg.core.files.images import read_image, read_indices, read_size

RANDOM = np.random.default_rng(4)
TISSUE = (
    np.add.outer(np.arange(95) ** 2, 3 * np.arange(141))[..., None] // np.array([7, 11, 13]) % 256
).astype(np.uint8)


def _pillow(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def _as_pillow(path):
    """See that a file has the values that Pillow gives, or is refused where Pillow refuses it."""
    try:
        expected = _pillow(path.read_bytes())
    except (OSError, SyntaxError):
        with pytest.raises(ReadError):
            read_image(path)
    else:
        np.testing.assert_array_equal(read_image(path).data, expected)


def _saved(picture, kind, **how):
    content = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(content, kind, **how)
    return content.getvalue()


@pytest.fixture
def read(tmp_path):
    def _read(content):
        (tmp_path / "a").write_bytes(content)
        return read_image(tmp_path / "a").data

    return _read


@pytest.fixture
def by_pillow(monkeypatch):
    """Whether Pillow was asked for pixels."""
    asked = []
    original = bitmaps._loaded
    monkeypatch.setattr(bitmaps, "_loaded", lambda *given: asked.append(1) or original(*given))
    return asked


@pytest.fixture(params=["at once", "in bands"])
def way(request, monkeypatch):
    """Small PNG are decoded at once, large ones in bands; here in bands of one or two rows."""
    if request.param == "in bands":
        monkeypatch.setattr(decoders, "pays", lambda *_: True)
        monkeypatch.setattr(png_bands, "BAND_BYTES", 900)


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(array, chunks=(), *, interlaced=False, filters=(0,), after=()):
    """Write a PNG by hand, to have every depth, filter and order of chunks."""
    height, width = array.shape[:2]
    colors = {1: 0, 2: 4, 3: 2, 4: 6}[array.shape[2] if array.ndim == 3 else 1]
    header = struct.pack(">IIBBBBB", width, height, 8 * array.dtype.itemsize, colors, 0, 0, int(interlaced))
    passes = [array]
    if interlaced:
        steps = (
            (0, 0, 8, 8),
            (0, 4, 8, 8),
            (4, 0, 8, 4),
            (0, 2, 4, 4),
            (2, 0, 4, 2),
            (0, 1, 2, 2),
            (1, 0, 2, 1),
        )
        passes = [array[y::down, x::right] for y, x, down, right in steps]
    rows = [row for part in passes if part.size for row in part]
    raw = b"".join(
        bytes([filters[i % len(filters)]]) + row.astype(f">u{array.dtype.itemsize}").tobytes()
        for i, row in enumerate(rows)
    )
    body = [
        _chunk(b"IHDR", header),
        *chunks,
        _chunk(b"IDAT", zlib.compress(raw)),
        *after,
        _chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


# -- PNG -----------------------------------------------------------------------------------------------


SIDES = st.integers(1, 12)


def _shapes(*channels):
    return st.one_of(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES, st.sampled_from(channels)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=st.one_of(arrays.arrays(np.uint8, _shapes(2, 3, 4)), arrays.arrays(np.uint16, _shapes(3))))
def test_every_kind_of_png_comes_back(tmp_path_factory, way, array):
    path = tmp_path_factory.mktemp("png") / "a.png"
    path.write_bytes(_png(array))
    found = read_indices(path)
    np.testing.assert_array_equal(found.data, array)
    assert found.data.dtype == array.dtype
    assert found.data.flags.writeable


@pytest.mark.parametrize("filter_type", range(5))
def test_every_filter_is_undone_as_pillow_does(read, by_pillow, way, filter_type):
    content = _png(TISSUE, filters=(filter_type,))
    np.testing.assert_array_equal(read(content), _pillow(content))
    assert not by_pillow


@pytest.mark.parametrize("array", [TISSUE, TISSUE[..., 0], TISSUE.astype(np.uint16) * 257])
def test_interlaced_png(read, array):
    np.testing.assert_array_equal(read(_png(array, interlaced=True)), array)


@pytest.mark.parametrize("mode", ["1", "P"])
def test_other_modes_are_left_to_pillow(read, by_pillow, mode):
    read(_saved(Image.fromarray(TISSUE).convert(mode), "PNG"))
    assert by_pillow


def test_wrong_checksums_around_pixels_do_not_matter(read, way):
    content = bytearray(_png(TISSUE))
    content[content.index(b"IEND") - 6] ^= 1  # in the checksum of IDAT, which Pillow does not compare
    np.testing.assert_array_equal(read(bytes(content)), TISSUE)


@given(seed=st.integers(0, 1000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_pixels_of_png_are_refused_or_what_pillow_makes_of_them(tmp_path_factory, way, seed):
    content = bytearray(_png(TISSUE, filters=(4, 1, 0, 2, 3)))
    rng = np.random.default_rng(seed)
    for at in rng.integers(content.index(b"IDAT"), len(content), rng.integers(1, 4)):
        content[at] = rng.integers(256)
    if rng.random() < 0.2:
        content = content[: rng.integers(len(content) // 2, len(content))]
    path = tmp_path_factory.mktemp("png") / "a.png"
    path.write_bytes(content)
    _as_pillow(path)


@pytest.mark.parametrize("extra", [b"", b"\0", bytes(5000)])
@pytest.mark.parametrize("missing", [0, 1, 400])
def test_pixels_that_are_too_many_or_too_few(tmp_path, way, extra, missing):
    content = _png(TISSUE)
    begin = content.index(b"IDAT")
    raw = zlib.decompress(content[begin + 4 :])[: -missing or None] + extra
    content = content[: begin - 4] + _chunk(b"IDAT", zlib.compress(raw)) + _chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(content)
    _as_pillow(tmp_path / "a.png")


def test_only_large_pictures_with_noise_are_read_in_bands(tmp_path, monkeypatch):
    monkeypatch.setattr(png_bands, "LEAST_BYTES", 3 * 128 * 128)
    noise = RANDOM.integers(0, 256, (128, 128, 3)).astype(np.uint8)
    for array, expected in ((noise, True), (noise[1:], False), (noise * 0, False)):
        (tmp_path / "a.png").write_bytes(_png(array))
        assert png_bands.pays(tmp_path / "a.png", array.shape, 8) is expected


def test_pixels_in_many_chunks(read, by_pillow, way):
    content = _png(TISSUE)
    begin, end = content.index(b"IDAT") + 4, content.index(b"IEND") - 8
    pieces = [content[at : min(at + 37, end)] for at in range(begin, end, 37)]
    pieces.insert(3, b"")
    read_as = content[: begin - 8] + b"".join(_chunk(b"IDAT", p) for p in pieces) + _chunk(b"IEND", b"")
    np.testing.assert_array_equal(read(read_as), TISSUE)
    assert not by_pillow


def _turned_by(kind):
    """Return a chunk that says: turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    if kind == "exif":
        return _chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    return _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)


@pytest.mark.parametrize("kind", ["exif", "xmp"])
@pytest.mark.parametrize("where", ["chunks", "after"])
def test_notes_before_and_behind_the_pixels_turn_the_picture(tmp_path, kind, where):
    path = tmp_path / "a.png"
    path.write_bytes(_png(TISSUE, **{where: (_turned_by(kind),)}))
    np.testing.assert_array_equal(read_image(path).data, np.rot90(TISSUE, -1))
    assert read_size(path) == (141, 95)


def test_the_size_of_a_png_is_told_without_its_pixels(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(_png(TISSUE, after=(_chunk(b"tEXt", b"date:create\0today"),)))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("the pixels were decoded"))
    assert read_size(path) == (95, 141)


def test_remarks_of_the_decoder_stay_off_the_screen(read, capfd):
    profile = _chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))
    np.testing.assert_array_equal(read(_png(TISSUE, (profile,))), TISSUE)
    assert capfd.readouterr() == ("", "")


# -- JPEG ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [10, 75, 95])
def test_jpeg_has_the_values_that_pillow_gives(read, by_pillow, mode, progressive, subsampling, quality):
    picture = Image.fromarray(TISSUE).convert(mode)
    content = _saved(picture, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    np.testing.assert_array_equal(read(content), _pillow(content))
    assert not by_pillow


def test_jpeg_whose_colours_were_not_converted(read, by_pillow):
    content = _saved(TISSUE, "JPEG", quality=90, keep_rgb=True)
    np.testing.assert_array_equal(read(content), _pillow(content))
    assert not by_pillow


@given(seed=st.integers(0, 1000))
def test_damaged_pixels_of_jpeg_are_what_pillow_makes_of_them(tmp_path_factory, seed):
    content = bytearray(_saved(TISSUE, "JPEG", quality=80))
    rng = np.random.default_rng(seed)
    for at in rng.integers(content.index(b"\xff\xda") + 20, len(content) - 2, 3):
        content[at] = rng.integers(256)
    path = tmp_path_factory.mktemp("jpeg") / "a.jpg"
    path.write_bytes(content)
    _as_pillow(path)


def test_the_end_of_a_preview_is_not_the_end_of_the_picture(tmp_path):
    """A preview in the notes has an end mark of its own, close to the end of what is cut off early."""
    preview = _saved(TISSUE[:16, :16], "JPEG")
    content = _saved(TISSUE, "JPEG", quality=90, comment=preview)
    scan = content.rindex(b"\xff\xda")
    path = tmp_path / "a.jpg"
    path.write_bytes(content[: scan + 60])
    with pytest.raises(ReadError, match="cut off"):
        read_image(path)


@pytest.mark.parametrize("rest", [b"", b"\0" * 5000, b"some notes of a phone"])
def test_what_follows_the_end_does_not_matter(read, rest):
    content = _saved(TISSUE, "JPEG")
    np.testing.assert_array_equal(read(content + rest), _pillow(content))


@pytest.mark.parametrize(
    ("content", "whole"), [(b"\xff\xd8\xff", False), (b"\xff\xd8\xff\xff\xff\xff\xff\xff", False)]
)
def test_beginnings_of_jpeg(content, whole):
    assert decoders._is_whole_jpeg(content) is whole
