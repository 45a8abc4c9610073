"""``specimen-seg repeat``."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .console import Console
from .inputs import gather
from .interrupt import interruptible

_EPILOG = """\b
Examples:
  specimen-seg repeat masks/scan.json -o again
  specimen-seg repeat masks -o again --images moved/photos

Pictures and model are looked for where they were; --images and --model say where
they are now. Both are checked: only the very same picture and model are used.
"""


@click.command("repeat", epilog=_EPILOG, short_help="Make label files again.")
@options.inputs("PROVENANCE")
@options.output_folder
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Folder in which the pictures are now.",
)
@click.option("--model", "-m", metavar="MODEL", help="Name or folder of the model, if it is another now.")
@options.overwrite
@options.as_json
def command(
    inputs: tuple[str, ...],
    output: Path,
    images: Path | None,
    model: str | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Make label files again from what "predict" noted beside them, and compare.

    PROVENANCE are the .json files, or folders of them. A result that is not the same to the last byte is
    kept, and counts as failed, with the reason.
    """
    from ..batch import repeat_files

    records, missing = gather(inputs, suffixes=(".json",))
    with Console(len(records) + len(missing), as_json=as_json) as console:
        for failure in missing:
            console.show(failure)
        results = interruptible(
            lambda report: repeat_files(
                records, output, images=images, model=model, overwrite=overwrite, report=report
            ),
            console.report,
        )
        for result in results:
            console.show(result)
    return console.finish()
