"""``specimen-seg measure``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ..core.errors import WriteError, one_line
from . import options
from .console import Console
from .inputs import gather
from .interrupt import interruptible

if TYPE_CHECKING:
    from pandas import DataFrame

    from ..core.image import PixelSize

_EPILOG = """\b
Examples:
  specimen-seg measure masks/*.tif -o areas.csv
  specimen-seg measure masks -o objects.csv --per object --images photos
  specimen-seg measure scan.png -o areas.csv --class-map classes.json --pixel-size 0.021 --unit mm

The pixel size comes from the label files unless it is given.
"""


@click.command("measure", epilog=_EPILOG, short_help="Measure label files.")
@options.inputs("LABELS")
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The table, a .csv file.",
)
@click.option(
    "--per",
    type=click.Choice(["class", "object", "specimen"]),
    default="class",
    show_default=True,
    help="What gets a row: each class, each connected part of a class, or each specimen.",
)
@options.images("Folder of the pictures, called like their labels: adds the mean brightness or colour.")
@options.pixel_size
@options.unit("Unit of --pixel-size (nm, um, mm, cm, m or inch); alone: the unit of the table.")
@options.class_map()
@options.overwrite
@options.as_json
def command(
    inputs: tuple[str, ...],
    output: Path,
    per: Literal["class", "object", "specimen"],
    images: Path | None,
    pixel_size: PixelSize | None,
    unit: str | None,
    class_map: Path | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Measure label files: areas and shapes, as one table.

    LABELS are files, folders and patterns such as "masks/*.tif".
    """
    from ..batch import MeasureSettings, measure_files
    from ..core.files import read_class_map

    options.refuse_unit_alone(pixel_size, unit, unit_may_stand_alone=True)
    _refuse_existing(output, overwrite=overwrite)
    names = read_class_map(class_map) if class_map else None
    settings = MeasureSettings(per=per, images=images, pixel_size=pixel_size, unit=unit, class_map=names)
    paths, missing = gather(inputs)
    tables = []
    with Console(len(paths) + len(missing), as_json=as_json) as console:
        for failure in missing:
            console.show(failure)
        for result in interruptible(lambda report: measure_files(paths, settings, report), console.report):
            console.show(result)
            tables += [] if result.table is None else [result.table]
    return _finish(console, output, tables, overwrite=overwrite, as_json=as_json)


def _refuse_existing(output: Path, *, overwrite: bool) -> None:
    """Refuse now, not after an hour's work."""
    if output.exists() and not overwrite:
        raise WriteError(
            "it exists already",
            path=output,
            advice="Choose another name, or allow overwriting with --overwrite.",
        )


def _finish(
    console: Console, output: Path, tables: list[DataFrame], *, overwrite: bool, as_json: bool
) -> int:
    from ..batch import join_tables
    from ..core.files import write_table

    if not tables:
        return console.finish(table=None, rows=[])
    table = join_tables(tables)
    write_table(output, table, overwrite)
    if not as_json:
        console.say(one_line(output, limit=5000), file=sys.stdout)
        return console.finish()
    rows = json.loads(table.to_json(orient="records", double_precision=15))
    return console.finish(table=str(output), rows=rows)
