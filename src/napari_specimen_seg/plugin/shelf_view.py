"""The list of models: two lines each, and what can be done with the chosen one."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QModelIndex, QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QFont, QFontMetrics, QPainter, QPalette
from qtpy.QtWidgets import (
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from ..core.errors import one_line
from ..models.manage import Shelved
from .card_view import summary

SOURCES = {"bundled": "came with the plugin", "own": "yours", "hub": "from the Hub"}


class TwoLines(QStyledItemDelegate):
    """Draws an item as a name and, below it, what else there is to say; what is too long ends in dots."""

    PADDING = 5

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Draw the item's background as the style does, then the two lines."""
        item = QStyleOptionViewItem(option)
        self.initStyleOption(item, index)
        item.text = ""
        item.widget.style().drawControl(QStyle.ControlElement.CE_ItemViewItem, item, painter, item.widget)
        painter.save()
        painter.setPen(item.widget.palette().color(QPalette.ColorRole.Text))
        place = item.rect.adjusted(self.PADDING, self.PADDING, -self.PADDING, -self.PADDING)
        for number, line in enumerate(str(index.data()).split("\n")):
            font = QFont(item.font)
            font.setBold(number == 0)
            painter.setFont(font)
            metrics = QFontMetrics(font)
            shown = metrics.elidedText(line, Qt.TextElideMode.ElideRight, place.width())
            painter.drawText(place.translated(0, number * metrics.lineSpacing()), 0, shown)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Ask for two lines and some room around them."""
        del index
        return QSize(100, 2 * QFontMetrics(option.font).lineSpacing() + 2 * self.PADDING)


class ShelfView(QListWidget):
    """Models with their source, classes, score, size and licence.

    Signals
    -------
    model_chosen
        Another model is the current one, or none.
    """

    model_chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.models: list[Shelved] = []
        self.setAccessibleName("Models")
        self.setItemDelegate(TwoLines(self))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(170)
        self.currentRowChanged.connect(lambda _: self.model_chosen.emit())

    @property
    def current(self) -> Shelved | None:
        """The chosen model."""
        place = self.currentRow()
        return self.models[place] if 0 <= place < len(self.models) else None

    def show_models(self, models: list[Shelved], chosen: Path | None = None) -> None:
        """Show these models; the one in the folder `chosen`, or the one chosen before, stays chosen.

        Parameters
        ----------
        models : list of Shelved
        chosen : Path, optional
        """
        before = chosen or (self.current.path if self.current else None)
        with QSignalBlocker(self):
            self.clear()
            self.models = list(models)
            for model in self.models:
                self.addItem(_item(model))
            paths = [model.path for model in self.models]
            self.setCurrentRow(paths.index(before) if before in paths else 0 if paths else -1)
        self.model_chosen.emit()

    def sizeHint(self) -> QSize:
        """Ask for room for four models; the dock gives more where there is more."""
        return QSize(200, 4 * 44)


def _item(model: Shelved) -> QListWidgetItem:
    item = QListWidgetItem("\n".join(lines_of(model)))
    item.setToolTip("\n".join([*lines_of(model), one_line(model.problem or model.path, 500)]))
    return item


def lines_of(model: Shelved) -> tuple[str, str]:
    """Return the two lines that the list shows of a model.

    Parameters
    ----------
    model : Shelved

    Returns
    -------
    (str, str)
        Name and source; classes, score, size and licence, or what is wrong with it.
    """
    first = f"{one_line(model.name, 60)} · {SOURCES[model.source]}"
    if model.card is None:
        return first, "cannot be used: " + one_line(model.problem.rpartition("card.json: ")[2], 90)
    size = "" if model.size is None else f"{max(0.1, model.size / 1e6):.{0 if model.size > 1e7 else 1}f} MB"
    license_ = one_line(model.card.license or "licence not stated", 30)
    return first, " · ".join(filter(None, [summary(model.card, trained=False), size, license_]))
