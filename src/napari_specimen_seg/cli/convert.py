"""``specimen-seg convert``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..core.errors import one_line
from . import options
from .console import Console
from .inputs import gather
from .interrupt import interruptible

if TYPE_CHECKING:
    from ..batch.converting import Format

_EPILOG = """\b
Examples:
  specimen-seg convert masks/*.tif --to coco -o coco.json --images photos
  specimen-seg convert masks --to geojson -o for-qupath
  specimen-seg convert masks --to label-studio -o tasks.json --images photos
  specimen-seg convert masks --to png -o colours --colors

\b
And back:
  specimen-seg convert coco.json --to tif -o masks
  specimen-seg convert from-qupath/*.geojson --to tif -o masks --images photos
  specimen-seg convert export.json --to tif -o masks --class-map tasks-classes.json

Labels that were converted and come back unchanged have the same pixels.
"""

_FORMATS = ["coco", "label-studio", "geojson", "png", "tif"]


@click.command("convert", epilog=_EPILOG, short_help="Convert labels for other programs, and back.")
@options.inputs("LABELS")
@click.option("--to", "to", required=True, type=click.Choice(_FORMATS), help="The format that is made.")
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Folder of the results, or the file where one is made.",
)
@options.images("Folder of the pictures: for their names, sizes and pixel sizes.")
@options.class_map("Names and ids of the classes, instead of those in the files.")
@click.option(
    "--objects/--classes",
    "objects",
    default=None,
    help="From COCO, Label Studio or GeoJSON: number the regions one by one, or paint their classes. "
    "Left out: as the labels were from which the file was made, else classes.",
)
@click.option(
    "--colors", is_flag=True, help="With --to png: the colours of the classes instead of their ids."
)
@click.option(
    "--address",
    metavar="TEXT",
    help="With --to label-studio: what stands before a picture's name where it is served, such as "
    "https://example.org/photos/ [default: its local files]",
)
@options.overwrite
@options.as_json
def command(
    inputs: tuple[str, ...],
    to: Format,
    output: Path,
    images: Path | None,
    class_map: Path | None,
    objects: bool | None,
    colors: bool,
    address: str | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Convert labels to COCO, Label Studio, GeoJSON (QuPath), PNG or TIFF, and back.

    LABELS are label pictures, .json files of COCO or Label Studio and .geojson files: files, folders
    and patterns such as "masks/*.tif".
    """
    from ..batch.converting import ConvertRequest, convert_files, written_file
    from ..batch.sources import DOCUMENTS
    from ..core.exchange.label_studio import LOCAL_FILES
    from ..core.files import read_class_map
    from ..core.files.formats import PICTURE_SUFFIXES

    if colors and to != "png":
        raise click.UsageError("--colors goes with --to png")
    if address is not None and to != "label-studio":
        raise click.UsageError("--address goes with --to label-studio")
    names = read_class_map(class_map) if class_map else None
    request = ConvertRequest(to, names, images, objects, colors, LOCAL_FILES if address is None else address)
    # A .json file in a folder is more likely to say how the mask beside it was made.
    paths, missing = gather(inputs, suffixes=PICTURE_SUFFIXES | {".geojson"})
    many = any(path.suffix.lower() in DOCUMENTS for path in paths)  # how many pictures shows later
    with Console(0 if many else len(paths) + len(missing), as_json=as_json) as console:
        for failure in missing:
            console.show(failure)
        for result in interruptible(
            lambda report: convert_files(paths, output, request, overwrite=overwrite, report=report),
            console.report,
        ):
            console.show(result)
    made = written_file(output, to) if any(result.status == "done" for result in console.results) else None
    if made is None:
        return console.finish()
    if not as_json:
        console.say(one_line(made, limit=5000), file=sys.stdout)
    return console.finish(file=str(made))
