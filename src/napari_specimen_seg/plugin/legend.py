"""The classes of a label layer as swatches with names; a click takes one up for painting."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QPushButton, QSizePolicy, QWidget
from superqt import QFlowLayout

from ..core.classes import ClassMap, LabelClass
from ..core.errors import one_line

MOST = 60
"""More swatches than this make no legend any more."""


def swatch(color: str, side: int = 14) -> QIcon:
    """Return a square of a class colour as an icon."""
    pixmap = QPixmap(side, side)
    pixmap.fill(QColor(color))
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)  # or Qt tints it, and it is no class colour any more
    return icon


class Legend(QWidget):
    """Classes as buttons in a row that wraps.

    Signals
    -------
    class_chosen
        A class was clicked; carries its id.
    """

    class_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._flow = QFlowLayout(self)
        self._flow.setContentsMargins(0, 0, 0, 0)
        self._flow.setHorizontalSpacing(2)
        self._flow.setVerticalSpacing(2)
        self.buttons: dict[int, QPushButton] = {}
        self._class_map: ClassMap | None = None
        self.setVisible(False)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def show_classes(self, class_map: ClassMap | None) -> None:
        """Show these classes, without the background.

        Parameters
        ----------
        class_map : ClassMap or None
        """
        if class_map == self._class_map:
            return
        self._class_map = class_map
        for old in self.buttons.values():
            self._flow.removeWidget(old)
            old.hide()  # it is deleted only when Qt gets round to it
            old.deleteLater()
        self.buttons = {}
        for item in class_map.foreground[:MOST] if class_map else ():
            self.buttons[item.id] = self._button(item)
            self._flow.addWidget(self.buttons[item.id])
        self.setVisible(bool(self.buttons))
        self.updateGeometry()

    def show_selected(self, class_id: int) -> None:
        """Mark the class that napari paints with."""
        for key, made in self.buttons.items():
            made.setChecked(key == class_id)

    def _button(self, item: LabelClass) -> QPushButton:
        made = QPushButton(swatch(item.color), one_line(item.name, 28).replace("&", "&&"))
        made.setCheckable(True)
        made.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        made.setToolTip(f"{one_line(item.name)} (value {item.id}). Click to paint with it.")
        made.clicked.connect(lambda *_, chosen=item.id: self._on_clicked(chosen))
        return made

    def _on_clicked(self, class_id: int) -> None:
        self.show_selected(class_id)
        self.class_chosen.emit(class_id)
