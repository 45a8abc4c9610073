"""From any exception to the one line that a person is shown; what is a bug goes to a log file."""

from __future__ import annotations

import errno
import sys
import traceback
from datetime import datetime
from os import PathLike
from pathlib import Path

from .errors import DeviceError, ImageError, ReadError, SpecimenError, WriteError

MAX_LOG_BYTES = 2_000_000
"""A longer log is put aside, once, when the next entry comes."""

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")

_WRITING = (errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC))


def as_specimen_error(error: BaseException, path: str | PathLike[str] | None = None) -> SpecimenError:
    """Turn whatever went wrong with a file into one line: file, cause, next step.

    Parameters
    ----------
    error : BaseException
        A `SpecimenError` keeps its words and gets the file if it names none. Anything that nobody
        foresaw is written to the log with its traceback.
    path : path-like, optional
        The file that was being worked on.

    Returns
    -------
    SpecimenError
        To be shown with `str`.
    """
    if isinstance(error, SpecimenError):
        return _with_path(error, path)
    if isinstance(error, MemoryError):
        return ImageError(
            "it needs more memory than this machine has free",
            path=path,
            advice="Close other programs, work on fewer pictures at once, or cut the picture up.",
        )
    if isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _OUT_OF_MEMORY):
        return DeviceError(
            "the memory of the device is full", path=path, advice="Use smaller tiles, or the device cpu."
        )
    if isinstance(error, OSError) and error.errno is not None:
        return _of_the_system(error, path)
    return _unforeseen(error, path)


def _with_path(error: SpecimenError, path: str | PathLike[str] | None) -> SpecimenError:
    if error.path is not None or path is None:
        return error
    # A picture in memory is called by its name in the message; the file says that already.
    cause = error.cause.removeprefix(f"{Path(path).stem}: ")
    named = SpecimenError(cause, path=path, advice=error.advice)
    named.__cause__ = error
    return named


def _of_the_system(error: OSError, path: str | PathLike[str] | None) -> SpecimenError:
    from .files.atomic import write_error

    where = error.filename if isinstance(error.filename, (str, PathLike)) else path
    if error.errno in _WRITING:
        return write_error(error, where or "")
    kind = WriteError if error.errno == errno.EEXIST else ReadError
    return kind(error.strerror or "it cannot be opened", path=where)


def _unforeseen(error: BaseException, path: str | PathLike[str] | None) -> SpecimenError:
    log = write_log(error, path)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    where = f"The details are in {log}; please report them." if log else "Please report it."
    return SpecimenError(f"unexpected error ({what})", path=path, advice=where)


def log_path() -> Path:
    """Return the log file: ``errors.log`` in the folder that the system has for a user's logs."""
    from platformdirs import user_log_path

    return user_log_path("napari-specimen-seg", appauthor=False) / "errors.log"


def write_log(error: BaseException, about: object = None) -> Path | None:
    """Append an exception with its traceback to the log.

    Parameters
    ----------
    error : BaseException
    about : object, optional
        What was being worked on.

    Returns
    -------
    Path or None
        The log; None if it could not be written, which must not hide the error itself.
    """
    from .. import __version__

    path = log_path()
    time = datetime.now().astimezone().isoformat(timespec="seconds")
    head = f"{time} napari-specimen-seg {__version__}, Python {sys.version.split()[0]}, {sys.platform}"
    entry = "\n".join([head, f"about: {about!r}", *traceback.format_exception(error), ""])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".old.log"))
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(entry)
    except OSError:
        return None
    return path
