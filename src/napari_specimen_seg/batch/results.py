"""What became of a file."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..core.errors import SpecimenError, SpecimenWarning, one_line
from ..core.log import as_specimen_error


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file.

    Parameters
    ----------
    path : Path
        The file that was worked on.
    status : {"done", "skipped", "failed"}
        Skipped: what it would lead to is there already.
    outputs : tuple of Path
        What was made of it, the most important first; empty if it failed.
    message : str
        One line: why it failed or was skipped, and what to do. Does not name `path` again.
    warnings : tuple of str
        What a person should know although it worked.
    seconds : float
        Time it took.
    """

    path: Path
    status: Literal["done", "skipped", "failed"]
    outputs: tuple[Path, ...] = ()
    message: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "path": str(self.path),
            "status": self.status,
            "outputs": [str(path) for path in self.outputs],
            "message": self.message,
            "warnings": list(self.warnings),
            "seconds": round(self.seconds, 3),
        }


def failed(path: Path, error: BaseException) -> FileResult:
    """Return the result of a file that failed.

    Parameters
    ----------
    path : Path
        The file that was worked on.
    error : BaseException
        Whatever was raised; if nobody foresaw it, it goes to the log.

    Returns
    -------
    FileResult
    """
    known = as_specimen_error(error, path)
    line = str(known) if known.path != path else str(SpecimenError(known.cause, advice=known.advice))
    return FileResult(path, "failed", message=one_line(line, limit=1000))


_gathering = threading.Lock()


@contextmanager
def gathered_warnings() -> Iterator[list[str]]:
    """Collect the warnings that are meant for people; what else is warned of is passed on.

    Yields
    ------
    list of str
        Filled at the end of the block; each line once.
    """
    lines: list[str] = []
    # The list of warning filters is the whole process's: two threads must not swap it at once.
    with _gathering, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SpecimenWarning)
        try:
            yield lines
        finally:
            texts = [one_line(w.message) for w in caught if issubclass(w.category, SpecimenWarning)]
            lines.extend(dict.fromkeys(texts))
    for other in caught:
        if not issubclass(other.category, SpecimenWarning):
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
