"""The learning-rate finder: a short run with a growing rate, its curve, and a suggestion."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..core.errors import SpecimenError
from ..core.files.atomic import atomic
from ..core.progress import Progress, Report, silent
from .config import TrainConfig

if TYPE_CHECKING:
    from .run import Job


@dataclass(frozen=True, slots=True)
class RateCurve:
    """What the finder saw.

    Parameters
    ----------
    rates : tuple of float
        Learning rates, growing by a constant factor.
    losses : tuple of float
        Smoothed loss at each.
    suggestion : float
        Where the loss falls fastest.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float


UNSETTLED = 10
"""Batches whose mean still jumps about, whatever the rate: no fall among them counts."""


def find_rate(
    config: TrainConfig,
    *,
    lowest: float = 1e-7,
    highest: float = 1.0,
    steps: int = 100,
    report: Report = silent,
) -> RateCurve:
    """Let the learning rate grow step by step until the loss explodes.

    Parameters
    ----------
    config : TrainConfig
        As for the training that follows.
    lowest, highest : float
    steps : int
        Batches at most.
    report : callable
        Called after every batch; may raise `CancelledError`.

    Returns
    -------
    RateCurve

    Raises
    ------
    SpecimenError
        If data do not allow training, or the loss never fell.

    References
    ----------
    Smith 2017, Cyclical learning rates for training neural networks (arXiv:1506.01186); smoothing with
    bias correction and the stop at four times the best loss as fastai does it.
    """
    from .run import prepare

    job = prepare(config)
    rates: list[float] = []
    losses: list[float] = []
    average, best = 0.0, math.inf
    growth = (highest / lowest) ** (1 / max(1, steps - 1))
    for number, loss in enumerate(_losses(job, lowest, growth, steps)):
        average = 0.98 * average + 0.02 * loss
        smooth = average / (1 - 0.98 ** (number + 1))
        rates.append(lowest * growth**number)
        losses.append(smooth)
        best = min(best, smooth)
        report(Progress("batch", number + 1, steps))
        if not math.isfinite(smooth) or (number > 10 and smooth > 4 * best):
            break
    return RateCurve(tuple(rates), tuple(losses), _steepest(rates, losses))


def _losses(job: Job, lowest: float, growth: float, steps: int) -> Iterator[float]:
    """Yield the loss of one batch after another, each learned with a larger rate than the one before."""
    from .loader import Batches, Loader
    from .precision import autocast

    task = job.make_task()
    network, learn = task.network, job.config.learn
    frozen = learn.freeze_encoder or learn.frozen_epochs > 0
    task.set_modes(Batches(task.samples, job.config, 0, 0, 1), frozen=frozen)
    optimizer = task.make_optimizer()
    number = 0
    for epoch in range(steps):
        for picture, target in Loader(task.samples, Batches(task.samples, job.config, epoch, 0, 1)):
            for group in optimizer.param_groups:
                group["lr"] = lowest * growth**number
            with nullcontext() if job.config.learn.precision == "fp32" else autocast("cpu"):
                output = network(picture.contiguous(memory_format=torch.channels_last))
            loss = task.loss(output, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()
            number += 1
            if number == steps:
                return


def _steepest(rates: list[float], losses: list[float]) -> float:
    """Return the rate at which the loss falls fastest over the logarithm of the rate."""
    end = int(np.nanargmin(losses)) + 1 if np.isfinite(losses).any() else 0
    if end < 3:
        raise SpecimenError(
            "no learning rate makes the loss fall", advice="Check the masks, or try another loss or network."
        )
    slopes = np.gradient(np.array(losses[:end]), np.log(rates[:end]))
    first = min(UNSETTLED, end // 2)
    return float(f"{rates[first + int(np.argmin(slopes[first:]))]:.2g}")


def write_curve(curve: RateCurve, folder: Path) -> None:
    """Write ``lr-find.csv`` and ``lr-find.png``.

    Parameters
    ----------
    curve : RateCurve
    folder : Path
        Made if it does not exist; earlier files of these names are replaced.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / "lr-find.csv", overwrite=True) as path:
        rows = [f"{rate!r},{loss!r}" for rate, loss in zip(curve.rates, curve.losses, strict=True)]
        path.write_text("\n".join(["lr,loss", *rows]) + "\n", encoding="utf-8")
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.semilogx(curve.rates, curve.losses, "k-")
    axes.axvline(curve.suggestion, color="k", linestyle=":")
    axes.annotate(
        f"{curve.suggestion:g}", (curve.suggestion, max(curve.losses)), (4, -8), textcoords="offset points"
    )
    axes.set(xlabel="learning rate", ylabel="loss (smoothed)")
    with atomic(folder / "lr-find.png", overwrite=True) as path:
        figure.savefig(path, dpi=150, format="png", metadata={"Software": None})
