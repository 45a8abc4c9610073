"""What a dock was set to for the pictures of a folder, kept from one day to the next."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSettings

MOST_FOLDERS = 500


def _store() -> QSettings:
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-specimen-seg", "docks")


def _key(dock: str, folder: Path | None) -> str:
    """Return a key without separators; pictures from nowhere share one."""
    place = "" if folder is None else str(folder)
    return f"{dock}/{hashlib.sha256(place.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def recall(dock: str, folder: Path | None) -> dict[str, Any]:
    """Return what was remembered; {} if nothing, or nothing that can be read.

    Parameters
    ----------
    dock : str
        Name of the dock.
    folder : Path or None
        Where the picture lies.

    Returns
    -------
    dict
    """
    try:
        found = json.loads(str(_store().value(_key(dock, folder), "{}")))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def remember(dock: str, folder: Path | None, values: dict[str, Any]) -> None:
    """Remember plain values for a dock and a folder.

    Parameters
    ----------
    dock : str
        Name of the dock.
    folder : Path or None
        Where the picture lies.
    values : dict
        What JSON can hold.
    """
    store = _store()
    store.beginGroup(dock)
    if len(store.allKeys()) > MOST_FOLDERS:
        store.remove("")
    store.endGroup()
    store.setValue(_key(dock, folder), json.dumps(values))
