"""Measuring many label files into one table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..core.classes import ClassMap
from ..core.errors import CancelledError
from ..core.files.confidence import is_confidence
from ..core.image import PixelSize
from ..core.progress import Progress, Report, silent
from .jobs import plan_jobs
from .pictures import PictureFolder
from .results import FileResult, failed, gathered_warnings
from .workers import STAGE

if TYPE_CHECKING:
    from pandas import DataFrame


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
    pictures = None if settings.images is None else PictureFolder(settings.images)
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
    pictures: PictureFolder | None,
) -> tuple[DataFrame, str | None]:
    """Return the table of a file, and the unit that the tables of all later files shall have."""
    from ..core.files import read_image, read_labels
    from ..core.measure import measure

    labels = read_labels(path, settings.class_map)
    image = None if pictures is None else read_image(pictures.of_labels(path, labels.provenance))
    size, own = settings.pixel_size, labels.unit if labels.pixel_size is not None else "pixel"
    unit = unit or (None if own == "pixel" else own)
    table = measure(labels, None, size, unit or "pixel", image, settings.per, name=name)
    return table, unit
