"""What a dock shows while there is nothing to work on: one sentence, and ways to begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QMenu, QVBoxLayout, QWidget

from .dock import PLUGIN, button, manifest, quiet

if TYPE_CHECKING:
    from napari.viewer import Viewer


LABELLED = "labelled"
"""Key of the sample that has labels."""

Way = tuple[str, str, Callable[[], object]]
"""A button: its text, its tool tip, and what it does."""


class EmptyState(QWidget):
    """One sentence and the buttons Open sample and Choose picture, or others.

    Parameters
    ----------
    viewer : napari.Viewer
        Where pictures are opened.
    sentence : str
        What to do.
    refused : callable
        Takes the error if something cannot be opened.
    ways : sequence of (str, str, callable), optional
        Buttons instead of Choose picture.
    labelled : bool
        Whether only samples with labels are of use.
    """

    def __init__(
        self,
        viewer: Viewer,
        sentence: str,
        refused: Callable[[BaseException], None],
        *,
        ways: Sequence[Way] | None = None,
        labelled: bool = False,
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._refused = refused
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
        """Open one of the plugin's samples."""
        manifest()  # or napari may not know of them yet
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
