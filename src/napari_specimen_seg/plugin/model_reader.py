"""Opening a model file in napari, such as by dropping it on the canvas: the Models dock takes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

PathOrPaths: TypeAlias = str | Sequence[str]
NoLayer: TypeAlias = list[tuple[None]]

SUFFIXES = (".pth", ".pt", ".ckpt", ".onnx", ".safetensors")
"""What is a model by its name. What may be something else (``.zip``, ``.bin``) goes to the dock only."""


def get_reader(path: PathOrPaths) -> Callable[[PathOrPaths], NoLayer] | None:
    """Say who reads a path: `import_model` for one model file, or somebody else.

    Parameters
    ----------
    path : str or list of str

    Returns
    -------
    callable or None
    """
    paths = [path] if isinstance(path, str) else list(path)
    ours = len(paths) == 1 and Path(paths[0]).suffix.lower() in SUFFIXES and Path(paths[0]).is_file()
    return import_model if ours and _viewer() is not None else None


def import_model(path: PathOrPaths) -> NoLayer:
    """Show the Models dock and import the file there; no layer comes of it.

    Parameters
    ----------
    path : str or list of str

    Returns
    -------
    list
        What tells napari that it was read, but is no layer.
    """
    from .dock import open_dock
    from .models import ModelsDock

    file = Path(path if isinstance(path, str) else path[0])
    open_dock(_viewer(), ModelsDock, "Models").import_path(file)
    return [(None,)]


def _viewer() -> Any:
    """Return the viewer with a window, if there is one."""
    from napari import current_viewer

    return current_viewer()
