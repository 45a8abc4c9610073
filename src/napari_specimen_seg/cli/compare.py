"""``specimen-seg compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..evaluation.settings import EvaluateSettings
from ..models.settings import PredictSettings
from . import options
from .console import Console
from .evaluating import (
    OVERWRITE,
    class_map_option,
    evaluate_options,
    images_option,
    labels_option,
    output_option,
    predict_options,
    run_evaluation,
    second_option,
    settings_of,
)

if TYPE_CHECKING:
    from ..evaluation.compare import Comparison

_EPILOG = """\b
Examples:
  specimen-seg compare beetle-parts my-model --images photos --labels truth -o report
  specimen-seg compare nuclei nuclei-int8 --images val/images --labels val/labels \\
      -o report --max-loss 0.5

Every model runs in a process of its own and takes its turn on each picture, so
that scores, times and memory come from one run. The first model is what the
others are held against.
"""


@click.command(epilog=_EPILOG, short_help="Compare models on the same labelled pictures.")
@click.argument("models", metavar="MODEL MODEL...", nargs=-1, required=True)
@labels_option
@images_option(required=True)
@output_option
@class_map_option
@second_option
@click.option(
    "--max-loss",
    type=click.FloatRange(0, 100),
    metavar="POINTS",
    help="How many points of mean IoU a model may lose against the first and still be called good; a model "
    "that is not makes the exit code 1.",
)
@evaluate_options(EvaluateSettings)
@predict_options(PredictSettings)
@options.overwrite
@options.as_json
def command(
    models: tuple[str, ...],
    labels: Path,
    images: Path,
    output: Path,
    class_map: Path | None,
    second_labels: Path | None,
    max_loss: float | None,
    overwrite: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Compare two or more models: score per picture, differences with intervals, size, time and memory."""
    from ..core.files import read_class_map
    from ..evaluation.compare import names_for
    from ..evaluation.output import comparison_of, refuse_existing, write_results
    from ..evaluation.pairs import find_cases
    from ..evaluation.race import ProcessSource
    from ..evaluation.run import SECOND, Evaluation, choose_class_map
    from ..evaluation.sources import MaskSource

    if len(models) < 2:
        raise click.UsageError("give two models or more; for one there is the command evaluate")
    settings, predict = settings_of(EvaluateSettings, given), settings_of(PredictSettings, given)
    if settings.curves:
        raise click.UsageError("--curves is for one model; use it with the command evaluate")
    refuse_existing(output, overwrite, advice=OVERWRITE)
    sources = [ProcessSource(n, model, predict) for n, model in zip(names_for(models), models, strict=True)]
    seconds = [(SECOND, second_labels)] if second_labels else []
    cases = find_cases(labels, images=images, seconds=seconds, needs_image=True)
    known = read_class_map(class_map) if class_map else None
    classes = choose_class_map(known, cases.cases, sources)
    second = MaskSource(SECOND, second_labels, classes) if second_labels else None
    evaluation = Evaluation(sources, classes, settings, second)
    with Console(len(cases.cases) + len(cases.problems), as_json=as_json) as console:
        notes = run_evaluation(cases, evaluation, console)
    if not evaluation.cases:
        return console.finish(outputs=[])
    written = write_results(output, evaluation, max_loss=max_loss, notes=notes, overwrite=overwrite)
    comparison = comparison_of(evaluation, max_loss)
    code = _finish(console, comparison, written)
    return max(code, int(not all(map(comparison.is_good, comparison.others))))


def _finish(console: Console, comparison: Comparison, written: list[Path]) -> int:
    from ..evaluation.output import plain

    if not console.as_json:
        _print_models(comparison)
        print(written[0])
    return console.finish(
        models=plain(comparison.models.to_dict("records")), outputs=[str(path) for path in written]
    )


def _print_models(comparison: Comparison) -> None:
    table = comparison.models
    shown = table[["model", "mean_iou"]].assign(
        **{
            "points": (table["difference"] * 100 if "difference" in table else float("nan")),
            "MB": table["bytes"] / 1e6,
            "seconds/megapixel": table["seconds_per_megapixel"],
            "memory MB": table["peak_bytes"] / 1e6,
            f"against {comparison.first}": table["verdict"],
        }
    )
    print(shown.to_string(index=False, float_format=lambda value: f"{value:.3f}", na_rep="-"))
