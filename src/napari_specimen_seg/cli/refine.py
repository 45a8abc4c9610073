"""``specimen-seg refine``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from ..core.refining import RefineSettings
from . import options
from .console import Console
from .inputs import gather
from .interrupt import interruptible

if TYPE_CHECKING:
    from ..core.image import PixelSize

_EPILOG = """\b
Examples:
  specimen-seg refine masks/*.tif -o better --remove-small 50 --fill-holes
  specimen-seg refine masks -o better --smooth 2 --classes elytra,pronotum
  specimen-seg refine masks -o better --remove-small 0.01 --dilate 0.05 --unit mm

What is asked for is done in the order above: --smooth first, --split last.
Each file leaves NAME.tif in the folder, with class map and pixel size inside.
What is finished is skipped, so the same command goes on after a break.
"""


@click.command("refine", epilog=_EPILOG, short_help="Clean label files.")
@options.inputs("LABELS")
@options.output_folder
@options.from_settings(RefineSettings)
@click.option("--classes", metavar="A,B", help="Change only these classes, by name or id.")
@options.pixel_size
@options.unit("Unit of all lengths (and, squared, areas) here: nm, um, mm, cm, m or inch; else pixels.")
@options.class_map()
@options.overwrite
@options.as_json
def command(
    inputs: tuple[str, ...],
    output: Path,
    classes: str | None,
    pixel_size: PixelSize | None,
    unit: str | None,
    class_map: Path | None,
    overwrite: bool,
    as_json: bool,
    **settings: Any,
) -> int:
    """Clean label files: remove specks, fill holes, smooth, grow, shrink and cut classes.

    LABELS are files, folders and patterns such as "masks/*.tif".
    """
    from ..batch.refining import RefineRequest, refine_files
    from ..core.files import read_class_map

    options.refuse_unit_alone(pixel_size, unit, unit_may_stand_alone=True)
    if settings["max_hole"] is not None and not settings["fill_holes"]:
        raise click.UsageError("--max-hole says which holes --fill-holes fills; give both")
    if not any(settings.values()):
        raise click.UsageError("say what to do, for example --fill-holes or --remove-small 50")
    try:
        chosen = RefineSettings(**settings)
    except ValidationError:
        raise click.UsageError("lengths and areas must be finite numbers above zero") from None
    names = tuple(name.strip() for name in (classes or "").split(",") if name.strip())
    if classes is not None and not names:
        raise click.UsageError("--classes needs the name or id of a class")
    request = RefineRequest(chosen, names, pixel_size, unit, read_class_map(class_map) if class_map else None)
    paths, missing = gather(inputs)
    with Console(len(paths) + len(missing), as_json=as_json) as console:
        for failure in missing:
            console.show(failure)
        for result in interruptible(
            lambda report: refine_files(paths, output, request, overwrite=overwrite, report=report),
            console.report,
        ):
            console.show(result)
    return console.finish()
