"""Tiles in the order in which one looks at them."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from napari_specimen_seg.plugin.view_order import View, ViewOrder, sorted_by


def grid(rows, columns, side=10):
    """Tiles of a picture, row by row."""
    return [
        SimpleNamespace(rows=slice(y * side, (y + 1) * side), columns=slice(x * side, (x + 1) * side))
        for y in range(rows)
        for x in range(columns)
    ]


def spots(count, plane=()):
    return [(plane, number) for number in range(count)]


def test_the_visible_comes_first_then_outwards():
    tiles = grid(1, 6)
    found = sorted_by(View(0, 10, 40, 50), spots(6), tiles)
    assert [number for _, number in found] == [4, 3, 5, 2, 1, 0]


def test_what_is_visible_comes_before_what_is_nearer_but_hidden():
    tiles = grid(3, 9)
    view = View(12, 18, 0, 90)  # a wide, low view of the middle row
    first = [number for _, number in sorted_by(view, spots(27), tiles)][:9]
    assert sorted(first) == list(range(9, 18))
    assert first[0] == 13


def test_the_shown_plane_comes_first():
    tiles = grid(1, 2)
    left = spots(2, (0,)) + spots(2, (1,)) + spots(2, (2,))
    found = sorted_by(View(0, 10, 0, 20, (2,)), left, tiles)
    assert [plane for plane, _ in found] == [(2,)] * 2 + [(1,)] * 2 + [(0,)] * 2


def test_moving_the_view_changes_what_is_left():
    order = ViewOrder(View(0, 10, 0, 10))
    order.use(grid(1, 8))
    left = dict.fromkeys(spots(8))

    def take():
        spot = order(left.keys())
        del left[spot]
        return spot[1]

    assert [take(), take()] == [0, 1]
    order.look(View(0, 10, 70, 80))
    assert [take(), take()] == [7, 6]
    order.look(View(0, 10, 30, 40))
    assert [take() for _ in range(4)] == [3, 2, 4, 5]
    assert not left


@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.tuples(*[st.integers(-20, 80)] * 4), min_size=1))
def test_every_tile_comes_once_wherever_one_looks(rows, columns, views):
    order = ViewOrder(View(*map(float, views[0])))
    order.use(grid(rows, columns))
    left, found = dict.fromkeys(spots(rows * columns)), []
    while left:
        order.look(View(*map(float, views[len(found) % len(views)])))
        found.append(order(left.keys()))
        del left[found[-1]]
    assert sorted(found) == spots(rows * columns)


def test_tiles_that_others_took_are_passed_over():
    order = ViewOrder(View(0, 10, 0, 10))
    order.use(grid(1, 4))
    assert order(spots(4)) == ((), 0)
    assert order([((), 3)]) == ((), 3)
    assert order([((), 2)]) == ((), 2)
