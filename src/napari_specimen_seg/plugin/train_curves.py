"""Live curves of a training: loss, scores, the score of each class in its colour, learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton, QTabWidget, QVBoxLayout, QWidget
from superqt import QFlowLayout

from .card_view import OVERLAP
from .legend import swatch
from .plot_canvas import Plot

if TYPE_CHECKING:
    from napari.viewer import Viewer

HEIGHT = 180
LOSS, SCORE, CLASSES, RATE = range(4)
TITLES = ("loss", "score", "classes", "rate")

EVERY_MS = 500
"""How often steps are drawn at most."""

MOST_STEPS = 1500
"""Of more steps every second one is forgotten: a plot has not more pixels."""

MOST_LINES = 10
"""With more classes, the others are drawn on request only."""

ROOM = 0.3
"""Part of the width that is kept free for names at the ends of lines."""

LABEL_GAP = 0.1
"""Least distance of two names, as part of the height."""


class Curves(QWidget):
    """Four plots that grow by a step or an epoch at a time.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme gives the colours.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.epochs: list[dict[str, Any]] = []
        self.steps: list[tuple[float, float, float]] = []  # epoch, loss, rate
        self.colors: Mapping[str, str] = {}
        self.tabs = QTabWidget()
        self.plots = [Plot(viewer, HEIGHT) for _ in TITLES]
        for title, plot in zip(TITLES, self.plots, strict=True):
            self.tabs.addTab(plot, title)
        for which in (SCORE, CLASSES):
            self.plots[which].setToolTip(f"IoU and Dice. {OVERLAP}" if which == SCORE else f"IoU. {OVERLAP}")
        self.tabs.setFixedHeight(HEIGHT + 32)
        self.chips: dict[str, QPushButton] = {}
        self._chip_row = QWidget()
        self._flow = QFlowLayout(self._chip_row)
        self._flow.setContentsMargins(0, 0, 0, 0)
        self._flow.setHorizontalSpacing(3)
        self._flow.setVerticalSpacing(3)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.tabs)
        box.addWidget(self._chip_row)
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(EVERY_MS)
        self._wait.timeout.connect(self.refresh)
        self.tabs.currentChanged.connect(lambda _: self.refresh())
        self.setVisible(False)

    # -- what is told --------------------------------------------------------------------------------

    def clear_epochs(self) -> None:
        """Forget everything, for a new run."""
        self.epochs, self.steps = [], []
        self._wait.stop()
        for chip in self.chips.values():
            self._flow.removeWidget(chip)
            chip.deleteLater()
        self.chips = {}
        self.setVisible(False)

    def add_step(self, event: dict[str, Any]) -> None:
        """Add what a step told: epoch, step, steps, loss and lr."""
        at = event["epoch"] - 1 + event["step"] / max(1, event["steps"])
        while self.steps and self.steps[-1][0] >= at:  # a run that goes on from an earlier checkpoint
            self.steps.pop()
        self.steps.append((at, event["loss"], event["lr"]))
        if len(self.steps) > MOST_STEPS:
            self.steps = self.steps[::2]
        self.setVisible(True)
        if not self._wait.isActive():
            self._wait.start()

    def add_epoch(self, event: dict[str, Any]) -> None:
        """Add what an epoch told.

        Parameters
        ----------
        event : dict
            With epoch, loss, validation_loss, mean_iou, mean_dice and iou by class.
        """
        self.epochs = [e for e in self.epochs if e["epoch"] < event["epoch"]] + [event]
        for name in event["iou"]:
            if name not in self.chips:
                self._add_chip(name)
        self.setVisible(True)
        self.refresh()

    @property
    def best(self) -> dict[str, Any] | None:
        """The best epoch so far."""
        return next((event for event in reversed(self.epochs) if event["best"]), None)

    def _add_chip(self, name: str) -> None:
        chip = QPushButton(swatch(self.colors.get(name, "#888888")), name.replace("&", "&&"))
        chip.setCheckable(True)
        chip.setChecked(len(self.chips) < MOST_LINES)
        chip.setToolTip("Show or hide this class")
        chip.toggled.connect(lambda _: self.refresh())
        self._flow.addWidget(chip)
        self.chips[name] = chip

    # -- drawing -------------------------------------------------------------------------------------

    def refresh(self, event: Any = None) -> None:
        """Draw the plot in front again, in the theme of the moment."""
        del event
        index = self.tabs.currentIndex()
        self._chip_row.setVisible(index == CLASSES and len(self.chips) > 1)
        if self.epochs or self.steps:
            self.plots[index].draw(
                (self._draw_loss, self._draw_score, self._draw_classes, self._draw_rate)[index]
            )

    def _axes(self, plot: Plot, y: str, y_range: tuple[float, float]) -> None:
        last = max([1.0, *(step[0] for step in self.steps[-1:]), *(e["epoch"] for e in self.epochs[-1:])])
        plot.axes("epoch", y, x_range=(0, last / (1 - ROOM)), y_range=y_range)
        every = max(1, math.ceil(last / 6))
        ticks = [(at, str(at)) for at in range(0, int(last) + 1, every)]
        plot.canvas.getAxis("bottom").setTicks([ticks])

    def _draw_loss(self, plot: Plot) -> None:
        learned = [e["loss"] for e in self.epochs]
        validated = [e["validation_loss"] for e in self.epochs]
        single = [step[1] for step in self.steps]
        top = upper([*single, *learned, *validated])
        self._axes(plot, "loss", (0, top))
        if single:
            plot.line([step[0] for step in self.steps], np.clip(single, 0, top), plot.soft_color, width=1)
        lines = {
            "learning": (learned, plot.text_color, False),
            "validation": (validated, plot.text_color, True),
        }
        self._lines(plot, lines, (0, top))
        self._mark_best(plot, "validation_loss", tell=False)

    def _draw_score(self, plot: Plot) -> None:
        self._axes(plot, "validation pictures", (0, 1))
        color = plot.text_color
        lines = {
            "IoU": ([e["mean_iou"] for e in self.epochs], color, False),
            "Dice": ([e["mean_dice"] for e in self.epochs], color, True),
        }
        self._lines(plot, lines, (0, 1))
        self._mark_best(plot, "mean_iou", tell=True)

    def _draw_classes(self, plot: Plot) -> None:
        self._axes(plot, "IoU, validation pictures", (0, 1))
        lines = {
            name: ([e["iou"].get(name) for e in self.epochs], self.colors.get(name, plot.text_color), False)
            for name, chip in self.chips.items()
            if chip.isChecked()
        }
        self._lines(plot, lines, (0, 1))

    def _draw_rate(self, plot: Plot) -> None:
        rates = [step[2] for step in self.steps]
        top = upper(rates)
        self._axes(plot, "learning rate", (0, top))
        if rates:
            plot.line([step[0] for step in self.steps], rates, plot.text_color)
            plot.text(self.steps[-1][0], rates[-1], f" {rates[-1]:.2g}", plot.text_color)

    def _lines(
        self,
        plot: Plot,
        lines: Mapping[str, tuple[Sequence[float | None], str, bool]],
        span: tuple[float, float],
    ) -> None:
        """Draw lines with their names at their ends, moved apart where they would lie on each other."""
        xs = [event["epoch"] for event in self.epochs]
        ends: dict[str, float] = {}
        for name, (values, color, dashed) in lines.items():
            ys = np.array([np.nan if v is None else v for v in values], float)
            color = plot.readable(color)
            known = np.flatnonzero(np.isfinite(ys))
            if not len(known):
                continue
            plot.line(xs, np.clip(ys, *span), color, dashed=dashed)
            if len(known) == 1:
                plot.points([xs[known[0]]], [ys[known[0]]], [name], [color], size=6)
            ends[name] = float(np.clip(ys[known[-1]], *span))
        gap = LABEL_GAP * (span[1] - span[0])
        places = spread(list(ends.values()), gap, span[0], span[1] - gap / 3)  # or the topmost is cut
        for name, y in zip(ends, places, strict=True):
            plot.text(xs[-1], y, f" {name}", plot.readable(lines[name][1]))

    def _mark_best(self, plot: Plot, key: str, *, tell: bool) -> None:
        best = self.best
        if best is None:
            return
        plot.points([best["epoch"]], [best[key]], [f"best: epoch {best['epoch']}"], [plot.text_color], size=9)
        if tell:
            text = f"best {best[key]:.3f}, epoch {best['epoch']}"
            plot.text(0.02 * best["epoch"], 0.04, text, plot.text_color, anchor=(0, 1))


def upper(values: Sequence[float | None]) -> float:
    """Return the upper end of an axis: the largest value, but not the few that shoot out of a run's start.

    Parameters
    ----------
    values : sequence of float
        None and what is not finite does not count.

    Returns
    -------
    float
        Positive.
    """
    known = np.array([v for v in values if v is not None and math.isfinite(v)], float)
    if not len(known) or known.max() <= 0:
        return 1.0
    return float(min(known.max(), 1.5 * np.percentile(known, 98))) * 1.05


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move values apart so that two of them are at least `gap` from each other, as little as can be.

    Parameters
    ----------
    values : sequence of float
    gap : float
    low, high : float
        Where they shall stay, if there is room for all.

    Returns
    -------
    list of float
        In the order of `values`.
    """
    order = sorted(range(len(values)), key=lambda index: values[index])
    moved: list[float] = []
    for index in order:
        moved.append(max(values[index], moved[-1] + gap if moved else low))
    limit = high
    for place in range(len(moved) - 1, -1, -1):
        moved[place] = min(moved[place], limit)
        limit = moved[place] - gap
    result = [0.0] * len(values)
    for place, index in enumerate(order):
        result[index] = moved[place]
    return result
