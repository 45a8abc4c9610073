"""``specimen-seg models import``, ``pull`` and ``push``: models from elsewhere, and on to others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.errors import one_line
from ..models.importing import ImportOptions
from . import options
from .console import print_json
from .task import run_task

if TYPE_CHECKING:
    from ..models.importing import Imported

_IMPORT_EPILOG = """\b
Examples:
  specimen-seg models import Trained_model_SM.pth -o fish-traits
  specimen-seg models import net.onnx -o leaf --classes background,leaf --preprocessing imagenet
  specimen-seg models import package.zip -o nuclei-from-the-zoo

What the file does not tell is asked for: the message names the options to give. Where
there is a likely answer, it is taken, and a line "assumed: ..." says what and how to say
otherwise; --ask assumes nothing.
Presets of --preprocessing: imagenet, zero-one, minus-one-one, zero-255, percentile, raw;
behind them, where wanted, :tiles=512, :pad=512 or :resize=320x800 (height x width).
"""

_PULL_EPILOG = """\b
Examples:
  specimen-seg models pull imageomics/BGNN-trait-segmentation
  specimen-seg models pull OWNER/NAME@v2 -o my-model

Afterwards "--model OWNER/NAME" works everywhere, without a connection.
HF_ENDPOINT names a mirror; HF_HUB_OFFLINE=1 uses only what was fetched before.
"""

_PUSH_EPILOG = """\b
Example:
  specimen-seg models push my-model -o upload
  hf upload OWNER/NAME upload
"""


def _output(text: str, *, required: bool = False) -> Callable[[options.Command], options.Command]:
    return click.option(
        "--output",
        "-o",
        required=required,
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help=text,
    )


_asked = options.from_settings(ImportOptions)
_overwrite = click.option("--overwrite", is_flag=True, help="Replace a model folder that exists.")


@click.command("import", epilog=_IMPORT_EPILOG, short_help="Make a model folder of a model from elsewhere.")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@_output("The model folder to make; among your own models if left out.")
@_asked
@_overwrite
@options.as_json
def import_command(source: Path, output: Path | None, overwrite: bool, as_json: bool, **given: Any) -> int:
    """Turn a model from elsewhere into a model folder, without running anything that is in it.

    FILE is a checkpoint of torch, segmentation-models-pytorch or fastai, an ONNX file, a bioimage.io
    package, or a model folder.
    """
    from ..models.importing import import_model, model_name
    from ..models.library import own_folder

    target = output if output is not None else own_folder() / model_name(source.stem)
    said = ImportOptions(**given)
    done = run_task(lambda report: import_model(source, target, said, report, overwrite=overwrite))
    return _show(done, as_json=as_json)


@click.command("pull", epilog=_PULL_EPILOG, short_help="Fetch a model from the Hugging Face Hub.")
@click.argument("repository", metavar="OWNER/NAME[@REVISION]")
@_output("The model folder to make; if left out, the model is found by OWNER/NAME from then on.")
@_asked
@_overwrite
@options.as_json
def pull_command(repository: str, output: Path | None, overwrite: bool, as_json: bool, **given: Any) -> int:
    """Fetch a model from the Hugging Face Hub and note which version it is.

    Takes model folders of this program, networks that segmentation-models-pytorch saved, bioimage.io
    packages, and what "models import" takes.
    """
    from ..models.hub import pull

    said = ImportOptions(**given)
    done = run_task(lambda report: pull(repository, output, said, report, overwrite=overwrite))
    return _show(done, as_json=as_json)


@click.command("push", epilog=_PUSH_EPILOG, short_help="Write a folder ready to upload to the Hub.")
@click.argument("model", metavar="MODEL")
@_output("The folder to make.", required=True)
@_overwrite
@options.as_json
def push_command(model: str, output: Path, overwrite: bool, as_json: bool) -> int:
    """Write a folder that can be uploaded to the Hugging Face Hub, with a page for people.

    Nothing is sent: look at README.md, add what is missing, then upload the folder.
    """
    from ..models.sharing import write_upload

    card = run_task(lambda report: write_upload(model, output, report, overwrite=overwrite))
    if as_json:
        print_json({"path": str(output), "card": card.model_dump(mode="json")})
    else:
        click.echo(one_line(output, 5000))
        click.echo(f"Look at README.md, then: hf upload OWNER/NAME {one_line(output)}", err=True)
    return 0


def _assumed(done: Imported) -> list[dict[str, Any]]:
    return [{"option": each.field, "taken": each.question.likely, "text": each.text} for each in done.assumed]


def _show(done: Imported, *, as_json: bool) -> int:
    if as_json:
        card = done.card.model_dump(mode="json")
        print_json(
            {"path": str(done.folder), "card": card, "notes": list(done.notes), "assumed": _assumed(done)}
        )
        return 0
    for note in done.notes:
        click.echo(one_line(note), err=True)
    for each in done.assumed:
        click.echo(f"assumed: {one_line(each.line, 500)}", err=True)
    names = ", ".join(entry.name for entry in done.card.class_map.foreground)
    click.echo(f"{done.card.network_name}; classes: {one_line(names, 1000)}", err=True)
    click.echo(one_line(done.folder, 5000))
    return 0
