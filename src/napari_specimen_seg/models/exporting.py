"""The one door out: a model in the formats of other programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ..core.errors import ModelError
from ..core.progress import Report, silent


@dataclass(frozen=True, slots=True)
class Format:
    """A format that models can be written in.

    Parameters
    ----------
    help : str
        Who opens it, for people.
    room, function : str
        Takes ``(predictor, path, report, *, overwrite)`` and returns the path; imported when it is used.
    suffix : str
        Of a single file.
    is_folder : bool
        Whether a path without that suffix becomes a folder, rather than the folder that the file goes to.
    """

    help: str
    room: str
    function: str
    suffix: str
    is_folder: bool = False


FORMATS: dict[str, Format] = {
    "onnx": Format(
        "one ONNX file, for most programs that run networks",
        ".onnx_export",
        "export_onnx",
        ".onnx",
    ),
    "bioimageio": Format(
        "a bioimage.io package, for Fiji, ilastik, QuPath and others",
        ".bioimageio_export",
        "export_package",
        ".zip",
        is_folder=True,
    ),
}
"""By the name that the command line knows."""


def export_model(
    model: str | os.PathLike[str],
    path: str | os.PathLike[str],
    kind: str,
    report: Report = silent,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a model in another format.

    Parameters
    ----------
    model : str or path-like
        Name or folder.
    path : path-like
        A file with the format's suffix, or a folder.
    kind : str
        One of `FORMATS`.
    report : callable
        May raise `CancelledError`.
    overwrite : bool

    Returns
    -------
    Path
        Of what was written.

    Raises
    ------
    ModelError
        If the model cannot be read, or not be written in this format.
    WriteError
        If the target exists or cannot be written.
    """
    from .predictor import load_model

    if kind not in FORMATS:
        raise ModelError(f"format {kind!r} is not known", advice=f"Known are {', '.join(FORMATS)}.")
    chosen = FORMATS[kind]
    predictor = load_model(model)
    target = Path(path)
    if not chosen.is_folder and target.suffix.lower() != chosen.suffix:
        target /= predictor.card.name + chosen.suffix
    function: Callable[..., Path] = getattr(import_module(chosen.room, __package__), chosen.function)
    return function(predictor, target, report, overwrite=overwrite)
