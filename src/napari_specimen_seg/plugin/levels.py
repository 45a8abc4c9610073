"""What gets a row in the Measure dock."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QButtonGroup, QRadioButton, QVBoxLayout, QWidget

from ..core.measurements import Per
from .dock import heading, row

LEVELS: dict[Per, str] = {
    "class": "One row for each class",
    "object": "One row for each connected part of a class",
    "specimen": "One row for each specimen in the picture, with the area of its classes",
}


class LevelPicker(QWidget):
    """Class, object or specimen.

    Signals
    -------
    changed
        The person chose another.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[str, QRadioButton] = {}
        self._group = QButtonGroup(self)
        for level, tip in LEVELS.items():
            radio = QRadioButton(level, self)
            radio.setToolTip(tip)
            self._group.addButton(radio)
            self.buttons[level] = radio
        self.buttons["class"].setChecked(True)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addLayout(row(heading("Per"), *self.buttons.values(), stretch=3))
        self._group.buttonToggled.connect(lambda _, on: self.changed.emit() if on else None)

    @property
    def level(self) -> Per:
        """The chosen one."""
        return next(level for level in LEVELS if self.buttons[level].isChecked())

    def choose(self, level: str) -> None:
        """Choose one without telling; ignored if there is no such level."""
        if level in self.buttons:
            with QSignalBlocker(self):
                self.buttons[level].setChecked(True)
