"""Making masks again from their records, and comparing them with what they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..core.errors import CancelledError, ModelError, ReadError, WriteError, one_line
from ..core.progress import Report, silent
from ..core.provenance import sha256_of
from ..models.predictor import load_model
from .jobs import PredictJob, plan_jobs
from .predicting import Load, PredictTask, predict_one
from .record import RunRecord, is_name
from .results import FileResult, failed
from .workers import run_here


def repeat_files(
    records: Sequence[Path],
    folder: Path,
    *,
    images: Path | None = None,
    model: str | Path | None = None,
    overwrite: bool = False,
    report: Report = silent,
    load: Load = load_model,
) -> Iterator[FileResult]:
    """Make masks again, each as its record says, and compare the files' checksums.

    Parameters
    ----------
    records : sequence of Path
        The ``.json`` files that `predict_files` left.
    folder : Path
        Where the new files go.
    images : Path, optional
        Folder in which the pictures are now; those that are not where they were are looked for here, by
        name first and then by checksum.
    model : str or Path, optional
        Name or folder of the model, if it is not where it was.
    overwrite : bool
    report : callable
        May raise `CancelledError`, which passes through.
    load : callable
        How a model is had by its name.

    Yields
    ------
    FileResult
        With the record as `path`. Failed also if the new files are not the same to the last byte; they
        are kept then.
    """
    stems = {job.picture: job.stem for job in plan_jobs(records, folder)}

    def work(path: Path, report: Report) -> FileResult:
        try:
            return _repeat(path, folder, stems[path], images, model, overwrite, report, load)
        except CancelledError:
            raise
        except Exception as error:
            return failed(path, error)

    yield from run_here(records, work, report)


def _repeat(
    path: Path,
    folder: Path,
    stem: str,
    images: Path | None,
    model: str | Path | None,
    overwrite: bool,
    report: Report,
    load: Load,
) -> FileResult:
    record = RunRecord.read(path)
    if folder.exists() and folder.samefile(path.parent):
        raise WriteError("the masks to compare with are here", path=folder, advice="Choose another folder.")
    given = record.pixel_size
    task = PredictTask(
        job=PredictJob(_find_picture(path, record, images), folder, stem),
        model=_find_model(path, record, model),
        card_sha256=record.model.card_sha256,
        settings=record.settings,
        pixel_size=None if given is None else given.size,
        unit=None if given is None else given.unit,
        overwrite=overwrite,
        load=load,
        repeats=record,
    )
    result = replace(predict_one(task, report), path=path)
    if result.status == "failed":
        return replace(result, message=f"{one_line(task.job.picture)}: {result.message}")
    different = _different(result.outputs, record, path.stem, stem)
    if not different:
        return result
    message = f"{', '.join(different)} is not the same to the last byte"
    return replace(result, status="failed", message=message + _reasons(record, task.job.provenance))


def _find_picture(path: Path, record: RunRecord, images: Path | None) -> Path:
    name, wanted = record.input.name, record.input.sha256
    there = path.parent / record.files.picture
    candidates = [there] if there.exists() else []
    if images is not None:
        inside = sorted(images.iterdir())
        candidates += sorted(inside, key=lambda found: found.name != name)
    for candidate in candidates:
        if (candidate.is_file() or candidate.name == name) and sha256_of(candidate) == wanted:
            return candidate
    cause = "the picture was changed" if there.exists() else "the picture is not there any more"
    raise ReadError(cause, path=there, advice="Say with --images in which folder the unchanged picture is.")


def _find_model(path: Path, record: RunRecord, given: str | Path | None) -> str:
    if given is not None:
        return str(given)
    there = path.parent / record.files.model
    if is_name(record.files.model):
        return record.files.model
    if there.is_dir():
        return str(there)
    raise ModelError(
        f"the model {one_line(record.model.name)} is not there any more",
        advice="Say with --model which name or folder it has.",
    )


def _different(outputs: Sequence[Path], record: RunRecord, then: str, now: str) -> list[str]:
    """Return the names of files that are others; records of one name from two folders get longer names."""
    wanted = record.files.sha256
    before = {path: then + path.name.removeprefix(now) for path in outputs}
    return [p.name for p in outputs if before[p] in wanted and sha256_of(p) != wanted[before[p]]]


def _reasons(then: RunRecord, path: Path) -> str:
    """Say which versions have changed, as far as the new record tells."""
    now = RunRecord.read(path)
    changed = [
        f"{name} was {then.versions[name]}, is {version}"
        for name, version in now.versions.items()
        if then.versions.get(name, version) != version
    ]
    return f" ({'; '.join(changed)})" if changed else ""
