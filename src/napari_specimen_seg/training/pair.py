"""A picture and what says what is in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture and the files that say what is in it.

    Parameters
    ----------
    name : str
        The picture's stem, unique within a data set.
    picture : Path
    masks : tuple of Path
        One mask, or one per object in the competition's layout.
    regions : tuple
        Polygons or run lengths with class ids, where the labels come from a COCO file.
    """

    name: str
    picture: Path
    masks: tuple[Path, ...] = ()
    regions: tuple[tuple[int, object], ...] = ()


@dataclass(slots=True)
class PairList:
    """The pairs of a data set, and what could not be paired.

    Parameters
    ----------
    pairs : list of Pair
        Sorted by name.
    problems : list of (Path, str)
        Files left out and why.
    """

    pairs: list[Pair] = field(default_factory=list)
    problems: list[tuple[Path, str]] = field(default_factory=list)
