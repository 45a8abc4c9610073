"""``specimen-seg lr-find``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from ..core.progress import Progress, silent
from .train import config_of, settings_options

_EPILOG = """\b
Example:
  specimen-seg lr-find --images photos --labels masks -o rates --recipe herbarium
"""


@click.command("lr-find", epilog=_EPILOG, short_help="Find a good learning rate.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Folder for lr-find.csv and lr-find.png.",
)  # fmt: skip
@settings_options
@click.option("--steps", type=click.IntRange(20, 10_000), default=100, show_default=True, help="Batches.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--progress", type=click.Choice(["text", "json"]), default="text", help="json: a line a batch on stdout."
)
def command(output: Path, steps: int, as_json: bool, progress: str, **given: Any) -> int:
    """Find a good learning rate for a training.

    Takes the options of "train". Prints the suggestion; the curve goes into DIR.
    """
    from ..training.buffers import keep_large_buffers
    from ..training.config import TrainConfig
    from ..training.lr_find import find_rate, write_curve

    keep_large_buffers()
    config = config_of(TrainConfig(), given)
    curve = find_rate(config, steps=steps, report=_tell if progress == "json" else silent)
    write_curve(curve, output)
    if as_json:
        json.dump({"suggestion": curve.suggestion, "steps": len(curve.rates)}, sys.stdout)
        print()
    else:
        print(f"{curve.suggestion:g}")
    return 0


def _tell(progress: Progress) -> None:
    print(json.dumps({"stage": progress.stage, "done": progress.done, "total": progress.total}), flush=True)
