"""Commands that are imported when they are called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click


class Later(NamedTuple):
    """A command that is not imported yet.

    Parameters
    ----------
    room : str
        The module beside this one that has it.
    line : str
        What the overview shows.
    name : str
        Of the command in its module.
    """

    room: str
    line: str
    name: str = "command"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, and not to list them.

    Parameters
    ----------
    *args, **options
        As of `click.Group`.
    later : mapping of str to Later
        The commands in the order of the overview.
    """

    def __init__(self, *args: Any, later: Mapping[str, Later], **options: Any) -> None:
        super().__init__(*args, **options)
        self.later = later

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands."""
        return list(self.later)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; None if there is no such."""
        if cmd_name not in self.later:
            return None
        found = self.later[cmd_name]
        command: click.Command = getattr(import_module(f".{found.room}", __package__), found.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the overview."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, found.line) for name, found in self.later.items()])
