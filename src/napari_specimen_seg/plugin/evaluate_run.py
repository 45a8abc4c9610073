"""What the Evaluate dock does off the GUI thread."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import MeasureError
from ..core.image import SpecimenImage, SpecimenLabels
from ..core.progress import Progress, Report
from ..evaluation.settings import EvaluateSettings
from ..models.settings import PredictSettings

if TYPE_CHECKING:
    from ..batch.evaluating import EvaluateResult
    from ..evaluation.compare import Comparison
    from ..evaluation.pairs import Case, Cases
    from ..evaluation.run import Evaluation
    from ..evaluation.sources import Source

TRUTH = ""
"""The name under which the truth is kept beside the predictions."""


@dataclass(frozen=True, slots=True)
class Competitor:
    """One thing to evaluate: a model, a folder of masks, or labels that are open.

    Parameters
    ----------
    name : str
        As shown.
    model : str
        Name or folder of a model; empty for masks.
    masks : Path, optional
        Folder of masks.
    labels : SpecimenLabels, optional
        Open labels.
    """

    name: str
    model: str = ""
    masks: Path | None = None
    labels: SpecimenLabels | None = None


@dataclass(frozen=True, slots=True)
class OpenPicture:
    """A labelled picture that is open in the viewer."""

    name: str
    truth: SpecimenLabels
    picture: SpecimenImage | None


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """One press of the Evaluate button.

    Parameters
    ----------
    competitors : tuple of Competitor
        The first is what the others are held against.
    labels, images, second : Path, optional
        Folders of the truth, the pictures and another person's labels.
    opened : OpenPicture, optional
        Instead of folders.
    settings : EvaluateSettings
    predict : PredictSettings
    """

    competitors: tuple[Competitor, ...]
    labels: Path | None = None
    images: Path | None = None
    second: Path | None = None
    opened: OpenPicture | None = None
    settings: EvaluateSettings = field(default_factory=EvaluateSettings)
    predict: PredictSettings = field(default_factory=PredictSettings)


class MaskStore:
    """The masks of all pictures, packed: labels are so regular that they take next to no room."""

    def __init__(self) -> None:
        self._packed: dict[tuple[str, str], tuple[bytes, tuple[int, ...], np.dtype[Any]]] = {}

    def keep(self, case: Case, truth: SpecimenLabels, answers: Mapping[str, SpecimenLabels]) -> None:
        """Keep the class ids of a picture."""
        from ..evaluation.instances import as_classes

        for name, labels in {TRUTH: truth, **answers}.items():
            data = np.ascontiguousarray(as_classes(labels).data)
            self._packed[case.name, name] = (zlib.compress(data.tobytes(), 1), data.shape, data.dtype)

    def get(self, picture: str, name: str) -> NDArray[Any] | None:
        """Return class ids, or None where there are none of this name."""
        if (picture, name) not in self._packed:
            return None
        packed, shape, dtype = self._packed[picture, name]
        return np.frombuffer(zlib.decompress(packed), dtype).reshape(shape).copy()


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a run hands back to the GUI thread.

    Parameters
    ----------
    evaluation : Evaluation
    comparison : Comparison
    masks : MaskStore
    failures : tuple of EvaluateResult
    notes : tuple of str
    """

    evaluation: Evaluation
    comparison: Comparison
    masks: MaskStore
    failures: tuple[EvaluateResult, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def cases(self) -> Mapping[str, Case]:
        """The pictures by name."""
        return {case.name: case for case in self.evaluation.cases}


def evaluate_work(request: EvaluateRequest) -> Callable[[Report], Evaluated]:
    """Return the work of one press of the button.

    Parameters
    ----------
    request : EvaluateRequest

    Returns
    -------
    callable
        Takes a report function.
    """

    def work(report: Report) -> Evaluated:
        from ..batch.evaluating import evaluate_cases
        from ..evaluation.output import comparison_of

        report(Progress("looking for pictures", 0, 0))
        masks = MaskStore()
        cases, evaluation = prepare(request, masks)
        results = list(evaluate_cases(cases, evaluation, _by_picture(report)))
        failures = tuple(result for result in results if result.status == "failed")
        if not evaluation.cases:
            first = failures[0] if failures else None
            raise MeasureError(
                first.message if first else "there is nothing to compare", path=first.path if first else None
            )
        report(Progress("adding up", 0, 0))
        comparison = comparison_of(evaluation)
        _compute(evaluation, comparison)
        return Evaluated(evaluation, comparison, masks, failures, cases.notes)

    return work


def _by_picture(report: Report) -> Report:
    """Show which picture is worked on, and not every tile of it; every report may still cancel."""
    from ..batch.workers import STAGE

    last = Progress("picture", 0, 0)

    def shown(progress: Progress) -> None:
        nonlocal last
        if progress.stage == STAGE:
            last = Progress("picture", progress.done, progress.total)
        report(last)

    return shown


def _compute(evaluation: Evaluation, comparison: Comparison) -> None:
    """Work out what takes a moment here and not in the GUI thread; scores keep their tables."""
    everything = [*comparison.scores.values(), *([evaluation.ceiling] if evaluation.ceiling else [])]
    for scores in everything:
        _ = scores.classes, scores.overall, scores.images
    if len(comparison.names) > 1:
        _ = comparison.models, comparison.classes, comparison.pictures


def prepare(request: EvaluateRequest, masks: MaskStore) -> tuple[Cases, Evaluation]:
    """Find the pictures and make the sources.

    Parameters
    ----------
    request : EvaluateRequest
    masks : MaskStore
        Filled during the run.

    Returns
    -------
    cases : Cases
    evaluation : Evaluation
        Of nothing yet.

    Raises
    ------
    SpecimenError
        If a folder or model is missing.
    """
    from ..evaluation.run import SECOND, Evaluation, choose_class_map
    from ..evaluation.sources import MaskSource

    cases = _cases(request)
    models = {c.name: _model_source(c, request) for c in request.competitors if c.model}
    class_map = choose_class_map(None, cases.cases, list(models.values()))
    sources: list[Source] = []
    for competitor in request.competitors:
        made = models.get(competitor.name)
        sources.append(made if made is not None else _mask_source(competitor, request, class_map))
    second = MaskSource(SECOND, request.second, class_map) if request.second else None
    return cases, Evaluation(sources, class_map, request.settings, second, compared=masks.keep)


def _cases(request: EvaluateRequest) -> Cases:
    from ..evaluation.pairs import Cases, LoadedCase, find_cases
    from ..evaluation.run import SECOND

    if request.opened is not None:
        opened = request.opened
        case = LoadedCase(opened.name, Path(opened.name), truth=opened.truth, picture=opened.picture)
        return Cases((case,))
    if request.labels is None:
        raise MeasureError("no labels are chosen", advice="Choose the folder of the true labels.")
    return find_cases(
        request.labels,
        images=request.images,
        predictions=[(c.name, c.masks) for c in request.competitors if c.masks is not None],
        seconds=[(SECOND, request.second)] if request.second else [],
        needs_image=any(c.model for c in request.competitors),
    )


def _model_source(competitor: Competitor, request: EvaluateRequest) -> Source:
    from ..evaluation.race import ProcessSource
    from ..evaluation.sources import ModelSource

    # Several models take turns in processes of their own, so that time and memory mean something.
    kind = ModelSource if len(request.competitors) == 1 else ProcessSource
    return kind(competitor.name, competitor.model, request.predict)


def _mask_source(competitor: Competitor, request: EvaluateRequest, class_map: Any) -> Source:
    from ..evaluation.sources import LoadedSource, MaskSource

    if competitor.masks is not None:
        return MaskSource(competitor.name, competitor.masks, class_map)
    if request.opened is None or competitor.labels is None:
        raise MeasureError(
            f"{competitor.name} is an open layer, and folders are evaluated",
            advice="Remove it, or choose open layers.",
        )
    return LoadedSource(competitor.name, {request.opened.name: competitor.labels})


def worst_pictures(
    evaluated: Evaluated, row: int, column: int, source: str | None = None
) -> Sequence[tuple[str, int]]:
    """Return pictures by how many pixels of a true class a competitor took for a class.

    Parameters
    ----------
    evaluated : Evaluated
    row, column : int
        True and predicted class, in the order of the class map.
    source : str, optional
        Name of the competitor; the first if None.

    Returns
    -------
    sequence of (str, int)
        Names and pixels, the most first; pictures without any are left out.
    """
    scores = evaluated.comparison.scores[source or evaluated.comparison.first]
    counts = scores.counted[:, row, column]
    order = np.argsort(-counts, kind="stable")
    return [(scores.names[place], int(counts[place])) for place in order if counts[place]]
