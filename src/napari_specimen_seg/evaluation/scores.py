"""Scores per class from counted pixels; a score whose denominator is zero is undefined, never a guess."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PixelCounts:
    """Pixels of each class, sorted by whether they were found.

    Parameters
    ----------
    hit : array of int
        (..., classes): in the class by truth and by prediction (true positives).
    extra : array of int
        Same shape: only by prediction (false positives).
    missed : array of int
        Same shape: only by truth (false negatives).
    """

    hit: NDArray[Any]
    extra: NDArray[Any]
    missed: NDArray[Any]

    @classmethod
    def of(cls, confusion: NDArray[Any]) -> PixelCounts:
        """Take the counts out of confusion matrices, (..., classes, classes + 1)."""
        hit = np.diagonal(confusion, axis1=-2, axis2=-1)
        return cls(hit, confusion.sum(-2)[..., :-1] - hit, confusion.sum(-1) - hit)

    @property
    def support(self) -> NDArray[Any]:
        """Pixels of each class by truth."""
        counted: NDArray[Any] = self.hit + self.missed
        return counted

    def weighted(self, weights: NDArray[Any]) -> PixelCounts:
        """Return the sums over pictures, each taken as often as it weighs.

        Parameters
        ----------
        weights : array
            (samples, pictures).

        Returns
        -------
        PixelCounts
            (samples, classes).
        """
        return PixelCounts(weights @ self.hit, weights @ self.extra, weights @ self.missed)


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Divide; NaN where the denominator is zero."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    divided: Floats = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole != 0)
    return divided


def iou(counts: PixelCounts) -> Floats:
    """Return the intersection over union, also called Jaccard index: hit / (hit + extra + missed)."""
    return ratio(counts.hit, counts.hit + counts.extra + counts.missed)


def dice(counts: PixelCounts) -> Floats:
    """Return the Dice coefficient: 2 hit / (2 hit + extra + missed). Counted in pixels, F1 is the same."""
    return ratio(2 * counts.hit, 2 * counts.hit + counts.extra + counts.missed)


def precision(counts: PixelCounts) -> Floats:
    """Return the share of predicted pixels that are right: hit / (hit + extra)."""
    return ratio(counts.hit, counts.hit + counts.extra)


def recall(counts: PixelCounts) -> Floats:
    """Return the share of true pixels that were found: hit / (hit + missed)."""
    return ratio(counts.hit, counts.hit + counts.missed)


def f_score(precision: Floats, recall: Floats) -> Floats:
    """Return the harmonic mean of precision and recall, 0 where both are 0 or just one is undefined.

    Undefined only where both are: nothing was there and nothing was said.
    """
    both = np.nan_to_num(precision) + np.nan_to_num(recall)
    value = 2 * ratio(np.nan_to_num(precision) * np.nan_to_num(recall), np.where(both > 0, both, 1))
    return np.where(np.isnan(precision) & np.isnan(recall), np.nan, value)


PIXEL_SCORES = {"iou": iou, "dice": dice, "precision": precision, "recall": recall, "f1": dice}
"""The scores of a class by their column, in the order of the table."""

TITLES = {
    "iou": "IoU",
    "dice": "Dice",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "accuracy": "accuracy",
    "boundary_f1": "boundary F1",
    "support": "support",
}
"""What people call them."""


def foreground_mean(values: Floats, class_map: ClassMap) -> Any:
    """Return the mean over the classes without the background; undefined scores are left out.

    Parameters
    ----------
    values : array
        (..., classes) in the order of the class map.
    class_map : ClassMap

    Returns
    -------
    float or array
        NaN where no class has a score.
    """
    keep = [place for place, item in enumerate(class_map) if item.id != 0]
    return mean(values[..., keep], axis=-1)


def mean(values: NDArray[Any], axis: int = 0) -> Any:
    """Return the mean of what is defined; NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        return np.nanmean(values, axis=axis)


def accuracy(confusion: NDArray[Any]) -> Floats:
    """Return the share of all counted pixels that have the right class, (...,)."""
    hit = np.diagonal(confusion, axis1=-2, axis2=-1).sum(-1)
    return ratio(hit, confusion.sum((-2, -1)))


def total(arrays: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Add up arrays of one shape."""
    summed: NDArray[Any] = np.sum(list(arrays), axis=0)
    return summed
