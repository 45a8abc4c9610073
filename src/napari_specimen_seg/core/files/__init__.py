"""Pictures, label files, class maps and tables on the disk.

Each name is fetched from its room when it is first used, so that a program which only reads a class map
does not load tifffile. (`atomic` is fetched from `core.files.atomic`: room and function share the name.)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .class_maps import read_class_map, write_class_map
    from .images import read_image
    from .inputs import find_inputs
    from .labels import read_labels, write_color_labels, write_labels
    from .tables import write_table

_ROOMS = {
    "find_inputs": "inputs",
    "read_class_map": "class_maps",
    "read_image": "images",
    "read_labels": "labels",
    "write_class_map": "class_maps",
    "write_color_labels": "labels",
    "write_labels": "labels",
    "write_table": "tables",
}

__all__ = [
    "find_inputs",
    "read_class_map",
    "read_image",
    "read_labels",
    "write_class_map",
    "write_color_labels",
    "write_labels",
    "write_table",
]


def __getattr__(name: str) -> Any:
    """Fetch a name from its room on first use."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ROOMS[name]}", __name__), name)


def __dir__() -> list[str]:
    """List the names for completion."""
    return sorted(__all__)
