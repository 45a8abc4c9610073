"""Tables as CSV that spreadsheets show rightly and do not execute."""

from __future__ import annotations

import csv
import io
import math
import re
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..classes import FORMULA_STARTS
from ..errors import ReadError
from .atomic import atomic

if TYPE_CHECKING:
    from pandas import DataFrame

TEXT_COLUMNS = frozenset(("image", "class_name"))
"""Columns that stay text when read again: a picture may be called 0412."""

_BOM = "\ufeff"
_LIMIT = 1 << 63  # of the whole numbers that pandas keeps exactly
_SPECIAL = re.compile(r'[,"\r\n]')
_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
_RISKY = re.compile(rf"'*\s*[{re.escape(''.join(FORMULA_STARTS))}]")


def write_table(path: str | PathLike[str], frame: DataFrame, overwrite: bool = False) -> Path:
    """Write a table as CSV: UTF-8, commas, one line end (LF) on every system, all digits of numbers.

    Text that a spreadsheet would take for a formula gets an apostrophe in front, which `read_table`
    removes; numbers stay numbers. A byte order mark is put in front only where some text is not ASCII:
    without it Excel shows ``é`` as ``Ã©``, with it R's ``read.csv`` and Python's ``csv`` misname the first
    column unless they are told (``fileEncoding="UTF-8-BOM"``, ``encoding="utf-8-sig"``). pandas and readr
    read both.

    Parameters
    ----------
    path : path-like
    frame : pandas.DataFrame
        Its index is left out.
    overwrite : bool
        Whether an existing file is replaced.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    WriteError
        If it exists and `overwrite` is false, or cannot be written.
    """
    path = Path(path)
    text = table_text(frame)
    with atomic(path, overwrite) as temporary:
        temporary.write_bytes(((_BOM if not text.isascii() else "") + text).encode("utf-8"))
    return path


def table_text(frame: DataFrame) -> str:
    """Return a table as CSV text, safe for spreadsheets, without a byte order mark."""
    names = [_quoted(_cell(str(name))) for name in frame.columns]
    filled = frame.astype(object).where(frame.notna(), None)
    columns = [[_quoted(_cell(value)) for value in filled.iloc[:, i]] for i in range(len(names))]
    lines = [names, *zip(*columns, strict=True)]
    return "".join(",".join(line if any(line) else ['""', *line[1:]]) + "\n" for line in lines)


def read_table(path: str | PathLike[str]) -> DataFrame:
    """Read what `write_table` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    pandas.DataFrame
        Columns in which every filled cell is a number as Python writes it become numbers, empty cells NaN;
        all others, and `TEXT_COLUMNS`, are text.

    Raises
    ------
    ReadError
        If there is no such file, or it is not a table.
    """
    import pandas as pd

    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except OSError as error:
        raise ReadError(error.strerror or error, path=path, advice="Check the name.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ReadError(f"it is not a CSV table in UTF-8 ({error})", path=path) from error
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise ReadError("its lines do not all have the same number of cells", path=path)
    names = [_text(name) for name in rows[0]]
    columns = zip(*rows[1:], strict=True) if len(rows) > 1 else [()] * len(names)
    return pd.DataFrame(
        {i: _column(name, cells) for i, (name, cells) in enumerate(zip(names, columns, strict=True))}
    ).set_axis(names, axis="columns")


def _cell(value: Any) -> str:
    """Return what stands in the file for a value, before quoting."""
    if isinstance(value, str):
        return f"'{value}" if _RISKY.match(value) else value
    if value is None:
        return ""
    return str(value) if isinstance(value, (bool, int, float)) else _cell(str(value))


def _quoted(cell: str) -> str:
    # Python's csv, before 3.13, leaves a lone carriage return without quotes, which ends a line elsewhere.
    return '"' + cell.replace('"', '""') + '"' if _SPECIAL.search(cell) else cell


def _text(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _RISKY.match(cell[1:]) else cell


def _column(name: str, cells: Any) -> Any:
    import pandas as pd

    if name not in TEXT_COLUMNS:
        numbers = [_number(cell) for cell in cells]
        if None not in numbers:
            whole = all(isinstance(number, int) and -_LIMIT <= number < _LIMIT for number in numbers)
            return pd.Series(numbers, dtype="int64" if whole and numbers else "float64")
    return pd.Series([_text(cell) for cell in cells], dtype=object)


def _number(cell: str) -> int | float | None:
    """Return the number that a cell is, NaN if it is empty, None if it is text."""
    if not cell:
        return math.nan
    if _WHOLE.fullmatch(cell):
        return int(cell)
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if repr(number) == cell else None
