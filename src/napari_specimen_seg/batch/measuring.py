"""Measuring many label files into one table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..core.classes import ClassMap
from ..core.errors import CancelledError, MeasureError, one_line
from ..core.files.confidence import is_confidence
from ..core.image import PixelSize, SpecimenImage, SpecimenLabels
from ..core.progress import Progress, Report, silent
from .jobs import plan_jobs, stem_of
from .results import FileResult, failed, gathered_warnings
from .workers import STAGE

if TYPE_CHECKING:
    from pandas import DataFrame

MASK = "_mask"
"""What some put behind the name of a picture to name its labels."""


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """What to measure.

    Parameters
    ----------
    per : {"class", "object", "specimen"}
        What gets a row.
    images : Path, optional
        The folder of the pictures, to measure brightness and colour too.
    pixel_size : float or (float, float), optional
        Instead of what the files say; in `unit`.
    unit : str, optional
        Without a `pixel_size`: that of the table. Otherwise the first file with a pixel size decides.
    class_map : ClassMap, optional
        Instead of what the files say.
    """

    per: Literal["class", "object", "specimen"] = "class"
    images: Path | None = None
    pixel_size: PixelSize | None = None
    unit: str | None = None
    class_map: ClassMap | None = None


@dataclass(frozen=True, slots=True)
class MeasureResult(FileResult):
    """What became of one label file, with its rows of the table."""

    table: DataFrame | None = field(default=None, compare=False)


def measure_files(
    paths: Sequence[Path], settings: MeasureSettings | None = None, report: Report = silent
) -> Iterator[MeasureResult]:
    """Measure label files one after the other.

    Parameters
    ----------
    paths : sequence of Path
        Label files. Those with the same name in different folders are told apart in the column ``image``.
        Confidence pictures beside their labels, as `predict_files` leaves them, are skipped.
    settings : MeasureSettings, optional
    report : callable
        Gets a `Progress` for every file; may raise `CancelledError`, which passes through.

    Yields
    ------
    MeasureResult
        In the order of `paths`. A file that fails does not end the rest.
    """
    settings = settings or MeasureSettings()
    pictures = None if settings.images is None else _by_stem(settings.images)
    unit = settings.unit
    for done, job in enumerate(plan_jobs(paths, Path())):
        report(Progress(STAGE, done, len(paths)))
        start = time.perf_counter()
        if is_confidence(job.picture):
            yield MeasureResult(job.picture, "skipped", message="it holds confidence, not labels")
            continue
        try:
            with gathered_warnings() as warnings:
                table, unit = _measure(job.picture, job.stem, settings, unit, pictures)
        except CancelledError:
            raise
        except Exception as error:
            result = failed(job.picture, error)
            yield MeasureResult(result.path, result.status, message=result.message)
            continue
        seconds = time.perf_counter() - start
        yield MeasureResult(job.picture, "done", warnings=tuple(warnings), seconds=seconds, table=table)
    report(Progress(STAGE, len(paths), len(paths)))


def join_tables(tables: Sequence[DataFrame]) -> DataFrame:
    """Put the rows of many files into one table; columns that a file does not have stay empty.

    Parameters
    ----------
    tables : sequence of pandas.DataFrame
        At least one.

    Returns
    -------
    pandas.DataFrame
    """
    import pandas as pd

    filled = [table for table in tables if len(table)] or list(tables[:1])
    return pd.concat(filled, ignore_index=True)


def _measure(
    path: Path,
    name: str,
    settings: MeasureSettings,
    unit: str | None,
    pictures: Mapping[str, Sequence[Path]] | None,
) -> tuple[DataFrame, str | None]:
    """Return the table of a file, and the unit that the tables of all later files shall have."""
    from ..core.files import read_labels
    from ..core.measure import measure

    labels = read_labels(path, settings.class_map)
    image = None if pictures is None else _picture_of(labels, path, pictures)
    size, own = settings.pixel_size, labels.unit if labels.pixel_size is not None else "pixel"
    unit = unit or (None if own == "pixel" else own)
    table = measure(labels, None, size, unit or "pixel", image, settings.per, name=name)
    return table, unit


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    from ..core.files import find_inputs

    found: dict[str, list[Path]] = {}
    for path in find_inputs([folder]):
        found.setdefault(stem_of(path), []).append(path)
    return found


def _picture_of(labels: SpecimenLabels, path: Path, pictures: Mapping[str, Sequence[Path]]) -> SpecimenImage:
    from ..core.files import read_image

    source = labels.provenance.get("input")
    made_from = Path(str(source.get("name"))) if isinstance(source, Mapping) else None
    if made_from is not None:
        exact = [p for p in pictures.get(stem_of(made_from), ()) if p.name == made_from.name]
        if exact:
            return read_image(exact[0])
    stem = stem_of(path)
    found = pictures.get(stem) or pictures.get(stem.removesuffix(MASK)) or ()
    if len(found) != 1:
        names = ", ".join(one_line(p.name) for p in found)
        raise MeasureError(
            f"which picture it belongs to is not clear: {names}" if found else "its picture was not found",
            path=path,
            advice=f"Let exactly one picture be called {one_line(stem)}.",
        )
    return read_image(found[0])
