"""Nobody loses a training by closing a window: the person is asked what is to become of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from .choices import Role, ask_which

Fate = Literal["keep", "stop", "discard", "stay"]


def ask_fate(parent: QWidget, folder: Path | None = None) -> Fate:
    """Ask what is to become of a training whose window closes.

    Parameters
    ----------
    parent : QWidget
        Over which the question is shown.
    folder : Path, optional
        Of the run: to discard it removes all that is in there, earlier epochs too.

    Returns
    -------
    {"keep", "stop", "discard", "stay"}
        Go on without the window, stop and keep the best model, throw it away, or do not close.
    """
    told = "If it goes on, the Train dock offers to watch it when you open it again."
    if folder is not None:
        told += f" Discard removes the folder {folder} with all that the run has learned so far."
    answers = {
        "keep": ("Keep training", Role.AcceptRole),
        "stop": ("Stop and keep the best model", Role.AcceptRole),
        "discard": ("Discard", Role.DestructiveRole),
        "stay": ("Cancel", Role.RejectRole),
    }
    question = "What is to become of the training?"
    return cast("Fate", ask_which(parent, "A training goes on", question, told, answers))


class CloseGuard(QObject):
    """Asks before napari, or the dock alone, is closed while a training goes on.

    Parameters
    ----------
    dock : QWidget
        Whose window is guarded.
    may_close : callable
        Asks if need be; tells whether to go on closing.
    """

    def __init__(self, dock: QWidget, may_close: Callable[[], bool]) -> None:
        super().__init__(dock)
        self._may_close = may_close
        self._window: QWidget | None = None

    def watch_window(self, window: QWidget) -> None:
        """Guard the window of napari."""
        self._window = window
        window.installEventFilter(self)

    def watch_holder(self, holder: QWidget | None) -> None:
        """Guard the cross of the dock widget that holds the dock: napari calls a method of that name."""
        close = getattr(holder, "destroyOnClose", None)
        if close is None or getattr(close, "asks_first", False):
            return

        def ask_first() -> None:
            if self._may_close():
                close()

        ask_first.asks_first = True  # type: ignore[attr-defined]
        holder.destroyOnClose = ask_first  # type: ignore[union-attr]

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Refuse the close event if the person wants to stay."""
        if event is None or event.type() != QEvent.Type.Close or watched is not self._window:
            return False
        if self._may_close():
            return False
        event.ignore()
        return True

    def let_go(self) -> None:
        """Guard nothing any more."""
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None
