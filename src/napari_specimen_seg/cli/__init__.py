"""The command ``specimen-seg``.

Only click is imported here: each command brings in its own room when it is called, so that ``--help``
answers at once.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress

import click

from ..batch.hush import hush_libraries
from .lazy import Later, LazyGroup

SOME_FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells do it

STOPPED = "Stopped. What is finished stays; the same command goes on from there."

_COMMANDS = {
    "predict": Later("predict", "Segment pictures with a model."),
    "measure": Later("measure", "Measure label files: areas and shapes, as one table."),
    "refine": Later("refine", "Clean label files: specks, holes, rims, cuts."),
    "convert": Later("convert", "Convert labels for other programs, and back."),
    "sample": Later("sample", "Draw pictures from a collection, by taxonomy."),
    "models": Later("models", "List the models, import, pull or share one."),
    "export": Later("export", "Write a model for other programs."),
    "train": Later("train", "Train a model on labelled pictures."),
    "lr-find": Later("lr_find", "Find a good learning rate."),
    "evaluate": Later("evaluate", "Score masks or a model on labelled pictures."),
    "compare": Later("compare", "Compare models on the same labelled pictures."),
    "repeat": Later("repeat", "Make label files again from what was noted beside them."),
}
"""Each command lies in the room of the same name."""

_EPILOG = """\b
From pictures to a table of areas:
  specimen-seg predict photos/*.jpg --model beetle-parts --output masks
  specimen-seg measure masks/*.tif --output areas.csv

\b
Exit code: 0 all done, 1 some inputs failed (the others are done), 2 wrong usage.
"""


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from .. import __version__

        click.echo(f"specimen-seg {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    later=_COMMANDS,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version.",
)
def program() -> None:
    """Turn specimen pictures into measurements: segment them with a model, then measure the parts.

    "specimen-seg COMMAND --help" explains a command.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of the process if left out.

    Returns
    -------
    int
        The exit code: 0 all done, 1 some inputs failed, 2 wrong usage, 130 interrupted.
    """
    # pydantic would look through all packages that are installed for plugins to it.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.set_threshold(50_000, 20, 50)  # what is imported stays; looking through it for garbage takes time
    _accept_any_text()
    _speak_plainly()
    try:
        code = program.main(arguments, prog_name="specimen-seg", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(STOPPED, err=True)
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough
        with suppress(OSError):
            sys.stdout.close()
        return SOME_FAILED
    except Exception as error:
        click.echo(_line_of(error), err=True)
        return SOME_FAILED
    return code if isinstance(code, int) else 0


def _line_of(error: Exception) -> str:
    from ..core.log import as_specimen_error
    from .console import in_terminal

    return in_terminal(str(as_specimen_error(error)))


def _speak_plainly() -> None:
    """Let a warning be one line, and libraries none."""
    hush_libraries()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        click.echo(f"warning: {message}", err=True)

    warnings.showwarning = show


def _accept_any_text() -> None:
    """Let a terminal that lacks a letter show its code instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
