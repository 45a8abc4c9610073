"""What the Evaluate dock says: headings of its tables, what scores mean, and results in one line."""

from __future__ import annotations

import math
from typing import Any

from qtpy.QtCore import Qt

from ..core.errors import one_line
from ..evaluation.compare import Comparison
from ..evaluation.result import Scores
from ..evaluation.thumbs import DISAGREEMENT
from .card_view import OVERLAP
from .table import FrameModel, FrameTable

IOU = OVERLAP
MEAN_IOU = f"{IOU}. The mean is over all classes but the background."

SCORES = {"class_name": "class", "iou": "IoU", "two_people": "two people", "dice": "Dice = F1",
          "precision": "precision", "recall": "recall", "boundary_f1": "boundary F1",
          "support": "pixels"}  # fmt: skip
OBJECTS = {"class_name": "class", "objects": "objects", "predicted": "predicted", "split": "split",
           "merged": "merged", "f1_50": "F1 at 0.5", "ap": "AP"}  # fmt: skip
MODELS = {"model": "model", "mean_iou": "mean IoU", "points": "points", "megabytes": "MB",
          "seconds_per_megapixel": "seconds per megapixel", "memory": "memory MB",
          "verdict": "against the first"}  # fmt: skip

_TIPS = {
    "iou": IOU,
    "mean_iou": MEAN_IOU,
    "two_people": "IoU of two people who labelled the same pictures: more is not to be expected",
    "dice": "Overlap that counts twice what both have: 1 is perfect, 0 none",
    "precision": "How much of what was found is right",
    "recall": "How much of the truth was found",
    "boundary_f1": "How well the outlines agree within the tolerance: 1 is perfect, 0 not at all",
    "mean_boundary_f1": "How well the outlines agree within the tolerance: 1 is perfect, 0 not at all",
    "accuracy": "Share of pixels with the right class",
    "support": "Pixels of this class in the truth",
    "ap": "Average precision of objects over overlaps from 0.5 to 0.95: 1 is perfect",
    "object_ap": "Average precision of objects over overlaps from 0.5 to 0.95: 1 is perfect",
    "f1_50": "Objects found, with an overlap of at least half: 1 is all of them and no others",
    "points": "Hundredths of mean IoU more or less than the first model",
}
"""What a heading means; a column whose name begins with ``of `` holds mean IoU as well."""


class _Model(FrameModel):
    """Tells under the pointer what the heading of a column means."""

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the heading of a column, and what it means."""
        title = super().headerData(section, orientation, role)
        if title is None or role != Qt.ItemDataRole.ToolTipRole:
            return title
        name = self._columns[section]
        meaning = MEAN_IOU if name.startswith("of ") else _TIPS.get(name)
        return title if meaning is None else f"{title}\n{meaning}"


class ScoreTable(FrameTable):
    """A table of scores that explains its headings."""

    def __init__(self) -> None:
        super().__init__()
        self.frame_model = _Model(self)
        self._sorter.setSourceModel(self.frame_model)


def disagreement_legend() -> str:
    """Return in rich text what the colours of the layers "wrong in …" mean."""
    names = {c.color: c.name.replace(" ", "&nbsp;") for c in DISAGREEMENT.foreground}
    parts = (f'<span style="color: {color}">■</span>&nbsp;{name}' for color, name in names.items())
    return f"Layers “wrong in …”: {'  '.join(parts)}"


def summary_line(name: str, scores: Scores, ceiling: Scores | None) -> str:
    """Return the main scores in one line.

    Parameters
    ----------
    name : str
        Of what was evaluated.
    scores : Scores
    ceiling : Scores, optional
        Of two people.

    Returns
    -------
    str
    """
    overall = scores.overall
    low, high = overall["mean_iou_low"], overall["mean_iou_high"]
    limits = "" if math.isnan(low) else f" ({low:.3f}–{high:.3f})"
    text = (
        f"{one_line(name, 30)}: mean IoU {overall['mean_iou']:.3f}{limits} over {len(scores.pictures)} "
        f"picture{'s' * (len(scores.pictures) != 1)}; {overall['accuracy']:.1%} of pixels right."
    )
    if "object_ap" in overall:
        text += f" Objects: AP {overall['object_ap']:.3f}."
    return text if ceiling is None else f"{text} Two people: {ceiling.mean_iou:.3f}."


def threshold_line(scores: Scores, used: float | None) -> str:
    """Return the best threshold in one line.

    Parameters
    ----------
    scores : Scores
    used : float, optional
        The threshold that the model used; None where it has none.

    Returns
    -------
    str
    """
    best = scores.best_threshold
    if used is None or best is None or math.isnan(best[0]):
        return "This model picks the likeliest class; each class is shown for itself."
    return f"Used {used:g}; best on these pictures {best[0]:.3f}, with mean IoU {best[1]:.3f}."


def verdict_line(comparison: Comparison) -> str:
    """Return how all models do against the first, in the words of the command line.

    Parameters
    ----------
    comparison : Comparison
        Of two or more.

    Returns
    -------
    str
    """
    lines = [f"{one_line(name, 30)}: {comparison.verdict(name)}." for name in comparison.others]
    hint = " Click a row to see its pictures." if len(lines) > 1 else ""
    return f"Compared with {one_line(comparison.first, 30)}. {' '.join(lines)}{hint}"
