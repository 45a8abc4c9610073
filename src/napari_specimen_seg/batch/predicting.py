"""Segmenting many pictures: the loop that the command line and the docks share."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

from ..core.errors import CancelledError, DeviceError, ModelError, SpecimenError, WriteError
from ..core.files.atomic import write_error
from ..core.image import PixelSize, SpecimenImage, spacing_of
from ..core.progress import Report, silent
from ..core.provenance import sha256_of
from ..models.large import needs_store, open_result, predict_into, stored_prediction
from ..models.predictor import Predictor, load_model
from ..models.settings import PredictSettings
from .jobs import PredictJob
from .record import RunRecord, RunRequest, given_pixel_size, is_name
from .results import FileResult, failed, gathered_warnings
from .workers import run_here, run_in_processes, run_on_cluster
from .writing import is_finished, write_results

Load = Callable[[str], Predictor]
"""How a model is had by its name; another than `load_model` must be importable, to reach other processes."""


@dataclass(frozen=True, slots=True)
class PredictTask:
    """All that is needed to segment one picture, in whatever process.

    Parameters
    ----------
    job : PredictJob
        The picture and its results.
    model : str
        Name or folder of the model.
    card_sha256 : str
        Of its card, so that every process uses the same one.
    settings : PredictSettings
    pixel_size : float or (float, float), optional
        Instead of the picture's own, in `unit`.
    unit : str, optional
    overwrite : bool
        Whether to replace results of something else.
    load : callable
    repeats : RunRecord, optional
        What is to be made again: ``auto`` means what it meant then, and the picture keeps the name that
        it had then.
    """

    job: PredictJob
    model: str
    card_sha256: str
    settings: PredictSettings
    pixel_size: PixelSize | None = None
    unit: str | None = None
    overwrite: bool = False
    load: Load = load_model
    repeats: RunRecord | None = None

    @property
    def request(self) -> RunRequest:
        """What the results have to agree with. Reads the picture's file, for its checksum."""
        return RunRequest(
            input_name=self.repeats.input.name if self.repeats else self.job.picture.name,
            input_sha256=sha256_of(self.job.picture),
            card_sha256=self.card_sha256,
            settings=self.settings,
            pixel_size=given_pixel_size(self.pixel_size, self.unit),
        )


def predict_files(
    jobs: Sequence[PredictJob],
    model: str | Path,
    settings: PredictSettings | None = None,
    *,
    pixel_size: PixelSize | None = None,
    unit: str | None = None,
    overwrite: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    report: Report = silent,
    load: Load = load_model,
) -> Iterator[FileResult]:
    """Segment pictures and write labels, provenance and, if asked for, confidence.

    Parameters
    ----------
    jobs : sequence of PredictJob
        From `plan_jobs`.
    model : str or Path
        Name or folder of the model.
    settings : PredictSettings, optional
    pixel_size : float or (float, float), optional
        Instead of the pictures' own: edge of a pixel, or (height, width), in `unit`.
    unit : str, optional
    overwrite : bool
        Whether results of another picture, model or settings are replaced. What is finished already is
        skipped, unless this is true.
    workers : int
        How many processes; each has a model of its own. 1 works in this process.
    scheduler : str, optional
        Address of a Dask scheduler to work on instead.
    report : callable
        Gets the progress of each picture (if it is computed in this process) and of all, as stage
        `workers.STAGE`. May raise `CancelledError`, which passes through; finished files stay.
    load : callable
        How a model is had by its name.

    Yields
    ------
    FileResult
        As they come: in the order of `jobs` only with one worker. A picture that fails does not end the
        rest.

    Raises
    ------
    ModelError
        If there is no such model or its card was altered.
    DeviceError
        If no scheduler answers, or other processes cannot import `load`.
    """
    settings = settings or PredictSettings()
    if scheduler is not None:  # whose workers stand in other folders
        jobs = [replace(job, picture=job.picture.absolute(), folder=job.folder.absolute()) for job in jobs]
        model = model if is_name(str(model)) else Path(model).absolute()
    card_sha256 = load(str(model)).card.card_sha256
    tasks = [
        PredictTask(job, str(model), card_sha256, settings, pixel_size, unit, overwrite, load) for job in jobs
    ]
    yield from run_tasks(tasks, workers=workers, scheduler=scheduler, report=report)


def _refuse_out_of_reach(*loads: Load) -> None:
    """Refuse functions of the script that runs, which other processes do not run again."""
    for load in loads:
        while isinstance(load, partial):
            load = load.func
        if getattr(load, "__module__", "") == "__main__":
            raise DeviceError(
                f"{getattr(load, '__qualname__', load)} stands in the script itself, "
                "where other processes do not look for it",
                advice="Put it into a module of its own, or use one worker.",
            )


def run_tasks(
    tasks: Sequence[PredictTask], *, workers: int = 1, scheduler: str | None = None, report: Report = silent
) -> Iterator[FileResult]:
    """Segment pictures that may each have a model and settings of their own.

    Parameters
    ----------
    tasks : sequence of PredictTask
    workers, scheduler, report
        As in `predict_files`.

    Yields
    ------
    FileResult
    """
    if scheduler is not None:
        yield from run_on_cluster(tasks, predict_one, _died, report, address=scheduler)
    elif workers > 1 and len(tasks) > 1:
        _refuse_out_of_reach(*(task.load for task in tasks))
        count = min(workers, len(tasks))
        yield from run_in_processes(tasks, predict_one, _died, report, workers=count)
    else:
        try:
            yield from run_here(tasks, predict_one, report)
        finally:
            _loaded.cache_clear()  # a window lives on; the model need not


def predict_one(task: PredictTask, report: Report = silent) -> FileResult:
    """Segment one picture, unless that was done before.

    Parameters
    ----------
    task : PredictTask
    report : callable
        May raise `CancelledError`, which passes through.

    Returns
    -------
    FileResult
        Failed, rather than an exception, whatever goes wrong.
    """
    start = time.perf_counter()
    try:
        with gathered_warnings() as warnings:
            outputs, why_skipped = _predict(task, report)
    except CancelledError:
        raise
    except Exception as error:
        return failed(task.job.picture, error)
    status: Literal["done", "skipped"] = "skipped" if why_skipped else "done"
    seconds = time.perf_counter() - start
    return FileResult(task.job.picture, status, outputs, why_skipped, tuple(warnings), seconds)


def _predict(task: PredictTask, report: Report) -> tuple[tuple[Path, ...], str]:
    """Return the files that are there afterwards, and why nothing had to be done, if so."""
    _refuse_own_picture(task.job)
    request = task.request
    if not task.overwrite and is_finished(task.job, request, task.model):
        return _there(task.job), "it is done already"
    _refuse_unwritable(task.job.folder)
    image = _picture(task)
    settings = task.repeats.settings_then() if task.repeats else task.settings
    predictor = _predictor(task)
    if needs_store(image, predictor):
        _predict_stored(task, predictor, image, settings, request, report)
    else:
        prediction = predictor.predict(image, settings, report)
        write_results(task.job, image, prediction, request, task.model, overwrite=task.overwrite)
    return _there(task.job), ""


def _predict_stored(
    task: PredictTask,
    predictor: Predictor,
    image: SpecimenImage,
    settings: PredictSettings,
    request: RunRequest,
    report: Report,
) -> None:
    """Predict into a hidden folder beside the results; if that is broken off, the next run goes on there."""
    picture = {"sha256": request.input_sha256}
    folder, anew = task.job.unfinished, task.overwrite
    store = open_result(folder, predictor, image, settings, picture, replace=anew)
    with store:
        if store.continued:
            store.recover(verify=True, report=report)
        for _ in predict_into(store, predictor, image, settings, report):
            pass
        prediction = stored_prediction(store, predictor, settings, report)
        write_results(task.job, image, prediction, request, task.model, overwrite=task.overwrite)
    store.delete()


def _there(job: PredictJob) -> tuple[Path, ...]:
    return tuple(path for path in job.outputs if path.exists())


def _refuse_own_picture(job: PredictJob) -> None:
    if any(path.exists() and path.samefile(job.picture) for path in job.outputs if job.picture.exists()):
        raise WriteError("the result would replace the picture itself", advice="Choose another folder.")


def _refuse_unwritable(folder: Path) -> None:
    """Refuse before the work, not after it."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if there.is_dir() and not os.access(there, os.W_OK):
        raise write_error(PermissionError(errno.EACCES, "not allowed"), folder)


def _picture(task: PredictTask) -> SpecimenImage:
    from ..core.files import read_image

    image = read_image(task.job.picture)
    if task.pixel_size is None:
        return image
    return image.replace(spacing=spacing_of(task.pixel_size, image.axes), unit=task.unit or "pixel")


def _predictor(task: PredictTask) -> Predictor:
    predictor = _loaded(task.load, task.model, task.card_sha256)
    if predictor.card.card_sha256 != task.card_sha256:
        raise ModelError(
            f"{task.model} is not the same model here as where the work was given out",
            advice="Let all machines see the same model folder.",
        )
    return predictor


@lru_cache(maxsize=1)
def _loaded(load: Load, model: str, card_sha256: str) -> Predictor:
    """Load a model once in each process; the checksum lets a changed one be loaded anew."""
    del card_sha256
    return load(model)


def _died(task: PredictTask, error: SpecimenError) -> FileResult:
    return failed(task.job.picture, error)
