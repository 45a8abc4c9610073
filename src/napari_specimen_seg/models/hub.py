"""Models from the Hugging Face Hub: pulled once when asked for, then used from this machine."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from ..core.errors import ModelError
from ..core.progress import Progress, Report, silent
from .bundle import CARD, card_from, read_card, refuse_taken, write_bundle
from .card import ModelCard
from .folders import GRAPH
from .hub_files import MAIN, Listing, Repository, endpoint, fetch, list_files
from .importing import (
    RDF_NAMES,
    Draft,
    Imported,
    ImportOptions,
    Question,
    QuestionsError,
    model_name,
    read_draft,
)
from .library import ORIGIN, hub_folder, read_origin

CHECKPOINTS = (".onnx", ".pth", ".pt", ".ckpt", ".pkl", ".bin", ".safetensors")
"""Endings of files that may hold a network, the safest first."""

NOT_NETWORKS = ("optimizer", "scheduler", "training_args", "rng_state")


def pull(
    repository: str,
    folder: Path | None = None,
    options: ImportOptions | None = None,
    report: Report = silent,
    *,
    overwrite: bool = False,
) -> Imported:
    """Fetch a model from the Hub and make a model folder of it.

    Parameters
    ----------
    repository : str
        ``OWNER/NAME``, or ``OWNER/NAME@revision`` for a branch, tag or commit.
    folder : Path, optional
        The model folder to make; if left out it goes to the person's own models, and is found by the
        repository's name from then on.
    options : ImportOptions, optional
        What the repository does not tell, such as names of classes.
    report : callable
        May raise `CancelledError`.
    overwrite : bool
        Whether an existing model folder may be replaced.

    Returns
    -------
    Imported
        With the commit that it was taken from; nothing is written if that very commit is there already.

    Raises
    ------
    ModelError
        If it cannot be fetched, or holds no model that can be used.
    QuestionsError
        If something must be asked; what was fetched is kept for the next try.
    WriteError
        If the folder exists or cannot be written.
    """
    wanted = parse(repository)
    options = options or ImportOptions()
    target = folder or hub_folder(wanted.name)
    listing = list_files(wanted, report)
    there = _already(target, listing)
    if there is not None and not overwrite:
        return there
    if folder is not None or not _is_newer(target, listing):
        refuse_taken(target, overwrite)
    draft = _read_named(listing, options, report)
    report(Progress("saving", 0, 1))
    beside = {**draft.beside, ORIGIN: json.dumps({"hub": _origin(listing)}, indent=1) + "\n"}
    card = _licensed(draft.card, listing)
    card = write_bundle(target, card, draft.weights, overwrite=target.exists(), beside=beside)
    note = f"taken from {listing.repository.name} at {listing.commit[:12]}"
    return Imported(target, card, (*draft.notes, note), draft.assumed)


def _origin(listing: Listing) -> dict[str, str]:
    return {
        "repository": listing.repository.name,
        "revision": listing.repository.revision or MAIN,
        "commit": listing.commit,
        "endpoint": endpoint() or "https://huggingface.co",
    }


def parse(text: str) -> Repository:
    """Understand the name of a repository.

    Raises
    ------
    ModelError
        If it is none.
    """
    found = Repository.parse(text)
    if found is None:
        raise ModelError(
            f"{text!r} is no repository of the Hub", advice="Write OWNER/NAME or OWNER/NAME@revision."
        )
    return found


def _already(target: Path, listing: Listing) -> Imported | None:
    """Return what lies in the folder if it came from this very commit."""
    origin = read_origin(target)
    if origin is None or (origin.repository, origin.commit) != (listing.repository.name, listing.commit):
        return None
    return Imported(target, read_card(target), (f"was there already, at {listing.commit[:12]}",))


def _is_newer(target: Path, listing: Listing) -> bool:
    """Tell whether the folder holds another commit of the same repository, which pulling replaces."""
    origin = read_origin(target)
    return origin is not None and origin.repository == listing.repository.name


def _licensed(card: ModelCard, listing: Listing) -> ModelCard:
    """Add the licence that the repository states, where the model says none and is not sealed."""
    if card.license or card.card_sha256 or not listing.license:
        return card
    return card.model_copy(update={"license": listing.license})


# -- which files, and what is in them --------------------------------------------------------------


def _read_named(listing: Listing, options: ImportOptions, report: Report) -> Draft:
    """Read a repository; what is wrong with it is said of its name, not of a file deep in a cache."""
    name = str(listing.repository)
    try:
        return _read(listing, options, report)
    except QuestionsError as asked:
        raise QuestionsError(asked.questions, path=name) from asked
    except ModelError as error:
        if error.path is None:
            raise
        raise ModelError(error.cause, path=name, advice=error.advice) from error


def _read(listing: Listing, options: ImportOptions, report: Report) -> Draft:
    named = options if options.name else options.model_copy(update={"name": _name(listing.repository)})
    names = set(listing.sizes)
    if CARD in names:
        card = card_from(fetch(listing, CARD, report).read_bytes(), Path(str(listing.repository)))
        files = [card.weights_file, *([GRAPH] if card.openvino is not None else [])]
        return _read_folder(listing, (CARD, *(name for name in files if name in names)), options, report)
    if {"config.json", "model.safetensors"} <= names:
        return _read_folder(listing, ("config.json", "model.safetensors"), named, report)
    if names & set(RDF_NAMES):
        return _read_package(listing, named, report)
    file = fetch(listing, _checkpoint(listing, options), report)
    # The part chose the file; a file that holds several networks is asked for again.
    inner = named.model_copy(update={"part": None}) if options.part in names else named
    return read_draft(file, inner, report)


def _name(repository: Repository) -> str:
    return model_name(repository.name.rpartition("/")[2])


def _read_folder(listing: Listing, names: tuple[str, ...], options: ImportOptions, report: Report) -> Draft:
    """Fetch the files of a folder, the small description first, and import it."""
    first = fetch(listing, names[0], report)
    if names[0] == "config.json":
        _refuse_other_libraries(first, listing.repository)
    for name in names[1:]:
        fetch(listing, name, report)
    return read_draft(first.parent, options, report)


def _refuse_other_libraries(config: Path, repository: Repository) -> None:
    """Refuse a network of another library before its weights, which may be large, are fetched."""
    from .presets import read_json

    data = read_json(config)
    if not isinstance(data, dict) or "encoder_name" not in data:
        raise ModelError(f"{repository}: its network is not one of segmentation-models-pytorch")


def _read_package(listing: Listing, options: ImportOptions, report: Report) -> Draft:
    """Fetch the files that a bioimage.io description names, and no others."""
    import shutil
    import tempfile

    from .bioimageio_import import import_package, needed_files
    from .bioimageio_rdf import Package, read_description

    description = next(name for name in RDF_NAMES if name in listing.sizes)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shutil.copyfile(fetch(listing, description, report), place / description)
        for name in needed_files(read_description(Package(place))):
            if name in listing.sizes:
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(fetch(listing, name, report), place / name)
        return import_package(place, options, report)


def _checkpoint(listing: Listing, options: ImportOptions) -> str:
    """Choose the one file that may hold a network, or ask which."""
    found = [name for name in listing.sizes if _may_hold_a_network(name)]
    found.sort(key=lambda name: (CHECKPOINTS.index(PurePosixPath(name).suffix.lower()), name))
    if options.part in found:
        return str(options.part)
    if not found:
        raise ModelError(f"{listing.repository}: the repository holds no model that can be used here")
    if len(found) > 1:
        question = Question("part", f"It holds {len(found)} files of networks; which one?", tuple(found[:50]))
        raise QuestionsError((question,), path=str(listing.repository))
    return found[0]


def _may_hold_a_network(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in CHECKPOINTS and not path.stem.lower().startswith(NOT_NETWORKS)
