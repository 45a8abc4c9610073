"""A number box that writes numbers as the files do, and controls that the wheel cannot change by accident."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QDoubleSpinBox, QLineEdit, QWidget

LEAST = 44
"""Width in pixels that a box may shrink to."""


class NumberBox(QDoubleSpinBox):
    """A number without the zeros at its end, with a point in every country, as in the files."""

    def textFromValue(self, value: float) -> str:
        """Return the shortest text of a value."""
        text = f"{value:.{self.decimals()}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text

    def valueFromText(self, text: str) -> float:
        """Return the value of a text; commas and exponents are understood."""
        if text == self.specialValueText() and text:
            return float(self.minimum())
        try:
            return float(text.replace(",", "."))
        except ValueError:
            return float(self.value())

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Tell whether a text is a number, or may become one."""
        if text and set(text) <= set("0123456789.,e+-"):
            try:
                inside = self.minimum() <= float(text.replace(",", ".")) <= self.maximum()
            except ValueError:
                inside = False
            return (QValidator.State.Acceptable if inside else QValidator.State.Intermediate), text, position
        special = bool(text) and text == self.specialValueText()
        state = QValidator.State.Acceptable if special else QValidator.State.Intermediate
        return (state if special or not text else QValidator.State.Invalid), text, position


class _WheelGuard(QObject):
    """Lets the wheel scroll the dock, not change the setting that happens to lie under the pointer."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Take the wheel from controls that were not clicked before."""
        turned = event is not None and event.type() == QEvent.Type.Wheel
        if turned and isinstance(watched, QWidget) and not watched.hasFocus():
            assert event is not None
            event.ignore()
            return True
        return False


def guard_wheel(widget: QWidget) -> None:
    """Protect a widget, and those in it, from being changed by scrolling."""
    guard = _WheelGuard(widget)
    for each in _inside(widget, QAbstractSpinBox, QComboBox):
        each.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        each.installEventFilter(guard)


def let_shrink(widget: QWidget) -> None:
    """Let boxes be narrower than the longest thing that they could hold, so that a dock stays narrow."""
    for each in _inside(widget, QAbstractSpinBox, QComboBox, QLineEdit):
        if not isinstance(each.parentWidget(), (QAbstractSpinBox, QComboBox)):  # no part of another
            each.setMinimumWidth(max(LEAST, each.minimumWidth()))


def _inside(widget: QWidget, *kinds: type[QWidget]) -> list[QWidget]:
    found = [each for kind in kinds for each in widget.findChildren(kind)]
    return [*found, widget] if isinstance(widget, kinds) else found
