"""Tells every dock when the list of models has changed: one came, was renamed or removed."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal


class LibraryEvents(QObject):
    """Signals about the models of this machine.

    Signals
    -------
    changed
        Models were added, renamed or removed.
    """

    changed = Signal()


_events: LibraryEvents | None = None


def library_events() -> LibraryEvents:
    """Return the one object that all docks listen to; made when it is first asked for."""
    global _events
    if _events is None:
        _events = LibraryEvents()
    return _events
