"""What a dock shows while there is nothing to work on: one sentence, and ways to begin."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QMenu, QVBoxLayout, QWidget

from ..core.progress import Progress, Report
from .dock import PLUGIN, Dock, button, manifest, quiet
from .layers import LayerData
from .workers import Job

LABELLED = "labelled"
"""Key of the sample that has labels."""

Way = tuple[str, str, Callable[[], object]]
"""A button: its text, its tool tip, and what it does."""


class EmptyState(QWidget):
    """One sentence and the buttons Open sample and Choose picture, or others.

    Samples are drawn off the GUI thread, and shown layer by layer.

    Parameters
    ----------
    dock : Dock
        In whose viewer pictures are opened, and which shows errors.
    sentence : str
        What to do.
    ways : sequence of (str, str, callable), optional
        Buttons instead of Choose picture.
    labelled : bool
        Whether only samples with labels are of use.
    """

    def __init__(
        self, dock: Dock, sentence: str, *, ways: Sequence[Way] | None = None, labelled: bool = False
    ) -> None:
        super().__init__()
        self._dock = dock
        self._layers: deque[LayerData] = deque()
        self._next = QTimer(self)  # between two layers the window is drawn, and answers
        self._next.setSingleShot(True)
        self._next.setInterval(0)
        self._next.timeout.connect(self._add_next)
        self.sample = button("Open sample", lambda: None, "Pictures that come with the plugin")
        if labelled:
            self.sample.clicked.connect(lambda *_: self.open_sample(LABELLED))
        else:
            self.sample.setMenu(self._samples())
        choose: Way = ("Choose picture…", "Open pictures from disk", self.choose_pictures)
        self.ways = [button(text, slot, tip) for text, tip, slot in ([choose] if ways is None else ways)]
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        for part in (quiet(sentence), self.sample, *self.ways):
            box.addWidget(part)

    def _samples(self) -> QMenu:
        menu = QMenu(self)
        for sample in manifest().contributions.sample_data or ():
            action = menu.addAction(sample.display_name)
            action.triggered.connect(lambda *_, key=sample.key: self.open_sample(key))
        return menu

    def open_sample(self, key: str) -> None:
        """Draw one of the plugin's samples, then open it; the button waits meanwhile."""
        if not self.sample.isEnabled():
            return
        self.sample.setEnabled(False)
        job = Job("Draw the sample", drawing(key), shown=False)
        job.succeeded.connect(self._on_drawn)
        job.failed.connect(self._on_failed)
        job.cancelled.connect(self._on_failed)
        job.start()

    def _on_drawn(self, layers: list[LayerData], _warned: object = None) -> None:
        self._layers.extend(layers)
        self._next.start()

    def _on_failed(self, error: BaseException | None = None) -> None:
        self.sample.setEnabled(True)
        if error is not None:
            self._dock.show_error(error)

    def _add_next(self) -> None:
        if not self._dock.is_open or not self._layers:
            self._layers.clear()
            self.sample.setEnabled(True)
            return
        data, attributes, kind = self._layers.popleft()
        self._try(lambda: self._add(data, attributes, kind))
        self._next.start()

    def _add(self, data: Any, attributes: dict[str, Any], kind: str) -> None:
        from napari.layers import Layer

        self._dock.viewer.add_layer(Layer.create(data, attributes, kind))

    def choose_pictures(self) -> None:
        """Ask for files and open them."""
        paths, _ = QFileDialog.getOpenFileNames(self, "Choose pictures")
        if paths:
            self._try(lambda: self._dock.viewer.open(paths, plugin=PLUGIN))

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        # whatever a reader raises is to be shown, not to end in the event loop
        except Exception as error:
            self._dock.show_error(error)


def drawing(key: str) -> Callable[[Report], list[LayerData]]:
    """Return work that makes the layers of one of the plugin's samples.

    Parameters
    ----------
    key : str
        As in the manifest.

    Returns
    -------
    callable
    """
    sample = next(each for each in manifest().contributions.sample_data if each.key == key)

    def work(report: Report) -> list[LayerData]:
        report(Progress("drawing", 0, 0))
        return list(sample.open())

    return work
