"""What the dock would do now, as a command line and a settings file to copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import QTimer, Signal
from qtpy.QtGui import QFontDatabase
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from .dock import bring_into_view, button, quiet, row


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to do again what a dock does.

    Parameters
    ----------
    command : str
        To be typed in a terminal; empty where there is none.
    settings : str
        JSON.
    note : str
        What must be done first, or what the command does differently.
    """

    command: str
    settings: str
    note: str = ""


class Reproduce(QWidget):
    """A small button, and below it what it shows.

    Parameters
    ----------
    recipe : callable
        Returns the recipe for the dock as it stands.
    save_as : str
        What the settings file is called in the command; empty where the command needs none.

    Signals
    -------
    saved
        The settings were written to a file.
    """

    saved = Signal()

    def __init__(
        self, recipe: Callable[[], Recipe], parent: QWidget | None = None, *, save_as: str = ""
    ) -> None:
        super().__init__(parent)
        self._recipe = recipe
        self.toggle = QPushButton("</> Reproduce")
        self.toggle.setCheckable(True)
        self.toggle.setToolTip("The command line and the settings that do the same")
        self.toggle.toggled.connect(self._turn)
        self.note = quiet()
        self.command = _text(64)
        self.settings = _text(110)
        self.copy_command = button("Copy", lambda: copy(self.command.toPlainText()), "Copy the command line")
        self.copy_settings = button("Copy", lambda: copy(self.settings.toPlainText()), "Copy the settings")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.note)
        self._command_head = QLabel("Command line")
        box.addLayout(row(self._command_head, self.copy_command))
        box.addWidget(self.command)
        self.save_as = save_as
        self.save = button("Save…", self._ask_save, "Save the settings as a file, for the command")
        self.save.setVisible(bool(save_as))
        box.addLayout(row(QLabel("Settings"), self.save, self.copy_settings))
        box.addWidget(self.settings)
        self.setVisible(False)
        self._unfolded = QTimer(self)  # until the layout has found its place
        self._unfolded.setSingleShot(True)
        self._unfolded.setInterval(30)
        self._unfolded.timeout.connect(self._show_all)

    def _show_all(self) -> None:
        bring_into_view(self)

    def refresh(self) -> None:
        """Show the recipe of the moment, if anything is shown."""
        if not self.toggle.isChecked():
            return
        recipe = self._recipe()
        self.note.setText(recipe.note)
        self.note.setVisible(bool(recipe.note))
        for widget in (self._command_head, self.copy_command, self.command):
            widget.setVisible(bool(recipe.command))
        self.command.setPlainText(recipe.command)
        self.settings.setPlainText(recipe.settings)

    def _ask_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the settings", self.save_as)
        if path:
            self.save_settings(Path(path))

    def save_settings(self, path: Path) -> None:
        """Write the settings to a file; one line in a notification if that cannot be done."""
        from napari.utils.notifications import show_error

        from ..core.errors import SpecimenError
        from ..core.files.atomic import atomic

        try:
            with atomic(path, overwrite=True) as draft:  # the dialog has asked
                draft.write_text(self._recipe().settings, encoding="utf-8")
        except SpecimenError as error:
            show_error(str(error))
            return
        self.saved.emit()

    def _turn(self, on: bool) -> None:
        self.setVisible(on)
        self.refresh()
        if on:
            self._unfolded.start()


def copy(text: str) -> None:
    """Put text on the clipboard."""
    QApplication.clipboard().setText(text)


def _text(height: int) -> QPlainTextEdit:
    area = QPlainTextEdit()
    area.setReadOnly(True)
    area.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
    area.setFixedHeight(height)
    return area
