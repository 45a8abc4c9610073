"""Sums over regions: written out, equal to scikit-image, and the same however a picture is cut."""

from dataclasses import fields
from itertools import product

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.draw import ellipse
from skimage.measure import regionprops_table
from skimage.morphology import convex_hull_image

from napari_specimen_seg.core import blocks
from napari_specimen_seg.core.histogram import histogram
from napari_specimen_seg.core.hulls import Corners, corners, hull_areas
from napari_specimen_seg.core.measure import measure
from napari_specimen_seg.core.regions import Regions, components, regions_of
from napari_specimen_seg.core.runs import area_by_class, areas, runs_of, starts_of
from napari_specimen_seg.core.sums import Sums, put_together

pictures = arrays(np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 3))


def assert_same(one, other):
    for field in fields(one.sums):
        np.testing.assert_array_equal(
            getattr(one.sums, field.name), getattr(other.sums, field.name), field.name
        )


def many(seed, side=120):
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side + 31), np.uint8)
    for _ in range(60):
        centre, radii = rng.integers(0, side, 2), rng.integers(2, 25, 2)
        where = ellipse(*centre, *radii, shape=labels.shape, rotation=rng.uniform(0, 3))
        labels[where] = rng.integers(0, 5)
    return labels, rng.integers(0, 256, (*labels.shape, 2), dtype=np.uint8)


def test_runs_written_out():
    block = np.array([[0, 1, 1, 2], [2, 2, 0, 1]], np.uint8)
    starts = starts_of(block)
    assert starts.tolist() == [0, 1, 3, 4, 6, 7]
    runs, order = runs_of(block, starts, block.ravel()[starts])
    assert order.tolist() == [1, 5, 2, 3]
    assert list(zip(runs.region, runs.row, runs.first, runs.last, strict=True)) == [
        (0, 0, 1, 2),
        (0, 1, 3, 3),
        (1, 0, 3, 3),
        (1, 1, 0, 1),
    ]
    assert areas(block, 2).tolist() == [2, 3, 3]
    found = area_by_class(np.array([[0, 1, 1, 1], [2, 2, 0, 1]]), block, 2)
    assert {key: value.tolist() for key, value in found.items()} == {1: [3, 0], 2: [1, 2]}


def test_a_hull_written_out():
    # The slanted side of a triangle takes the pixels whose centres are on it, not those beside it.
    row, left = np.arange(3), np.array([0, 0, 0])
    region = np.zeros(3, int)
    side, other = corners(region, row, left), corners(region, row, -np.array([0, 1, 2]))
    assert hull_areas(side, other, 1).tolist() == [6]
    assert list(zip(other.y, other.x, strict=True)) == [(-1, 0), (4, -5), (5, -4)]


@given(pictures, st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=40)
def test_hulls_are_those_of_skimage(mask, down, right):
    mask = np.kron(mask > 1, np.ones((down, right), bool))
    if mask.any():
        found = regions_of(mask.view(np.uint8), parts=False).convex_area
        assert found.tolist() == [np.count_nonzero(convex_hull_image(mask))]


@pytest.mark.parametrize(("seed", "parts"), list(product(range(3), (True, False))))
def test_what_is_measured_is_that_of_skimage(seed, parts):
    labels, picture = many(seed)
    numbers = components(labels)[0] if parts else labels
    names = ("area", "bbox", "centroid", "perimeter", "axis_major_length", "axis_minor_length")
    told = regionprops_table(numbers, picture, properties=(*names, "area_convex", "intensity_mean"))
    found = regions_of(labels, picture, parts=parts)
    long, short = (4 * np.sqrt(v) for v in found.variances((1, 1)))
    ours = {
        "area": found.area,
        "area_convex": found.convex_area,
        "perimeter": found.perimeter,
        "axis_major_length": long,
        "axis_minor_length": short,
        **{f"bbox-{i}": found.box[:, i] for i in range(4)},
        **{f"centroid-{i}": found.centroid[:, i] for i in range(2)},
        **{f"intensity_mean-{i}": found.mean[:, i] for i in range(2)},
    }
    for name, values in told.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-11, atol=1e-7, err_msg=name)


@given(pictures, st.tuples(st.integers(1, 9), st.integers(1, 9)), st.booleans())
@settings(max_examples=30)
def test_small_pictures_cut_anyhow(labels, chunks, parts):
    picture = np.arange(labels.size * 2, dtype=np.uint16).reshape(*labels.shape, 2)
    whole = regions_of(labels, picture, parts=parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "LAZY_PIXELS", 1)
        lazy = da.from_array(labels, chunks=chunks)
        assert_same(whole, regions_of(lazy, da.from_array(picture, chunks=(3, 4, 1)), parts=parts))
        patch.setattr(blocks, "BLOCK_PIXELS", chunks[0] * chunks[1])
        patch.setattr(blocks, "_MAX_WIDTH", chunks[1])
        assert_same(whole, regions_of(labels, picture, parts=parts))


@pytest.mark.parametrize("parts", [True, False])
def test_larger_pictures_cut_anyhow(monkeypatch, parts):
    labels, picture = many(7)
    whole = regions_of(labels, picture, parts=parts)
    monkeypatch.setattr(blocks, "LAZY_PIXELS", 900)
    for chunks in ((32, 32), (17, 200), (200, 17)):
        lazy = da.from_array(labels, chunks=chunks)
        assert_same(whole, regions_of(lazy, picture, parts=parts))
    assert_same(whole, regions_of(labels, da.from_array(picture, chunks=(40, 40, 2)), parts=parts))


@pytest.mark.parametrize("per", ["class", "object"])
def test_tables_of_lazy_pictures(monkeypatch, per):
    labels, picture = many(3)
    stack = np.stack([labels, labels[::-1]])
    lit = np.stack([picture, picture])
    monkeypatch.setattr(blocks, "LAZY_PIXELS", 900)
    lazy = da.from_array(stack, chunks=(1, 32, 32))
    whole = measure(stack, pixel_size=0.5, unit="um", image=lit, per=per)
    assert measure(lazy, pixel_size=0.5, unit="um", image=da.from_array(lit), per=per).equals(whole)


@pytest.mark.parametrize(
    "dtype", ["uint8", "bool", "uint16", "int16", "uint32", "uint64", "float32", "float64"]
)
def test_means_of_every_type(dtype):
    labels, _ = many(4)
    rng = np.random.default_rng(4)
    picture = rng.integers(0, 2 if dtype == "bool" else 200, labels.shape).astype(dtype)
    if dtype == "int16":
        picture -= 100
    found = regions_of(labels, picture[..., None], parts=False)
    expected = [picture[labels == i].mean(dtype=np.float64) for i in found.value]
    np.testing.assert_allclose(found.mean[:, 0], expected, rtol=1e-12)


def test_every_pixel_is_read_once(monkeypatch):
    labels, _ = many(5)
    reads = np.zeros(labels.shape, int)

    class Source:
        shape, dtype, ndim = labels.shape, labels.dtype, 2
        chunks = (20, 30)

        def __getitem__(self, key):
            reads[key] += 1
            return labels[key]

    monkeypatch.setattr(blocks, "LAZY_PIXELS", 900)
    assert_same(regions_of(Source(), parts=True), regions_of(labels, parts=True))
    assert (reads == 1).all()


@given(st.integers(1, 256), st.integers(0, 3), st.integers(0, 1 << 16))
@settings(max_examples=20)
def test_histogram(top, blocks_of_pixels, more):
    values = np.random.default_rng(top).integers(0, top, blocks_of_pixels * (1 << 18) + more, dtype=np.uint8)
    assert (histogram(values) == np.bincount(values, minlength=256)).all()


def test_histogram_without_numpy_2(monkeypatch):
    values = np.arange(1 << 19, dtype=np.int64).astype(np.uint8) % 12
    expected = np.bincount(values, minlength=256)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert (histogram(values) == expected).all()


def test_a_zarr_array_is_measured_piece_by_piece(tmp_path, monkeypatch):
    import zarr

    labels, _ = many(2)
    stack = zarr.create_array(str(tmp_path / "z"), shape=(2, *labels.shape), chunks=(1, 32, 32), dtype="u1")
    stack[:] = np.stack([labels, labels])
    monkeypatch.setattr(blocks, "LAZY_PIXELS", 900)
    for per in ("class", "object"):
        whole = measure(np.stack([labels, labels]), per=per)
        assert measure(stack, per=per).equals(whole)
    plane = zarr.create_array(str(tmp_path / "p"), shape=labels.shape, chunks=(32, 32), dtype="u1")
    plane[:] = labels
    assert measure(plane, per="object").equals(measure(labels, per="object"))


def test_regions_whose_squares_fill_64_bits_are_added_up_as_floats():
    side = 60_000  # four squares of this side, as their blocks would give them
    n, corner = side * side, side * (side - 1) // 2
    squares = side * ((side - 1) * side * (2 * side - 1) // 6)
    first = np.array([[0, 0], [0, side], [side, 0], [side, side]])
    some = np.zeros(4, np.int64)
    sums = Sums(
        value=some + 1,
        first=first,
        box=np.concatenate([first, first + side], axis=1),
        area=some + n,
        moments=np.tile([side * corner, side * corner, squares, squares, corner * corner], (4, 1)),
        steps=np.zeros((4, 3), np.int64),
        hull=some + n,
        light=np.zeros((4, 0)),
        origin=first,
    )
    whole = Regions(put_together(sums, Corners.none(), Corners.none(), some))
    assert whole.area.tolist() == [4 * n]
    assert whole.centroid.tolist() == [[side - 0.5, side - 0.5]]
    along, across = whole.variances((1, 1))
    assert [along[0], across[0]] == pytest.approx([(4 * n - 1) / 12] * 2, rel=1e-12)


def test_counting_in_several_threads_counts_every_pixel_once(monkeypatch):
    from napari_specimen_seg.core import histogram as counting

    values = np.random.default_rng(0).integers(0, 12, 5 * 1000 + 7).astype(np.uint8)
    values[-1] = 200
    monkeypatch.setattr(counting, "_BLOCK", 640)
    monkeypatch.setattr(counting, "_SHARED", 1000)
    monkeypatch.setattr(counting, "cores", lambda: 3)
    assert (counting.histogram(values) == np.bincount(values, minlength=256)).all()
