"""``specimen-seg models clear-cache``: room on the disk."""

from __future__ import annotations

import click

from ..core.errors import one_line
from . import options
from .console import print_json


@click.command("clear-cache", short_help="Remove networks that were converted and kept.")
@options.as_json
def clear_cache_command(as_json: bool) -> int:
    """Remove networks that were converted for OpenVINO and kept for the next run.

    Nothing is lost: the next run converts what it needs again.
    """
    from ..models import kept

    folder = kept.kept_folder()
    count, size = kept.clear()
    if as_json:
        print_json({"folder": str(folder), "removed": count, "bytes": size})
    else:
        noun = "network" if count == 1 else "networks"
        click.echo(f"Removed {count} converted {noun} ({size / 1e6:.1f} MB) from {one_line(folder)}")
    return 0
