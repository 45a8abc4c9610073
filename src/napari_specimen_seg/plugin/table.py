"""A DataFrame in a table view: sortable, with class swatches and headings for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from .legend import swatch

if TYPE_CHECKING:
    from pandas import DataFrame

Color = Callable[[int], str]

MOST_WIDTH = 150
"""Of a column in pixels; longer text has a tool tip."""

_NO_PARENT = QModelIndex()


def number_text(value: Any) -> str:
    """Return a table cell: at least four digits of a number, nothing for NaN.

    Parameters
    ----------
    value : object

    Returns
    -------
    str
    """
    if isinstance(value, str):
        return value
    number = float(value)
    if not math.isfinite(number):
        return ""
    return f"{number:.4g}" if abs(number) < 10_000 else f"{number:.0f}"


class FrameModel(QAbstractTableModel):
    """A DataFrame as a Qt model.

    Parameters
    ----------
    parent : QObject, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns: list[str] = []
        self._values: list[list[Any]] = []
        self._titles: Mapping[str, str] = {}
        self._swatches: list[Any] = []

    def show(
        self, frame: DataFrame, columns: Sequence[str], titles: Mapping[str, str], colors: Sequence[str]
    ) -> None:
        """Show some columns of a frame.

        Parameters
        ----------
        frame : DataFrame
        columns : sequence of str
            Which, in their order.
        titles : mapping
            Headings by column name.
        colors : sequence of str
            The class colour of each row; empty where it has none.
        """
        self.beginResetModel()
        self._columns = list(columns)
        self._values = [frame[name].tolist() for name in columns]
        self._titles = titles
        icons = {color: swatch(color) if color else None for color in set(colors)}
        self._swatches = [icons[color] for color in colors]
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = _NO_PARENT) -> int:
        """Return the number of rows."""
        return 0 if parent.isValid() else len(self._swatches)

    def columnCount(self, parent: QModelIndex = _NO_PARENT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return text, raw value, swatch or alignment of a cell."""
        value = self._values[index.column()][index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return number_text(value)
        if role == Qt.ItemDataRole.UserRole:
            return value
        if role == Qt.ItemDataRole.ToolTipRole and isinstance(value, str):
            return value
        if role == Qt.ItemDataRole.DecorationRole and self._columns[index.column()] == "class_name":
            return self._swatches[index.row()]
        if role == Qt.ItemDataRole.TextAlignmentRole and not isinstance(value, str):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the heading of a column."""
        wanted = (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole)
        if orientation != Qt.Orientation.Horizontal or role not in wanted:
            return None
        name = self._columns[section]
        return self._titles.get(name, name)


class _Sorter(QSortFilterProxyModel):
    """Sorts by value; empty numbers come last whichever way."""

    def lessThan(self, left: QModelIndex, right: QModelIndex) -> bool:
        """Compare two cells of a column."""
        first, second = (index.data(Qt.ItemDataRole.UserRole) for index in (left, right))
        if isinstance(first, str) or isinstance(second, str):
            return str(first).casefold() < str(second).casefold()
        last = math.inf if self.sortOrder() == Qt.SortOrder.AscendingOrder else -math.inf
        a, b = (last if math.isnan(value) else value for value in (first, second))
        return bool(a < b)


class FrameTable(QTableView):
    """A table view of a DataFrame.

    Signals
    -------
    row_chosen
        The person selected a row; carries its number in the frame.
    """

    row_chosen = Signal(int)
    sorted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.frame_model = FrameModel(self)
        self._sorter = _Sorter(self)
        self._sorter.setSourceModel(self.frame_model)
        self._sorter.setSortRole(Qt.ItemDataRole.UserRole)
        self.setModel(self._sorter)
        self.setSortingEnabled(True)
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.horizontalHeader().setHighlightSections(False)  # bold headings do not fit
        self.horizontalHeader().setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 8)
        self.selectionModel().currentRowChanged.connect(self._on_current)
        self.horizontalHeader().sortIndicatorChanged.connect(lambda *_: self.sorted.emit())
        self._silent = False

    def show_frame(
        self, frame: DataFrame, columns: Sequence[str], titles: Mapping[str, str], colors: Sequence[str]
    ) -> None:
        """Show some columns of a frame; the order stays sorted as it was. See `FrameModel.show`."""
        self._silent = True
        try:
            same = columns == self.frame_model._columns
            self.frame_model.show(frame, columns, titles, colors)
            if not same:
                self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
                self._fit_columns()
        finally:
            self._silent = False

    def _fit_columns(self) -> None:
        """Make columns as narrow as they can be: Qt's own way leaves room for an arrow in each."""
        metrics = self.horizontalHeader().fontMetrics()
        for column in range(self.frame_model.columnCount()):
            title = self.frame_model.headerData(column, Qt.Orientation.Horizontal)
            width = max(metrics.horizontalAdvance(title) + 12, self.sizeHintForColumn(column) + 4)
            self.setColumnWidth(column, min(width, MOST_WIDTH))

    def select_row(self, row: int | None) -> None:
        """Select a row of the frame without telling anybody."""
        self._silent = True
        try:
            if row is None:
                self.clearSelection()
                self.selectionModel().clearCurrentIndex()
            else:
                index = self._sorter.mapFromSource(self.frame_model.index(row, 0))
                self.setCurrentIndex(index)
                self.scrollTo(index)
        finally:
            self._silent = False

    @property
    def selected_row(self) -> int | None:
        """The selected row of the frame."""
        index = self.selectionModel().currentIndex()
        return self._sorter.mapToSource(index).row() if index.isValid() else None

    def order(self) -> list[int]:
        """Return the rows of the frame in the order on screen."""
        model = self._sorter
        return [model.mapToSource(model.index(row, 0)).row() for row in range(model.rowCount())]

    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid() and not self._silent:
            self.row_chosen.emit(self._sorter.mapToSource(current).row())
