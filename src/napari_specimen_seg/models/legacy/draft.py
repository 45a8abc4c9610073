"""From a foreign file to a card and weights: read, recognise, fit, check."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.classes import FORMULA_STARTS
from ...core.errors import ModelError, SpecimenWarning, one_line
from ...core.input_settings import Geometry
from ...core.progress import Progress, Report, silent
from ..card import ModelCard, Training
from ..importing import Draft, ImportOptions, QuestionsError
from . import fastai
from .describe import Scaling, describe, geometry_of
from .files import Contents, open_contents
from .fitting import Fit, fit, skeleton
from .hints import Pipeline, hints_of, pipeline_of
from .mapping import is_left_out
from .recognise import Recognition, recognise
from .tensors import TensorRef

if TYPE_CHECKING:
    import torch

MAX_BYTES = 4_000_000_000
"""Of all weights together. The largest known encoder has 2 GB."""

MAX_CHANNELS = 64
"""More input channels than this no picture has."""

USUAL_CHANNELS = (1, 3, 4)


def inspect_checkpoint(path: Path, options: ImportOptions | None = None) -> tuple[Contents, Recognition]:
    """Tell what a file of weights holds, without reading the weights and without torch.

    Parameters
    ----------
    path : Path
    options : ImportOptions, optional

    Returns
    -------
    (Contents, Recognition)

    Raises
    ------
    ModelError
        If it is damaged, hostile, or of no known network.
    QuestionsError
        If it holds several networks.

    Warns
    -----
    SpecimenWarning
        If the network takes an odd number of channels, or class names hold odd characters.
    """
    contents = open_contents(path)
    _warn_of_names(contents)
    try:
        found = recognise(contents, options or ImportOptions())
    except QuestionsError:
        raise
    except ModelError as error:
        raise _named(error, contents) from error
    _warn_of_channels(found)
    return contents, found


def _named(error: ModelError, contents: Contents) -> ModelError:
    """Return an error that names the file and, before all else, what opening it would have called."""
    if contents.foreign:
        return ModelError(
            f"refused: opening it would call {_some(contents.foreign)}, which no network needs; "
            f"and {error.cause.removeprefix('refused: ')}",
            path=contents.path,
        )
    return type(error)(error.cause, path=contents.path, advice=error.advice)


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(one_line(name, 80) for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _warn_of_names(contents: Contents) -> None:
    """Warn of class names that other programs may act upon, or that cannot be used."""
    names = hints_of(contents.root, contents.metadata).classes
    odd = [name for name in names if name.startswith(FORMULA_STARTS) or not name.isprintable() or "/" in name]
    if odd:
        warnings.warn(
            f"{contents.path.name}: class names in it hold characters that other programs may act upon "
            f"({one_line(odd[0], 60)!r})",
            SpecimenWarning,
            stacklevel=4,
        )


def _warn_of_calls(contents: Contents) -> None:
    if contents.foreign:
        warnings.warn(
            f"{contents.path.name}: opening it with torch would call {_some(contents.foreign)}, which no "
            "network needs; nothing was called, and the weights are complete without it",
            SpecimenWarning,
            stacklevel=4,
        )


def _warn_of_channels(found: Recognition) -> None:
    if found.in_channels > 0 and found.in_channels not in USUAL_CHANNELS:
        warnings.warn(
            f"{found.path.name}: the network takes {found.in_channels} channels; pictures need as many",
            SpecimenWarning,
            stacklevel=4,
        )


def import_checkpoint(path: Path, options: ImportOptions, report: Report = silent) -> Draft:
    """Read a network that another program saved, without executing anything in its file.

    Parameters
    ----------
    path : Path
        A file of torch (whole network, state dict, training checkpoint), of fastai, or of safetensors.
    options : ImportOptions
        What the file does not tell.
    report : callable

    Returns
    -------
    Draft

    Raises
    ------
    ModelError
        If the file is damaged, hostile, of an unknown kind, or does not fit what the person said.
    QuestionsError
        If something must be asked.

    Warns
    -----
    SpecimenWarning
        If opening it with torch would have called what no network needs; and see `inspect_checkpoint`.
    """
    report(Progress("reading", 0, 3))
    contents, found = inspect_checkpoint(path, options)
    if found.questions:
        questions = QuestionsError(found.questions, path=path)
        if contents.foreign:
            raise _named(ModelError("its network is not recognised"), contents)
        contents.source.check(found.network.tensors)  # before anything is asked about a damaged file
        raise questions
    try:
        draft = _draft(contents, found, options, report)
        _warn_of_calls(contents)
        return draft
    except QuestionsError:
        raise
    except ModelError as error:
        raise (
            error if error.path is not None else type(error)(error.cause, path=path, advice=error.advice)
        ) from error


def _draft(contents: Contents, found: Recognition, options: ImportOptions, report: Report) -> Draft:
    refs = {name: ref for name, ref in found.network.tensors.items() if not is_left_out(name)}
    _refuse_too_large(refs, contents.path)
    weights = contents.source.tensors(refs)
    if found.family == "fastai":
        weights = _folded(weights)
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    found = _with_version(_with_channels(found, options, shapes), options)
    pipeline = pipeline_of(contents.root) if found.family == "fastai" else Pipeline()
    described = describe(
        replace(found, classes=found.classes or pipeline.classes),
        options,
        scaling=_scaling(pipeline, contents, found),
        geometry=_geometry(pipeline),
    )
    report(Progress("building the network", 1, 3))
    fitted = fit(found, described.card, shapes)
    report(Progress("checking the weights", 2, 3))
    renamed, converted = _renamed(weights, fitted)
    card = _with_origin(fitted, contents)
    complete = _checked(card, renamed)
    notes = (*found.notes, *described.notes, *_padded(pipeline), *fitted.notes, *converted)
    return Draft(card, complete, notes, assumed=(*found.assumed, *described.assumed, *fitted.assumed))


def _folded(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    try:
        return fastai.fold_norms(weights)
    except (KeyError, RuntimeError, IndexError) as error:
        raise ModelError("weights that are stored in parts (their norm apart) are not complete") from error


def _refuse_too_large(refs: Mapping[str, TensorRef], path: Path) -> None:
    total = sum(ref.nbytes for ref in refs.values())
    if total > MAX_BYTES or total > 20 * path.stat().st_size:
        raise ModelError(
            f"its weights unpack to {total / 1e9:.1f} GB, more than the file can honestly hold", path=path
        )


def _with_channels(
    found: Recognition, options: ImportOptions, shapes: Mapping[str, tuple[int, ...]]
) -> Recognition:
    """Fill in the number of input channels where the encoder is in no table."""
    if found.in_channels:
        return found
    draft = describe(replace(found, in_channels=3), options.model_copy(update={"preprocessing": None}))
    first = next(
        (
            n
            for n, t in skeleton(draft.card).state_dict().items()
            if n.startswith("encoder.") and t.dim() == 4
        ),
        "",
    )
    for old, shape in shapes.items():
        if len(shape) == 4 and first.replace("encoder.model.", "encoder.") == old.replace(
            "encoder.model.", "encoder."
        ):
            return replace(found, in_channels=shape[1])
    return replace(found, in_channels=3)


def _with_version(found: Recognition, options: ImportOptions) -> Recognition:
    version = (options.encoder or "").partition("@")[2]
    if not 0 < found.in_channels <= MAX_CHANNELS:
        raise ModelError(
            f"the network takes {found.in_channels} channels, more than any picture has", path=found.path
        )
    return replace(found, told={**found.told, "version": version})


def _scaling(pipeline: Pipeline, contents: Contents, found: Recognition) -> Scaling | None:
    """Return how a fastai export scales values; None for other files, which do not tell."""
    if found.family != "fastai" or not found.whole:
        return None
    if pipeline.mean is None or pipeline.std is None:
        return Scaling((0.0,) * found.in_channels, (1.0,) * found.in_channels)
    read = contents.source.tensors({"mean": pipeline.mean, "std": pipeline.std})
    mean, std = (
        tuple(float(f"{value:.7g}") for value in read[name].flatten().tolist()) for name in ("mean", "std")
    )
    if len(mean) != found.in_channels or len(std) != len(mean) or not all(value > 0 for value in std):
        raise ModelError("the mean and deviation in it do not fit the network's channels", path=contents.path)
    return Scaling(mean, std)


def _geometry(pipeline: Pipeline) -> Geometry | None:
    return geometry_of(pipeline.size, pipeline.method)


def _padded(pipeline: Pipeline) -> tuple[str, ...]:
    if pipeline.size is None or pipeline.method != "crop":
        return ()
    return ("pictures were cropped to a square in training; here they are padded, so that nothing is lost",)


def _renamed(weights: Mapping[str, torch.Tensor], fitted: Fit) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Return weights by today's names, double precision rounded to single, with which it computes."""
    import torch

    double = [name for name in fitted.names if weights[name].dtype == torch.float64]
    made = {
        today: weights[name].float() if name in set(double) else weights[name]
        for name, today in fitted.names.items()
    }
    return made, ["weights of double precision were rounded to single precision"] if double else []


def _checked(card: ModelCard, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Put the weights into the very network that the model folder will build, and fill in counters."""
    import torch

    from ..network import build_network, load_weights

    network = build_network(card)
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            weights.setdefault(name, torch.zeros((), dtype=torch.int64))
        elif name in weights and tensor.is_floating_point() and not weights[name].is_floating_point():
            raise ModelError(
                f"weights {name!r} are whole numbers, as in a quantised network, which is not read"
            )
    load_weights(network, weights, card.name)
    return weights


def _with_origin(fitted: Fit, contents: Contents) -> ModelCard:
    """Note the file that the weights came from by name and checksum, and what it would have called."""
    with contents.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    lines = [f"Imported from {contents.path.name} (SHA-256 {digest})."]
    if fitted.comparison is not None:
        lines.append(f"{fitted.agreement}.")
    if contents.foreign:
        lines.append(f"The file asked to call {_some(contents.foreign)}; nothing was called.")
    return fitted.card.model_copy(update={"training": Training(notes=" ".join(lines))})
