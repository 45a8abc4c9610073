"""What the Evaluate dock draws: scores by class and picture, curves, and one model against another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..core.errors import one_line
from ..evaluation.compare import Comparison
from ..evaluation.curves import GRID, best_threshold, iou_by_threshold, precision_recall
from ..evaluation.plots import MODEL_COLORS
from ..evaluation.result import Scores
from .plot_canvas import Draw, Plot

TWO_PEOPLE = "two people"

SCORES = (0, 1.04)
"""What an axis of scores covers: a little more than all, or there is no room to write the 1."""


def class_bars(scores: Scores, ceiling: Scores | None) -> Draw:
    """Draw the IoU of each class with its interval, and a mark at the agreement of two people."""
    import pyqtgraph as pg

    table = scores.classes
    values, low, high = (np.nan_to_num(table[c].to_numpy()) for c in ("iou", "iou_low", "iou_high"))
    places = np.arange(len(table))

    def draw(plot: Plot) -> None:
        colors = [item.color for item in scores.class_map]
        plot.canvas.addItem(
            pg.BarGraphItem(x0=0, y=places, width=values, height=0.7, brushes=colors, pen=plot.soft_color)
        )
        for place in places[high > low]:
            plot.line([low[place], high[place]], [place, place], plot.text_color, width=1)
        plot.axes("IoU (line: 95 % interval)", x_range=SCORES)
        plot.rows([one_line(item.name, 16) for item in scores.class_map])
        if ceiling is not None:
            agreed = ceiling.classes["iou"].to_numpy()
            for place in places[np.isfinite(agreed)]:
                at = agreed[place]
                plot.line([at, at], [place - 0.45, place + 0.45], plot.text_color, width=3)

    return draw


def distribution(scores: Mapping[str, Scores], ceiling: Scores | None, *, zoomed: bool) -> Draw:
    """Draw every picture's mean IoU as a point, a row for each model, and the median as a line."""

    def draw(plot: Plot) -> None:
        jitter = np.random.Generator(np.random.PCG64(0))
        for place, (each, color) in enumerate(zip(scores.values(), MODEL_COLORS * 9, strict=False)):
            values = each.picture_mean_iou
            known = np.isfinite(values)
            names = [name for name, keep in zip(each.names, known, strict=True) if keep]
            around = place + jitter.uniform(-0.25, 0.25, len(names))
            plot.points(values[known], around, names, [color] * len(names))
            if known.any():
                middle = float(np.median(values[known]))
                plot.line([middle, middle], [place - 0.35, place + 0.35], plot.text_color)
        plot.axes("mean IoU of a picture (line: median)", x_range=None if zoomed else SCORES)
        plot.rows([one_line(name, 14) for name in scores])
        if ceiling is not None:
            plot.level(ceiling.overall["picture_mean_iou"], TWO_PEOPLE)

    return draw


def recall_precision(scores: Scores) -> Draw:
    """Draw precision against recall for each class."""
    assert scores.sureness is not None
    precision, recall = precision_recall(scores.sureness)

    def draw(plot: Plot) -> None:
        for place, item in enumerate(scores.class_map.foreground):
            plot.line(recall[place], precision[place], item.color)
        plot.axes("recall", "precision", x_range=SCORES, y_range=SCORES)

    return draw


def thresholds(scores: Scores, used: float | None, ceiling: Scores | None) -> Draw:
    """Draw the IoU of each class by threshold; mark the best one, the one used, and what two people reach."""
    assert scores.sureness is not None
    overlap = iou_by_threshold(scores.sureness)
    best, _ = best_threshold(scores.sureness)

    def draw(plot: Plot) -> None:
        for place, item in enumerate(scores.class_map.foreground):
            plot.line(GRID, overlap[place], item.color)
        plot.axes("threshold", "IoU", x_range=SCORES, y_range=SCORES)
        if used is not None and np.isfinite(best):
            plot.level(best, f"best {best:.3f}")
            plot.line([used, used], [0, 1], plot.soft_color, dashed=True, width=1)
        if ceiling is not None:
            plot.level(ceiling.mean_iou, TWO_PEOPLE, vertical=False)

    return draw


def scatter(comparison: Comparison, other: str, ceiling: Scores | None) -> Draw:
    """Draw each picture's mean IoU by one model against that by the first, in the winner's colour."""
    first = comparison.scores[comparison.first]
    x, y = first.picture_mean_iou, comparison.scores[other].picture_mean_iou
    known = np.isfinite(x) & np.isfinite(y)
    names = [name for name, keep in zip(first.names, known, strict=True) if keep]
    x, y = x[known], y[known]
    mine = MODEL_COLORS[comparison.names.index(other) % len(MODEL_COLORS)]
    low = max(0.0, float(np.concatenate([x, y]).min(initial=1)) - 0.03)

    def draw(plot: Plot) -> None:
        plot.line([0, 1], [0, 1], plot.soft_color, width=1)
        plot.points(x, y, names, [mine if b > a else MODEL_COLORS[0] for a, b in zip(x, y, strict=True)])
        if ceiling is not None:
            for vertical in (False, True):
                text = "" if vertical else TWO_PEOPLE
                plot.level(ceiling.overall["picture_mean_iou"], text, vertical=vertical)
        wins = f"wins {int((x > y).sum())}", f"wins {int((y > x).sum())}"
        plot.axes(
            f"{one_line(comparison.first, 18)} ({wins[0]})",
            f"{one_line(other, 18)} ({wins[1]})",
            x_range=(low, 1 + 0.04 * (1 - low)),
            y_range=(low, 1 + 0.04 * (1 - low)),
        )

    return draw
