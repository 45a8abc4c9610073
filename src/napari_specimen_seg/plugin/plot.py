"""One bar per row of a table, in class colours; of many rows, a histogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QToolTip

from .plot_canvas import ThemedPlot
from .table import number_text

if TYPE_CHECKING:
    from napari.viewer import Viewer

MOST_NAMES = 24
"""With more bars than this, names would lie on top of each other: a histogram is drawn instead."""


@dataclass(frozen=True, slots=True)
class Bars:
    """What is drawn.

    Parameters
    ----------
    names, colors : sequence of str
        Of each bar, topmost first; an empty colour stands for one of the theme's.
    values : sequence of float
        Lengths; NaN counts as nothing.
    title : str
        Of the axis, such as ``"Area"``.
    unit : str
        Such as ``"mm²"``; empty for plain numbers.
    """

    names: Sequence[str]
    colors: Sequence[str]
    values: Sequence[float]
    title: str
    unit: str

    @property
    def axis(self) -> str:
        """What the axis of the values is called."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True, slots=True)
class Bins:
    """How many rows have which value.

    Parameters
    ----------
    edges : array
        (n + 1,) borders of the bins.
    counts : dict
        (n,) numbers of rows by colour.
    """

    edges: NDArray[np.float64]
    counts: dict[str, NDArray[np.int64]]


def histogram(bars: Bars) -> Bins:
    """Count rows by value and colour.

    Parameters
    ----------
    bars : Bars
        NaN is left out.

    Returns
    -------
    Bins
        As many bins as suit the number of rows (the square root, from 5 to 40).
    """
    values = np.asarray(bars.values, np.float64)
    known = np.isfinite(values)
    count = int(np.clip(np.sqrt(known.sum()), 5, 40))
    edges = np.histogram_bin_edges(values[known], count)
    colors = np.array(bars.colors)
    return Bins(
        edges,
        {
            color: np.histogram(values[known & (colors == color)], edges)[0]
            for color in dict.fromkeys(bars.colors)
        },
    )


class BarPlot(ThemedPlot):
    """A horizontal bar plot.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme gives the colours.

    Signals
    -------
    bar_chosen
        A bar was clicked; carries its number from the top.
    """

    bar_chosen = Signal(int)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self._bars: Bars | None = None
        self._bins: Bins | None = None

    def show_bars(self, bars: Bars) -> None:
        """Draw bars.

        Parameters
        ----------
        bars : Bars
        """
        self._bars = bars
        self.setVisible(bool(len(bars.values)))
        if not len(bars.values):
            return
        if self.make_canvas():
            self.canvas.scene().sigMouseMoved.connect(self._on_hover)
            self.canvas.scene().sigMouseClicked.connect(self._on_click)
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Draw again, in the theme of the moment."""
        del event
        if self._bars is None or self.canvas is None:
            return
        self.apply_theme()
        self.canvas.clear()
        if len(self._bars.values) <= MOST_NAMES:
            self._draw_bars(self._bars)
        else:
            self._draw_histogram(self._bars)

    def _draw_bars(self, bars: Bars) -> None:
        """Draw one bar per row, the first on top."""
        import pyqtgraph as pg

        count = len(bars.values)
        values = np.nan_to_num(np.asarray(bars.values, np.float64), nan=0.0)
        self.canvas.addItem(
            pg.BarGraphItem(
                x0=0,
                y=np.arange(count),
                width=values,
                height=0.7,
                brushes=self._brushes(bars.colors),
                pen=None,
            )
        )
        self.canvas.getPlotItem().invertY(True)
        self.canvas.getAxis("left").setTicks([[(at, bars.names[at]) for at in range(count)]])
        self.canvas.getAxis("left").setLabel(None)
        self.canvas.getAxis("bottom").setLabel(bars.axis)
        self.canvas.setXRange(0, float(values.max()) or 1.0, padding=0.04)
        self.canvas.setYRange(-0.6, count - 0.4, padding=0)
        self.setFixedHeight(max(110, min(count * 20 + 56, 300), count * 14 + 56))  # names need 14 pixels each

    def _draw_histogram(self, bars: Bars) -> None:
        """Draw how many rows have which value, classes on top of each other."""
        import pyqtgraph as pg

        self._bins = histogram(bars)
        edges = self._bins.edges
        below = np.zeros(len(edges) - 1)
        for color, counts in self._bins.counts.items():
            self.canvas.addItem(
                pg.BarGraphItem(
                    x0=edges[:-1],
                    x1=edges[1:],
                    y0=below,
                    height=counts,
                    brush=self._brushes([color])[0],
                    pen=None,
                )
            )
            below = below + counts
        self.canvas.getPlotItem().invertY(False)
        self.canvas.getAxis("left").setTicks(None)
        self.canvas.getAxis("left").setLabel("Number")
        self.canvas.getAxis("bottom").setLabel(bars.axis)
        self.canvas.setXRange(edges[0], edges[-1], padding=0.02)
        self.canvas.setYRange(0, max(1.0, float(below.max())), padding=0.04)
        self.setFixedHeight(200)

    def _brushes(self, colors: Sequence[str]) -> list[str]:
        """Return colours to fill with; the theme's where a row has no class."""
        plain = self.theme.current.as_hex()
        return [color or plain for color in colors]

    def _point(self, position: Any) -> Any:
        """Return a position of the scene in the plot's values, or None outside."""
        box = self.canvas.getPlotItem().vb
        return box.mapSceneToView(position) if box.sceneBoundingRect().contains(position) else None

    def bar_at(self, position: Any) -> int | None:
        """Return which bar's row is at a position of the scene."""
        point = self._point(position)
        if point is None or self._bars is None or len(self._bars.values) > MOST_NAMES:
            return None
        row = round(point.y())
        return row if 0 <= row < len(self._bars.values) else None

    def text_at(self, position: Any) -> str:
        """Return what is to be said about a position of the scene; empty for nothing."""
        bars, row, point = self._bars, self.bar_at(position), self._point(position)
        if bars is None or point is None:
            return ""
        if row is not None:
            value = number_text(float(bars.values[row])) or "none"
            return f"{bars.names[row]}: {value} {bars.unit}".rstrip()
        if self._bins is None or len(bars.values) <= MOST_NAMES:
            return ""
        edges = self._bins.edges
        at = int(np.searchsorted(edges, point.x(), side="right")) - 1
        if not 0 <= at < len(edges) - 1:
            return ""
        count = sum(int(counts[at]) for counts in self._bins.counts.values())
        return f"{number_text(edges[at])} to {number_text(edges[at + 1])} {bars.unit}: {count}"

    def _on_hover(self, position: Any) -> None:
        text = self.text_at(position)
        where = self.canvas.mapToGlobal(self.canvas.mapFromScene(position))
        QToolTip.showText(where, escape(text), self.canvas)  # an empty text hides it

    def _on_click(self, click: Any) -> None:
        row = self.bar_at(click.scenePos())
        if row is not None and click.button() == Qt.MouseButton.LeftButton:
            self.bar_chosen.emit(row)
