"""``specimen-seg export``."""

from __future__ import annotations

from pathlib import Path

import click

from ..core.errors import one_line
from ..models.card import Precision
from ..models.exporting import FORMATS
from . import options
from .console import print_json
from .task import run_task

_EPILOG = """\b
Examples:
  specimen-seg export beetle-parts -o beetle-parts.onnx --format onnx
  specimen-seg export beetle-parts -o beetle-parts.zip --format bioimageio
  specimen-seg export beetle-parts -o small --format openvino --precision int8 \\
      --calibrate photos

What is exported with "openvino", or in int8, is a model folder: use it with
--model. See with "compare" what it lost before you rely on it.
"""


@click.command("export", epilog=_EPILOG, short_help="Write a model for other programs, or smaller.")
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
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "int8"]),
    help="Of the numbers inside: bf16 halves the size, int8 quarters it and is fastest. "
    "openvino has all three, onnx fp32 and int8.",
)
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path, exists=True),
    metavar="DIR",
    help="Pictures like those that the model is meant for; int8 needs them (30 to 150).",
)
@options.overwrite
@options.as_json
def command(
    model: str,
    output: Path,
    kind: str,
    precision: Precision | None,
    calibrate: Path | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Write a model in the format of other programs, or smaller and faster for this one.

    MODEL is the name of a model or a model folder.
    """
    from ..models.exporting import export_model

    path = run_task(
        lambda report: export_model(
            model, output, kind, report, precision=precision, calibrate=calibrate, overwrite=overwrite
        )
    )
    if as_json:
        print_json({"path": str(path), "format": kind})
    else:
        click.echo(one_line(path, 5000))
    return 0
