"""The command line that does what a dock is about to do, ready to paste into a terminal."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ..core.image import PixelSize
    from ..models.settings import PredictSettings

PROGRAM = "specimen-seg"
"""The name of the console script."""

Name = str | PathLike[str]


def predict_command(
    pictures: Iterable[Name],
    model: Name,
    output: Name,
    settings: PredictSettings | None = None,
    *,
    pixel_size: PixelSize | None = None,
    unit: str | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    overwrite: bool = False,
) -> str:
    """Return the command line that segments pictures.

    Parameters
    ----------
    pictures : iterable of path-like
        Files, folders or globs.
    model : str or path-like
        Name or folder of the model.
    output : path-like
        The folder of the results.
    settings : PredictSettings, optional
        Only what differs from the defaults is spelled out.
    pixel_size : float or (float, float), optional
        Where the pictures' own is not to be used: edge of a pixel, or (height, width), in `unit`.
    unit : str, optional
    workers : int
    scheduler : str, optional
    overwrite : bool

    Returns
    -------
    str
        Quoted for the shell of this system.
    """
    words = [PROGRAM, "predict", *_option("model", model), *_option("output", output)]
    words += settings_words(settings) if settings is not None else []
    words += _pixel_size_words(pixel_size, unit)
    words += _option("workers", workers if workers != 1 else None)
    words += _option("scheduler", scheduler)
    words += _option("overwrite", overwrite)
    return quoted([*words, *_inputs(pictures)])


def measure_command(
    labels: Iterable[Name],
    output: Name,
    *,
    per: str = "class",
    images: Name | None = None,
    pixel_size: PixelSize | None = None,
    unit: str | None = None,
    class_map: Name | None = None,
    overwrite: bool = False,
) -> str:
    """Return the command line that measures label files.

    Parameters
    ----------
    labels : iterable of path-like
        Files, folders or globs.
    output : path-like
        The table.
    per : {"class", "object", "specimen"}
    images : path-like, optional
        The folder of the pictures that the labels belong to.
    pixel_size : float or (float, float), optional
        Where the files' own is not to be used: edge of a pixel, or (height, width), in `unit`.
    unit : str, optional
    class_map : path-like, optional
        Where the files' own is not to be used.
    overwrite : bool

    Returns
    -------
    str
        Quoted for the shell of this system.
    """
    words = [PROGRAM, "measure", *_option("output", output)]
    words += _option("per", per if per != "class" else None)
    words += _option("images", images)
    words += _pixel_size_words(pixel_size, unit)
    words += _option("class_map", class_map)
    words += _option("overwrite", overwrite)
    return quoted([*words, *_inputs(labels)])


def settings_words(settings: BaseModel) -> list[str]:
    """Return the options that make a command use `settings`: those that differ from the defaults.

    Parameters
    ----------
    settings : pydantic.BaseModel
        Its fields are options of the command under the same names.

    Returns
    -------
    list of str
    """
    words: list[str] = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if value != field.default:
            words += _option(name, value)
    return words


def option_name(field: str) -> str:
    """Return the option for a field of settings: ``pixel_size`` becomes ``--pixel-size``."""
    return "--" + field.replace("_", "-")


def quoted(words: Sequence[str], *, windows: bool = os.name == "nt") -> str:
    """Join words to a command line that the system's shell takes apart into the same words.

    Parameters
    ----------
    words : sequence of str
    windows : bool
        Whether to quote for Windows; this system's way if left out.

    Returns
    -------
    str
    """
    return subprocess.list2cmdline(words) if windows else shlex.join(words)


def pixel_size_text(pixel_size: PixelSize) -> str:
    """Spell a pixel size as the command line takes it: ``0.02``, or height x width, ``0.02x0.03``."""
    sizes = pixel_size if isinstance(pixel_size, tuple) else (pixel_size,)
    return "x".join(repr(float(size)) for size in sizes)


def _option(field: str, value: Any) -> list[str]:
    name = option_name(field)
    if value is None or value is False:
        return []
    if value is True:
        return [name]
    text = os.fspath(value) if isinstance(value, PathLike) else str(value)
    # A value that looks like an option must not be taken for one.
    return [f"{name}={text}"] if text.startswith("-") else [name, text]


def _pixel_size_words(pixel_size: PixelSize | None, unit: str | None) -> list[str]:
    if pixel_size is None:
        return []
    return [*_option("pixel_size", pixel_size_text(pixel_size)), *_option("unit", unit)]


def _inputs(names: Iterable[Name]) -> Iterator[str]:
    texts = [os.fspath(name) for name in names]
    if any(text.startswith("-") for text in texts):
        yield "--"
    yield from texts
