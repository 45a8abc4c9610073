"""From what is typed to the files that are meant."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..batch.results import FileResult, failed
from ..core.errors import ReadError
from ..core.files.inputs import find_inputs, natural_key


def gather(
    arguments: Iterable[str], *, leave_out: Path | None = None, **options: Any
) -> tuple[list[Path], list[FileResult]]:
    """Find the files that the arguments mean, and go on where an argument means none.

    Parameters
    ----------
    arguments : iterable of str
        Files, folders and patterns.
    leave_out : Path, optional
        A folder of results: masks in it that have a provenance file are not taken for pictures.
    **options
        For `find_inputs`.

    Returns
    -------
    paths : list of Path
        Each once, in natural order.
    missing : list of FileResult
        One failure for each argument that means nothing.
    """
    found: dict[Path, Path] = {}
    missing = []
    for argument in arguments:
        try:
            paths = find_inputs([argument], **options)
        except Exception as error:
            missing.append(failed(Path(argument), error))
            continue
        for path in paths:
            found.setdefault(path.resolve(), path)
    results = _results_in(leave_out) if leave_out is not None else frozenset()
    meant = [path for real, path in found.items() if real not in results]
    return sorted(meant, key=natural_key), missing


def _results_in(folder: Path) -> frozenset[Path]:
    from ..batch.record import RunRecord

    results: set[Path] = set()
    for path in folder.glob("*.json"):
        try:
            record = RunRecord.read(path)
        except ReadError:
            continue
        results.update((folder / name).resolve() for name in record.files.sha256)
    return frozenset(results)
