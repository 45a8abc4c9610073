"""``specimen-seg models``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import SpecimenError, one_line
from . import options
from .console import print_json
from .lazy import Later, LazyGroup

if TYPE_CHECKING:
    from ..models.card import ModelCard
    from ..models.library import LibraryEntry

_EPILOG = """\b
Examples:
  specimen-seg models
  specimen-seg models info beetle-parts
  specimen-seg models info path/to/model-folder --json
  specimen-seg models import Trained_model_SM.pth -o fish-traits
  specimen-seg models pull OWNER/NAME
"""


_COMMANDS = {
    "info": Later("models", "Show the card of a model.", "info"),
    "import": Later("model_files", "Make a model folder of a model from elsewhere.", "import_command"),
    "inspect": Later("model_inspect", "Tell what a file of weights holds.", "inspect_command"),
    "pull": Later("model_files", "Fetch a model from the Hugging Face Hub.", "pull_command"),
    "push": Later("model_files", "Write a folder ready to upload to the Hub.", "push_command"),
    "clear-cache": Later(
        "model_cache", "Remove networks that were converted and kept.", "clear_cache_command"
    ),
}


@click.group(
    "models",
    cls=LazyGroup,
    later=_COMMANDS,
    epilog=_EPILOG,
    invoke_without_command=True,
    short_help="List the models.",
)
@options.as_json
@click.pass_context
def command(context: click.Context, as_json: bool) -> int:
    """List the models that have a name, show what one of them knows, or bring in another."""
    if context.invoked_subcommand is not None:
        return 0
    from ..models.library import list_models, own_folder

    rows = [_row(entry) for entry in list_models()]
    if as_json:
        print_json({"models": rows, "own_folder": str(own_folder())})
    else:
        _print_table(rows)
        click.echo(f"Your own models go into {one_line(own_folder())}", err=True)
    return 1 if any(row["problem"] for row in rows) else 0


@click.command("info", short_help="Show the card of a model.")
@click.argument("model", metavar="MODEL")
@options.as_json
def info(model: str, as_json: bool) -> int:
    """Show what a model knows: its classes, what it was trained on, scores and licence.

    MODEL is the name of a model or a model folder.
    """
    from ..models.bundle import read_card, readme
    from ..models.library import find_model

    folder = find_model(model)
    card = read_card(folder)
    if as_json:
        print_json({"path": str(folder), "card": card.model_dump(mode="json")})
    else:
        for line in readme(card).rstrip().splitlines():  # a terminal obeys codes in a stranger's text
            click.echo(one_line(line, 5000))
        click.echo(f"\nFolder: {one_line(folder)}\nWeights: {_size(folder)}, SHA-256 {card.sha256}")
    return 0


def _row(entry: LibraryEntry) -> dict[str, Any]:
    """Return the line of a model in the list; a damaged one is listed with what is wrong."""
    from ..models.bundle import read_card

    row: dict[str, Any] = {"name": entry.name, "source": entry.source, "path": str(entry.path)}
    try:
        card = read_card(entry.path)
    except SpecimenError as error:
        return {**row, "classes": [], "description": "", "license": "", "size": "", "problem": str(error)}
    return {**row, **_summary(card), "size": _size(entry.path), "problem": ""}


def _summary(card: ModelCard) -> dict[str, Any]:
    return {
        "classes": [item.name for item in card.class_map.foreground],
        "description": card.description,
        "license": card.license,
    }


def _size(folder: Path) -> str:
    from ..models.bundle import size_of

    size = size_of(folder)
    return "weights missing" if size is None else f"{size / 1e6:.1f} MB"


def _print_table(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        click.echo(f"{row['name']}  ({row['source']}, {row['size'] or 'damaged'})")
        classes = ", ".join(row["classes"])
        for line in (row["problem"], row["description"], f"Classes: {classes}" if classes else ""):
            if line:
                click.echo(click.wrap_text(one_line(line, 1000), 90, "  ", "  "))
