"""Sample data under File > Open Sample."""

from __future__ import annotations

from typing import Any


def tissue() -> list[Any]:
    """Return nothing, until the picture readers are here."""
    return []


def specimen_sheet() -> list[Any]:
    """Return nothing, until the drawing is here."""
    return []
