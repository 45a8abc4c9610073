"""What an evaluation or comparison leaves in its folder: tables, pictures, a summary and the report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import WriteError
from ..core.files import write_table
from ..core.files.atomic import atomic
from ..core.provenance import PACKAGES, class_map_id, package_versions
from .compare import Comparison
from .page import ReportInput
from .report import render
from .result import Scores
from .run import Evaluation
from .sources import ModelSource
from .thumbs import contact_sheet

if TYPE_CHECKING:
    import pandas as pd

REPORT = "report.html"
SUMMARY = "summary.json"

_FILES = ("scores.csv", "images.csv", "confusion.csv", "confusion.png", "objects.csv", "curves.csv",
          "models.csv", "classes.csv", "samples.png", SUMMARY, REPORT)  # fmt: skip

_PACKAGES = (*PACKAGES, "scipy", "scikit-image", "openvino", "onnxruntime")


def refuse_existing(folder: Path, overwrite: bool, *, advice: str = "Choose another folder.") -> None:
    """Refuse a folder that holds results, before the work and not after it.

    Parameters
    ----------
    folder : Path
    overwrite : bool
        Whether existing files are replaced.
    advice : str
        What to do next; the command line has an option for it.

    Raises
    ------
    WriteError
        If one of the files exists and `overwrite` is false.
    """
    for name in _FILES:
        if not overwrite and (folder / name).exists():
            raise WriteError(f"{name} exists already", path=folder, advice=advice)


def comparison_of(evaluation: Evaluation, max_loss: float | None = None) -> Comparison:
    """Return the scores and costs of all sources, for comparing them.

    Parameters
    ----------
    evaluation : Evaluation
    max_loss : float, optional
        See `compare.Comparison`.

    Returns
    -------
    Comparison
    """
    costs = {source.name: evaluation.cost(source) for source in evaluation.sources}
    return Comparison(
        {source.name: evaluation.scores(source.name) for source in evaluation.sources},
        {name: cost for name, cost in costs.items() if cost is not None},
        max_loss,
    )


def write_results(
    folder: Path,
    evaluation: Evaluation,
    *,
    max_loss: float | None = None,
    notes: Sequence[str] = (),
    overwrite: bool = False,
) -> list[Path]:
    """Write everything.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    evaluation : Evaluation
        With at least one picture.
    max_loss : float, optional
        See `compare.Comparison`.
    notes : sequence of str
        What a reader of the report must know first.
    overwrite : bool
        Whether existing files are replaced; those that do not apply any more are removed.

    Returns
    -------
    list of Path
        What was written, the report first.

    Raises
    ------
    WriteError
        If a file exists and may not be replaced, or cannot be written.
    """
    refuse_existing(folder, overwrite)
    comparison = comparison_of(evaluation, max_loss)
    origin = origin_of(evaluation)
    tables = _tables(comparison)
    contents = _pictures(evaluation, comparison) | {
        SUMMARY: _json(summary_of(evaluation, comparison, origin)),
        REPORT: render(_report_input(evaluation, comparison, origin, notes)).encode("utf-8"),
    }
    for name, frame in tables.items():
        write_table(folder / name, frame, overwrite)
    for name, content in contents.items():
        with atomic(folder / name, overwrite) as path:
            path.write_bytes(content)
    written = [*reversed(contents), *tables]
    for name in set(_FILES) - set(written):
        (folder / name).unlink(missing_ok=True)
    return [folder / name for name in written]


def _tables(comparison: Comparison) -> dict[str, pd.DataFrame]:
    if len(comparison.names) > 1:
        return _tables_of_many(comparison)
    scores = comparison.scores[comparison.first]
    confusion = scores.confusion.reset_index()
    tables = {"scores.csv": scores.classes, "images.csv": scores.images, "confusion.csv": confusion}
    if scores.objects is not None:
        tables["objects.csv"] = scores.objects
    if scores.curves is not None:
        tables["curves.csv"] = scores.curves
    return tables


def _tables_of_many(comparison: Comparison) -> dict[str, pd.DataFrame]:
    each = comparison.scores
    tables = {
        "models.csv": comparison.models,
        "classes.csv": comparison.classes,
        "images.csv": comparison.pictures,
        "scores.csv": _by_model({name: scores.classes for name, scores in each.items()}),
    }
    objects = {name: scores.objects for name, scores in each.items() if scores.objects is not None}
    return tables | ({"objects.csv": _by_model(objects)} if objects else {})


def _by_model(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([frame.assign(model=name) for name, frame in frames.items()], ignore_index=True)


def _pictures(evaluation: Evaluation, comparison: Comparison) -> dict[str, bytes]:
    import io

    from .plots import confusion_plot, to_png

    contents = {}
    if len(comparison.names) == 1:
        contents["confusion.png"] = to_png(confusion_plot(comparison.scores[comparison.first]))
    samples = [*evaluation.keeper.worst, *evaluation.keeper.best]
    if samples:
        buffer = io.BytesIO()
        contact_sheet(samples).save(buffer, "PNG", optimize=True)
        contents["samples.png"] = buffer.getvalue()
    return contents


def _report_input(
    evaluation: Evaluation, comparison: Comparison, origin: Mapping[str, Any], notes: Sequence[str]
) -> ReportInput:
    return ReportInput(
        comparison,
        evaluation.ceiling,
        evaluation.keeper.worst,
        evaluation.keeper.best,
        [(name, _for_people(value)) for name, value in origin.items()],
        used_threshold(evaluation),
        notes,
    )


def used_threshold(evaluation: Evaluation) -> float | None:
    """Return the threshold of the first source, where it is a model that has one."""
    source = evaluation.sources[0]
    if not isinstance(source, ModelSource):
        return None
    own: float | None = getattr(source.card.head, "threshold", None)
    return own if source.settings.threshold is None else source.settings.threshold


def origin_of(evaluation: Evaluation) -> dict[str, Any]:
    """Return what the results depend on: sources, settings, data and versions; no times, no folders.

    Parameters
    ----------
    evaluation : Evaluation

    Returns
    -------
    dict
        Plain values.
    """
    return {
        **{f"compared: {source.name}": source.describe() for source in evaluation.sources},
        "settings": evaluation.settings.model_dump(mode="json"),
        "classes": [item.name for item in evaluation.class_map],
        "class map SHA-256": class_map_id(evaluation.class_map),
        "pictures": len(evaluation.cases),
        "data SHA-256": evaluation.data_sha256,
        "versions": package_versions(_PACKAGES),
    }


def summary_of(evaluation: Evaluation, comparison: Comparison, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return all scores of all classes together, for machines; undefined ones are None.

    Parameters
    ----------
    evaluation : Evaluation
    comparison : Comparison
    origin : mapping
        From `origin_of`.

    Returns
    -------
    dict
    """
    found: dict[str, Any] = {name: overall_of(scores) for name, scores in comparison.scores.items()}
    summary: dict[str, Any] = {"scores": found[comparison.first] if len(found) == 1 else found}
    if evaluation.ceiling is not None:
        summary["two people"] = overall_of(evaluation.ceiling)
    if len(found) > 1:
        summary["models"] = comparison.models.to_dict("records")
    return {**summary, "origin": dict(origin)}


def overall_of(scores: Scores) -> dict[str, Any]:
    """Return the scores of all classes together, and the best threshold where it is known."""
    found: dict[str, Any] = dict(scores.overall)
    if scores.best_threshold is not None:
        found |= dict(zip(("best_threshold", "best_threshold_iou"), scores.best_threshold, strict=True))
    return found


def plain(value: Any) -> Any:
    """Return what JSON can hold: None for numbers that are undefined."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(plain(content), indent=1, allow_nan=False) + "\n").encode("ascii")


def _for_people(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_for_people(item)}" for key, item in value.items()) or "as they come"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value)
