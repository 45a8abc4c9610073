"""Refining many label files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..core.classes import ClassMap
from ..core.errors import CancelledError, SpecimenError, WriteError
from ..core.files.confidence import is_confidence
from ..core.image import PixelSize, SpecimenLabels, spacing_of
from ..core.progress import Progress, Report, silent
from ..core.provenance import sha256_of
from ..core.refining import RefineSettings
from .jobs import PredictJob, plan_jobs
from .results import FileResult, failed, gathered_warnings
from .workers import STAGE

NOTE = "refined"
"""Where a refined file keeps what was done, in its provenance: a list, the last one last."""

_ADVICE = "Allow overwriting with --overwrite, or choose another folder."


@dataclass(frozen=True, slots=True)
class RefineRequest:
    """What is done to every file.

    Parameters
    ----------
    settings : RefineSettings
    classes : tuple of str
        Names or ids; empty for all.
    pixel_size : float or (float, float), optional
        Instead of what the files say; in `unit`.
    unit : str, optional
        Of the lengths in `settings`; pixels if left out.
    class_map : ClassMap, optional
        Instead of what the files say.
    """

    settings: RefineSettings
    classes: tuple[str, ...] = ()
    pixel_size: PixelSize | None = None
    unit: str | None = None
    class_map: ClassMap | None = None

    def note(self, path: Path) -> dict[str, Any]:
        """Return what is written down about a file."""
        found: dict[str, Any] = {
            "input": {"name": path.name, "sha256": sha256_of(path)},
            "settings": self.settings.model_dump(mode="json", exclude_defaults=True),
        }
        if self.classes:
            found["classes"] = sorted(set(self.classes))
        if self.unit is not None:
            found["unit"] = self.unit
        if self.pixel_size is not None:
            size = self.pixel_size
            found["pixel_size"] = list(size) if isinstance(size, tuple) else [size, size]
        if self.class_map is not None:
            found["class_map"] = self.class_map.model_dump(mode="json")
        return found


def refine_files(
    paths: Sequence[Path],
    folder: Path,
    request: RefineRequest,
    *,
    overwrite: bool = False,
    report: Report = silent,
) -> Iterator[FileResult]:
    """Refine label files one after the other; what was done before is skipped.

    Parameters
    ----------
    paths : sequence of Path
        Label files. Confidence pictures beside their labels, as `predict_files` leaves them, are skipped.
    folder : Path
        Where the results go: the name of each file with the suffix ``.tif``; longer names where two are the
        same, see `plan_jobs`.
    request : RefineRequest
    overwrite : bool
        Whether existing files are replaced.
    report : callable
        Gets a `Progress` for every file; may raise `CancelledError`, which passes through.

    Yields
    ------
    FileResult
        In the order of `paths`. A file that fails does not end the rest.
    """
    labels = [path for path in paths if not is_confidence(path)]
    for path in paths:
        if path not in labels:
            yield FileResult(path, "skipped", message="it holds confidence, not labels")
    for done, job in enumerate(plan_jobs(labels, folder)):
        report(Progress(STAGE, done, len(labels)))
        yield _result(job, request, overwrite=overwrite)
    report(Progress(STAGE, len(labels), len(labels)))


def _result(job: PredictJob, request: RefineRequest, *, overwrite: bool) -> FileResult:
    start = time.perf_counter()
    try:
        with gathered_warnings() as warnings:
            is_new = _refine(job, request, overwrite=overwrite)
    except CancelledError:
        raise
    except Exception as error:
        return failed(job.picture, error)
    status: Literal["done", "skipped"] = "done" if is_new else "skipped"
    message = "" if is_new else "it is done already"
    seconds = time.perf_counter() - start
    return FileResult(job.picture, status, (job.labels,), message, tuple(warnings), seconds)


def _refine(job: PredictJob, request: RefineRequest, *, overwrite: bool) -> bool:
    """Refine a file; False if that was done before."""
    from ..core.files import read_labels, write_labels
    from ..core.refining import refine

    if job.labels.exists() and job.labels.samefile(job.picture):
        raise WriteError("the result would replace the labels themselves", advice="Choose another folder.")
    note = request.note(job.picture)
    if os.path.lexists(job.labels) and not overwrite:
        if _last_note(job.labels) == note:
            return False
        raise WriteError("it exists, and was made otherwise", path=job.labels, advice=_ADVICE)
    labels = _with_size(read_labels(job.picture, request.class_map), request)
    refined = refine(
        labels,
        request.settings,
        classes=request.classes or None,
        pixel_size=request.pixel_size,
        unit=request.unit or "pixel",
    ).labels
    provenance = {**labels.provenance, NOTE: [*_notes(labels), note]}
    write_labels(job.labels, refined, provenance=provenance, overwrite=overwrite)
    return True


def _with_size(labels: SpecimenLabels, request: RefineRequest) -> SpecimenLabels:
    if request.pixel_size is None:
        return labels
    spacing = spacing_of(request.pixel_size, labels.axes)
    return labels.replace(spacing=spacing, unit=request.unit or "pixel")


def _notes(labels: SpecimenLabels) -> list[Any]:
    notes = labels.provenance.get(NOTE)
    return list(notes) if isinstance(notes, (list, tuple)) else []


def _last_note(path: Path) -> Any:
    from ..core.files import read_labels

    try:
        notes = _notes(read_labels(path))
    except SpecimenError:
        return None
    return notes[-1] if notes else None
