"""What all docks have in common: a scrolling column that fits a small screen, and an orderly end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)

from .plot_canvas import ThemedPlot
from .status import StatusLine
from .workers import Job, Work

if TYPE_CHECKING:
    from napari.viewer import Viewer

PLUGIN = "napari-specimen-seg"
"""The name in the manifest."""

MIN_WIDTH, WIDTH = 316, 360
"""Pixels; at the least width everything is still there beside the scroll bar."""

HEADING_WIDTH = 62
"""Pixels: room for "Pictures", so that what stands behind headings begins at one line."""

_Dock = TypeVar("_Dock", bound="Dock")


class _Life:
    """Whether a dock is still there, and its job; outlives the dock's widgets, which Qt may delete first."""

    def __init__(self) -> None:
        self.is_open = True
        self.job: Job | None = None

    def end(self) -> None:
        """Stop the job; nobody is told any more."""
        self.is_open = False
        if self.job is not None:
            self.job.blockSignals(True)
            self.job.cancel()
            self.job = None


class Dock(QWidget):
    """A dock: a column of controls, a status line, and at most one job at a time.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer that it works on.
    hint : str
        What the status line says at first.
    """

    def __init__(self, napari_viewer: Viewer, hint: str = "") -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._life = _Life()
        self.destroyed.connect(self._life.end)
        self._followed: list[tuple[Any, Callable[..., Any]]] = []
        self._joining = QTimer(self)
        self._joining.setSingleShot(True)
        self._joining.timeout.connect(self._join)
        content = QWidget(self)  # a widget without parent that is made visible is a window of its own
        self.status = StatusLine(hint, content)
        self.status.cancel_asked.connect(self.cancel)
        self.body = QVBoxLayout(content)
        self.body.setContentsMargins(6, 6, 6, 6)
        self.body.setSpacing(6)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(scroll)
        self.setMinimumWidth(MIN_WIDTH)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> Any:
        """Ask for a width that leaves most of a small screen to the picture."""
        hint = super().sizeHint()
        hint.setWidth(WIDTH)
        return hint

    # -- events of the viewer ----------------------------------------------------------------------

    def follow(self, emitter: Any, slot: Callable[..., Any]) -> None:
        """Connect a slot to an event of the viewer or a layer until the dock is closed."""
        emitter.connect(slot)
        self._followed.append((emitter, slot))

    def unfollow(self, emitter: Any) -> None:
        """Disconnect what `follow` connected to this event."""
        for entry in [entry for entry in self._followed if entry[0] is emitter]:
            emitter.disconnect(entry[1])
            self._followed.remove(entry)

    @property
    def is_open(self) -> bool:
        """Whether the dock is in use."""
        return self._life.is_open

    @property
    def job(self) -> Job | None:
        """The running job."""
        return self._life.job

    # -- work --------------------------------------------------------------------------------------

    def run(
        self,
        title: str,
        work: Work,
        then: Callable[[Any, tuple[str, ...]], None],
        *,
        shown: bool = True,
    ) -> Job:
        """Run work in another thread; show progress, Cancel and errors in the status line.

        Parameters
        ----------
        title : str
            For napari's activity dock.
        work : callable
            Takes a report function.
        then : callable
            Takes result and warnings, in the GUI thread. Not called if the work fails or is cancelled.
        shown : bool
            Whether napari's activity dock shows it.

        Returns
        -------
        Job
        """
        job = Job(title, work, shown=shown)
        self._life.job = job
        job.progressed.connect(self.status.show_progress)
        job.succeeded.connect(lambda value, warned: self._deliver(then, value, warned))
        job.failed.connect(self.show_error)
        job.cancelled.connect(self.on_cancelled)
        job.finished.connect(lambda: self._on_end_of(job))
        return job.start()

    def _deliver(
        self, then: Callable[[Any, tuple[str, ...]], None], value: Any, warned: tuple[str, ...]
    ) -> None:
        try:
            then(value, warned)
        # an exception that leaves a slot is never seen by the person who waits for the result
        except Exception as error:
            self.show_error(error)

    def _on_end_of(self, job: Job) -> None:
        if self._life.job is job:  # else its result has started another already
            self._life.job = None
            self.on_finished()

    def cancel(self) -> None:
        """Ask the running job to stop."""
        if self.job is not None:
            self.job.cancel()

    def on_cancelled(self) -> None:
        """Tell that the work was stopped."""
        self.status.show_hint("Cancelled. Nothing was changed.")

    def on_finished(self) -> None:
        """Do what is to be done when all work has ended, whatever its end; for docks to extend."""

    def show_error(self, error: BaseException) -> None:
        """Show an error in the status line and as a napari notification."""
        from napari.utils.notifications import show_error

        show_error(self.status.show_error(error))

    # -- the end -----------------------------------------------------------------------------------

    def event(self, event: Any) -> bool:
        """Notice that napari took the dock out of its window: that is how a dock is closed."""
        if event.type() == QEvent.Type.ParentChange and self.is_open:
            if self.parent() is None:
                self.shut_down()
            else:
                self._joining.start()  # napari has not put it into its place yet
        return bool(super().event(event))

    def _join(self) -> None:
        """Lie behind or before the other docks of the plugin, not above or below: screens are low."""
        if not self.is_open:
            return
        own, window = _holder(self), self.window()
        if own is None or own.isFloating() or not isinstance(window, QMainWindow):
            return
        place = window.dockWidgetArea(own)
        for dock in window.findChildren(Dock):
            other = _holder(dock)
            if other in (None, own) or not dock.is_open or other.isFloating() or not other.isVisible():
                continue
            if window.dockWidgetArea(other) == place and own not in window.tabifiedDockWidgets(other):
                window.tabifyDockWidget(other, own)
                own.raise_()
                return

    def closeEvent(self, event: Any) -> None:
        """Stop working when the window goes."""
        self.shut_down()
        super().closeEvent(event)

    def shut_down(self) -> None:
        """Stop the running job and let go of the viewer; the dock is of no use afterwards."""
        self._life.end()
        for emitter, slot in self._followed:
            emitter.disconnect(slot)
        self._followed.clear()
        for plot in self.findChildren(ThemedPlot):
            plot.let_go()


def manifest() -> Any:
    """Return the plugin's manifest; where nobody has looked for plugins yet, look."""
    from npe2 import PluginManager

    manager = PluginManager.instance()
    if PLUGIN not in manager:
        manager.discover()
    return manager.get_manifest(PLUGIN)


def title_of(name: str) -> str:
    """Return the title that napari gives the dock ``name`` of this plugin, from menu or code alike."""
    return f"{name} ({manifest().display_name})"


def open_dock(viewer: Viewer, kind: type[_Dock], name: str) -> _Dock:
    """Return the dock of this kind in the viewer's window; make it where there is none, and show it.

    Parameters
    ----------
    viewer : napari.Viewer
    kind : type
        Class of the dock.
    name : str
        Its display name in the manifest.

    Returns
    -------
    Dock
    """
    found: list[_Dock] = viewer.window._qt_window.findChildren(kind)
    for holder in found:
        if holder.is_open:
            _raise(holder)
            return holder
    dock = kind(viewer)
    viewer.window.add_dock_widget(dock, name=title_of(name), area="right", tabify=True)
    _raise(dock)
    return dock


def _raise(dock: QWidget) -> None:
    holder = _holder(dock)
    if holder is not None:
        holder.show()
        holder.raise_()


def _holder(dock: QWidget) -> Any:
    """Return the part of the window that a dock lies in, or None."""
    holder = dock.parent()
    while holder is not None and not hasattr(holder, "setFloating"):
        holder = holder.parent()
    return holder


def bring_into_view(widget: QWidget) -> None:
    """Scroll the dock so that a widget is seen."""
    area = widget.parentWidget()
    while area is not None and not isinstance(area, QScrollArea):
        area = area.parentWidget()
    if area is not None and widget.isVisible():
        area.ensureWidgetVisible(widget, 0, 6)


# -- small parts ---------------------------------------------------------------------------------------


def row(*parts: QWidget, stretch: int = 0) -> QHBoxLayout:
    """Return widgets side by side; the one at index `stretch` takes the room that is left."""
    line = QHBoxLayout()
    line.setContentsMargins(0, 0, 0, 0)
    line.setSpacing(4)
    for index, part in enumerate(parts):
        line.addWidget(part, 1 if index == stretch else 0)
    return line


def quiet(text: str = "") -> QLabel:
    """Return a label for what is good to know: plain text that wraps."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


def heading(text: str) -> QLabel:
    """Return the name of a row, of the same width in all rows and docks."""
    label = QLabel(text)
    label.setMinimumWidth(HEADING_WIDTH)
    return label


class NameBox(QComboBox):
    """A combo box of names, which often differ at their ends: what is too long is cut in its middle."""

    def paintEvent(self, event: Any) -> None:
        """Draw the box as Qt does, with a name that fits."""
        del event
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        field = QStyle.SubControl.SC_ComboBoxEditField
        room = self.style().subControlRect(QStyle.ComplexControl.CC_ComboBox, option, field, self)
        middle = Qt.TextElideMode.ElideMiddle
        option.currentText = self.fontMetrics().elidedText(option.currentText, middle, room.width() - 2)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def slim(combo: QComboBox) -> QComboBox:
    """Let a combo box be narrower than its longest entry, so that the dock stays narrow."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return combo


def button(text: str, slot: Callable[[], Any], tip: str = "", *, checkable: bool = False) -> QPushButton:
    """Return a push button."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setCheckable(checkable)
    made.clicked.connect(lambda *_: slot())
    return made


def primary(text: str, slot: Callable[[], Any], tip: str = "") -> QPushButton:
    """Return the one button that a dock is there for."""
    made = button(text, slot, tip)
    made.setStyleSheet("QPushButton { font-weight: bold; padding: 7px; }")
    return made


def fold(title: str, content: QWidget) -> tuple[QPushButton, QWidget]:
    """Return a button that shows and hides `content`, which is hidden at first.

    Parameters
    ----------
    title : str
        Of the button.
    content : QWidget
        What is folded away.

    Returns
    -------
    (QPushButton, QWidget)
        To be put one above the other.
    """
    toggle = QPushButton(f"▸ {title}")
    toggle.setCheckable(True)
    toggle.setFlat(True)
    toggle.setStyleSheet("QPushButton, QPushButton:checked { text-align: left; background: transparent; }")
    toggle.setAccessibleName(title)

    def turn(on: bool) -> None:
        content.setVisible(on)
        toggle.setText(f"{'▾' if on else '▸'} {title}")

    toggle.toggled.connect(turn)
    content.setVisible(False)
    return toggle, content
