"""What is left of a prediction on the disk, and whether it is there already."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ..core.errors import ReadError, SpecimenError, WriteError
from ..core.files.atomic import write_error
from ..core.image import Prediction, SpecimenImage, SpecimenLabels
from ..core.provenance import provenance_of
from .jobs import PredictJob
from .record import RunRecord, RunRequest, write_record

_ADVICE = "Allow overwriting with --overwrite, or choose another folder."


def is_finished(job: PredictJob, request: RunRequest, model: str) -> bool:
    """Tell whether the results of a request are there already.

    The record is written last. Where it is missing, what stands in the mask itself counts, and the record
    is written anew.

    Parameters
    ----------
    job : PredictJob
    request : RunRequest
    model : str
        Name or folder of the model.

    Returns
    -------
    bool

    Raises
    ------
    WriteError
        If a file of the name is there which is not the result of this request.
    """
    if not os.path.lexists(job.labels):
        if os.path.lexists(job.provenance) and _own_record(job) is None:
            raise WriteError("it exists and is not a provenance file", path=job.provenance, advice=_ADVICE)
        return False
    record, inside = _own_record(job), None
    if record is None:
        record, inside = _record_inside(job)
    differences = record.differences(request)
    if differences:
        raise WriteError(f"it exists, but {'; '.join(differences)}", path=job.labels, advice=_ADVICE)
    if inside is not None:
        results = [path for path in (job.labels, job.confidence) if path.exists()]
        write_record(job.provenance, inside, picture=job.picture, model=model, results=results)
    return True


def write_results(
    job: PredictJob,
    image: SpecimenImage,
    prediction: Prediction,
    request: RunRequest,
    model: str,
    *,
    overwrite: bool = False,
) -> None:
    """Write labels, confidence where there is any, and the record, in this order.

    Parameters
    ----------
    job : PredictJob
    image : SpecimenImage
        What was predicted on; gives axes and pixel size.
    prediction : Prediction
        Where it has objects, these are written, with the class of each.
    request : RunRequest
    model : str
        Name or folder of the model.
    overwrite : bool

    Raises
    ------
    WriteError
        If something cannot be written, or exists and `overwrite` is false.
    """
    from ..core.files import write_labels
    from ..core.files.confidence import write_confidence

    provenance = _provenance(prediction, image, request)
    _remove_older(job)
    results = [job.labels]
    if prediction.confidence is not None:
        write_confidence(job.confidence, prediction.confidence, image, overwrite)
        results.append(job.confidence)
    write_labels(job.labels, _labels(prediction, image, provenance), overwrite=overwrite)
    write_record(
        job.provenance,
        provenance,
        picture=job.picture,
        model=model,
        results=tuple(results),
        overwrite=overwrite,
    )


def _own_record(job: PredictJob) -> RunRecord | None:
    try:
        return RunRecord.read(job.provenance)
    except ReadError:
        return None


def _record_inside(job: PredictJob) -> tuple[RunRecord, Mapping[str, Any]]:
    """Read what the mask itself says of its origin."""
    from ..core.files import read_labels

    try:
        provenance = read_labels(job.labels).provenance
        return RunRecord.model_validate(provenance), provenance
    except (SpecimenError, ValidationError):
        raise WriteError(
            "it exists, and nothing says what made it", path=job.labels, advice=_ADVICE
        ) from None


def _remove_older(job: PredictJob) -> None:
    """Remove a record that will not be true any more, and the confidence that belongs to it."""
    record = _own_record(job)
    if record is None:
        return
    try:
        job.provenance.unlink()
        if record.settings.confidence:
            job.confidence.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(error, job.provenance) from error


def _provenance(prediction: Prediction, image: SpecimenImage, request: RunRequest) -> dict[str, Any]:
    described = {**prediction.provenance, "settings": request.settings.model_dump(mode="json")}
    if request.pixel_size is not None:
        described["pixel_size"] = request.pixel_size.model_dump(mode="json")
    return provenance_of(
        described,
        request.input_name,
        sha256=request.input_sha256,
        shape=tuple(image.data.shape),
        class_map=prediction.class_map,
    )


def _labels(prediction: Prediction, image: SpecimenImage, provenance: Mapping[str, Any]) -> SpecimenLabels:
    """Return what is written: objects with the class of each where there are any, else class ids."""
    objects = prediction.objects
    return SpecimenLabels(
        prediction.labels if objects is None else objects,
        name=image.name,
        axes=image.plane_axes,
        spacing=image.spacing,
        unit=image.unit,
        class_map=prediction.class_map,
        provenance=provenance,
        object_class=None if objects is None else prediction.object_classes,
        levels=prediction.levels if objects is None else (),
    )
