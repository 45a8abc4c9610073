"""JSON documents of strangers: bounded, and wrong ones told in one line."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ..errors import ReadError

MAX_BYTES = 2_000_000_000


def load(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    ReadError
        If it cannot be read, is too large, or is not JSON.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReadError("is too large for a file of annotations", path=path)
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ReadError(f"cannot be read ({error.strerror})", path=path) from error
    except (ValueError, RecursionError) as error:
        raise ReadError(f"is not valid JSON ({error})", path=path) from error


def file_name(text: object) -> str:
    """Return the name of the picture that a path or an address means.

    Label Studio's own addresses name the file behind ``?d=``.
    """
    parts = urlsplit(str(text).replace("\\", "/"))
    meant = parse_qs(parts.query).get("d", [parts.path])[0]
    return PurePosixPath(unquote(meant)).name


def without_upload(name: str) -> str:
    """Return a file name without what Label Studio puts before the names of uploaded files."""
    head, dash, rest = name.partition("-")
    return rest if dash and rest and len(head) == 8 and set(head) <= set("0123456789abcdef") else name


def size_of(height: object, width: object) -> tuple[int, int] | None:
    """Return height and width where both are whole numbers above zero."""
    numbers = [n for n in (height, width) if isinstance(n, int) and not isinstance(n, bool) and n > 0]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None
