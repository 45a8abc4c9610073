"""``specimen-seg sample``."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .console import Console
from .interrupt import interruptible

_EPILOG = """\b
Examples:
  specimen-seg sample metadata.json -n 5 --per family --weight genus -o sample --images photos
  specimen-seg sample metadata.csv -n 200 --weight species --seed 7 -o sample

\b
The folder gets
  metadata.json or .csv   what is known of the pictures that were drawn
  sample.json             how they were drawn
  images/                 the pictures, with --images

METADATA is JSON as COCO has it (images, annotations, categories with order, family, genus, species), or a
table with a column "image" and any levels. The same seed gives the same pictures.
"""


@click.command("sample", epilog=_EPILOG, short_help="Draw pictures from a collection.")
@click.argument("metadata", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "-n",
    "--number",
    "count",
    required=True,
    type=click.IntRange(1),
    metavar="N",
    help="Pictures of each group.",
)
@click.option(
    "--per",
    default="all",
    show_default=True,
    metavar="LEVEL",
    help="What is a group: order, family, genus, species, name or any column; all: one group of everything.",
)
@click.option(
    "--weight",
    default="image",
    show_default=True,
    metavar="LEVEL",
    help="Whose members are equally likely within a group, such as genus or species.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="S",
    help="Another one, other pictures.",
)
@options.images("Folder that the names of pictures are relative to; they are copied from there.")
@options.output_folder
@options.overwrite
@options.as_json
def command(
    metadata: Path,
    count: int,
    per: str,
    weight: str,
    seed: int,
    images: Path | None,
    output: Path,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Draw pictures from a large collection, so many of each family, genus or species.

    Within a group each member of a lower level is equally likely, so that rare kinds are drawn as often as
    common ones.
    """
    from ..batch.sampling import SampleRequest, write_sample

    request = SampleRequest(count, per, weight, seed)
    with Console(0, as_json=as_json) as console:
        for result in interruptible(
            lambda report: write_sample(
                metadata, output, request, images, overwrite=overwrite, report=report
            ),
            console.report,
        ):
            console.show(result)
    return console.finish()
