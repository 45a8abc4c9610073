"""Pictures of a training, for looking at later and for papers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.files.atomic import atomic
from .events import EpochEnded


def plot_history(history: Sequence[EpochEnded], path: Path) -> None:
    """Draw loss and score by epoch, the best epoch marked.

    Parameters
    ----------
    history : sequence of EpochEnded
    path : Path
        A PNG file; replaced if it exists.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    losses, scores = figure.subplots(1, 2)
    epochs = [event.epoch for event in history]
    losses.plot(epochs, [e.loss for e in history], "k-", label="learning")
    losses.plot(epochs, [e.validation_loss for e in history], "k--", label="validation")
    losses.set(xlabel="epoch", ylabel="loss")
    losses.legend(frameon=False)
    scores.plot(epochs, [e.mean_iou for e in history], "k-")
    best = next((e for e in reversed(history) if e.best), None)
    if best is not None:
        scores.plot(best.epoch, best.mean_iou, "ko")
        scores.annotate(
            f"best: {best.mean_iou:.3f}",
            (best.epoch, best.mean_iou),
            (0, -14),
            textcoords="offset points",
            ha="right",
        )
    scores.set(xlabel="epoch", ylabel="mean IoU on validation", ylim=(0, 1))
    with atomic(path, overwrite=True) as draft:
        figure.savefig(draft, dpi=150, format="png", metadata={"Software": None})
