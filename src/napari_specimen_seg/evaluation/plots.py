"""Figures for reports and papers: direct labels, class colours, readable in grey."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import one_line
from .compare import Comparison
from .curves import GRID, best_threshold, iou_by_threshold, precision_recall
from .instances import THRESHOLDS, average_precision
from .result import Scores, row_shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.0
"""Of a figure, in inches: a page without its margins."""

MODEL_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""One for each model (Okabe and Ito 2008); they differ for colour-blind eyes and in grey."""

_MOST_NUMBERS = 16  # classes up to which a confusion matrix has numbers in its cells
_EDGE = "0.25"


def _figure(height: float, width: float = WIDTH) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def to_svg(figure: Figure) -> bytes:
    """Return a figure as SVG; the same figure gives the same bytes."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "specimen-seg", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def to_png(figure: Figure, dpi: int = 150) -> bytes:
    """Return a figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Return content as an address that a page can hold: ``data:image/png;base64,…``."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _name(text: str) -> str:
    # A dollar sign starts a formula in matplotlib.
    return one_line(text, 28).replace("$", r"\$")


def _ceiling_line(axes: Axes, value: float, *, vertical: bool) -> None:
    if np.isnan(value):
        return
    draw = axes.axvline if vertical else axes.axhline
    draw(value, color="0.35", linestyle="--", linewidth=1, label="two people", zorder=1)


# -- one model -----------------------------------------------------------------------------------------


def class_bars(scores: Scores, ceiling: Scores | None = None) -> Figure:
    """Draw the IoU of each class with its interval; a mark shows how far two people agree."""
    table = scores.classes.iloc[::-1]
    figure = _figure(0.9 + 0.32 * len(table))
    axes = figure.add_subplot()
    places = np.arange(len(table))
    colors = [item.color for item in reversed(scores.class_map.classes)]
    values = table["iou"].to_numpy()
    axes.barh(places, np.nan_to_num(values), color=colors, edgecolor=_EDGE, linewidth=0.8, height=0.7)
    shown = ~np.isnan(table["iou_low"].to_numpy())
    limits = np.abs(table[["iou_low", "iou_high"]].to_numpy().T - values)
    for color, width in (("white", 3.0), ("black", 1.2)):  # so that it is seen on bars of every colour
        axes.errorbar(
            values[shown], places[shown], xerr=limits[:, shown], fmt="none", color=color, elinewidth=width,
            capsize=2.5, capthick=width,
        )  # fmt: skip
    for place, value in zip(places, values, strict=True):
        text = "not there" if np.isnan(value) else f"{value:.3f}"
        axes.text(1.02, float(place), text, va="center", fontsize=8)
    if ceiling is not None:
        agreed = ceiling.classes["iou"].to_numpy()[::-1]
        axes.plot(agreed, places, "k|", markersize=14, markeredgewidth=2, label="two people")
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    axes.set_yticks(places, [_name(name) for name in table["class"]])
    axes.set(xlim=(0, 1.0), xlabel="IoU, pooled over all pictures (line: 95 % interval)")
    _bare(axes)
    return figure


def confusion_plot(scores: Scores) -> Figure:
    """Draw what became of each true class, in per cent of its pixels."""
    shares = row_shares(scores.counted.sum(0)) * 100
    names = [_name(item.name) for item in scores.class_map]
    has_other = bool(scores.counted.sum(0)[:, -1].any())
    shares = shares if has_other else shares[:, :-1]
    size = max(2.6, 0.42 * len(names) + 1.4)
    figure = _figure(min(size, 9.0), min(max(size + 0.6, 3.5), 10.0))
    axes = figure.add_subplot()
    axes.imshow(np.ma.masked_invalid(shares), cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(
        range(shares.shape[1]), [*names, "(no class)"][: shares.shape[1]], rotation=45, ha="right"
    )
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="truth")
    axes.tick_params(labelsize=8, length=0)
    if len(names) <= _MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(shares):
            if value >= 0.05:
                text = f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"
                color = "white" if value > 60 else "black"
                axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
    return figure


def distribution(
    scores: Mapping[str, Scores], ceiling: Scores | None = None, *, zoomed: bool = False
) -> Figure:
    """Draw the mean IoU of every picture: points, and a box with median and quartiles for each model.

    Parameters
    ----------
    scores : mapping of str to Scores
        By model.
    ceiling : Scores, optional
        Of two people; their mean is drawn as a line.
    zoomed : bool
        Whether the axis covers only the values that occur.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = _figure(1.0 + 0.55 * len(scores))
    axes = figure.add_subplot()
    jitter = np.random.Generator(np.random.PCG64(0))
    for place, (_, color, values) in enumerate(_by_model(scores)):
        at = len(scores) - 1 - place
        axes.scatter(
            values, at + jitter.uniform(-0.18, 0.18, values.size), s=12, color=color, alpha=0.7, linewidths=0
        )
        if values.size:
            axes.boxplot(
                [values], positions=[at], orientation="horizontal", widths=0.5, showfliers=False,
                medianprops={"color": "black"},
            )  # fmt: skip
    if ceiling is not None:
        _ceiling_line(axes, ceiling.overall["picture_mean_iou"], vertical=True)
        axes.legend(frameon=False, fontsize=8)
    axes.set_yticks(range(len(scores)), [_name(name) for name in reversed(list(scores))])
    axes.set_ylim(-0.6, len(scores) - 0.4)
    axes.set_xlabel("mean IoU of a picture" + (", zoomed" if zoomed else ""))
    if not zoomed:
        axes.set_xlim(0, 1)
    _bare(axes)
    return figure


def _by_model(scores: Mapping[str, Scores]) -> list[tuple[str, str, Any]]:
    """Return name, colour and the pictures' mean IoU of each model, without undefined ones."""
    found = []
    for place, (name, each) in enumerate(scores.items()):
        values = each.picture_mean_iou
        found.append((name, MODEL_COLORS[place % len(MODEL_COLORS)], values[~np.isnan(values)]))
    return found


def threshold_curves(scores: Scores, used: float | None = None, ceiling: Scores | None = None) -> Figure:
    """Draw precision against recall, and IoU against the threshold, for each class.

    Parameters
    ----------
    scores : Scores
        With `Scores.sureness`.
    used : float, optional
        The threshold that the model used.
    ceiling : Scores, optional
        Of two people; their mean IoU is drawn as a line.

    Returns
    -------
    matplotlib.figure.Figure
    """
    assert scores.sureness is not None
    figure = _figure(3.2)
    left, right = figure.subplots(1, 2)
    precision, recall = precision_recall(scores.sureness)
    overlap = iou_by_threshold(scores.sureness)
    for place, item in enumerate(scores.class_map.foreground):
        left.plot(recall[place], precision[place], color=item.color, linewidth=1.6, label=_name(item.name))
        right.plot(GRID, overlap[place], color=item.color, linewidth=1.6)
    best, score = best_threshold(scores.sureness)
    if used is not None and not np.isnan(best):
        right.axvline(best, color="black", linewidth=1)
        right.text(best, 1.01, f"best {best:.3f}", ha="center", va="bottom", fontsize=8)
        right.plot(best, score, "ko", markersize=4)
        right.axvline(used, color="0.5", linestyle=":", linewidth=1)
    if ceiling is not None:
        _ceiling_line(right, ceiling.mean_iou, vertical=False)
        right.legend(frameon=False, fontsize=8, loc="lower center")
    left.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
    right.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="threshold", ylabel="IoU")
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=8
    )
    for axes in (left, right):
        _bare(axes)
    return figure


def object_curve(scores: Mapping[str, Scores], ceiling: Scores | None = None) -> Figure:
    """Draw how many objects are found at each overlap, for each model."""
    figure = _figure(2.8, 5.0)
    axes = figure.add_subplot()
    for place, (name, each) in enumerate(scores.items()):
        axes.plot(
            THRESHOLDS, _mean_precision(each), "o-", markersize=3,
            color=MODEL_COLORS[place % len(MODEL_COLORS)], label=_name(name),
        )  # fmt: skip
    if ceiling is not None and ceiling.object_counts is not None:
        axes.plot(THRESHOLDS, _mean_precision(ceiling), "--", color="0.35", label="two people")
    axes.set(ylim=(0, 1.01), xlabel="overlap (IoU) that counts as found", ylabel="average precision")
    axes.legend(frameon=False, fontsize=8)
    _bare(axes)
    return figure


def _mean_precision(scores: Scores) -> Any:
    from .scores import mean

    return mean(average_precision(scores.objects_of_all_classes()))


# -- several models ------------------------------------------------------------------------------------


def scatter(comparison: Comparison, other: str, ceiling: Scores | None = None) -> Figure:
    """Draw the mean IoU of each picture by one model against that by the first; winners have its colour."""
    figure = _figure(3.6, 3.8)
    axes = figure.add_subplot()
    x, y = (comparison.scores[name].picture_mean_iou for name in (comparison.first, other))
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    colors = {True: _color_of(comparison, other), False: _color_of(comparison, comparison.first)}
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, zorder=1)
    axes.scatter(x, y, s=16, c=[colors[bool(b > a)] for a, b in zip(x, y, strict=True)], linewidths=0)
    low = max(0.0, min(float(np.min(np.concatenate([x, y]), initial=1)) - 0.05, 0.95))
    if ceiling is not None:
        _ceiling_line(axes, ceiling.overall["picture_mean_iou"], vertical=False)
        _ceiling_line(axes, ceiling.overall["picture_mean_iou"], vertical=True)
        axes.legend(*(part[:1] for part in axes.get_legend_handles_labels()), frameon=False, fontsize=8)
    axes.set(xlim=(low, 1), ylim=(low, 1), aspect="equal")
    axes.set_xlabel(f"{_name(comparison.first)} (wins {int((x > y).sum())})", color=colors[False])
    axes.set_ylabel(f"{_name(other)} (wins {int((y > x).sum())})", color=colors[True])
    _bare(axes)
    return figure


def differences(comparison: Comparison, other: str) -> Figure:
    """Draw by how much a model is better or worse than the first, for each class, with intervals."""
    table = comparison.classes.iloc[::-1]
    figure = _figure(0.9 + 0.3 * len(table), 5.0)
    axes = figure.add_subplot()
    places = np.arange(len(table))
    values = table[f"difference {other}"].to_numpy() * 100
    limits = table[[f"difference_low {other}", f"difference_high {other}"]].to_numpy().T * 100
    axes.axvline(0, color="0.6", linewidth=1)
    axes.hlines(places, *limits, color="0.3", linewidth=1.5)
    colors = [item.color for item in reversed(comparison.scores[other].class_map.classes)]
    axes.scatter(values, places, s=36, c=colors, edgecolors=_EDGE, zorder=3)
    axes.set_yticks(places, [_name(name) for name in table["class"]])
    axes.set_xlabel(f"IoU minus that of {_name(comparison.first)}, in points")
    _bare(axes)
    return figure


COSTS = {
    "bytes": ("size on disk, MB", 1e6),
    "parameters": ("parameters, million", 1e6),
    "seconds_per_megapixel": ("seconds per megapixel", 1.0),
    "peak_bytes": ("most memory, MB", 1e6),
}
"""What of a model's cost is drawn: column, title with unit, divisor."""


def costs(comparison: Comparison) -> Figure:
    """Draw what each model costs: size, parameters, time and memory."""
    table = comparison.models
    figure = _figure(0.8 + 0.35 * len(table))
    panels = figure.subplots(1, len(COSTS), sharey=True)
    places = np.arange(len(table))[::-1]
    for axes, (column, (title, unit)) in zip(panels, COSTS.items(), strict=True):
        values = table[column].to_numpy(dtype=float) / unit
        colors = [_color_of(comparison, name) for name in table["model"]]
        axes.barh(places, np.nan_to_num(values), color=colors, height=0.6)
        for place, value in zip(places, values, strict=True):
            axes.text(
                0,
                place,
                "" if np.isnan(value) else f" {value:.{2 if value < 10 else 1 if value < 100 else 0}f}",
                va="center",
                fontsize=8,
            )
        axes.set_xlabel(title, fontsize=8)
        axes.set_xticks([])
        axes.set_yticks(places, [_name(name) for name in table["model"]])
        _bare(axes)
        axes.spines["bottom"].set_visible(False)
    return figure


def _color_of(comparison: Comparison, name: str) -> str:
    return MODEL_COLORS[comparison.names.index(name) % len(MODEL_COLORS)]
