"""What a store of labels says of itself, and in what it differs from the work that wants to go on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

IDENTITY = "identity.json"
"""In the folder of a store: of what picture, model and settings it is."""

_SPOKEN = {"holds": "confidence"}
"""What parts of an identity are to a person, where they have another name; the size is the picture's."""


def group_of(folder: Path) -> Any:
    """Open the OME-Zarr in the folder of a store."""
    import zarr

    return zarr.open_group(str(folder), mode="r+")


def write_identity(folder: Path, wanted: Mapping[str, Any]) -> None:
    """Note what a new store is about."""
    (folder / IDENTITY).write_text(json.dumps(wanted, indent=1, sort_keys=True), encoding="ascii")


def difference(folder: Path, wanted: Mapping[str, Any]) -> str | None:
    """Return in what a store differs from what is wanted: None if in nothing, "" if there is no store."""
    try:
        found = json.loads((folder / IDENTITY).read_text(encoding="ascii"))
        group_of(folder)
    except Exception:  # nothing there, or what was there is damaged: begin anew
        return ""
    if found == wanted:
        return None
    names: list[str] = []
    different = {key for key in {*found, *wanted} if found.get(key) != wanted.get(key)}
    if different != {"tiles"}:  # which follow from the rest
        different.discard("tiles")
    for key in sorted(different):
        old, new = _fields(found.get(key)), _fields(wanted.get(key))
        inner = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        names.append(", ".join(inner) if inner else _SPOKEN.get(key, key))
    return ", ".join(names)


def _fields(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
