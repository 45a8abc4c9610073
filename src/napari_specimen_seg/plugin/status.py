"""The status line: a hint, a progress bar with Cancel, or one line about what went wrong."""

from __future__ import annotations

import logging
import time
import traceback

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ..core.errors import SpecimenError
from ..core.log import as_specimen_error
from ..core.progress import Progress

_log = logging.getLogger(__name__)


def duration(seconds: float) -> str:
    """Return a rough time in words that fit a status line.

    Parameters
    ----------
    seconds : float

    Returns
    -------
    str
        ``"2 s"``, ``"3 min"``, ``"1 h 20 min"``.
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class TimeLeft:
    """Says how long the rest of a stage will take, from how long its steps took so far."""

    def __init__(self) -> None:
        self._stage = ""
        self._began = 0.0
        self._first = 0

    def after(self, progress: Progress, now: float) -> float | None:
        """Return the seconds left after this report, or None while that is not known.

        Parameters
        ----------
        progress : Progress
            The newest report.
        now : float
            The time in seconds, from any clock that runs forward.

        Returns
        -------
        float or None
        """
        if progress.stage != self._stage or progress.done < self._first:
            self._stage, self._began, self._first = progress.stage, now, progress.done
        steps = progress.done - self._first
        if steps <= 0 or progress.total <= 0:
            return None
        return (now - self._began) / steps * max(0, progress.total - progress.done)


def describe(progress: Progress, left: float | None) -> str:
    """Return what a report says in one short line.

    Parameters
    ----------
    progress : Progress
        The report.
    left : float or None
        Seconds left, where known.

    Returns
    -------
    str
        Such as ``"tile 31 of 48 · 2 s left"``.
    """
    if progress.total <= 0:
        return f"{progress.stage}…"
    text = f"{progress.stage} {progress.done} of {progress.total}"
    return text if left is None or left < 0.5 else f"{text} · {duration(left)} left"


class StatusLine(QWidget):
    """One line that tells how the work of a dock goes.

    Signals
    -------
    cancel_asked
        Cancel was pressed; the dock passes it to its job.
    """

    cancel_asked = Signal()

    def __init__(self, hint: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._left = TimeLeft()
        self.icon = QLabel()
        self.icon.setStyleSheet("min-width: 18px; max-width: 18px; min-height: 18px; max-height: 18px")
        self.text = QLabel()
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setWordWrap(True)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.bar = QProgressBar()
        self.cancel = QPushButton("Cancel")
        self.cancel.clicked.connect(self._on_cancel)
        self.details = QPushButton("Details")
        self.details.setCheckable(True)
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.log.setMinimumHeight(120)
        self.details.toggled.connect(self.log.setVisible)
        self._arrange()
        self.show_hint(hint)

    def _arrange(self) -> None:
        top = QHBoxLayout()
        top.setContentsMargins(0, 0, 0, 0)
        top.addWidget(self.icon, 0, Qt.AlignmentFlag.AlignTop)
        top.addWidget(self.text, 1)
        top.addWidget(self.bar, 1)
        top.addWidget(self.details, 0, Qt.AlignmentFlag.AlignTop)
        top.addWidget(self.cancel, 0)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addLayout(top)
        box.addWidget(self.log)

    def show_hint(self, text: str) -> None:
        """Show a quiet line: what to do next, or what was done."""
        self.show_text(text)

    def show_warnings(self, text: str, warnings: tuple[str, ...]) -> None:
        """Show what was done, and what a person should know about it.

        Parameters
        ----------
        text : str
            What was done.
        warnings : tuple of str
            Messages; the first is shown, all of them are in the details.
        """
        if not warnings:
            self.show_text(text)
            return
        more = f" (and {len(warnings) - 1} more)" if len(warnings) > 1 else ""
        self.show_text(f"{text} {warnings[0]}{more}", icon="warning", log="\n".join(warnings) if more else "")

    def show_progress(self, progress: Progress) -> None:
        """Show a report of running work.

        Parameters
        ----------
        progress : Progress
            The newest report.
        """
        if self.bar.isHidden():
            self._left = TimeLeft()
            self._switch(running=True)
            self.cancel.setText("Cancel")
            self.cancel.setEnabled(True)
        # a bar of unknown length would move, but has no text
        self.bar.setRange(0, max(1, progress.total))
        self.bar.setValue(progress.done if progress.total else 0)
        line = describe(progress, self._left.after(progress, time.monotonic()))
        self.bar.setFormat(line.replace("%", "%%"))
        self.bar.setTextVisible(True)
        self.bar.setToolTip(line)

    def show_share(self, text: str, done: int, total: int) -> None:
        """Show how far work is that has its own words, and its own way to stop instead of Cancel."""
        self.show_progress(Progress(text, 0, 0))
        self.cancel.setVisible(False)
        self.bar.setRange(0, max(1, total))
        self.bar.setValue(done)
        self.bar.setFormat(text.replace("%", "%%"))

    def show_cancelling(self) -> None:
        """Show that the work is asked to stop."""
        self.cancel.setText("Cancelling…")
        self.cancel.setEnabled(False)

    def show_error(self, error: BaseException) -> str:
        """Show one line about an error, with what else there is to say under Details.

        Parameters
        ----------
        error : BaseException
            A `SpecimenError` is meant for people and shown as it is, its notes under Details. Anything else
            is as `core.log.as_specimen_error` tells it; what nobody foresaw is logged with its traceback,
            which is under Details too.

        Returns
        -------
        str
            The line.
        """
        line, details = error_line(error), _details(error)
        _log.info("%s", line)
        self.show_text(line, icon="error", log=details)
        return line

    def show_text(self, text: str, *, icon: str = "", log: str = "") -> None:
        """Show a line.

        Parameters
        ----------
        text : str
            Empty hides the line.
        icon : {"", "warning", "error"}
            In front of it.
        log : str
            What Details shows; empty for none.
        """
        self._switch(running=False)
        self.icon.setObjectName(f"{icon}_icon_element")  # napari's style sheet draws it, in its theme
        self.icon.style().unpolish(self.icon)
        self.icon.style().polish(self.icon)
        self.icon.setVisible(bool(icon))
        self.text.setText(text)
        self.log.setPlainText(log)
        self.details.setVisible(bool(log))
        self.details.setChecked(False)
        self.setVisible(bool(text))

    def _switch(self, *, running: bool) -> None:
        self.setVisible(True)
        for widget in (self.bar, self.cancel):
            widget.setVisible(running)
        for widget in (self.icon, self.text, self.details, self.log):
            widget.setVisible(not running and widget is self.text)

    def _on_cancel(self) -> None:
        self.show_cancelling()
        self.cancel_asked.emit()


def error_line(error: BaseException) -> str:
    """Return the one line that a person sees of an error.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    str
    """
    if isinstance(error, MemoryError):
        return "This computer ran out of memory. Close other programs, or take a smaller picture or tile."
    return str(as_specimen_error(error))


def _details(error: BaseException) -> str:
    """Return what Details shows: nothing beside a line that says what to do, else where it happened."""
    if isinstance(error, SpecimenError):
        return "\n".join(getattr(error, "__notes__", ()))
    return "".join(traceback.format_exception(error))
