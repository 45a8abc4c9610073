"""Drawing pictures from a collection so that rare kinds are not lost among common ones."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ReadError, one_line

if TYPE_CHECKING:
    from pandas import DataFrame

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")
"""From the widest to the narrowest; a name such as ``alba`` means something only within its genus."""

ALL, IMAGE = "all", "image"


def draw(
    table: DataFrame, count: int, per: str = ALL, weight: str = IMAGE, seed: int = 0
) -> tuple[list[int], dict[str, int]]:
    """Draw pictures from every group, without drawing one twice.

    For each picture that is drawn a member of the lower level is chosen first, each equally likely, and then
    one of its pictures. So a species with three pictures is as likely as one with three thousand.

    Parameters
    ----------
    table : pandas.DataFrame
        A row for each picture, with the levels as columns; `IMAGE` is the picture's name.
    count : int
        How many pictures of each group; all of a group that has fewer.
    per : str
        The column whose values are the groups, or ``"all"``: one group of everything.
    weight : str
        The column whose values are equally likely within a group.
    seed : int
        The same seed gives the same pictures, whatever order the rows have. What is drawn from a group does
        not depend on the others.

    Returns
    -------
    rows : list of int
        Positions in the table, group by group in the order of their names.
    short : dict of str to int
        Groups with fewer pictures than asked for, and how many they have.

    Raises
    ------
    ReadError
        If a level is no column.
    """
    groups, members = _keys(table, per), _keys(table, weight)
    pictures = table[IMAGE].astype(str).tolist()
    order = sorted(range(len(table)), key=lambda row: (groups[row], members[row], pictures[row]))
    by_group: dict[str, dict[str, list[int]]] = {}
    for row in order:
        if groups[row] and members[row]:
            by_group.setdefault(groups[row], {}).setdefault(members[row], []).append(row)
    rows: list[int] = []
    short: dict[str, int] = {}
    for group, lower in by_group.items():
        have = sum(map(len, lower.values()))
        if have < count:
            short[group.replace(_BETWEEN, " ")] = have
        rows += _drawn(list(lower.values()), min(count, have), _generator(seed, group))
    return rows, short


def without_level(table: DataFrame, *levels: str) -> int:
    """Return how many rows have nothing in one of these levels and so are never drawn."""
    keys = [_keys(table, level) for level in levels]
    return sum(not all(values) for values in zip(*keys, strict=True))


_BETWEEN = "\x1f"


def _keys(table: DataFrame, level: str) -> list[str]:
    """Return the member of a level that each row belongs to; "" where the table does not tell."""
    if level == ALL:
        return [ALL] * len(table)
    if level not in table.columns:
        names = ", ".join(one_line(name) for name in table.columns)
        raise ReadError(f"it has no level {one_line(level)!r}", advice=f"Use one of these: {names}.")
    above: Sequence[str] = RANKS[: RANKS.index(level)] if level in RANKS else ()
    columns = [_texts(table[name]) for name in (*above, level) if name in table.columns]
    own = columns[-1]
    return [
        _BETWEEN.join(parts) if name else ""
        for name, parts in zip(own, zip(*columns, strict=True), strict=True)
    ]


def _texts(column: Any) -> list[str]:
    from pandas import isna

    return ["" if isna(value) else str(value).strip() for value in column]


def _generator(seed: int, group: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(group.encode("utf-8", "surrogatepass"))])


def _drawn(lower: list[list[int]], count: int, random: np.random.Generator) -> list[int]:
    left = [[members[place] for place in random.permutation(len(members))] for members in lower]
    drawn = []
    for _ in range(count):
        which = int(random.integers(len(left)))
        drawn.append(left[which].pop())
        if not left[which]:
            left[which] = left[-1]
            left.pop()
    return drawn
