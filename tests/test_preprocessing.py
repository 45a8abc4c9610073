"""Scaling, channels, resizing and padding, each on a tiny array with the answer written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_specimen_seg.core.errors import ImageError, SpecimenWarning
from napari_specimen_seg.core.input_settings import (
    ByDtype,
    ByMoments,
    ByPercentile,
    ByRange,
    FixedResize,
    PadToSquare,
    Tiles,
)
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.core.resizing import resize, resize_nearest

PLAIN = {"mean": (0.0,), "std": (1.0,), "channels": "gray"}


def gray(**changes):
    return Preprocessing(**{**PLAIN, **changes})


@pytest.mark.parametrize(
    ("plane", "bit_depth", "expected"),
    [
        (np.array([[0, 9]], np.uint8), None, (0, 255)),
        (np.array([[0, 9]], np.uint16), None, (0, 65535)),
        (np.array([[0, 9]], np.uint16), 12, (0, 4095)),
        (np.array([[0.1, 0.9]], np.float32), None, (0, 1)),
        (np.array([[False, True]]), None, (0, 1)),
    ],
)
def test_range_by_dtype(plane, bit_depth, expected):
    assert gray(values=ByDtype()).value_range(plane, bit_depth=bit_depth) == expected


@pytest.mark.parametrize(
    ("plane", "expected", "words"),
    [
        (np.array([[-3, 9]], np.int8), (-128, 127), "below zero"),
        (np.array([[0, 9]], np.uint32), (0, 4294967295), "makes most pictures black"),
        (np.array([[-1.0, 3.0]], np.float32), (-1, 3), "scaled to 0-1 by these extremes"),
        (np.array([[np.nan, 0.0, 1.0]], np.float32), (0, 1), "1 values are NaN"),
        (np.array([[7, 7]], np.uint8), (0, 255), "same value"),
    ],
)
def test_range_by_dtype_warns_of_odd_pictures(plane, expected, words):
    with pytest.warns(SpecimenWarning, match=words):
        assert gray(values=ByDtype()).value_range(plane) == expected


@pytest.mark.parametrize(
    ("plane", "words"),
    [
        (np.zeros((0, 4), np.uint8), "empty"),
        (np.full((2, 2), np.nan, np.float32), "no pixel has a finite value"),
        (np.zeros((2, 2), complex), "not numbers"),
    ],
)
def test_pictures_without_values_are_refused(plane, words):
    with pytest.raises(ImageError, match=words):
        gray().value_range(plane, name="scan")


@given(st.lists(st.integers(0, 65535), min_size=2, max_size=60).filter(lambda v: len(set(v)) > 1))
def test_percentiles_are_numpys_nearest_for_8_and_16_bits(values):
    settings = gray(values=ByPercentile(low=10, high=90))
    plane = np.array([values], np.uint16)
    expected = np.percentile(plane, [10, 90], method="nearest")
    assert settings.value_range(plane) == tuple(expected)


def test_percentiles_of_floats_leave_out_nan():
    settings = gray(values=ByPercentile(low=0, high=100))
    with pytest.warns(SpecimenWarning):
        assert settings.value_range(np.array([[np.nan, 2.0, 5.0]])) == (2, 5)


def test_transparency_does_not_count_as_brightness():
    settings = Preprocessing(values=ByPercentile(low=0, high=100))
    rgba = np.array([[[1, 2, 3, 255], [4, 5, 6, 255]]], np.uint8)
    assert settings.value_range(rgba) == (1, 6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_normalise_scales_shifts_and_clips(dtype):
    settings = gray(values=ByPercentile(), mean=(0.5,), std=(0.25,))
    plane = np.array([[[10], [20], [60], [200]]]).astype(dtype)
    out = settings.normalise(plane, (20.0, 60.0))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[[-2, -2, 2, 2]]], atol=1e-6)


def test_by_range_does_not_clip():
    out = gray(values=ByRange(low=10, high=20)).normalise(np.array([[[5], [25]]], np.uint8), (10, 20))
    np.testing.assert_allclose(out, [[[-0.5, 1.5]]], atol=1e-6)


def test_colour_and_grey_meet_the_channels_of_the_network():
    color = np.array([[[200, 100, 0]]], np.uint8)
    assert gray().to_channels(color).tolist() == [[[round(0.299 * 200 + 0.587 * 100)]]]
    assert Preprocessing().to_channels(np.array([[7]], np.uint8)).tolist() == [[[7, 7, 7]]]


def test_transparency_is_laid_on_white():
    rgba = np.array([[[0, 0, 0, 255], [0, 0, 0, 0], [100, 0, 0, 51]]], np.uint8)
    assert Preprocessing().to_channels(rgba).tolist() == [[[0, 0, 0], [255, 255, 255], [224, 204, 204]]]


@pytest.mark.parametrize(("channels", "count"), [("rgb", 5), ("gray", 7), (4, 3), (1, 3)])
def test_a_wrong_number_of_channels_names_both_numbers(channels, count):
    width = {"rgb": 3, "gray": 1}.get(channels, channels)
    settings = Preprocessing(channels=channels, mean=(0.0,) * width, std=(1.0,) * width)
    with pytest.raises(ImageError, match=f"scan: the picture has {count} channels"):
        settings.to_channels(np.zeros((2, 2, count), np.uint8), name="scan")


def test_pad_to_square_keeps_the_shape_and_centres_the_picture():
    settings = gray(geometry=PadToSquare(size=16))
    place = settings.placement(64, 32)
    assert (place.top, place.left, place.height, place.width) == (0, 4, 16, 8)
    out = settings.fit(np.full((64, 32), 255, np.uint8), (0, 255))
    assert out.shape == (1, 16, 16)
    assert out[0, :, 4:12].min() == 1
    assert out[0, :, :4].max() == 0
    assert out[0, :, 12:].max() == 0


def test_fixed_resize_stretches():
    settings = gray(geometry=FixedResize(height=32, width=80))
    assert settings.fit(np.zeros((7, 9), np.uint8), (0, 255)).shape == (1, 32, 80)
    assert settings.unfit(np.ones((32, 80), np.uint8), 7, 9).shape == (7, 9)


def test_masks_are_always_nearest():
    """The embryo system's two bugs: bilinear masks, and a threshold that hid it."""
    labels = np.zeros((40, 40), np.uint8)
    labels[10:30, 10:30] = 200
    fitted = gray(geometry=FixedResize(height=23, width=57)).fit_labels(labels)
    assert set(np.unique(fitted)) == {0, 200}


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30))
def test_nearest_takes_the_pixel_under_the_centre(rows, columns, height, width):
    old = np.arange(rows * columns).reshape(rows, columns)
    new = resize_nearest(old, height, width)
    y, x = (np.arange(height) + 0.5) * rows / height, (np.arange(width) + 0.5) * columns / width
    assert (new == old[np.floor(y).astype(int)[:, None], np.floor(x).astype(int)]).all()


def test_labels_survive_there_and_back_when_enlarged():
    settings = gray(geometry=PadToSquare(size=64))
    labels = np.random.default_rng(0).integers(0, 9, (32, 21)).astype(np.uint8)
    assert (settings.unfit(settings.fit_labels(labels), 32, 21) == labels).all()


def test_shrinking_averages_so_that_thin_parts_stay():
    plane = np.zeros((100, 100, 1), np.uint8)
    plane[:, ::10] = 250
    assert 15 < resize(plane, 10, 10).mean() < 35


def test_resize_takes_nan_as_zero():
    plane = np.full((4, 4, 1), np.nan, np.float32)
    assert np.isfinite(resize(plane, 2, 2)).all()


@pytest.mark.parametrize(
    "bad",
    [
        {"mean": (0.0, 0.0)},
        {"std": (0.0,)},
        {"mean": (float("nan"),)},
        {"channels": 0},
        {"geometry": {"kind": "tiles", "size": 1_000_000}},
        {"geometry": {"kind": "crop", "size": 64}},
        {"surprise": 1},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(bad):
    with pytest.raises(ValueError, match="validation error"):
        gray(**bad)


def test_settings_survive_json():
    settings = gray(values=ByPercentile(low=2, high=98), geometry=Tiles(size=256, halo=16, fitted=False))
    assert Preprocessing.model_validate_json(settings.model_dump_json()) == settings


def test_moments_make_mean_zero_and_deviation_one():
    settings = gray(values=ByMoments())
    plane = np.array([[2, 4], [4, 6]], np.uint8)
    values = settings.value_range(plane)
    assert values == (4.0, 4.0 + 2**0.5)
    np.testing.assert_allclose(
        settings.normalise(plane[..., None], values)[0] * 2**0.5, [[-2, 0], [0, 2]], atol=1e-6
    )


def test_percentiles_may_leave_what_is_beyond_them():
    plane = np.arange(101, dtype=np.uint8)[None]
    free = gray(values=ByPercentile(low=10, high=90, clip=False))
    values = free.value_range(plane)
    assert values == (10.0, 90.0)
    np.testing.assert_allclose(
        free.normalise(plane[..., None], values)[0, 0, [0, 100]], [-0.125, 1.125], atol=1e-6
    )


def test_cards_written_before_these_choices_keep_their_checksums():
    assert ByPercentile().model_dump() == {"kind": "percentile", "low": 1.0, "high": 99.8}
    assert ByPercentile(clip=False).model_dump()["clip"] is False
