"""How far a score may be off because other pictures could have been chosen."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES = 2000
LEVEL = 0.95
_BLOCK_NUMBERS = 1 << 21  # weights that are in memory at once

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From weights (samples, pictures) to one value, or one per class, of each sample."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Limits between which a score lies with 95 % confidence.

    Parameters
    ----------
    low, high : array of float
        One per class; NaN where there is no interval.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]


def interval(pictures: int, statistic: Statistic, *, samples: int = SAMPLES) -> Interval:
    """Return the percentile interval of a statistic over pictures drawn with replacement.

    Whole pictures are drawn, not pixels: the pixels of one picture resemble each other (Efron and
    Tibshirani 1993, *An Introduction to the Bootstrap*, chapters 8 and 13). The draws are the same on
    every run and machine.

    Parameters
    ----------
    pictures : int
    statistic : callable
        Takes weights, (samples, pictures) float, that say how often each picture was drawn.
    samples : int

    Returns
    -------
    Interval
        NaN for fewer than two pictures: one picture says nothing about others.
    """
    if pictures < 2:
        shape = np.shape(statistic(np.ones((1, pictures))))[1:]
        return Interval(np.full(shape, np.nan), np.full(shape, np.nan))
    values = np.concatenate([statistic(block) for block in _draws(pictures, samples)])
    tail = (1 - LEVEL) / 2 * 100
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        low, high = np.nanpercentile(values, [tail, 100 - tail], axis=0)
    return Interval(low, high)


def _draws(pictures: int, samples: int) -> Any:
    """Yield weights, a block of samples at a time."""
    generator = np.random.Generator(np.random.PCG64(0))
    block = max(1, _BLOCK_NUMBERS // pictures)
    for start in range(0, samples, block):
        count = min(block, samples - start)
        yield generator.multinomial(pictures, np.full(pictures, 1 / pictures), size=count).astype(np.float64)


def weighted_mean(weights: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over pictures of what is defined, for each sample.

    Parameters
    ----------
    weights : array
        (samples, pictures).
    values : array
        (pictures,) or (pictures, classes); NaN where undefined.

    Returns
    -------
    array
        (samples,) or (samples, classes).
    """
    from .scores import ratio

    return ratio(weights @ np.nan_to_num(values), weights @ np.isfinite(values))
