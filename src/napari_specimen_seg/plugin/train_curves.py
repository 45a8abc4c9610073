"""Live curves of a training: loss, score, and the score of each class in its colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.viewer import Viewer

HEIGHT = 190


class Curves(QTabWidget):
    """Three plots that grow by an epoch at a time. pyqtgraph is imported when there is something to draw.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme gives the colours.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.epochs: list[dict[str, Any]] = []
        self.colors: Mapping[str, str] = {}
        self._plots: list[Any] = []
        for title in ("loss", "score", "classes"):
            page = QWidget()
            QVBoxLayout(page).setContentsMargins(0, 0, 0, 0)
            self.addTab(page, title)
        self.setFixedHeight(HEIGHT + 30)
        self.currentChanged.connect(lambda _: self._draw())
        self.setVisible(False)

    def clear_epochs(self) -> None:
        """Forget everything, for a new run."""
        self.epochs = []
        self.setVisible(False)

    def add_epoch(self, event: dict[str, Any]) -> None:
        """Add what an epoch told.

        Parameters
        ----------
        event : dict
            With epoch, loss, validation_loss, mean_iou and iou by class.
        """
        self.epochs = [e for e in self.epochs if e["epoch"] < event["epoch"]] + [event]
        self.setVisible(True)
        self._draw()

    def _draw(self) -> None:
        if not self.epochs:
            return
        if not self._plots:
            self._plots = [self._make_plot(self.widget(i), i) for i in range(3)]
        plot = self._plots[self.currentIndex()]
        plot.clear()
        [self._draw_loss, self._draw_score, self._draw_classes][self.currentIndex()](plot)

    def _make_plot(self, page: QWidget, index: int) -> Any:
        import pyqtgraph as pg
        from napari.utils.theme import get_theme

        theme = get_theme(self._viewer.theme)
        plot = pg.PlotWidget()
        plot.setBackground(theme.background.as_hex())
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.setMouseEnabled(False, False)
        for side in ("left", "bottom"):
            axis = plot.getAxis(side)
            axis.setPen(theme.secondary.as_hex())
            axis.setTextPen(theme.text.as_hex())
            axis.enableAutoSIPrefix(False)
        plot.getAxis("bottom").setLabel("epoch")
        plot.getAxis("left").setLabel("loss" if index == 0 else "IoU on validation")
        if index:
            plot.setYRange(0, 1, padding=0.02)
        page.layout().addWidget(plot)
        return plot

    def _text_color(self) -> str:
        from napari.utils.theme import get_theme

        return str(get_theme(self._viewer.theme).text.as_hex())

    def _xs(self) -> list[int]:
        return [event["epoch"] for event in self.epochs]

    def _line(
        self, plot: Any, values: list[float | None], name: str, color: str, *, dashed: bool = False
    ) -> None:
        """Draw a line with its name at its end, so that no legend is needed."""
        import numpy as np
        import pyqtgraph as pg

        ys = np.array([np.nan if v is None else v for v in values], float)
        style = pg.QtCore.Qt.PenStyle.DashLine if dashed else pg.QtCore.Qt.PenStyle.SolidLine
        plot.plot(self._xs(), ys, pen=pg.mkPen(color, width=2, style=style), connect="finite",
                  symbol="o" if len(ys) == 1 else None, symbolBrush=color, symbolSize=5)  # fmt: skip
        if name and np.isfinite(ys).any():
            at = int(np.flatnonzero(np.isfinite(ys))[-1])
            label = pg.TextItem(name, color=color, anchor=(1, 1))
            label.setPos(self._xs()[at], ys[at])
            plot.addItem(label)

    def _draw_loss(self, plot: Any) -> None:
        color = self._text_color()
        self._line(plot, [e["loss"] for e in self.epochs], "learning", color)
        self._line(plot, [e["validation_loss"] for e in self.epochs], "validation", color, dashed=True)

    def _draw_score(self, plot: Any) -> None:
        color = self._text_color()
        self._line(plot, [e["mean_iou"] for e in self.epochs], "", color)
        best = next((e for e in reversed(self.epochs) if e["best"]), None)
        if best is not None:
            import pyqtgraph as pg

            plot.plot([best["epoch"]], [best["mean_iou"]], pen=None, symbol="o", symbolBrush=color)
            label = pg.TextItem(f"best {best['mean_iou']:.3f}", color=color, anchor=(1, 1))
            label.setPos(best["epoch"], best["mean_iou"])
            plot.addItem(label)

    def _draw_classes(self, plot: Any) -> None:
        for name in self.epochs[-1]["iou"]:
            color = self.colors.get(name, self._text_color())
            self._line(plot, [e["iou"].get(name) for e in self.epochs], name, color)
