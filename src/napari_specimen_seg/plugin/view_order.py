"""What comes next: a coarse look at what is visible, the tiles there, then outwards."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.image import SpecimenImage

if TYPE_CHECKING:
    from ..core.tiling import Tile
    from ..models.stream import Spot

PREVIEW_TILES = 16
"""With more tiles than this in view, a coarse preview of all of them comes first."""


@dataclass(frozen=True, slots=True)
class View:
    """What of a picture is visible, in pixels of the picture.

    Parameters
    ----------
    top, bottom, left, right : float
        Edges of the visible part; may reach beyond the picture.
    plane : tuple of int
        The plane that is shown; () for a single picture.
    """

    top: float
    bottom: float
    left: float
    right: float
    plane: tuple[int, ...] = ()

    @property
    def center(self) -> tuple[float, float]:
        """Row and column in the middle."""
        return (self.top + self.bottom) / 2, (self.left + self.right) / 2

    @property
    def pixels(self) -> float:
        """How many are visible."""
        return max(0.0, self.bottom - self.top) * max(0.0, self.right - self.left)


class ViewOrder:
    """The order of tiles around a view that moves. One thread moves the view, another asks for tiles.

    Parameters
    ----------
    view : View
        Where one looks at first.
    """

    def __init__(self, view: View) -> None:
        self._lock = threading.Lock()
        self._view, self._sorted_for = view, View(0, 0, 0, 0)
        self._tiles: tuple[Tile, ...] = ()
        self._queue: deque[Spot] = deque()

    @property
    def view(self) -> View:
        """Where one looks now."""
        with self._lock:
            return self._view

    def look(self, view: View) -> None:
        """Move the view; tiles that are not begun yet are put in another order."""
        with self._lock:
            self._view = view

    def use(self, tiles: Sequence[Tile]) -> None:
        """Say which tiles there are in every plane."""
        self._tiles = tuple(tiles)

    def __call__(self, left: Collection[Spot]) -> Spot:
        """Return the next of the tiles that are left."""
        view = self.view
        if view != self._sorted_for or not self._queue:
            self._queue = deque(sorted_by(view, list(left), self._tiles))
            self._sorted_for = view
        while self._queue:
            spot = self._queue.popleft()
            if spot in left:
                return spot
        return next(iter(left))


def sorted_by(view: View, spots: Sequence[Spot], tiles: Sequence[Tile]) -> list[Spot]:
    """Put tiles in order: those of the plane that is shown; of these the visible ones; the nearest first.

    Parameters
    ----------
    view : View
    spots : sequence of Spot
        Plane and number of each tile.
    tiles : sequence of Tile
        By number.

    Returns
    -------
    list of Spot
    """
    if not spots:
        return []
    boxes = np.array([_box(tiles[number]) for _, number in spots], float)
    planes = np.array([_steps_away(plane, view.plane) for plane, _ in spots])
    order = np.lexsort((_distance(boxes, view), ~_is_visible(boxes, view), planes))
    return [spots[at] for at in order]


def _box(tile: Tile) -> tuple[int, int, int, int]:
    return tile.rows.start, tile.rows.stop, tile.columns.start, tile.columns.stop


def _steps_away(plane: tuple[int, ...], shown: tuple[int, ...]) -> int:
    return sum(abs(a - b) for a, b in zip(plane, shown, strict=False))


def _is_visible(boxes: NDArray[np.float64], view: View) -> NDArray[np.bool_]:
    top, bottom, left, right = boxes.T
    rows, columns = (bottom > view.top) & (top < view.bottom), (right > view.left) & (left < view.right)
    found: NDArray[np.bool_] = rows & columns
    return found


def _distance(boxes: NDArray[np.float64], view: View) -> NDArray[np.float64]:
    """Return how far the middle of each tile is from that of the view; rings have the view's shape."""
    top, bottom, left, right = boxes.T
    row, column = view.center
    high, wide = max(1.0, view.bottom - view.top), max(1.0, view.right - view.left)
    found: NDArray[np.float64] = np.hypot(
        ((top + bottom) / 2 - row) / high, ((left + right) / 2 - column) / wide
    )
    return found


# -- a first look ------------------------------------------------------------------------------------


def first_look(
    image: SpecimenImage, view: View, tile: int, least: int = PREVIEW_TILES
) -> tuple[SpecimenImage, int, int, int] | None:
    """Return what is visible, made smaller until it is about one tile.

    Parameters
    ----------
    image : SpecimenImage
    view : View
    tile : int
        Pixels of a tile.
    least : int
        How many tiles have to be visible.

    Returns
    -------
    picture, step, top, left
        One pixel of the picture stands for step x step of `image`. None where too little is visible for a
        preview to be worth its while, or where a lazy picture has no smaller levels to make it from.
    """
    top, left = max(0, int(view.top)), max(0, int(view.left))
    bottom, right = min(image.height, math.ceil(view.bottom)), min(image.width, math.ceil(view.right))
    visible = max(0, bottom - top) * max(0, right - left)
    if visible <= least * tile:
        return None
    step = 1 << max(0, math.ceil(math.log2(math.sqrt(visible / tile))))
    found = _level_for(image, step)
    if found is None:
        return None
    level, shrunk = found
    top, left = top // step * step, left // step * step
    further = step // shrunk
    part = (
        *view.plane[: len(image.planes())],
        slice(top // shrunk, -(-bottom // shrunk), further),
        slice(left // shrunk, -(-right // shrunk), further),
    )
    axes = "YXC" if "C" in image.axes else "YX"
    pixels = np.asarray(level[part])
    return SpecimenImage(pixels, image.name, axes, bit_depth=image.bit_depth), step, top, left


def _level_for(image: SpecimenImage, step: int) -> tuple[Any, int] | None:
    """Return the smallest level that is still fine enough, and by how much it is smaller."""
    best: tuple[Any, int] = image.data, 1
    row = image.axes.index("Y")
    for level in image.levels:
        shrunk = round(image.height / level.shape[row])
        if shrunk <= step and step % shrunk == 0:
            best = level, shrunk
    is_lazy = not isinstance(best[0], np.ndarray)
    return None if is_lazy and step > 4 * best[1] else best  # much more would be read than is used
