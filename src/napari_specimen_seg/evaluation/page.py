"""The parts that a report is put together from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.classes import ClassMap
from ..core.errors import one_line
from . import plots
from .compare import Comparison
from .result import Scores
from .thumbs import Sample

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_PICTURES = 40
"""How many rows the table of pictures has at most; all of them are in the CSV file."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table in the page."""

    text: str
    kind: str = ""
    color: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table in the page."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure or photograph in the page."""

    source: str
    alt: str
    caption: str = ""
    width: int = 0
    height: int = 0


@dataclass(slots=True)
class Section:
    """A part of the page under a heading."""

    title: str
    text: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Picture] = field(default_factory=list)
    samples: list[Mapping[str, Any]] = field(default_factory=list)
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class ReportInput:
    """What a report is made from.

    Parameters
    ----------
    comparison : Comparison
        Of one model or several.
    ceiling : Scores, optional
        Of two people.
    worst, best : sequence of Sample
    origin : sequence of (str, str)
        Settings, data and versions: what the results depend on.
    used_threshold : float, optional
        Where the model has one.
    notes : sequence of str
        What a reader must know first: pictures that failed.
    """

    comparison: Comparison
    ceiling: Scores | None = None
    worst: Sequence[Sample] = ()
    best: Sequence[Sample] = ()
    origin: Sequence[tuple[str, str]] = ()
    used_threshold: float | None = None
    notes: Sequence[str] = ()


def number(value: Any, digits: int = 3) -> str:
    """Return a number for a table; a dash where it is undefined."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{float(value):.{digits}f}"


def with_interval(value: float, low: float, high: float) -> str:
    """Return a score with its interval: ``0.812 (0.790–0.834)``."""
    if math.isnan(low) or math.isnan(high):
        return number(value)
    return f"{number(value)} ({number(low)}–{number(high)})"


def color_of(class_map: ClassMap, name: str) -> str:
    """Return the colour of a class by its name; empty where there is none."""
    item = class_map.by_name(name)
    return item.color if item else ""


def drawn(figure: Figure, alt: str, caption: str) -> Picture:
    """Return a figure as a picture of the page, as large as it is on paper."""
    width = round(figure.get_figwidth() * 96)  # CSS pixels in an inch
    return Picture(plots.data_uri(plots.to_svg(figure), "image/svg+xml"), alt, caption, width)


def shortened(rows: int) -> list[str]:
    """Return what to say where a table does not have all its rows."""
    return [f"The first {MOST_PICTURES} of {rows}; all are in images.csv."] if rows > MOST_PICTURES else []


def plain_table(frame: pd.DataFrame, heads: Mapping[str, str]) -> Table:
    """Return the first rows of a frame, with those columns that have a heading."""
    rows = [
        [Cell(one_line(v) if isinstance(v, str) else number(v)) for v in (row[key] for key in heads)]
        for row in frame.head(MOST_PICTURES).to_dict("records")
    ]
    return Table(list(heads.values()), rows, wide=len(heads) > 7)


def distributions(given: ReportInput, caption: str) -> list[Picture]:
    """Return the distribution of the pictures' scores, whole and zoomed."""
    endings = {False: ". Box: median and quartiles.", True: ", zoomed."}
    return [
        drawn(
            plots.distribution(given.comparison.scores, given.ceiling, zoomed=zoomed),
            "Points: mean IoU of every picture",
            caption + ending,
        )
        for zoomed, ending in endings.items()
    ]
