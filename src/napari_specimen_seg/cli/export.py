"""``specimen-seg export``."""

from __future__ import annotations

from pathlib import Path

import click

from ..core.errors import one_line
from ..models.exporting import FORMATS
from . import options
from .console import print_json
from .task import run_task

_EPILOG = """\b
Examples:
  specimen-seg export beetle-parts -o beetle-parts.onnx --format onnx
  specimen-seg export beetle-parts -o beetle-parts.zip --format bioimageio
"""


@click.command("export", epilog=_EPILOG, short_help="Write a model for other programs.")
@click.argument("model", metavar="MODEL")
@click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path), metavar="PATH",
    help="The file or folder to make.",
)  # fmt: skip
@click.option(
    "--format",
    "kind",
    required=True,
    type=click.Choice(list(FORMATS)),
    help="; ".join(f"{name}: {entry.help}" for name, entry in FORMATS.items()) + ".",
)
@options.overwrite
@options.as_json
def command(model: str, output: Path, kind: str, overwrite: bool, as_json: bool) -> int:
    """Write a model in the format of other programs.

    MODEL is the name of a model or a model folder.
    """
    from ..models.exporting import export_model

    path = run_task(lambda report: export_model(model, output, kind, report, overwrite=overwrite))
    if as_json:
        print_json({"path": str(path), "format": kind})
    else:
        click.echo(one_line(path, 5000))
    return 0
