"""What a look at the data found: a list of lines, those about pictures one click away from them."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

MOST_PX = 110
"""Height of the list in pixels; what does not fit is scrolled to."""

_FILES = Qt.ItemDataRole.UserRole

Finding = tuple[str, str, tuple[Path, ...]]
"""Severity, text, and the files that it is about."""


class FindingsList(QListWidget):
    """A list as high as its lines, up to a limit; lines wrap."""

    def __init__(self) -> None:
        super().__init__()
        self._fitted = 0
        self.setWordWrap(True)
        self.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)  # lines may be high
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVisible(False)

    def show_findings(self, findings: Iterable[Finding]) -> None:
        """Show these lines; without any the list is hidden.

        Parameters
        ----------
        findings : iterable of (str, str, tuple of Path)
        """
        self.clear()
        for severity, text, files in findings:
            item = QListWidgetItem(("✖ " if severity == "error" else "▲ ") + text)
            item.setData(_FILES, [str(path) for path in files])
            item.setToolTip(f"{text}\nClick to open it" if files else text)
            if not files:
                item.setFlags(Qt.ItemFlag.ItemIsEnabled)  # to read, not to click
            self.addItem(item)
        self.setVisible(self.count() > 0)
        self.fit()

    def fit(self) -> None:
        """Make the list as high as its lines, up to a limit."""
        policy = Qt.ScrollBarPolicy
        self.setVerticalScrollBarPolicy(policy.ScrollBarAlwaysOff)
        height = self._height()
        if height > MOST_PX:  # not left to Qt, which wraps lines before it knows of the bar, and cuts them
            self.setVerticalScrollBarPolicy(policy.ScrollBarAlwaysOn)
            self._height()
        self.setFixedHeight(min(MOST_PX, height))

    def _height(self) -> int:
        """Lay the lines out at the width of the moment, and return how high they are."""
        self.doItemsLayout()
        lines = sum(int(self.visualItemRect(self.item(row)).height()) for row in range(self.count()))
        return lines + 2 * int(self.frameWidth()) + 4

    def resizeEvent(self, event: Any) -> None:
        """Give the list the height that its lines have at the new width."""
        super().resizeEvent(event)
        if self.width() != self._fitted:  # and not where a scroll bar came or went, which `fit` decides
            self._fitted = self.width()
            self.fit()


def files_of(item: QListWidgetItem) -> list[Path]:
    """Return the files that a line is about."""
    return [Path(path) for path in item.data(_FILES) or ()]


def fit_view(viewer: Viewer, layers: list[Layer]) -> None:
    """Let the view show all of some layers.

    Parameters
    ----------
    viewer : napari.Viewer
    layers : list of napari layers
    """
    if "layers" in signature(viewer.reset_view).parameters:
        viewer.reset_view(layers=layers)
    else:  # an older napari knows only all layers
        viewer.reset_view()
