"""Which pictures are kept for validation, so that no specimen is learned from and scored on."""

from __future__ import annotations

import csv
import random
import re
from collections import defaultdict
from pathlib import Path

from ..core.errors import ReadError
from .config import DataSettings
from .pair import Pair

TRUE = {"1", "1.0", "true", "yes", "val", "valid", "validation"}
"""What a column may say of a picture that is kept for validation."""


def split_pairs(pairs: list[Pair], data: DataSettings, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Split pairs into those to learn from and those to validate on.

    Parameters
    ----------
    pairs : list of Pair
    data : DataSettings
    seed : int
        The same seed and names give the same split on every machine.

    Returns
    -------
    learn, validate : list of Pair
        Both keep the order of `pairs`.

    Raises
    ------
    ReadError
        If the metadata does not tell, or one side would be empty.
    """
    if data.split == "column":
        chosen = _by_column(pairs, data)
    else:
        groups = _groups(pairs, data) if data.split == "group" else {p.name: [p.name] for p in pairs}
        chosen = _at_random(groups, data.validation_share, seed)
    learn = [p for p in pairs if p.name not in chosen]
    validate = [p for p in pairs if p.name in chosen]
    if not learn or not validate:
        raise ReadError(
            f"the split leaves {len(learn)} pictures to learn from and {len(validate)} to validate on",
            path=data.images,
            advice="Label more pictures, or choose another split.",
        )
    return learn, validate


def _at_random(groups: dict[str, list[str]], share: float, seed: int) -> set[str]:
    """Take whole groups in random order until the wanted number of pictures is reached."""
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    wanted = max(1, round(share * sum(len(names) for names in groups.values())))
    chosen: set[str] = set()
    for group in order:
        if len(chosen) >= wanted:
            break
        chosen.update(groups[group])
    return chosen


def _groups(pairs: list[Pair], data: DataSettings) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    rows = _metadata(data.metadata) if data.metadata else None
    for pair in pairs:
        if rows is not None:
            row = _row_of(pair, rows, data)
            found[row.get(data.group, "")].append(pair.name)
        else:
            found[_group_in_name(pair.name, data)].append(pair.name)
    return found


def _group_in_name(name: str, data: DataSettings) -> str:
    try:
        match = re.search(data.group or "$^", name)
    except re.error as error:
        raise ReadError(f"the group pattern {data.group!r} is not valid ({error})") from error
    if match is None:
        raise ReadError(f"the group pattern {data.group!r} finds nothing in {name!r}")
    return match.group(1) if match.groups() else match.group(0)


def _by_column(pairs: list[Pair], data: DataSettings) -> set[str]:
    if data.metadata is None:
        raise ReadError("a split by column needs a metadata table", advice="Choose one, or split at random.")
    rows = _metadata(data.metadata)
    return {p.name for p in pairs if _row_of(p, rows, data).get(data.column, "").strip().lower() in TRUE}


def _metadata(path: Path) -> dict[str, dict[str, str]]:
    """Read a metadata table by every value of its first column and of those that name pictures."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReadError(f"cannot be read as a table ({error})", path=path) from error
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        clean = {key: value or "" for key, value in row.items() if key is not None}
        first = next(iter(clean), None)
        for key in (first, "image", "name", "file", "filename", "stem", "id", "CatBarcode"):
            if key in clean and key is not None:
                found.setdefault(Path(clean[key]).stem if "." in clean[key] else clean[key], clean)
    return found


def _row_of(pair: Pair, rows: dict[str, dict[str, str]], data: DataSettings) -> dict[str, str]:
    row = rows.get(pair.name)
    column = data.column if data.split == "column" else data.group
    if row is None or column not in row:
        what = f"has no row for {pair.name}" if row is None else f"has no column {column!r}"
        raise ReadError(what, path=data.metadata)
    return row
