"""The only code that talks to the Hugging Face Hub, and only because a person asked for a repository.

What the Hub answers is not trusted: names that could lead elsewhere, files beyond any model's size and
kinds of files that nobody asked for are never fetched.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..core.errors import ModelError, WriteError, one_line
from ..core.files.atomic import atomic, write_error
from ..core.progress import Progress, Report
from .archives import safe_name

MAX_BYTES = 4_000_000_000
"""Of one file. The largest networks for pictures have less than half of it."""

MAX_FILES = 10_000
"""In a repository; only their names are looked at."""

TIMEOUT_SECONDS = 20.0

MAIN = "main"

MEGABYTE = 1_000_000

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,95})"
_REPO = re.compile(rf"({_NAME}/{_NAME})(?:@([A-Za-z0-9][A-Za-z0-9._/-]{{0,99}}))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository on the Hub, perhaps at a revision.

    Parameters
    ----------
    name : str
        ``OWNER/NAME``.
    revision : str, optional
        Branch, tag or commit; the main branch if left out.
    """

    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Understand ``OWNER/NAME`` or ``OWNER/NAME@revision``; None if it is neither."""
        found = _REPO.fullmatch(text)
        if found is None or "--" in found[1] or ".." in text or found[1].endswith((".", "-", ".git")):
            return None
        return cls(found[1], found[2])

    def __str__(self) -> str:
        """Return what `parse` takes."""
        return self.name if self.revision is None else f"{self.name}@{self.revision}"


@dataclass(frozen=True, slots=True)
class Listing:
    """What a repository holds at one commit.

    Parameters
    ----------
    repository : Repository
    commit : str
        40 hex digits; all files are taken from this one, whatever happens to the branch meanwhile.
    sizes : dict of str to (int or None)
        Of the files whose names can be trusted, in bytes where known.
    license : str
        As its owner states it.
    offline : bool
        Whether only files that were fetched before can be had.
    """

    repository: Repository
    commit: str
    sizes: dict[str, int | None]
    license: str = ""
    offline: bool = False


def endpoint() -> str | None:
    """Return the mirror that ``HF_ENDPOINT`` names; None for the Hub itself."""
    return os.environ.get("HF_ENDPOINT") or None


def list_files(repository: Repository, report: Report) -> Listing:
    """Ask the Hub what a repository holds; without a connection, what was fetched of it before.

    Parameters
    ----------
    repository : Repository
    report : callable

    Returns
    -------
    Listing

    Raises
    ------
    ModelError
        If there is no such repository or revision, it may not be seen, or nothing can be reached.
    """
    from huggingface_hub import HfApi, constants

    report(Progress(f"asking for {repository}", 0, 0))
    if constants.HF_HUB_OFFLINE:
        return _cached(repository, "the Hub is switched off (HF_HUB_OFFLINE)")
    api = HfApi(endpoint=endpoint(), library_name="napari-specimen-seg")
    with explained(repository):
        try:
            info = api.model_info(
                repository.name, revision=repository.revision, files_metadata=True, timeout=TIMEOUT_SECONDS
            )
        except Exception as error:
            if not _is_no_connection(error):
                raise
            return _cached(repository, "the Hub cannot be reached")
    commit = str(info.sha)
    if not _COMMIT.fullmatch(commit):
        raise ModelError(f"{repository}: the Hub names no commit")
    files = list(info.siblings or [])[:MAX_FILES]
    sizes = {file.rfilename: file.size for file in files if safe_name(file.rfilename)}
    return Listing(repository, commit, sizes, _license(info))


def _license(info: Any) -> str:
    data = getattr(info, "card_data", None)
    value = data.get("license") if data is not None else None
    return one_line(value, 60) if isinstance(value, str) else ""


def _cached(repository: Repository, why: str) -> Listing:
    """Return what was fetched before, as the cache of the Hub's library keeps it."""
    place = _cache_of(repository)
    revision = repository.revision or MAIN
    try:
        noted = place / "refs" / revision
        commit = revision if _COMMIT.fullmatch(revision) else noted.read_text("ascii").strip()
        folder = place / "snapshots" / commit
        files = [file for file in folder.rglob("*") if file.is_file()] if _COMMIT.fullmatch(commit) else []
    except (OSError, ValueError):
        files = []
    if not files:
        raise ModelError(
            f"{repository}: {why}, and it was not fetched before", advice="Try again with a connection."
        )
    sizes: dict[str, int | None] = {
        file.relative_to(folder).as_posix(): file.stat().st_size for file in files[:MAX_FILES]
    }
    return Listing(repository, commit, sizes, offline=True)


def _cache_of(repository: Repository) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repository.name.replace('/', '--')}"


def _note_commit(listing: Listing) -> None:
    """Note which commit a branch or tag was, so that it is found again without a connection."""
    revision = listing.repository.revision or MAIN
    if listing.offline or _COMMIT.fullmatch(revision):
        return
    with (
        suppress(WriteError),
        atomic(_cache_of(listing.repository) / "refs" / revision, overwrite=True) as draft,
    ):
        draft.write_text(listing.commit, "ascii")


def fetch(listing: Listing, name: str, report: Report) -> Path:
    """Fetch one file, or take it from the cache of earlier fetches.

    Parameters
    ----------
    listing : Listing
    name : str
        One of its files.
    report : callable
        Told in megabytes; may raise `CancelledError`. What was fetched so far is kept for the next time.

    Returns
    -------
    Path
        Of the file in the Hub's own cache; not to be changed.

    Raises
    ------
    ModelError
        If it is larger than any model, or cannot be fetched.
    WriteError
        If the disk is full.
    """
    from huggingface_hub import hf_hub_download

    size = listing.sizes.get(name)
    if size is not None and size > MAX_BYTES:
        raise _too_large(listing.repository, name)
    options: dict[str, Any] = {"endpoint": endpoint(), "local_files_only": listing.offline}
    if "tqdm_class" in inspect.signature(hf_hub_download).parameters:
        options["tqdm_class"] = _bar_for(listing.repository, name, report)
    report(Progress(f"fetching {name} (MB)", 0, (size or 0) // MEGABYTE))
    with explained(listing.repository), _plain_downloads():
        path = hf_hub_download(
            listing.repository.name,
            name,
            revision=listing.commit,
            library_name="napari-specimen-seg",
            **options,
        )
    _note_commit(listing)
    return Path(path)


def _bar_for(repository: Repository, name: str, report: Report) -> type[Any]:
    """Return a class that the Hub's library takes for a progress bar; it stops what is too long."""

    class Bar:
        def __init__(self, *_: Any, total: float | None = None, initial: float = 0, **__: Any) -> None:
            self.total, self.n = int(total or 0), int(initial)

        def update(self, count: float | None = 1) -> None:
            self.n += int(count or 0)
            if self.n > MAX_BYTES:
                raise _too_large(repository, name)
            report(Progress(f"fetching {name} (MB)", self.n // MEGABYTE, self.total // MEGABYTE))

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def __getattr__(self, _: str) -> Any:
            return lambda *_, **__: None  # whatever else may be done to a bar

    return Bar


def _too_large(repository: Repository, name: str) -> ModelError:
    return ModelError(f"{repository}: {one_line(name, 80)} is larger than {MAX_BYTES / 1e9:.0f} GB")


@contextmanager
def _plain_downloads() -> Iterator[None]:
    """Fetch over plain HTTP: the faster protocol has threads of its own, which cannot be cancelled."""
    from huggingface_hub import constants

    before = constants.HF_HUB_DISABLE_XET
    constants.HF_HUB_DISABLE_XET = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = before


@contextmanager
def explained(repository: Repository) -> Iterator[None]:
    """Turn whatever the Hub's library raises into one line."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{repository}: its owner asks people to accept conditions first",
            advice="Accept them on its page, then log in with: hf auth login",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"{repository}: there is no such repository, or it is private",
            advice="Check the name, or log in with: hf auth login",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{repository}: there is no such revision") from error
    except errors.EntryNotFoundError as error:
        raise ModelError(f"{repository}: a file is missing ({_short(error)})") from error
    except errors.HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", "?")
        cause = f"{repository}: the Hub answers with error {status}"
        raise ModelError(cause, advice="Try again later.") from error
    except Exception as error:
        raise _other(repository, error) from error


def _other(repository: Repository, error: Exception) -> Exception:
    from ..core.errors import SpecimenError

    if isinstance(error, SpecimenError):
        return error
    if _is_no_connection(error):
        return ModelError(f"{repository}: the connection failed ({_short(error)})", advice="Try again later.")
    if isinstance(error, OSError) and error.filename:
        return write_error(error, error.filename)
    return ModelError(f"{repository}: it cannot be fetched ({_short(error)})")


def _is_no_connection(error: Exception) -> bool:
    """Tell whether an error means that nobody answered, whichever HTTP library raised it."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"TransportError", "ConnectionError", "Timeout", "OfflineModeIsEnabled"})


def _short(error: Exception) -> str:
    return one_line(str(error).strip().partition("\n")[0] or type(error).__name__, 120)
