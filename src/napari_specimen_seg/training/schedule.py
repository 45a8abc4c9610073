"""How the learning rate goes: pure functions of the step, so that a resumed run needs no memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .config import LearnSettings


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training with one schedule of its own.

    Parameters
    ----------
    first_epoch, epochs : int
    frozen : bool
        Whether the encoder stays as it is.
    """

    first_epoch: int
    epochs: int
    frozen: bool


def phases_of(learn: LearnSettings) -> tuple[Phase, ...]:
    """Return the stretches of a training: with frozen epochs two, otherwise one."""
    if learn.frozen_epochs:
        return (
            Phase(0, learn.frozen_epochs, True),
            Phase(learn.frozen_epochs, learn.epochs, False),
        )
    return (Phase(0, learn.epochs, learn.freeze_encoder),)


def phase_at(phases: tuple[Phase, ...], epoch: int) -> Phase:
    """Return the stretch that an epoch belongs to; past the end, the last one."""
    return next((p for p in phases if epoch < p.first_epoch + p.epochs), phases[-1])


def factor(schedule: str, done: float) -> float:
    """Return what the learning rate is multiplied with.

    Parameters
    ----------
    schedule : {"one_cycle", "cosine", "constant", "plateau"}
    done : float
        Part of the phase that is over, 0 to 1.

    Returns
    -------
    float
        one_cycle: from 1/25 up to 1 in the first quarter and down to 1/100000 by cosines, as fastai does
        it (Smith 2018, arXiv:1803.09820); cosine: from 1 to 0 (Loshchilov & Hutter 2017,
        arXiv:1608.03983); else 1.
    """
    if schedule == "one_cycle":
        if done < 0.25:
            return _cosine(1 / 25, 1.0, done / 0.25)
        return _cosine(1.0, 1e-5, (done - 0.25) / 0.75)
    return _cosine(1.0, 0.0, done) if schedule == "cosine" else 1.0


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, done))) / 2


def group_rates(learn: LearnSettings, groups: int, phase: Phase) -> list[float]:
    """Return the peak rate of each group of layers, first layers first, the decoder last.

    Parameters
    ----------
    learn : LearnSettings
    groups : int
        At least 1.
    phase : Phase

    Returns
    -------
    list of float
        With discriminative rates, and outside of the frozen phase, a geometric series from lr divided by
        the first divisor to lr divided by the second; else `lr` for all.
    """
    if learn.discriminative is None or phase.frozen or groups == 1:
        return [learn.lr] * groups
    low, high = (learn.lr / divisor for divisor in learn.discriminative)
    return [low * (high / low) ** (i / (groups - 1)) for i in range(groups)]
