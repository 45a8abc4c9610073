"""``specimen-seg evaluate``."""

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
    print_scores,
    run_evaluation,
    second_option,
    settings_of,
)

if TYPE_CHECKING:
    from ..evaluation.run import Evaluation

_EPILOG = """\b
Examples:
  specimen-seg evaluate --labels truth --predictions masks -o report
  specimen-seg evaluate --labels truth --images photos -m beetle-parts -o report
  specimen-seg evaluate --labels nuclei/labels --images nuclei/images -m nuclei \\
      --instances --curves -o report

Leaves scores.csv (per class), images.csv (per picture, worst first),
confusion.csv, samples.png, summary.json and report.html, which needs no network.
What belongs together has the same name; labels may end in _mask or _labels.
"""


@click.command(epilog=_EPILOG, short_help="Score masks or a model on labelled pictures.")
@labels_option
@click.option(
    "--predictions",
    type=click.Path(path_type=Path, exists=True),
    metavar="DIR",
    help="Folder of the masks to score; or give a model and pictures.",
)
@click.option("--model", "-m", metavar="MODEL", help="Name of a model, or a model folder; with --images.")
@images_option(required=False)
@output_option
@class_map_option
@second_option
@evaluate_options(EvaluateSettings)
@predict_options(PredictSettings)
@options.overwrite
@options.as_json
def command(
    labels: Path,
    predictions: Path | None,
    model: str | None,
    images: Path | None,
    output: Path,
    class_map: Path | None,
    second_labels: Path | None,
    overwrite: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Score masks, or a model, against labels: how much agrees, class by class and picture by picture.

    Give either --predictions, or -m and --images.
    """
    from ..core.files import read_class_map
    from ..evaluation.compare import names_for
    from ..evaluation.output import refuse_existing, write_results
    from ..evaluation.pairs import find_cases
    from ..evaluation.run import SECOND, Evaluation, choose_class_map
    from ..evaluation.sources import MaskSource, ModelSource, Source

    if (predictions is None) == (model is None):
        raise click.UsageError("give either --predictions DIR, or --model MODEL and --images DIR")
    if model is not None and images is None:
        raise click.UsageError("a model needs the pictures: add --images DIR")
    settings, predict = settings_of(EvaluateSettings, given), settings_of(PredictSettings, given)
    if settings.curves and model is None:
        raise click.UsageError("--curves needs a model: masks do not say how sure it was")
    refuse_existing(output, overwrite, advice=OVERWRITE)
    name = names_for([model or str(predictions)])[0]
    cases = find_cases(
        labels,
        images=images,
        predictions=[(name, predictions)] if predictions else [],
        seconds=[(SECOND, second_labels)] if second_labels else [],
        needs_image=model is not None,
    )
    known = read_class_map(class_map) if class_map else None
    models = [ModelSource(name, model, predict)] if model is not None else []
    classes = choose_class_map(known, cases.cases, models)
    masks = [MaskSource(name, predictions, classes)] if predictions else []
    sources: list[Source] = [*models, *masks]
    second = MaskSource(SECOND, second_labels, classes) if second_labels else None
    evaluation = Evaluation(sources, classes, settings, second)
    with Console(len(cases.cases) + len(cases.problems), as_json=as_json) as console:
        notes = run_evaluation(cases, evaluation, console)
    written: list[Path] = []
    if evaluation.cases:
        written = write_results(output, evaluation, notes=notes, overwrite=overwrite)
    return _finish(console, evaluation, written)


def _finish(console: Console, evaluation: Evaluation, written: list[Path]) -> int:
    from ..evaluation.output import overall_of, plain

    if not evaluation.cases:
        return console.finish(outputs=[])
    scores = evaluation.scores()
    if not console.as_json:
        print_scores(scores, evaluation.ceiling)
        print(written[0])
    return console.finish(
        scores=plain(scores.classes.to_dict("records")),
        overall=plain(overall_of(scores)),
        outputs=[str(path) for path in written],
    )
