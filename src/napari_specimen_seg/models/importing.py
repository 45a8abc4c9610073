"""The one door for models that were made elsewhere: which importer, what to ask, where the result goes.

An importer reads a foreign file and answers with a `Draft`: a card and weights, nothing written. What it
cannot tell it asks for by `QuestionsError`; the dock turns that into a form, the command line into the
options to give. Where there is a likely answer, it may take that instead, as an `Assumption`, which is said,
written into the card and asked for with `ImportOptions.ask`. Nothing is guessed silently and nothing in the
file is executed.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..core.errors import ModelError, ReadError, one_line
from ..core.progress import Progress, Report, silent
from .archives import names_in
from .card import ModelCard

if TYPE_CHECKING:
    import torch


class ImportOptions(BaseModel):
    """What a person can say of a model that its file does not tell. Empty: ask where it is needed.

    Parameters
    ----------
    name : str, optional
        Of the new model; the folder's or the file's if left out.
    architecture, encoder : str, optional
        As segmentation-models-pytorch calls them.
    classes : str, optional
        A class map file, the name of a preset, or names with commas between them, in channel order and
        without the background unless it has a channel of its own.
    head : {"softmax", "sigmoid", "binary"}, optional
        How output channels become classes.
    activation : {"none", "softmax", "sigmoid"}, optional
        What the network itself applies to its output.
    preprocessing : str, optional
        A preset's name, or a JSON file with a preprocessing or a card.
    preset : {"fish-traits", "herbarium", "embryo-gray", "none"}, optional
        A known kind of model, which says classes and preprocessing. A file that can be nothing else is
        recognised without it, unless this is ``none``.
    part : str, optional
        Which one, where the file holds several networks, outputs or files.
    license : str, optional
        SPDX name of the weights' licence.
    ask : bool
        Whether to ask for everything that the file does not tell, instead of taking the likeliest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str | None, Field(title="Name", description="Of the new model.")] = None
    architecture: Annotated[
        str | None, Field(title="Architecture", description="Such as Unet, FPN or DeepLabV3Plus.")
    ] = None
    encoder: Annotated[
        str | None, Field(title="Encoder", description="Such as resnet34 or se_resnext50_32x4d.")
    ] = None
    classes: Annotated[
        str | None,
        Field(title="Classes", description="Names with commas between, a class map file, or a preset."),
    ] = None
    head: Annotated[
        Literal["softmax", "sigmoid", "binary"] | None,
        Field(title="Head", description="How output channels become classes."),
    ] = None
    activation: Annotated[
        Literal["none", "softmax", "sigmoid"] | None,
        Field(title="Activation", description="What the network itself applies to its output."),
    ] = None
    preprocessing: Annotated[
        str | None,
        Field(title="Preprocessing", description="How pictures are scaled: a preset or a JSON file."),
    ] = None
    preset: Annotated[
        Literal["fish-traits", "herbarium", "embryo-gray", "none"] | None,
        Field(title="Preset", description="A known kind of model: says its classes and preprocessing."),
    ] = None
    part: Annotated[
        str | None, Field(title="Part", description="Which one, where the file holds several.")
    ] = None
    license: Annotated[str | None, Field(title="Licence", description="Of the weights (SPDX name).")] = None
    ask: Annotated[
        bool, Field(title="Ask", description="Ask for what the file does not tell; assume nothing.")
    ] = False


@dataclass(frozen=True, slots=True)
class Question:
    """Something that the file does not tell.

    Parameters
    ----------
    field : str
        Of `ImportOptions`, which is also the option of the command line.
    text : str
        What is asked, for people: ``"What are its 3 classes called?"``.
    candidates : tuple of str
        Possible answers, likeliest first; empty: any text.
    likely : str
        The answer that is most probably right; empty if none is.
    """

    field: str
    text: str
    candidates: tuple[str, ...] = ()
    likely: str = ""


class QuestionsError(ModelError):
    """A model that needs answers before it can be imported.

    Parameters
    ----------
    questions : sequence of Question
        At least one.
    path : path-like
        The file.
    """

    def __init__(
        self, questions: tuple[Question, ...], *, path: str | os.PathLike[str] | None = None
    ) -> None:
        self.questions = questions
        wanted = " and ".join(_option(question) for question in questions)
        super().__init__(
            " ".join(question.text for question in questions).rstrip("?"),
            path=path,
            advice=f"Give {wanted}.",
        )


def _option(question: Question) -> str:
    shown = ", ".join(question.candidates[:6]) + (", …" if len(question.candidates) > 6 else "")
    shown = shown or question.likely
    return f"--{question.field.replace('_', '-')}" + (f" ({shown})" if shown else "")


@dataclass(frozen=True, slots=True)
class Assumption:
    """Something that the file does not tell, and the likeliest answer that was taken.

    Parameters
    ----------
    question : Question
        With what was taken as its `likely` answer.
    text : str
        What was taken, for people: ``"one class per pixel, the first channel as background"``.
    """

    question: Question
    text: str

    @property
    def field(self) -> str:
        """Of `ImportOptions`."""
        return self.question.field

    @property
    def line(self) -> str:
        """What was taken, and the option that says otherwise."""
        others = [each for each in self.question.candidates if each != self.question.likely]
        example = f" {others[0]}" if others else ""
        return f"{self.text} (otherwise: --{self.field}{example})"


@dataclass(frozen=True, slots=True)
class Draft:
    """A foreign model in our terms, before anything is written.

    Parameters
    ----------
    card : ModelCard
        Without checksums.
    weights : mapping of str to torch.Tensor, or bytes
        The state dict of the network that the card describes, or the content of the weights file.
    notes : tuple of str
        What a person should know, one line each: what was assumed, repaired or left out.
    beside : mapping of str to str
        Further text files of the model folder, by name.
    assumed : tuple of Assumption
        What the file does not tell and was taken as the likeliest.
    """

    card: ModelCard
    weights: Mapping[str, torch.Tensor] | bytes
    notes: tuple[str, ...] = ()
    beside: Mapping[str, str] = field(default_factory=dict)
    assumed: tuple[Assumption, ...] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """A model that was imported: its folder, its card, what a person should know and what was assumed."""

    folder: Path
    card: ModelCard
    notes: tuple[str, ...] = ()
    assumed: tuple[Assumption, ...] = ()


Importer = Callable[[Path, ImportOptions, Report], Draft]
"""Reads a foreign file. Raises `ModelError` (or `QuestionsError`) with one line, and nothing else."""


def import_model(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    options: ImportOptions | None = None,
    report: Report = silent,
    *,
    overwrite: bool = False,
) -> Imported:
    """Turn a model made elsewhere into a model folder of ours; the original is not needed afterwards.

    Parameters
    ----------
    source : path-like
        A checkpoint, an ONNX file, a bioimage.io package or a folder.
    folder : path-like
        The model folder to make.
    options : ImportOptions, optional
        What the file does not tell.
    report : callable
        May raise `CancelledError`.
    overwrite : bool
        Whether an existing model folder may be replaced.

    Returns
    -------
    Imported

    Raises
    ------
    ModelError
        If the file cannot be used; nothing in it was executed.
    QuestionsError
        If something must be asked.
    WriteError
        If the folder exists or cannot be written.
    """
    from .bundle import write_bundle
    from .context import with_context

    path, target = Path(source), Path(folder)
    options = options or ImportOptions()
    report(Progress("reading", 0, 1))
    draft = read_draft(path, options if options.name else _named(options, target.name), report)
    report(Progress("measuring how far the network looks", 0, 1))
    card = with_context(draft.card, draft.weights)
    report(Progress("saving", 0, 1))
    card = write_bundle(target, card, draft.weights, overwrite=overwrite, beside=draft.beside)
    return Imported(target, card, draft.notes, draft.assumed)


def read_draft(path: Path, options: ImportOptions, report: Report = silent) -> Draft:
    """Read a foreign model without writing anything.

    Parameters
    ----------
    path : Path
    options : ImportOptions
    report : callable

    Returns
    -------
    Draft
    """
    if not path.exists():
        raise ReadError("no such file or folder", path=path)
    if not path.is_dir() and not path.is_file():  # reading a pipe or a device may never end
        raise ReadError("it is neither a file nor a folder", path=path)
    return _settled(importer_for(path)(path, options, report), options, path)


def _settled(draft: Draft, options: ImportOptions, path: Path) -> Draft:
    """Write what was assumed into the card; ask instead if the person wants that."""
    if not draft.assumed:
        return draft
    if options.ask:
        raise QuestionsError(tuple(each.question for each in draft.assumed), path=path)
    said = {each.field: one_line(each.text, 400) for each in draft.assumed}
    return replace(draft, card=draft.card.model_copy(update={"assumed": said}))


def importer_for(path: Path) -> Importer:
    """Choose the importer by what the file is, not by what it is called.

    Parameters
    ----------
    path : Path
        A file or folder that exists.

    Returns
    -------
    callable
        Imported only now: each brings its own libraries.

    Raises
    ------
    ModelError
        If it is nothing that can hold a model.
    """
    room, function = _KINDS[kind_of(path)]
    importer: Importer = getattr(import_module(room, __package__), function)
    return importer


_KINDS = {
    "folder": (".folders", "import_bundle"),
    "pretrained": (".folders", "import_pretrained"),
    "bioimageio": (".bioimageio_import", "import_package"),
    "onnx": (".onnx_import", "import_onnx"),
    "checkpoint": (".legacy", "import_checkpoint"),
}

Kind = Literal["folder", "pretrained", "bioimageio", "onnx", "checkpoint"]


def kind_of(path: Path) -> Kind:
    """Tell what kind of model a file or folder holds; what nobody else knows is left to checkpoints.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        ``folder`` (ours, also zipped), ``pretrained`` (segmentation-models-pytorch's ``save_pretrained``),
        ``bioimageio`` (folder or zip), ``onnx`` or ``checkpoint``.
    """
    if path.is_dir():
        try:
            names = [entry.name for entry in islice(path.iterdir(), 10_000)]
        except OSError as error:
            raise ReadError(f"cannot be read ({error.strerror or error})", path=path) from error
        kind = _kind_by_names(names)
        if kind is None:
            raise ModelError(
                "the folder holds no model (no card.json, config.json or rdf.yaml)",
                path=path,
                advice="Choose the model's file.",
            )
        return kind
    if path.name in RDF_NAMES:
        return "bioimageio"
    if path.suffix.lower() == ".onnx":
        return "onnx"
    return _kind_by_names(names_in(path)) or "checkpoint"


RDF_NAMES = ("bioimageio.yaml", "rdf.yaml", "model.yaml")
"""What the description in a bioimage.io package may be called."""


def _kind_by_names(paths: Sequence[str]) -> Kind | None:
    # People zip a folder as often as what is in it.
    names = [PurePosixPath(path).name for path in paths if path.count("/") <= 1]
    if "card.json" in names:
        return "folder"
    if any(name in RDF_NAMES or name.endswith(".bioimageio.yaml") for name in names):
        return "bioimageio"
    return "pretrained" if {"config.json", "model.safetensors"} <= set(names) else None


def model_name(text: str) -> str:
    """Return a name that a card may have, as close to `text` as possible.

    Parameters
    ----------
    text : str
        Such as the name of a file.

    Returns
    -------
    str
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    kept = re.sub(r"[^A-Za-z0-9._ -]+", "-", plain).strip("-._ ")
    return kept[:100] or "model"


def _named(options: ImportOptions, name: str) -> ImportOptions:
    return options.model_copy(update={"name": model_name(name)})
