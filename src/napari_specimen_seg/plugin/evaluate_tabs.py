"""The results of the Evaluate dock: scores, confusion, pictures, curves and comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QTabWidget, QVBoxLayout, QWidget

from ..core.errors import one_line
from ..evaluation.output import used_threshold
from ..evaluation.result import Scores
from . import evaluate_plots as plots
from .dock import quiet, slim
from .evaluate_matrix import ConfusionGrid
from .evaluate_run import Evaluated, worst_pictures
from .evaluate_words import (
    IOU,
    MEAN_IOU,
    MODELS,
    OBJECTS,
    SCORES,
    ScoreTable,
    disagreement_legend,
    summary_line,
    threshold_line,
    verdict_line,
)
from .plot_canvas import Plot

if TYPE_CHECKING:
    from napari.viewer import Viewer


def _chooser() -> QComboBox:
    """Return a list to choose one of several models from."""
    made = slim(QComboBox())
    made.setToolTip("Whose scores and confusion are shown")
    made.setAccessibleName("Shown model")
    return made


def _legend() -> QLabel:
    made = quiet(disagreement_legend())
    made.setTextFormat(Qt.TextFormat.RichText)
    return made


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
        column, and whose confusion it is.
    """

    picture_asked = Signal(str)
    cell_asked = Signal(str, int, int, str)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.evaluated: Evaluated | None = None
        self.model = ""  # whose scores and confusion are shown
        self._turn: tuple[int, int, int] | None = None  # row, column, and which of the worst was shown
        self._make_parts(viewer)
        self._add_pages()
        for plot in (self.spread, self.scatter):
            plot.name_chosen.connect(self.picture_asked)
        self.grid.cell_chosen.connect(self._on_cell)
        self.pictures.row_chosen.connect(self._on_row)
        self.models.row_chosen.connect(self._draw_scatter)
        self.zoom.toggled.connect(lambda _: self._draw_spread())
        for chooser in self.choosers:
            chooser.currentIndexChanged.connect(self._on_model)
        self.setVisible(False)

    def _make_parts(self, viewer: Viewer) -> None:
        self.about, self.cell, self.found, self.verdict = quiet(), quiet(), quiet(), quiet()
        self.classes, self.objects, self.pictures, self.models = (ScoreTable() for _ in range(4))
        self.choosers = (_chooser(), _chooser())
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
        for part in (self.about, self.found, self.verdict, self.spread, self.scatter):
            part.setToolTip(MEAN_IOU)
        for part in (self.bars, self.levels):
            part.setToolTip(IOU)

    def _add_pages(self) -> None:
        hint = quiet("Rows: truth, columns: prediction, in per cent. Click a cell to see its pixels.")
        self._pages = {
            "Scores": _Page(self.choosers[0], self.about, self.bars, self.classes, self.objects),
            "Confusion": _Page(self.choosers[1], hint, self.grid, self.cell),
            "Pictures": _Page(quiet("Worst first. Click a row or a point to see the picture."),
                              self.pictures, _legend(), self.spread, self.zoom),
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
        comparison = evaluated.comparison
        for chooser in self.choosers:
            with QSignalBlocker(chooser):
                chooser.clear()
                chooser.addItems([one_line(name, 60) for name in comparison.names])
            chooser.setVisible(bool(comparison.others))
        self.show_model(comparison.first)
        self._show_pictures(evaluated)
        self._show_curves(evaluated, comparison.scores[comparison.first])
        self._show_comparison(evaluated)
        self.setVisible(True)

    def show_model(self, name: str) -> None:
        """Show scores and confusion of one of the models.

        Parameters
        ----------
        name : str
        """
        if self.evaluated is None:
            return
        self.model, self._turn = name, None
        comparison = self.evaluated.comparison
        for chooser in self.choosers:
            with QSignalBlocker(chooser):
                chooser.setCurrentIndex(comparison.names.index(name))
        scores = comparison.scores[name]
        self._show_scores(self.evaluated, name, scores)
        self.grid.show_counts(scores.counted.sum(0), scores.class_map)
        self.cell.setText("")

    def _on_model(self, place: int) -> None:
        if self.evaluated is not None and place >= 0:
            self.show_model(self.evaluated.comparison.names[place])

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

    def _show_scores(self, evaluated: Evaluated, name: str, scores: Scores) -> None:
        ceiling = evaluated.evaluation.ceiling
        self.about.setText(summary_line(name, scores, ceiling))
        self.bars.draw(plots.class_bars(scores, ceiling))
        table = scores.classes.rename(columns={"class": "class_name"})
        titles = {key: title for key, title in SCORES.items() if key != "two_people" or ceiling is not None}
        if ceiling is not None:
            table = table.assign(two_people=ceiling.classes["iou"])
        colors = [item.color for item in scores.class_map]
        self.classes.show_frame(table, list(titles), titles, colors)
        self.objects.setVisible(scores.objects is not None)
        if scores.objects is not None:
            frame = scores.objects.rename(columns={"class": "class_name"})
            shades = [item.color for item in scores.class_map.foreground]
            self.objects.show_frame(frame, list(OBJECTS), OBJECTS, shades)

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
        titles = {key: title for key, title in MODELS.items() if key in frame}
        self.models.show_frame(frame, list(titles), titles, ["#808080"] * len(frame))
        self.verdict.setText(verdict_line(comparison))
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
        found = worst_pictures(self.evaluated, row, column, self.model)
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
        self.cell_asked.emit(name, row, column, self.model)
