"""Tiles cover a picture exactly once, overlap enough, and keep to the stride."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_specimen_seg.core.input_settings import Tiles
from napari_specimen_seg.core.tiling import layout, piece

STRIDE = 16


def test_a_small_picture_is_one_tile_of_its_own_size():
    plan = layout(50, 33, Tiles(size=128, halo=16), STRIDE)
    assert (plan.height, plan.width) == (64, 48)
    assert [(t.top, t.left, t.rows, t.columns) for t in plan.tiles] == [(0, 0, slice(0, 50), slice(0, 33))]


def test_fixed_tiles_keep_their_side_for_small_pictures():
    plan = layout(50, 33, Tiles(size=128, halo=16, fitted=False), STRIDE)
    assert (plan.height, plan.width, len(plan.tiles)) == (128, 128, 1)


def test_two_tiles_meet_in_the_middle_of_their_overlap():
    plan = layout(16, 200, Tiles(size=128, halo=16), STRIDE)
    # 208 padded columns: two tiles of 128 or of 112 overlap by >= 32 pixels only at 128 and 120 -> 128
    assert plan.width == 128
    assert [(t.left, t.columns) for t in plan.tiles] == [(0, slice(0, 104)), (80, slice(104, 200))]


@given(st.integers(1, 700), st.integers(1, 700), st.integers(4, 12), st.integers(0, 24), st.booleans())
def test_every_pixel_comes_from_exactly_one_tile(height, width, side, halo, fitted):
    geometry = Tiles(size=side * STRIDE, halo=halo, fitted=fitted)
    plan = layout(height, width, geometry, STRIDE)
    hits = np.zeros((height, width), int)
    for tile in plan.tiles:
        hits[tile.rows, tile.columns] += 1
        assert tile.top % STRIDE == 0
        assert tile.left % STRIDE == 0
        rows, columns = tile.inner
        assert 0 <= rows.start < rows.stop <= plan.height
        assert 0 <= columns.start < columns.stop <= plan.width
        # what is used lies at least a halo inside the tile, unless the tile ends at the picture's edge
        assert rows.start >= halo or tile.rows.start == 0
        assert columns.stop <= plan.width - halo or tile.columns.stop == width
    assert (hits == 1).all()
    assert plan.height <= geometry.size


def test_piece_mirrors_what_lies_over_the_edge():
    plane = np.array([[1, 2, 3]])
    plan = layout(1, 3, Tiles(size=64, halo=0), STRIDE)
    cut = piece(plane, plan.tiles[0], (2, 5))
    assert cut.tolist() == [[1, 2, 3, 3, 2], [1, 2, 3, 3, 2]]


@pytest.mark.parametrize("halo", [8, 16])
def test_a_halo_that_leaves_nothing_is_refused(halo):
    with pytest.raises(ValueError, match="leaves nothing"):
        Tiles(size=16, halo=halo)
