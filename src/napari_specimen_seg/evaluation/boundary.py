"""How well outlines agree, within a tolerance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap
from ..core.image import SpecimenLabels
from .confusion import planes, refuse_shapes
from .scores import Floats, f_score, ratio

_ROUNDING = 1 + 1e-9  # so that a distance of exactly the tolerance counts in whatever unit it is given


def boundary_counts(
    truth: SpecimenLabels,
    prediction: SpecimenLabels,
    class_map: ClassMap,
    *,
    tolerance: float = 2.0,
    pixel: tuple[float, float] = (1.0, 1.0),
    ignore: Iterable[int] = (),
) -> NDArray[np.int64]:
    """Count outline pixels of each class, and those that have the other outline nearby.

    A pixel belongs to the outline of its class if the pixel above, below, left or right of it has
    another value. Where the picture ends there is no outline: nobody knows what lies beyond.

    Parameters
    ----------
    truth, prediction : SpecimenLabels
        (Y, X) class ids or with leading axes, the same shape.
    class_map : ClassMap
    tolerance : float
        The largest distance between pixel centres, in the unit of `pixel`.
    pixel : (float, float)
        Height and width of a pixel.
    ignore : iterable of int
        Values of the truth; no outline runs through or along their pixels.

    Returns
    -------
    array of int64
        (classes, 4): outline pixels of the truth, those of them within the tolerance of the predicted
        outline; outline pixels of the prediction, those of them within the tolerance of the true one.
    """
    refuse_shapes(truth, prediction)
    counts = np.zeros((len(class_map), 4), np.int64)
    left_out = np.asarray(sorted(set(ignore)), np.int64)
    for one, two in zip(planes(truth), planes(prediction), strict=True):
        true, said = np.asarray(one), np.asarray(two)
        skip = np.isin(true, left_out) if left_out.size else None
        here, there = (_Outlines(labels, pixel, skip) for labels in (true, said))
        for place, class_id in enumerate(class_map.ids):
            counts[place] += _matched(here.of(class_id), there.of(class_id), tolerance)
    return counts


def boundary_f1(counts: NDArray[Any]) -> Floats:
    """Return the F1 of outlines from counts (..., 4) as `boundary_counts` gives them.

    Csurka et al. 2013 (BMVC, "What is a good evaluation measure for semantic segmentation?") after
    Martin, Fowlkes and Malik 2004.
    """
    return f_score(ratio(counts[..., 3], counts[..., 2]), ratio(counts[..., 1], counts[..., 0]))


class _Outlines:
    """The outline pixels of all classes of a plane, sorted by class."""

    def __init__(
        self, labels: NDArray[Any], pixel: tuple[float, float], skip: NDArray[np.bool_] | None
    ) -> None:
        where = np.flatnonzero(_edges(labels, skip))
        values = labels.ravel()[where]
        order = np.argsort(values, kind="stable")
        self._values = values[order]
        self._points = np.stack(np.unravel_index(where[order], labels.shape), axis=1) * np.asarray(pixel)

    def of(self, class_id: int) -> Floats:
        """Return the (n, 2) positions of a class's outline."""
        first, last = np.searchsorted(self._values, [class_id, class_id + 1])
        points: Floats = self._points[first:last]
        return points


def _edges(labels: NDArray[Any], skip: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Mark pixels with another value beside them."""
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        ahead = tuple(slice(1, None) if a == axis else slice(None) for a in (0, 1))
        behind = tuple(slice(None, -1) if a == axis else slice(None) for a in (0, 1))
        differs = labels[ahead] != labels[behind]
        if skip is not None:
            differs &= ~(skip[ahead] | skip[behind])
        edge[ahead] |= differs
        edge[behind] |= differs
    return edge


def _matched(truth: Floats, prediction: Floats, tolerance: float) -> tuple[int, int, int, int]:
    found, right = (_near(a, b, tolerance) for a, b in ((truth, prediction), (prediction, truth)))
    return len(truth), found, len(prediction), right


def _near(points: Floats, others: Floats, tolerance: float) -> int:
    """Return how many points have one of the others within the tolerance."""
    if not len(points) or not len(others):
        return 0
    from scipy.spatial import cKDTree

    # A tree bounds memory by the length of the outlines; distance maps would be as large as the picture.
    distance, _ = cKDTree(others).query(points, distance_upper_bound=tolerance * _ROUNDING + 1e-12)
    return int(np.isfinite(distance).sum())
