"""The results of the Measure dock: a table, which of its columns are shown, and a plot of one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QMenu, QVBoxLayout, QWidget

from ..core.image import UNITS_IN_MM
from ..core.measurements import MEASUREMENTS, column_titles
from .dock import button, slim
from .measure_run import Measured
from .pictures import pretty_unit
from .plot import BarPlot, Bars
from .reproduce import copy
from .table import FrameTable

if TYPE_CHECKING:
    from napari.viewer import Viewer

MOST_ROWS = 10
"""So many rows are on screen at once; further ones scroll."""


class MeasureView(QWidget):
    """Shows a table of measurements.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme gives the colours of the plot.

    Signals
    -------
    row_chosen
        The person selected a row or bar; carries the row of the frame.
    columns_changed
        The person chose other columns.
    """

    row_chosen = Signal(int)
    columns_changed = Signal()

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.measured: Measured | None = None
        self.chosen: dict[str, list[str]] = {}
        self._quantity = ""  # what the person chose to plot
        self.columns = button("Columns…", lambda: None, "Which measurements to show")
        self.menu = QMenu(self.columns)
        self.menu.setToolTipsVisible(True)
        self.columns.setMenu(self.menu)
        self.table = FrameTable()
        self.quantity = slim(QComboBox())
        self.quantity.setToolTip("What the plot shows")
        self.plot = BarPlot(viewer)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        for part in (self.table, self.quantity, self.plot):
            box.addWidget(part)
        self.table.row_chosen.connect(self.row_chosen)
        self.table.sorted.connect(self._draw)
        self.quantity.activated.connect(self._on_quantity)
        self.plot.bar_chosen.connect(self._on_bar)

    def show_measured(self, measured: Measured) -> None:
        """Show a table; what was chosen before stays chosen.

        Parameters
        ----------
        measured : Measured
        """
        self.measured = measured
        self._fill_menu()
        self._fill_table()
        self._fill_quantities()
        self._draw()

    # -- columns -----------------------------------------------------------------------------------

    def shown_columns(self) -> list[str]:
        """Return the columns on screen."""
        if self.measured is None:
            return []
        chosen = self.chosen.get(self.measured.per) or self.measured.default_columns()
        return [name for name in chosen if name in self.measured.frame]

    def titles(self) -> dict[str, str]:
        """Return a heading for every column."""
        if self.measured is None:
            return {}
        known = column_titles(self.measured.labels.unit)
        known["index"] = "Value" if self.measured.per == "class" else "No."
        return {name: known.get(name) or _area_title(name) for name in self.measured.frame.columns}

    def _fill_menu(self) -> None:
        assert self.measured is not None
        shown, titles = self.shown_columns(), self.titles()
        helps = {item.name: item.help for item in MEASUREMENTS}
        self.menu.clear()
        for name in self.measured.frame.columns:
            action = self.menu.addAction(titles[name])
            action.setCheckable(True)
            action.setChecked(name in shown)
            action.setToolTip(helps.get(name, ""))
            action.toggled.connect(lambda on, column=name: self.show_column(column, on=on))
        self.menu.addSeparator()
        self.menu.addAction("Reset").triggered.connect(lambda *_: self.reset_columns())

    def show_column(self, name: str, *, on: bool) -> None:
        """Show or hide a column; the last one stays."""
        assert self.measured is not None
        wanted = {*self.shown_columns(), name} if on else set(self.shown_columns()) - {name}
        if wanted:
            self.chosen[self.measured.per] = [c for c in self.measured.frame.columns if c in wanted]
        self._fill_table()
        self.columns_changed.emit()

    def reset_columns(self) -> None:
        """Go back to the columns that are shown at first."""
        assert self.measured is not None
        self.chosen.pop(self.measured.per, None)
        self._fill_menu()
        self._fill_table()
        self.columns_changed.emit()

    # -- table -------------------------------------------------------------------------------------

    def _fill_table(self) -> None:
        assert self.measured is not None
        selected = self.table.selected_row
        self.table.show_frame(
            self.measured.frame, self.shown_columns(), self.titles(), self.measured.colors()
        )
        rows = min(MOST_ROWS, max(3, len(self.measured.frame)))
        height = self.table.verticalHeader().defaultSectionSize()
        self.table.setFixedHeight(rows * height + self.table.horizontalHeader().sizeHint().height() + 18)
        if selected is not None and selected < len(self.measured.frame):
            self.table.select_row(selected)

    def copy_table(self) -> int:
        """Put the table on the clipboard as it is shown, tab separated, all digits; return its rows."""
        assert self.measured is not None
        frame = self.measured.frame.iloc[self.table.order()][self.shown_columns()]
        copy(frame.rename(columns=self.titles()).to_csv(sep="\t", index=False, lineterminator="\n"))
        return len(frame)

    # -- plot --------------------------------------------------------------------------------------

    def _fill_quantities(self) -> None:
        assert self.measured is not None
        frame, titles = self.measured.frame, self.titles()
        numbers = [c for c in frame.columns if frame[c].dtype.kind in "iuf" and c not in ("index", "plane")]
        with QSignalBlocker(self.quantity):
            self.quantity.clear()
            for name in numbers:
                self.quantity.addItem(titles[name], name)
            wanted = self._quantity if self._quantity in numbers else self.measured.in_units("area")
            self.quantity.setCurrentIndex(max(0, self.quantity.findData(wanted)))

    def _on_quantity(self) -> None:
        self._quantity = self.quantity.currentData()
        self._draw()

    def _draw(self) -> None:
        name = self.quantity.currentData()
        if self.measured is None or name is None:
            return
        frame, colors, order = self.measured.frame, self.measured.colors(), self.table.order()
        names = frame["class_name"].astype(str).tolist()
        if self.measured.per != "class":
            names = [f"{text} {at}" for text, at in zip(names, frame["index"].tolist(), strict=True)]
        title, _, unit = self.titles()[name].partition(" (")
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        self.plot.show_bars(
            Bars(
                [names[i] for i in order],
                [colors[i] for i in order],
                [float(values[i]) for i in order],
                title,
                unit.rstrip(")"),
            )
        )

    def _on_bar(self, place: int) -> None:
        number = self.table.order()[place]
        self.table.select_row(number)
        self.row_chosen.emit(number)


def _area_title(column: str) -> str:
    """Return a heading for an area by class, such as ``area_elytra_mm2``, or a mean."""
    text = column.removeprefix("area_")
    for unit in UNITS_IN_MM:
        if text.endswith(f"_{unit}2"):
            return f"{text.removesuffix(f'_{unit}2')} ({pretty_unit(unit)}²)"
    return f"{text} (px²)" if column.startswith("area_") else column.replace("_", " ")
