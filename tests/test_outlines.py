"""Outlines that, filled again, give the same pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_specimen_seg.core.outlines import area, box, fill, outlines


def rings(numbers):
    return {n: [[r.tolist() for r in p] for p in ps] for n, ps in outlines(np.array(numbers)).items()}


def test_one_pixel_is_a_square_clockwise_from_its_upper_left_corner():
    assert rings([[0, 0], [0, 7]]) == {7: [[[[1, 1], [2, 1], [2, 2], [1, 2]]]]}


def test_a_hole_runs_the_other_way():
    ((outer, hole),) = rings([[1, 1, 1], [1, 0, 1], [1, 1, 1]])[1]
    assert outer == [[0, 0], [3, 0], [3, 3], [0, 3]]
    assert hole == [[1, 2], [2, 2], [2, 1], [1, 1]]


def test_pixels_that_share_a_corner_only_are_two_polygons():
    assert [len(polygon) for polygon in rings([[1, 0], [0, 1]])[1]] == [1, 1]


def test_neighbours_of_other_numbers_have_outlines_of_their_own():
    assert rings([[1, 2]]) == {
        1: [[[[0, 0], [1, 0], [1, 1], [0, 1]]]],
        2: [[[[1, 0], [2, 0], [2, 1], [1, 1]]]],
    }


def test_nothing_has_no_outline():
    assert rings(np.zeros((3, 4), int)) == {}
    window, mask = fill([], 3, 4)
    assert mask.size == 0
    assert np.zeros((3, 4))[window].size == 0


def test_a_pixel_is_inside_where_its_centre_is_and_what_lies_outside_is_cut_off():
    triangle = [(np.array([[-5.0, -5.0], [2.6, -5.0], [2.6, 1.4], [-5.0, 1.4]]),)]
    window, mask = fill(triangle, 4, 4)
    full = np.zeros((4, 4), bool)
    full[window] = mask
    assert full.tolist() == [[True, True, True, False]] + [[False] * 4] * 3


def test_area_and_box():
    polygons = outlines(np.array([[0, 3, 3, 3], [0, 3, 0, 3], [0, 3, 3, 3]]))[3]
    assert area(polygons) == 8
    assert box(polygons) == (1, 0, 3, 3)


@given(arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3)))
def test_filling_gives_the_same_pixels_again(numbers):
    found = outlines(numbers)
    again = np.zeros_like(numbers)
    for number, polygons in found.items():
        window, mask = fill(polygons, *numbers.shape)
        again[window][mask] = number
        assert area(polygons) == (numbers == number).sum()
        for polygon in polygons:
            for ring in polygon:
                steps = np.roll(ring, -1, 0) - ring
                assert ((steps == 0).sum(1) == 1).all()  # straight along rows or columns, and no corner twice
                assert (np.sign(steps) != np.sign(np.roll(steps, 1, 0))).any(1).all()  # every corner is one
    assert (again == numbers).all()
    assert set(found) == set(np.unique(numbers)) - {0}


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1)])
def test_narrow_pictures(shape):
    numbers = np.ones(shape, np.uint8)
    assert rings(numbers)[1] == [[[[0, 0], [shape[1], 0], [shape[1], shape[0]], [0, shape[0]]]]]
