"""``specimen-seg models inspect``: what a file of weights holds, before anything is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import one_line
from . import options
from .console import print_json

if TYPE_CHECKING:
    from ..models.legacy.files import Contents
    from ..models.legacy.recognise import Recognition

_EPILOG = """\b
Examples:
  specimen-seg models inspect Trained_model_SM.pth
  specimen-seg models inspect old-checkpoint.ckpt --json
"""


@click.command("inspect", epilog=_EPILOG, short_help="Tell what a file of weights holds.")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--part", help="Which network, where the file holds several.")
@options.as_json
def inspect_command(source: Path, part: str | None, as_json: bool) -> int:
    """Tell which network a file of weights holds, what is asked on import, and what it would have run.

    FILE is a checkpoint of torch, segmentation-models-pytorch or fastai, or a safetensors file. Nothing in
    it is executed, and nothing is written.
    """
    from ..models.importing import ImportOptions
    from ..models.legacy import inspect_checkpoint

    contents, found = inspect_checkpoint(source, ImportOptions(part=part))
    contents.source.check(found.network.tensors)
    if as_json:
        print_json(_facts(contents, found))
    else:
        for line in _lines(contents, found):
            click.echo(line)
    return 0


def _facts(contents: Contents, found: Recognition) -> dict[str, Any]:
    return {
        "path": str(contents.path),
        "kind": contents.kind,
        "network": found.network.label,
        "whole": found.whole,
        "architecture": found.architecture,
        "encoder": found.encoder,
        "in_channels": found.in_channels,
        "out_channels": found.out_channels,
        "activation": found.activation,
        "options": found.options,
        "classes": list(found.classes),
        "tensors": len(found.network.tensors),
        "told": found.told,
        "questions": [
            {"option": q.field, "text": q.text, "candidates": list(q.candidates)} for q in found.questions
        ],
        "assumed": [{"option": each.field, "text": each.text} for each in found.assumed],
        "notes": list(found.notes),
        "foreign_calls": list(contents.foreign),
    }


def _lines(contents: Contents, found: Recognition) -> list[str]:
    what = "a whole network" if found.whole else "the weights of a network"
    count = len(found.network.tensors)
    rows = [
        ("File", f"{contents.kind} with {what}, {count} tensors ({found.network.label})"),
        ("Architecture", found.architecture),
        ("Encoder", found.encoder),
        ("Channels", f"{found.in_channels or 'unknown'} in, {found.out_channels} out"),
        ("Activation", found.activation or "not told"),
        ("Settings", ", ".join(f"{key}={value}" for key, value in found.options.items())),
        ("Classes", ", ".join(found.classes)),
        ("Would have called", ", ".join(contents.foreign)),
    ]
    lines = [f"{name + ':':19}{one_line(text, 500)}" for name, text in rows if text]
    asked = [f"Asked on import:   {one_line(q.text)} (--{q.field})" for q in found.questions]
    assumed = [f"Assumed:           {one_line(each.line)}" for each in found.assumed]
    return lines + asked + assumed + [f"Note:              {one_line(note)}" for note in found.notes]
