"""The errors and warnings that are meant for the person in front of the screen.

Everything raised on purpose is a `SpecimenError`: one line that names the file, says what is wrong
with it and what to do next. Docks and the command line show that line and nothing else; whatever
else goes wrong is a bug, and its traceback goes to the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


def one_line(text: object, limit: int = 300) -> str:
    """Return `text` on one line, control characters escaped and cut to `limit` characters.

    Parameters
    ----------
    text : object
        Anything with a `str`; file names and foreign messages may hold line ends or escape codes.
    limit : int
        The most characters to return.

    Returns
    -------
    str
    """
    line = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in " ".join(str(text).splitlines())
    )
    return line if len(line) <= limit else line[: limit - 1] + "…"


class SpecimenError(Exception):
    """Something a person can mend: which file, what is wrong, what to do.

    Parameters
    ----------
    cause : str
        What is wrong, without a full stop.
    path : path-like, optional
        The file or folder it is about; comes first in the message.
    advice : str, optional
        What to do next, as a sentence.
    """

    def __init__(
        self, cause: object, *, path: str | PathLike[str] | None = None, advice: str | None = None
    ) -> None:
        self.cause = one_line(cause)
        self.path = None if path is None else Path(path)
        self.advice = advice
        super().__init__(self.cause, path, advice)

    def __str__(self) -> str:
        """Return the one line that is shown."""
        where = "" if self.path is None else f"{one_line(self.path)}: "
        return f"{where}{self.cause}" + (f". {self.advice}" if self.advice else "")

    def __reduce__(self) -> tuple[Any, ...]:
        """Let errors travel between processes, which the keyword arguments prevent otherwise."""
        return _made_again, (type(self), self.cause, self.path, self.advice)


def _made_again(
    kind: type[SpecimenError], cause: str, path: Path | None, advice: str | None
) -> SpecimenError:
    error = kind.__new__(kind)
    SpecimenError.__init__(error, cause, path=path, advice=advice)
    return error


class ReadError(SpecimenError):
    """A picture, label file or table that cannot be read as it is."""


class WriteError(SpecimenError):
    """A file that cannot be written: it exists, the disk is full or the folder is read-only."""


class ClassMapError(SpecimenError):
    """Class names, ids or colours that contradict each other or a picture."""


class ImageError(SpecimenError):
    """A picture that cannot be segmented as it is: empty, all NaN, wrong number of channels."""


class ModelError(SpecimenError):
    """A model that is missing, altered, or does not fit what is asked of it."""


class DeviceError(SpecimenError):
    """A device, backend or precision that this machine does not have, or that ran out of memory."""


class MeasureError(SpecimenError):
    """Labels and settings that cannot be measured together."""


class CancelledError(SpecimenError):
    """Work that was stopped because the person asked for it."""

    def __init__(self) -> None:
        super().__init__("cancelled")


class SpecimenWarning(UserWarning):
    """Something a person should know about an input that was used all the same."""


def size_text(shape: Iterable[object]) -> str:
    """Return a shape as people write it: ``512 x 512 x 3``."""
    return " x ".join(map(str, shape))


def validation_line(error: ValidationError) -> str:
    """Return the first complaint of a pydantic `error` as one line: where, and what.

    Parameters
    ----------
    error : pydantic.ValidationError

    Returns
    -------
    str
    """
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    more = error.error_count() - 1
    return one_line((f"{where}: " if where else "") + message + (f" (and {more} more)" if more else ""))
