"""The one door out: a model in the formats of other programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ..core.errors import ModelError
from ..core.progress import Report, silent
from .card import Precision


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
    precisions : tuple of str
        Of the numbers inside the network, that can be asked for; the first is what is written otherwise.
    """

    help: str
    room: str
    function: str
    suffix: str
    is_folder: bool = False
    precisions: tuple[Precision, ...] = ("fp32",)


FORMATS: dict[str, Format] = {
    "onnx": Format(
        "one ONNX file, for most programs that run networks",
        ".onnx_export",
        "export_onnx",
        ".onnx",
        precisions=("fp32", "int8"),
    ),
    "openvino": Format(
        "a model folder that is smaller and faster on processors, used here like any other",
        ".openvino_export",
        "export_openvino",
        "",
        is_folder=True,
        precisions=("fp32", "bf16", "int8"),
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
    precision: Precision | None = None,
    calibrate: Path | None = None,
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
    precision : {"fp32", "bf16", "int8"}, optional
        Of the numbers inside the network; not all formats have all. With int8 the path becomes a model
        folder.
    calibrate : Path, optional
        Folder of pictures, for int8.
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

    chosen, precision = _known(kind, precision)
    predictor = load_model(model)
    target = Path(path)
    if kind == "openvino":
        from .openvino_export import export_openvino

        return export_openvino(
            predictor, target, report, precision=precision, calibrate=calibrate, overwrite=overwrite
        )
    if precision == "int8":
        from .onnx_int8 import export_onnx_int8

        return export_onnx_int8(predictor, target, report, calibrate=calibrate, overwrite=overwrite)
    if not chosen.is_folder and target.suffix.lower() != chosen.suffix:
        target /= predictor.card.name + chosen.suffix
    function: Callable[..., Path] = getattr(import_module(chosen.room, __package__), chosen.function)
    return function(predictor, target, report, overwrite=overwrite)


def _known(kind: str, precision: Precision | None) -> tuple[Format, Precision]:
    """Return a format and the precision to write it in; its first if none is asked for."""
    if kind not in FORMATS:
        raise ModelError(f"format {kind!r} is not known", advice=f"Known are {', '.join(FORMATS)}.")
    chosen = FORMATS[kind]
    precision = precision or chosen.precisions[0]
    if precision not in chosen.precisions:
        known = ", ".join(chosen.precisions)
        raise ModelError(f"format {kind} is not written in {precision}", advice=f"It has {known}.")
    return chosen, precision
