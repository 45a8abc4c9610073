"""A sample of a collection on the disk: its pictures, its metadata, and how it was drawn."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.errors import CancelledError, ReadError, WriteError
from ..core.files.atomic import atomic, atomic_text
from ..core.progress import Progress, Report, silent
from ..core.provenance import sha256_of
from .results import FileResult, failed
from .workers import STAGE

NOTE, PICTURES = "sample.json", "images"


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """What is drawn; see `core.sampling.draw`.

    Parameters
    ----------
    count : int
    per, weight : str
    seed : int
    """

    count: int
    per: str
    weight: str
    seed: int


def write_sample(
    metadata: Path,
    folder: Path,
    request: SampleRequest,
    images: Path | None = None,
    *,
    overwrite: bool = False,
    report: Report = silent,
) -> Iterator[FileResult]:
    """Draw a sample and write it.

    Parameters
    ----------
    metadata : Path
        See `core.files.collections.read_collection`.
    folder : Path
        Gets ``metadata.json`` or ``metadata.csv``: the same fields for the pictures that were drawn;
        ``sample.json``: how they were drawn; and, with `images`, the pictures in a folder ``images``.
    request : SampleRequest
    images : Path, optional
        The folder that the names of pictures are relative to. Pictures are copied from there.
    overwrite : bool
        Whether existing files are replaced.
    report : callable
        Gets a `Progress` for every picture; may raise `CancelledError`, which passes through.

    Yields
    ------
    FileResult
        The first is about the metadata, one for each picture follows.

    Raises
    ------
    ReadError
        If the metadata cannot be read, or lacks a level.
    WriteError
        If a file exists or cannot be written.
    """
    from ..core.files.collections import part_of, read_collection
    from ..core.sampling import draw, without_level

    table, content = read_collection(metadata)
    try:
        rows, short = draw(table, request.count, request.per, request.weight, request.seed)
    except ReadError as error:
        raise ReadError(error.cause, path=metadata, advice=error.advice) from None
    target = folder / f"metadata{'.json' if isinstance(content, dict) else '.csv'}"
    for path in (target, folder / NOTE):
        if path.exists() and not overwrite:
            raise WriteError(
                "it exists already", path=path, advice="Choose another folder, or allow overwriting."
            )
    _write_metadata(target, part_of(content, table, rows), overwrite=overwrite)
    _write_note(folder / NOTE, metadata, request, len(rows), short, overwrite=overwrite)
    without = without_level(table, request.per, request.weight)
    yield FileResult(metadata, "done", (target,), warnings=tuple(_remarks(request, short, without)))
    if images is not None:
        yield from _copy(table.iloc[rows]["image"].tolist(), images, folder / PICTURES, overwrite, report)


def _remarks(request: SampleRequest, short: dict[str, int], without: int) -> Iterator[str]:
    if short:
        name, have = next(iter(short.items()))
        yield (
            f"groups with fewer than {request.count} pictures, all of which are taken: {len(short)}, such as "
            f"{name} with {have}"
        )
    if without:
        yield f"{without} pictures lack {request.per} or {request.weight} and are left out"


def _write_metadata(target: Path, part: Any, *, overwrite: bool) -> None:
    if not isinstance(part, dict):
        from ..core.files import write_table

        write_table(target, part, overwrite)
        return
    _write_json(target, part, overwrite=overwrite)


def _write_json(target: Path, content: Any, *, overwrite: bool) -> None:
    with atomic_text(target, overwrite) as file:
        file.write(json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def _write_note(
    target: Path,
    metadata: Path,
    request: SampleRequest,
    drawn: int,
    short: dict[str, int],
    *,
    overwrite: bool,
) -> None:
    noted = {
        "metadata": {"name": metadata.name, "sha256": sha256_of(metadata)},
        **asdict(request),
        "drawn": drawn,
        "groups_with_fewer": short,
    }
    _write_json(target, noted, overwrite=overwrite)


def _copy(
    names: list[str], images: Path, folder: Path, overwrite: bool, report: Report
) -> Iterator[FileResult]:
    root = images.resolve()
    for done, name in enumerate(names):
        report(Progress(STAGE, done, len(names)))
        source, target = images / name, folder / name
        try:
            if not source.resolve().is_relative_to(root):
                raise ReadError("it lies outside of the folder of pictures", path=source)
            if not source.is_file():
                raise ReadError("there is no such file", path=source, advice="Check the folder of pictures.")
            if target.exists() and not overwrite:
                yield FileResult(source, "skipped", (target,), "it is there already")
                continue
            with atomic(target, overwrite) as temporary:
                shutil.copyfile(source, temporary)
        except CancelledError:
            raise
        except Exception as error:
            yield failed(source, error)
            continue
        yield FileResult(source, "done", (target,))
    report(Progress(STAGE, len(names), len(names)))
