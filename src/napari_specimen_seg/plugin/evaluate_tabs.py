"""The results of the Evaluate dock: scores, confusion, pictures, curves and comparison."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QTabWidget, QVBoxLayout, QWidget

from ..core.errors import one_line
from ..evaluation.output import used_threshold
from ..evaluation.result import Scores
from . import evaluate_plots as plots
from .dock import quiet
from .evaluate_matrix import ConfusionGrid
from .evaluate_run import Evaluated, worst_pictures
from .plot_canvas import Plot
from .table import FrameTable

if TYPE_CHECKING:
    from napari.viewer import Viewer

_SCORES = {"class_name": "class", "iou": "IoU", "two_people": "two people", "dice": "Dice = F1",
           "precision": "precision", "recall": "recall", "boundary_f1": "boundary F1",
           "support": "pixels"}  # fmt: skip
_OBJECTS = {"class_name": "class", "objects": "objects", "predicted": "predicted", "split": "split",
            "merged": "merged", "f1_50": "F1 at 0.5", "ap": "AP"}  # fmt: skip
_MODELS = {"model": "model", "mean_iou": "mean IoU", "points": "points", "megabytes": "MB",
           "seconds_per_megapixel": "s/MP", "memory": "memory MB", "verdict": "verdict"}  # fmt: skip


class _Page(QWidget):
    """A tab: things one below the other."""

    def __init__(self, *parts: QWidget) -> None:
        super().__init__()
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 4, 0, 0)
        for part in parts:
            box.addWidget(part)
        box.addStretch(1)


class ResultTabs(QTabWidget):
    """Five tabs; those that have nothing to say are hidden.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme gives the colours.

    Signals
    -------
    picture_asked
        A picture is to be shown; carries its name.
    cell_asked
        The pixels of a cell of the confusion matrix are to be shown; carries the picture's name, row and
        column.
    """

    picture_asked = Signal(str)
    cell_asked = Signal(str, int, int)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.evaluated: Evaluated | None = None
        self._turn: tuple[int, int, int] | None = None  # row, column, and which of the worst was shown
        self._make_parts(viewer)
        self._add_pages()
        for plot in (self.spread, self.scatter):
            plot.name_chosen.connect(self.picture_asked)
        self.grid.cell_chosen.connect(self._on_cell)
        self.pictures.row_chosen.connect(self._on_row)
        self.models.row_chosen.connect(self._draw_scatter)
        self.zoom.toggled.connect(lambda _: self._draw_spread())
        self.setVisible(False)

    def _make_parts(self, viewer: Viewer) -> None:
        self.about, self.cell, self.found, self.verdict = quiet(), quiet(), quiet(), quiet()
        self.classes, self.objects, self.pictures, self.models = (FrameTable() for _ in range(4))
        for table in (self.classes, self.pictures):
            table.setMinimumHeight(180)
        for table in (self.objects, self.models):
            table.setFixedHeight(110)
        self.bars, self.recall, self.levels = Plot(viewer, 230), Plot(viewer, 190), Plot(viewer, 190)
        self.spread, self.scatter = Plot(viewer, 150), Plot(viewer, 240)
        self.grid = ConfusionGrid(viewer)
        self.zoom = QCheckBox("zoomed")
        self.zoom.setToolTip("Let the axis cover only the scores that occur")
        self._plots = (self.bars, self.recall, self.levels, self.spread, self.scatter)

    def _add_pages(self) -> None:
        hint = quiet("Rows: truth, columns: prediction, in per cent. Click a cell to see its pixels.")
        self._pages = {
            "Scores": _Page(self.about, self.bars, self.classes, self.objects),
            "Confusion": _Page(hint, self.grid, self.cell),
            "Pictures": _Page(quiet("Worst first. Click a row or a point to see the picture."),
                              self.pictures, self.spread, self.zoom),
            "Curves": _Page(self.found, self.recall, self.levels),
            "Compare": _Page(self.verdict, self.models, self.scatter),
        }  # fmt: skip
        for title, page in self._pages.items():
            self.addTab(page, title)

    # -- results -----------------------------------------------------------------------------------

    def show_results(self, evaluated: Evaluated) -> None:
        """Show the results of a run.

        Parameters
        ----------
        evaluated : Evaluated
        """
        self.evaluated = evaluated
        self._turn = None
        scores = evaluated.comparison.scores[evaluated.comparison.first]
        self._show_scores(evaluated, scores)
        self.grid.show_counts(scores.counted.sum(0), scores.class_map)
        self.cell.setText("")
        self._show_pictures(evaluated)
        self._show_curves(evaluated, scores)
        self._show_comparison(evaluated)
        self.setVisible(True)

    def clear_results(self) -> None:
        """Show nothing."""
        self.evaluated = None
        self.setVisible(False)
        for plot in self._plots:
            plot.draw(None)

    def refresh_plots(self, event: Any = None) -> None:
        """Draw all plots again, in the theme of the moment."""
        del event
        for plot in self._plots:
            plot.refresh()

    def _show_scores(self, evaluated: Evaluated, scores: Scores) -> None:
        ceiling = evaluated.evaluation.ceiling
        self.about.setText(summary_line(evaluated.comparison.first, scores, ceiling))
        self.bars.draw(plots.class_bars(scores, ceiling))
        table = scores.classes.rename(columns={"class": "class_name"})
        titles = {key: title for key, title in _SCORES.items() if key != "two_people" or ceiling is not None}
        if ceiling is not None:
            table = table.assign(two_people=ceiling.classes["iou"])
        colors = [item.color for item in scores.class_map]
        self.classes.show_frame(table, list(titles), titles, colors)
        self.objects.setVisible(scores.objects is not None)
        if scores.objects is not None:
            frame = scores.objects.rename(columns={"class": "class_name"})
            shades = [item.color for item in scores.class_map.foreground]
            self.objects.show_frame(frame, list(_OBJECTS), _OBJECTS, shades)

    def _show_pictures(self, evaluated: Evaluated) -> None:
        comparison = evaluated.comparison
        frame = comparison.scores[comparison.first].images
        titles = {"image": "picture", "mean_iou": one_line(comparison.first, 16), "accuracy": "accuracy"}
        for other in comparison.others:
            table = comparison.pictures.set_index("image")
            frame = frame.assign(**{f"of {other}": frame["image"].map(table[f"mean_iou {other}"])})
            titles[f"of {other}"] = one_line(other, 16)
        if not comparison.others:
            titles |= {"mean_iou": "mean IoU", "mean_boundary_f1": "boundary F1"}
        if "object_ap" in frame:
            titles["object_ap"] = "AP of objects"
        self.pictures.show_frame(frame, list(titles), titles, ["#808080"] * len(frame))
        self._picture_names = frame["image"].tolist()
        self._draw_spread()

    def _draw_spread(self) -> None:
        if self.evaluated is None:
            return
        scores = self.evaluated.comparison.scores
        ceiling = self.evaluated.evaluation.ceiling
        self.spread.setFixedHeight(90 + 45 * len(scores))
        self.spread.draw(plots.distribution(scores, ceiling, zoomed=self.zoom.isChecked()))

    def _show_curves(self, evaluated: Evaluated, scores: Scores) -> None:
        known = scores.sureness is not None
        self._show_tab("Curves", shown=known)
        if not known:
            return
        used = used_threshold(evaluated.evaluation)
        self.found.setText(threshold_line(scores, used))
        self.recall.draw(plots.recall_precision(scores))
        self.levels.draw(plots.thresholds(scores, used, evaluated.evaluation.ceiling))

    def _show_comparison(self, evaluated: Evaluated) -> None:
        comparison = evaluated.comparison
        self._show_tab("Compare", shown=bool(comparison.others))
        if not comparison.others:
            return
        table = comparison.models
        frame = table.assign(points=table["difference"] * 100)
        for column, source in (("megabytes", "bytes"), ("memory", "peak_bytes")):
            if source in table:
                frame[column] = table[source] / 1e6
        titles = {key: title for key, title in _MODELS.items() if key in frame}
        self.models.show_frame(frame, list(titles), titles, ["#808080"] * len(frame))
        lines = [f"{name}: {comparison.verdict(name)}." for name in comparison.others]
        hint = " Click a row to see its pictures." if len(lines) > 1 else ""
        self.verdict.setText(f"Compared with {comparison.first}. {' '.join(lines)}{hint}")
        self._draw_scatter(1)

    def _draw_scatter(self, number: int) -> None:
        """Draw a model of the table against the first; that one against the second."""
        if self.evaluated is not None:
            comparison, ceiling = self.evaluated.comparison, self.evaluated.evaluation.ceiling
            self.scatter.draw(plots.scatter(comparison, comparison.names[max(1, number)], ceiling))

    def _show_tab(self, title: str, *, shown: bool) -> None:
        self.setTabVisible(self.indexOf(self._pages[title]), shown)

    # -- clicks ------------------------------------------------------------------------------------

    def _on_row(self, number: int) -> None:
        self.picture_asked.emit(self._picture_names[number])

    def _on_cell(self, row: int, column: int) -> None:
        """Ask for the worst picture of a cell; the same cell again, for the next one."""
        if self.evaluated is None:
            return
        found = worst_pictures(self.evaluated, row, column)
        text = self.grid.grid.text(row, column)
        if not found:
            self.cell.setText(f"{text}.")
            return
        again = self._turn is not None and self._turn[:2] == (row, column)
        place = (self._turn[2] + 1) % len(found) if again and self._turn is not None else 0
        self._turn = (row, column, place)
        name, pixels = found[place]
        more = "" if len(found) == 1 else " Click again for the next picture."
        self.cell.setText(
            f"{text}. Picture {place + 1} of {len(found)}: {one_line(name, 40)}, {pixels:,} pixels.{more}"
        )
        self.cell_asked.emit(name, row, column)


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
