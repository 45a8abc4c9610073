"""What the commands ``evaluate`` and ``compare`` share: options, the run, and the table on stdout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..core.errors import one_line
from . import options
from .interrupt import interruptible

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ..evaluation.pairs import Cases
    from ..evaluation.result import Scores
    from ..evaluation.run import Evaluation
    from .console import Console

Command = TypeVar("Command", bound=Callable[..., Any])
Settings = TypeVar("Settings", bound="BaseModel")

OVERWRITE = "Choose another folder, or add --overwrite."
"""What to do where results are in the way."""

_NOT_HERE = ("confidence", "instances")  # of a prediction: the evaluation has its own word on objects

labels_option = click.option(
    "--labels", required=True, type=click.Path(path_type=Path, exists=True), metavar="DIR",
    help="Folder of the truth.",
)  # fmt: skip

output_option = click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Folder of the tables and the report.",
)  # fmt: skip

class_map_option = options.class_map(
    "The classes to compare by, instead of those in the label files or the model."
)

second_option = click.option(
    "--second-labels",
    type=click.Path(path_type=Path, exists=True),
    metavar="DIR",
    help="Labels of the same pictures, or of some of them, by another person: their agreement is drawn "
    "as the most that can be expected.",
)


def images_option(*, required: bool) -> Callable[[Command], Command]:
    """Return the option for the folder of pictures."""
    return click.option(
        "--images",
        required=required,
        type=click.Path(path_type=Path, exists=True),
        metavar="DIR",
        help="Folder of the pictures, called like their labels.",
    )


def evaluate_options(settings: type[BaseModel]) -> Callable[[Command], Command]:
    """Return a decorator that adds the options of `EvaluateSettings`; values to ignore may be repeated."""
    ignore = click.option(
        "--ignore",
        multiple=True,
        type=click.IntRange(0, 65535),
        metavar="VALUE",
        help="A value in the truth whose pixels are left out; may be given several times.",
    )
    fields = options.from_settings(settings, leave_out=("ignore",))
    return lambda command: ignore(fields(command))


def predict_options(settings: type[BaseModel]) -> Callable[[Command], Command]:
    """Return a decorator that adds those options of `PredictSettings` that matter for scores."""
    return options.from_settings(settings, leave_out=_NOT_HERE)


def settings_of(kind: type[Settings], given: dict[str, Any]) -> Settings:
    """Return a settings object from those of the options that are its fields."""
    names = set(kind.model_fields) - (set(_NOT_HERE) if kind.__name__ == "PredictSettings" else set())
    return kind(**{name: value for name, value in given.items() if name in names})


def run_evaluation(cases: Cases, evaluation: Evaluation, console: Console) -> list[str]:
    """Compare all pictures and show what becomes of each.

    Parameters
    ----------
    cases : Cases
    evaluation : Evaluation
    console : Console

    Returns
    -------
    list of str
        What a reader of the report must know first.
    """
    from ..batch.evaluating import evaluate_cases

    for note in cases.notes:
        console.say(note)
    for result in interruptible(lambda report: evaluate_cases(cases, evaluation, report), console.report):
        console.show(result)
    lost = [r for r in console.results if r.status == "failed"]
    if not lost:
        return []
    names = ", ".join(one_line(r.path.name) for r in lost[:5]) + (", …" if len(lost) > 5 else "")
    return [f"{len(lost)} of {console.total} labelled pictures could not be compared: {names}."]


def print_scores(scores: Scores, ceiling: Scores | None = None) -> None:
    """Print the table of classes and the means, for people."""
    columns = ["class", "iou", "dice", "precision", "recall", "f1", "boundary_f1", "support"]
    table = scores.classes[columns].assign(**{"class": [one_line(n, 24) for n in scores.classes["class"]]})
    if ceiling is not None:
        table = table.assign(two_people=ceiling.classes["iou"])
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}", na_rep="-"))
    overall = scores.overall
    print(f"mean IoU {overall['mean_iou']:.3f} pooled, {overall['picture_mean_iou']:.3f} mean over pictures")
    if "object_ap" in overall:
        print(f"objects: AP {overall['object_ap']:.3f}, F1 at 0.5 {overall['object_f1_50']:.3f}")
    if scores.best_threshold is not None:
        print(f"best threshold {scores.best_threshold[0]:.3f} (mean IoU {scores.best_threshold[1]:.3f})")
