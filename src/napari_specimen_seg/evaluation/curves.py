"""Scores for every threshold a model could use, from counts of how sure it was."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .scores import Floats, ratio

STEPS = 1000
"""Thresholds are compared in steps of 1 / STEPS."""

GRID = np.arange(STEPS + 1) / STEPS
"""The thresholds, 0 to 1."""


def sureness_counts(probability: NDArray[Any], truth: NDArray[Any], valid: NDArray[Any]) -> NDArray[np.int64]:
    """Count pixels by how sure the model was, apart for those that are in the class and those that are not.

    Parameters
    ----------
    probability : array of float
        (Y, X), 0 to 1: of the class.
    truth : array of bool
        (Y, X): in the class.
    valid : array of bool
        (Y, X): False where the truth is to be ignored.

    Returns
    -------
    array of int64
        (2, `STEPS` + 1): pixels outside and inside the class by the least step that is not below the
        probability, so that a pixel is found at threshold k / `STEPS` exactly if its step exceeds k.
    """
    # 0.3 in 32 bits is a hair more than 0.3, and a threshold of 0.3 in 32 bits is the same hair more.
    step = np.ceil(probability.astype(np.float64) * STEPS - 1e-4).clip(0, STEPS).astype(np.intp)
    code = step + (STEPS + 1) * truth
    return np.bincount(code[valid], minlength=2 * (STEPS + 1)).reshape(2, STEPS + 1)


def _found(counts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return hits and extra pixels at every threshold, (..., STEPS + 1), and the support, (..., 1)."""
    above = counts.sum(-1, keepdims=True) - counts.cumsum(-1)
    return above[..., 1, :], above[..., 0, :], counts[..., 1, :].sum(-1, keepdims=True)


def precision_recall(counts: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return precision and recall at every threshold of `GRID`.

    Parameters
    ----------
    counts : array of int
        (..., 2, `STEPS` + 1) as `sureness_counts` gives them, added up over pictures.

    Returns
    -------
    precision, recall : array
        (..., `STEPS` + 1). Precision is NaN where nothing exceeds the threshold.
    """
    hit, extra, support = _found(counts)
    return ratio(hit, hit + extra), ratio(hit, support)


def iou_by_threshold(counts: NDArray[Any]) -> Floats:
    """Return the IoU at every threshold of `GRID`; shapes as in `precision_recall`."""
    hit, extra, support = _found(counts)
    return ratio(hit, support + extra)


def average_precision_score(counts: NDArray[Any]) -> Floats:
    """Return the area under the precision-recall curve as a sum of steps, (...,).

    The sum over thresholds of precision times the gain in recall, without interpolation, as in
    scikit-learn's ``average_precision_score``; probabilities count in steps of 1 / `STEPS`.
    """
    precision, recall = precision_recall(counts)
    gain = recall - np.concatenate([recall[..., 1:], np.zeros_like(recall[..., :1])], axis=-1)
    # Threshold 0 leaves out what has exactly probability 0; those pixels come last and add the rest.
    total = counts.sum((-2, -1))
    share = ratio(counts[..., 1, :].sum(-1), total)
    rest = (1 - recall[..., 0]) * share
    return np.where(np.isnan(recall[..., 0]), np.nan, np.nansum(precision * gain, axis=-1) + rest)


def best_threshold(counts: NDArray[Any]) -> tuple[float, float]:
    """Return the threshold with the highest mean IoU over classes, and that IoU.

    Parameters
    ----------
    counts : array of int
        (classes, 2, `STEPS` + 1).

    Returns
    -------
    threshold : float
        Above 0 and below 1. Where several are equally good, the one in their middle: it is the least
        sensitive to other pictures. NaN where no class has a pixel.
    iou : float
    """
    from .scores import mean

    score = mean(iou_by_threshold(counts), axis=0)[1:-1]
    if np.isnan(score).all():
        return float("nan"), float("nan")
    top = np.nanmax(score)
    ties = np.flatnonzero(score >= top - 1e-12)
    return float(GRID[1:-1][ties[(ties.size - 1) // 2]]), float(top)
