"""Parts of TIFF files: the same as cutting them out of the whole."""

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_specimen_seg.core import parallel
from napari_specimen_seg.core.files.tiff_parts import TiffParts, can_read_parts, piece_of

RANDOM = np.random.default_rng(3)
COLOR = RANDOM.integers(0, 256, (75, 101, 3)).astype(np.uint8)
DEEP = RANDOM.integers(0, 65536, (75, 101)).astype(np.uint16)
STACK = RANDOM.integers(0, 256, (2, 3, 40, 50)).astype(np.uint8)

LAYOUTS = {
    "tiles": (COLOR, {"photometric": "rgb", "tile": (32, 16), "compression": "deflate", "predictor": True}),
    "strips": (COLOR, {"photometric": "rgb", "rowsperstrip": 7, "compression": "lzw"}),
    "sample planes": (
        np.moveaxis(COLOR, -1, 0).copy(),
        {"photometric": "rgb", "planarconfig": "separate", "tile": (16, 16), "compression": "zstd"},
    ),
    "16 bits": (DEEP, {"tile": (32, 32), "compression": "zlib", "byteorder": ">"}),
    "stack of pages": (STACK, {"tile": (16, 16), "compression": "deflate", "photometric": "minisblack"}),
    "stack of colour": (
        np.stack([COLOR, COLOR[::-1]]),
        {"photometric": "rgb", "rowsperstrip": 10, "compression": "packbits"},
    ),
    "one strip": (DEEP, {"rowsperstrip": 75, "compression": "deflate"}),
    "not compressed": (DEEP, {"tile": (32, 32)}),
}


@pytest.fixture(scope="module", params=LAYOUTS, ids=str)
def stored(request, tmp_path_factory):
    data, how = LAYOUTS[request.param]
    path = tmp_path_factory.mktemp("parts") / "a.tif"
    tifffile.imwrite(path, data, **how)
    with tifffile.TiffFile(path) as tif:
        level = tif.series[0]
        assert can_read_parts(level)
        yield TiffParts(level), data, piece_of(level)


def test_all_of_it(stored):
    parts, data, piece = stored
    np.testing.assert_array_equal(parts[...], data)
    assert len(piece) == data.ndim
    assert parts[...].dtype.isnative


@given(choice=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_part_is_what_cutting_gives(stored, choice):
    parts, data, _ = stored
    index = tuple(choice.draw(st.one_of(st.slices(n), st.integers(-n, n - 1))) for n in data.shape)
    index = index[: choice.draw(st.integers(1, data.ndim))]
    np.testing.assert_array_equal(parts[index], data[index])


def test_jpeg_tiles_are_what_tifffile_gives(tmp_path):
    how = {"compression": "jpeg", "compressionargs": {"level": 90}, "subsampling": (2, 2)}
    tifffile.imwrite(tmp_path / "a.tif", COLOR, photometric="ycbcr", tile=(32, 32), **how)
    whole = tifffile.imread(tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        parts = TiffParts(tif.series[0])
        np.testing.assert_array_equal(parts[3:70, 5:99], whole[3:70, 5:99])


def test_tiles_that_are_left_out_are_empty(tmp_path):
    def tiles():
        yield RANDOM.integers(0, 256, (16, 16)).astype(np.uint8)
        yield from (None, None, None)

    tifffile.imwrite(
        tmp_path / "a.tif", tiles(), shape=(32, 32), dtype=np.uint8, tile=(16, 16), compression="zlib"
    )
    whole = tifffile.imread(tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        np.testing.assert_array_equal(TiffParts(tif.series[0])[8:30, 3:20], whole[8:30, 3:20])
    assert whole[:16, :16].any()
    assert not whole[16:].any()


def test_an_index_beyond_the_end_is_refused(stored):
    parts, data, _ = stored
    with pytest.raises(IndexError, match="out of bounds"):
        parts[data.shape[0]]


def test_large_parts_use_several_threads_and_report_their_errors(tmp_path, monkeypatch):
    data = RANDOM.integers(0, 256, (1024, 1024)).astype(np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, tile=(128, 128), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        np.testing.assert_array_equal(TiffParts(tif.series[0])[:, 1:], data[:, 1:])
        offset = tif.pages[0].dataoffsets[40]
    content = bytearray(path.read_bytes())
    content[offset : offset + 200] = b"\0" * 200
    path.write_bytes(content)
    with tifffile.TiffFile(path) as tif, pytest.raises(RuntimeError):
        TiffParts(tif.series[0])[...]


# -- threads -------------------------------------------------------------------------------------------


def test_all_items_are_worked_on_whatever_their_number():
    seen: list[int] = []
    parallel.do_all(seen.append, iter(range(500)))
    parallel.do_all(seen.append, [])
    assert sorted(seen) == list(range(500))


def test_the_first_error_comes_out_and_ends_the_rest():
    seen = []

    def work(item):
        seen.append(item)
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 0"):
        parallel.do_all(work, range(1000))
    assert len(seen) < 1000
