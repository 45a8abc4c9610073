"""Evaluating many pictures: the loop that the command line and the dock share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..core.errors import CancelledError
from ..core.progress import Progress, Report, silent
from ..evaluation.pairs import Cases
from ..evaluation.run import Evaluation
from .results import FileResult, failed, gathered_warnings
from .workers import STAGE


@dataclass(frozen=True, slots=True)
class EvaluateResult(FileResult):
    """What became of one label file, with the mean IoU by source."""

    scores: dict[str, float] = field(default_factory=dict, compare=False)


def evaluate_cases(cases: Cases, evaluation: Evaluation, report: Report = silent) -> Iterator[EvaluateResult]:
    """Compare one picture after the other.

    Parameters
    ----------
    cases : Cases
        From `find_cases`.
    evaluation : Evaluation
        Gets the counts. Its sources are closed at the end, whatever that is.
    report : callable
        Gets a `Progress` for every picture; may raise `CancelledError`, which passes through.

    Yields
    ------
    EvaluateResult
        Those that nothing can be compared with first, then the others in their order. A picture that
        fails does not end the rest.
    """
    total = len(cases.cases)
    try:
        for path, why in cases.problems:
            yield EvaluateResult(path, "failed", message=why)
        for done, case in enumerate(cases.cases):
            report(Progress(STAGE, done, total))
            start = time.perf_counter()
            try:
                with gathered_warnings() as warnings:
                    scores = dict(evaluation.add(case, report))
            except CancelledError:
                raise
            except Exception as error:
                wrong = failed(case.labels, error)
                yield EvaluateResult(wrong.path, wrong.status, message=wrong.message)
                continue
            seconds = time.perf_counter() - start
            yield EvaluateResult(
                case.labels, "done", warnings=tuple(warnings), seconds=seconds, scores=scores
            )
        report(Progress(STAGE, total, total))
    finally:
        evaluation.close()
