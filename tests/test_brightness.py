"""The range of values of a picture: the same in memory and from the disk."""

import threading

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_specimen_seg.core import brightness
from napari_specimen_seg.core.brightness import Pixels, is_flat, moments, percentiles
from napari_specimen_seg.core.errors import CancelledError, ImageError, SpecimenWarning
from napari_specimen_seg.core.input_settings import ByDtype, ByMoments, ByPercentile
from napari_specimen_seg.core.preprocessing import Preprocessing

TYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "int64", "float16", "float32", "float64")


@given(st.data())
def test_percentiles_are_those_of_numpy(data):
    dtype = np.dtype(data.draw(st.sampled_from(TYPES)))
    elements = {"allow_nan": True, "allow_infinity": True} if dtype.kind == "f" else None
    if dtype == np.int64:  # numpy takes them as fractions, which hold 53 bits
        elements = {"min_value": -(2**52), "max_value": 2**52}
    plane = data.draw(
        hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=3, max_side=6), elements=elements)
    )
    low = data.draw(st.integers(0, 49))
    finite = plane[np.isfinite(plane)].astype(np.float64)
    if not finite.size:
        return
    ranks = np.rint(np.array([low, 100 - low]) / 100 * (finite.size - 1)).astype(int)
    assert percentiles(Pixels(plane), low, 100 - low) == tuple(np.sort(finite)[ranks])


def planes():
    rng = np.random.default_rng(3)
    yield rng.integers(0, 256, (70, 50, 3), dtype=np.uint8)
    yield rng.integers(0, 256, (70, 50, 4), dtype=np.uint8)
    yield rng.integers(5, 60000, (33, 90)).astype(np.uint16)
    yield rng.integers(-5, 2**30, (33, 90)).astype(np.int32)
    fractions = rng.normal(0.5, 3, (80, 41)).astype(np.float32)
    fractions[3, 4] = np.nan
    yield fractions


@pytest.mark.parametrize("plane", list(planes()), ids=lambda plane: f"{plane.dtype}-{plane.shape}")
@pytest.mark.parametrize("values", [ByDtype(), ByPercentile(low=2, high=97), ByMoments()])
@pytest.mark.filterwarnings("ignore::napari_specimen_seg.core.errors.SpecimenWarning")
def test_lazy_planes_have_the_range_of_those_in_memory(plane, values, monkeypatch):
    monkeypatch.setattr(brightness, "SIDE", 16)
    wanted = Preprocessing(values=values).value_range(plane)
    chunks = (20, 30, *plane.shape[2:])
    assert Preprocessing(values=values).value_range(da.from_array(plane, chunks=chunks)) == wanted
    monkeypatch.setattr(brightness, "READ_BYTES", 100)
    assert Preprocessing(values=values).value_range(da.from_array(plane, chunks=plane.shape)) == wanted


def test_whole_numbers_without_sign_are_not_read_to_the_end():
    read = []

    def block(info):
        read.append(info)
        return np.arange(1024 * 1024, dtype=np.uint16).reshape(1024, 1024)

    plane = da.map_blocks(
        lambda block_info=None: block(block_info), chunks=((1024,) * 50, (1024,) * 50), dtype=np.uint16,
        meta=np.empty((0, 0), np.uint16),
    )  # fmt: skip
    assert Preprocessing(values=ByDtype()).value_range(plane) == (0, 65535)
    assert len(read) < 10


def test_flat_pictures_are_noticed():
    plane = da.full((50, 60), 7, dtype=np.uint8, chunks=20)
    with pytest.warns(SpecimenWarning, match="same value"):
        assert Preprocessing(values=ByDtype()).value_range(plane) == (0, 255)
    assert is_flat(Pixels(np.full((4, 4), 3)))
    assert not is_flat(Pixels(np.eye(4)))


def test_moments_by_hand():
    assert moments(Pixels(np.array([[1, 3], [np.nan, 2]]))) == (2, 2 + np.sqrt(2 / 3))


def test_looking_can_be_stopped():
    def stop(progress):
        assert progress.stage == "reading values"
        raise CancelledError

    plane = da.zeros((3000, 3000), np.uint8, chunks=1024)
    with pytest.raises(CancelledError):
        Preprocessing(values=ByPercentile()).value_range(plane, report=stop)


def test_a_slow_disk_keeps_nobody_waiting_who_stops():
    let_go, calls = threading.Event(), []

    def slow(block):
        let_go.wait(60)
        return block

    def stop(progress):
        calls.append(progress)
        if len(calls) == 6:
            raise CancelledError

    plane = da.zeros((3000, 3000), np.uint8, chunks=1024).map_blocks(slow, meta=np.empty((0, 0), np.uint8))
    try:
        with pytest.raises(CancelledError):
            Preprocessing(values=ByPercentile()).value_range(plane, report=stop)
    finally:
        let_go.set()
    assert {progress.stage for progress in calls} == {"reading values"}


def test_large_planes_in_memory_can_be_stopped_too(monkeypatch):
    monkeypatch.setattr(brightness, "SIDE", 16)
    monkeypatch.setattr(brightness, "READ_BYTES", 1000)
    seen = []
    Preprocessing(values=ByPercentile()).value_range(np.eye(100, dtype=np.uint8), report=seen.append)
    assert [(one.stage, one.done, one.total) for one in seen[-7:]] == [
        ("reading values", number, 7) for number in range(7)
    ]


def test_nothing_finite_is_refused():
    with pytest.raises(ImageError, match="finite"):
        Preprocessing(values=ByPercentile()).value_range(da.full((9, 9), np.nan, np.float32, chunks=5))
