"""The confusion matrix as a grid of cells that can be clicked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QRect, Qt, Signal
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QHeaderView, QStyledItemDelegate, QTableView, QWidget

from ..core.classes import ClassMap
from ..core.errors import one_line
from ..evaluation.result import OTHER, row_shares
from .legend import swatch

if TYPE_CHECKING:
    from napari.viewer import Viewer

CELL = 32
"""Width of a cell in pixels."""

MOST_NAME = 14
"""Letters of a class's name beside and above the cells; all of it is in the tool tip."""

_ABOVE_NAME = 22  # what the swatch above a column's name takes
_NO_PARENT = QModelIndex()


class _Model(QAbstractTableModel):
    """Shares of each true class by predicted class."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.counts: NDArray[Any] = np.zeros((0, 0), np.int64)
        self._shares: NDArray[Any] = np.zeros((0, 0))
        self._names: list[str] = []
        self._colors: list[str] = []

    def show(self, counts: NDArray[Any], class_map: ClassMap) -> None:
        """Show pixel counts, (classes, classes + 1)."""
        self.beginResetModel()
        self._names = [*(item.name for item in class_map), OTHER]
        self._colors = [*(item.color for item in class_map), "#808080"]
        self.counts = counts if counts[:, -1].any() else counts[:, :-1]
        self._shares = row_shares(counts)[:, : self.counts.shape[1]]
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = _NO_PARENT) -> int:
        """Return the number of classes."""
        return 0 if parent.isValid() else self.counts.shape[0]

    def columnCount(self, parent: QModelIndex = _NO_PARENT) -> int:
        """Return the number of classes, and one for what is none of them."""
        return 0 if parent.isValid() else self.counts.shape[1]

    def share(self, index: QModelIndex) -> float:
        """Return a cell's share of its row; NaN for a row without pixels."""
        return float(self._shares[index.row(), index.column()])

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell's percentage, or what it means in words."""
        share = self.share(index)
        if role == Qt.ItemDataRole.DisplayRole:
            return "" if not share >= 0.0005 else f"{share * 100:.{0 if share >= 0.0995 else 1}f}"
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.text(index.row(), index.column())
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignCenter
        return None

    def text(self, row: int, column: int) -> str:
        """Return what a cell counts, in words."""
        true, said = (one_line(self._names[place], 30) for place in (row, column))
        what = f"{true} found as such" if row == column else f"{true} taken for {said}"
        share = self._shares[row, column]
        percent = "" if np.isnan(share) else f" ({share * 100:.2g} % of {true})"
        return f"{what}: {int(self.counts[row, column]):,} pixels{percent}"

    def headerData(self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a class's name and its colour."""
        if role == Qt.ItemDataRole.DecorationRole:
            return swatch(self._colors[section])
        if role == Qt.ItemDataRole.ToolTipRole:
            what = "Truth" if orientation == Qt.Orientation.Vertical else "Predicted"
            return f"{what}: {self._names[section]}"
        if role == Qt.ItemDataRole.DisplayRole:
            return one_line(self._names[section], MOST_NAME)
        return None


class _Upright(QHeaderView):
    """Column heads whose names are written from bottom to top: columns are too narrow for them."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setSectionsClickable(True)

    def sizeHint(self) -> Any:
        """Return a height in which the longest name has room."""
        size = super().sizeHint()
        names = [self._name(at) for at in range(self.count())]
        longest = max(map(self.fontMetrics().horizontalAdvance, names), default=0)
        size.setHeight(longest + _ABOVE_NAME + 8)
        return size

    def _name(self, section: int) -> str:
        return str(self.model().headerData(section, Qt.Orientation.Horizontal) or "")

    def paintSection(self, painter: Any, rect: Any, section: int) -> None:
        """Paint the colour of the class, and its name below it."""
        icon = self.model().headerData(section, Qt.Orientation.Horizontal, Qt.ItemDataRole.DecorationRole)
        painter.save()
        color = self.palette().color(QPalette.ColorRole.WindowText)
        icon.paint(painter, rect.x() + (rect.width() - 14) // 2, rect.y() + 4, 14, 14)
        painter.setPen(color)
        painter.translate(rect.x(), rect.bottom())
        painter.rotate(-90)
        room = QRect(4, 0, rect.height() - _ABOVE_NAME, rect.width())
        painter.drawText(
            room, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, self._name(section)
        )
        painter.restore()


class _Shade(QStyledItemDelegate):
    """Paints a cell in the theme's colour, the stronger, the larger its share."""

    def __init__(self, parent: QWidget, viewer: Viewer) -> None:
        super().__init__(parent)
        self._viewer = viewer

    def paint(self, painter: Any, option: Any, index: Any) -> None:
        """Paint background, then text."""
        share = index.model().share(index)
        if share > 0:
            from napari.utils.theme import get_theme

            color = QColor(get_theme(self._viewer.theme).current.as_hex())
            color.setAlphaF(0.08 + 0.92 * share)
            painter.fillRect(option.rect, color)
        super().paint(painter, option, index)


class ConfusionGrid(QTableView):
    """What was taken for what; the truth from top to bottom, the prediction from left to right.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme gives the colour.

    Signals
    -------
    cell_chosen
        A cell was clicked; carries row and column, in the order of the class map.
    """

    cell_chosen = Signal(int, int)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.grid = _Model(self)
        self.setModel(self.grid)
        self.setHorizontalHeader(_Upright(self))
        self.setItemDelegate(_Shade(self, viewer))
        self.setAccessibleName("Confusion matrix: true classes in rows, predicted ones in columns")
        for header in (self.horizontalHeader(), self.verticalHeader()):
            header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            header.setDefaultSectionSize(CELL if header is self.horizontalHeader() else 24)
            header.setMinimumSectionSize(20)
            header.setHighlightSections(False)
        self.setEditTriggers(QTableView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QTableView.SelectionMode.SingleSelection)
        self.setHorizontalScrollMode(QTableView.ScrollMode.ScrollPerPixel)
        self.clicked.connect(self._on_cell)
        self.activated.connect(self._on_cell)

    def show_counts(self, counts: NDArray[Any], class_map: ClassMap) -> None:
        """Show pixel counts, (classes, classes + 1), in the order of the class map."""
        self.grid.show(counts, class_map)
        heads = self.horizontalHeader().sizeHint().height()
        self.setMinimumHeight(min(400, 24 * counts.shape[0] + heads + 32))

    def _on_cell(self, index: Any) -> None:
        self.cell_chosen.emit(index.row(), index.column())
