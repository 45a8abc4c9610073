"""A plot in the theme of napari, which is drawn again when the theme changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari.viewer import Viewer

LEAST_CONTRAST = 3.0
"""Of what is drawn against the background."""

Draw = Callable[["Plot"], None]
"""Puts lines and points into the plot's canvas, which is empty."""


class ThemedPlot(QWidget):
    """A canvas in the colours of napari's theme. pyqtgraph is imported when there is something to draw.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme gives the colours.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.canvas: Any = None
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        self.setVisible(False)

    def make_canvas(self) -> bool:
        """Make the canvas, if there is none yet; tell whether it is new."""
        if self.canvas is not None:
            return False
        import pyqtgraph as pg

        self.canvas = pg.PlotWidget()
        self.canvas.setMenuEnabled(False)
        self.canvas.hideButtons()
        self.canvas.setMouseEnabled(False, False)
        self.canvas.getPlotItem().setContentsMargins(0, 7, 7, 6)  # or numbers on top and names below are cut
        for side in ("left", "bottom"):
            self.canvas.getAxis(side).enableAutoSIPrefix(False)
        self.layout().addWidget(self.canvas)
        return True

    def let_go(self) -> None:
        """Drop the canvas while Qt is still there: what it draws must not outlive the application."""
        canvas, self.canvas = self.canvas, None
        if canvas is not None:
            self.layout().removeWidget(canvas)
            canvas.close()
            canvas.deleteLater()

    def apply_theme(self) -> None:
        """Give the canvas the colours of the theme of the moment."""
        theme = self.theme
        self.canvas.setBackground(theme.background.as_hex())
        for side in ("left", "bottom"):
            axis = self.canvas.getAxis(side)
            axis.setPen(theme.secondary.as_hex())
            axis.setTextPen(theme.text.as_hex())

    @property
    def theme(self) -> Any:
        """The theme of the moment."""
        from napari.utils.theme import get_theme

        return get_theme(self._viewer.theme)

    @property
    def text_color(self) -> str:
        """The colour of text in the theme of the moment."""
        return str(self.theme.text.as_hex())

    @property
    def soft_color(self) -> str:
        """A colour for what is in the background, in the theme of the moment."""
        return str(self.theme.secondary.as_hex())

    def readable(self, color: str) -> str:
        """Return a colour, as much lighter or darker as it must be to be seen on the background.

        The contrast ratio is that of the Web Content Accessibility Guidelines 2.2, which ask for 3 to 1.
        """
        ground = _rgb(self.theme.background.as_hex())
        toward = 0.0 if _luminance(ground) > 0.5 else 1.0
        rgb = _rgb(color)
        for _ in range(20):
            light, dark = sorted((_luminance(rgb), _luminance(ground)), reverse=True)
            if (light + 0.05) / (dark + 0.05) >= LEAST_CONTRAST:
                break
            rgb = tuple(value + 0.1 * (toward - value) for value in rgb)
        return "#" + "".join(f"{round(value * 255):02x}" for value in rgb)


def _rgb(color: str) -> tuple[float, ...]:
    return tuple(int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))


def _luminance(rgb: tuple[float, ...]) -> float:
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


class Plot(ThemedPlot):
    """What a function draws, which is called again when the theme changes.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme gives the colours.
    height : int
        In pixels.

    Signals
    -------
    name_chosen
        A point was clicked; carries its name.
    """

    name_chosen = Signal(str)

    def __init__(self, viewer: Viewer, height: int = 200) -> None:
        super().__init__(viewer)
        self._draw: Draw | None = None
        self.setFixedHeight(height)

    def draw(self, draw: Draw | None) -> None:
        """Draw something else; None hides the plot."""
        self._draw = draw
        self.setVisible(draw is not None)
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Draw again, in the theme of the moment."""
        del event
        if self._draw is None:
            return
        self.make_canvas()
        self.apply_theme()
        self.canvas.clear()
        self._draw(self)

    # -- what may be drawn ---------------------------------------------------------------------------

    def axes(self, x: str, y: str = "", *, x_range: Any = None, y_range: Any = None) -> None:
        """Name the axes and set their ranges; without a range it covers what is drawn."""
        self.canvas.getAxis("bottom").setLabel(x)
        self.canvas.getAxis("left").setLabel(y or None)
        self.canvas.getAxis("left").setTicks(None)
        self.canvas.getPlotItem().invertY(False)
        for limits, put, auto in (
            (x_range, self.canvas.setXRange, "x"),
            (y_range, self.canvas.setYRange, "y"),
        ):
            if limits is None:
                self.canvas.enableAutoRange(axis=auto)
            else:
                put(*limits, padding=0.02)

    def rows(self, names: Sequence[str]) -> None:
        """Let the vertical axis have one named row for each name, the first on top."""
        self.canvas.getPlotItem().invertY(True)
        self.canvas.getAxis("left").setTicks([list(enumerate(names))])
        self.canvas.setYRange(-0.6, len(names) - 0.4, padding=0)

    def line(self, x: Any, y: Any, color: str, *, dashed: bool = False, width: float = 2) -> None:
        """Draw a line; gaps where there are NaN."""
        import pyqtgraph as pg

        style = pg.QtCore.Qt.PenStyle.DashLine if dashed else pg.QtCore.Qt.PenStyle.SolidLine
        self.canvas.plot(x, y, pen=pg.mkPen(color, width=width, style=style), connect="finite")

    def level(self, value: float, text: str, *, vertical: bool = True) -> None:
        """Draw a dashed line across the plot, with a text at it."""
        import pyqtgraph as pg

        pen = pg.mkPen(self.text_color, width=1, style=pg.QtCore.Qt.PenStyle.DashLine)
        label = {
            "position": 0.92,
            "color": self.text_color,
            "movable": False,
            "anchors": [(1, 0.5), (1, 0.5)],
        }
        line = pg.InfiniteLine(value, angle=90 if vertical else 0, pen=pen, label=text, labelOpts=label)
        self.canvas.addItem(line, ignoreBounds=True)

    def points(self, x: Any, y: Any, names: Sequence[str], colors: Sequence[str], size: int = 8) -> None:
        """Draw points that have names; the name is shown under the pointer and told when clicked."""
        import pyqtgraph as pg

        def tip(x: float, y: float, data: Any) -> str:
            del x, y
            return escape(str(data))

        item = pg.ScatterPlotItem(
            x, y, data=list(names), brush=[pg.mkBrush(c) for c in colors], pen=None, size=size,
            hoverable=True, hoverSize=size + 4, tip=tip,
        )  # fmt: skip
        item.sigClicked.connect(self._on_points)
        self.canvas.addItem(item)

    def _on_points(self, _item: Any, points: Any, *_: Any) -> None:
        if len(points):
            self.name_chosen.emit(str(points[0].data()))

    def text(self, x: float, y: float, text: str, color: str, anchor: tuple[float, float] = (0, 0.5)) -> None:
        """Write at a place of the plot; `anchor` says which part of the text lies there, (0, 0) top left."""
        import pyqtgraph as pg

        label = pg.TextItem(text, color=color, anchor=anchor)
        label.setPos(x, y)
        self.canvas.addItem(label, ignoreBounds=True)
