"""``specimen-seg predict``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from ..core.errors import ModelError, SpecimenError, one_line
from ..models.settings import PredictSettings
from . import options
from .console import Console
from .inputs import gather
from .interrupt import interruptible

if TYPE_CHECKING:
    from ..core.image import PixelSize


class WrongModel(click.ClickException):
    """A model that there is not: wrong usage, said in one line."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line."""
        click.echo(self.message, file=file, err=file is None)


def refuse_unknown_model(model: str) -> None:
    """Say at once that there is no such model, instead of once for every picture."""
    from ..models.library import find_model

    try:
        find_model(model)
    except ModelError as error:
        raise WrongModel(str(error)) from error


def say_assumed(model: str) -> None:
    """Remind of what was assumed when a model was imported: masks may be wrong if it is not so."""
    from ..models.bundle import read_card
    from ..models.library import find_model

    with suppress(SpecimenError):  # what is wrong with a model is said of each picture
        assumed = read_card(find_model(model)).assumed
        if assumed:
            said = f"assumed when it was imported: {', '.join(assumed)}"
            click.echo(f"note: {one_line(model)}: {said} (see: specimen-seg models info)", err=True)


_EPILOG = """\b
Examples:
  specimen-seg predict photos/*.jpg -m beetle-parts -o masks
  specimen-seg predict photos -m ~/models/mine -o masks --pixel-size 0.021 --unit mm
  specimen-seg predict slides -m nuclei -o masks --instances --confidence

Each picture leaves NAME.tif (the labels) and NAME.json (what made them) in the
folder. What is finished is skipped, so the same command goes on after a break.
Pictures of the same name get longer names: a/x.png and b/x.png become a_x.tif
and b_x.tif.
"""


@click.command("predict", epilog=_EPILOG, short_help="Segment pictures with a model.")
@options.inputs("INPUT")
@click.option("--model", "-m", required=True, metavar="MODEL", help="Name of a model, or a model folder.")
@options.output_folder
@options.from_settings(PredictSettings)
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    metavar="N",
    help="How many pictures to work on at once, each in a process with its own share of the processor.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Work on a Dask cluster instead: tcp://host:8786.")
@options.pixel_size
@options.unit("Unit of --pixel-size: nm, um, mm, cm, m or inch.")
@options.overwrite
@options.as_json
def command(
    inputs: tuple[str, ...],
    model: str,
    output: Path,
    workers: int,
    scheduler: str | None,
    pixel_size: PixelSize | None,
    unit: str | None,
    overwrite: bool,
    as_json: bool,
    **settings: Any,
) -> int:
    """Segment pictures: give every pixel a class.

    INPUT are files, folders and patterns such as "photos/*.jpg".
    """
    from ..batch import plan_jobs, predict_files
    from ..training.buffers import keep_large_buffers

    keep_large_buffers()  # this process is ours, and does nothing else
    options.refuse_unit_alone(pixel_size, unit, unit_may_stand_alone=False)
    if scheduler is not None and workers != 1:
        raise click.UsageError("--scheduler brings its own workers; leave --workers out")
    chosen = PredictSettings(**settings)
    refuse_unknown_model(model)
    say_assumed(model)
    pictures, missing = gather(inputs, leave_out=output)
    jobs = plan_jobs(pictures, output, confidence=chosen.confidence)
    with Console(len(jobs) + len(missing), as_json=as_json) as console:
        for failure in missing:
            console.show(failure)
        results = interruptible(
            lambda report: predict_files(
                jobs,
                model,
                chosen,
                pixel_size=pixel_size,
                unit=unit,
                overwrite=overwrite,
                workers=workers,
                scheduler=scheduler,
                report=report,
            ),
            console.report,
        )
        for result in results:
            console.show(result)
    return console.finish()
