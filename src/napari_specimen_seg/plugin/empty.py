"""What a dock shows while there is nothing to work on: one sentence, and ways to begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QMenu, QVBoxLayout, QWidget

from .dock import PLUGIN, button, manifest, quiet

if TYPE_CHECKING:
    from napari.viewer import Viewer


class EmptyState(QWidget):
    """One sentence and the buttons Open sample and Choose picture.

    Parameters
    ----------
    viewer : napari.Viewer
        Where pictures are opened.
    sentence : str
        What to do.
    refused : callable
        Takes the error if something cannot be opened.
    """

    def __init__(self, viewer: Viewer, sentence: str, refused: Callable[[BaseException], None]) -> None:
        super().__init__()
        self._viewer = viewer
        self._refused = refused
        self.sample = button("Open sample", lambda: None, "Pictures that come with the plugin")
        self.sample.setMenu(self._samples())
        self.choose = button("Choose picture…", self.choose_pictures, "Open pictures from disk")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(quiet(sentence))
        box.addWidget(self.sample)
        box.addWidget(self.choose)

    def _samples(self) -> QMenu:
        menu = QMenu(self)
        for sample in manifest().contributions.sample_data or ():
            action = menu.addAction(sample.display_name)
            action.triggered.connect(lambda *_, key=sample.key: self.open_sample(key))
        return menu

    def open_sample(self, key: str) -> None:
        """Open one of the plugin's samples."""
        self._try(lambda: self._viewer.open_sample(PLUGIN, key))

    def choose_pictures(self) -> None:
        """Ask for files and open them."""
        paths, _ = QFileDialog.getOpenFileNames(self, "Choose pictures")
        if paths:
            self._try(lambda: self._viewer.open(paths, plugin=PLUGIN))

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        # whatever a reader raises is to be shown, not to end in the event loop
        except Exception as error:
            self._refused(error)
