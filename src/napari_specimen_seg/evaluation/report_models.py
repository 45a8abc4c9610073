"""What a report says about several models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..core.errors import one_line
from . import plots
from .compare import Comparison
from .page import (
    Cell,
    ReportInput,
    Section,
    Table,
    color_of,
    distributions,
    drawn,
    number,
    plain_table,
    shortened,
    with_interval,
)


def comparison_sections(given: ReportInput) -> list[Section]:
    """Return the sections that only a comparison has."""
    return [
        _model_section(given.comparison),
        _difference_section(given.comparison),
        _pairs_section(given),
    ]


def _model_section(comparison: Comparison) -> Section:
    rows = comparison.models.to_dict("records")
    heads = ["model", "mean IoU (95 % interval)", "difference, points", "boundary F1", "size, MB",
             "s per megapixel", "most memory, MB", "computed with", "against the first"]  # fmt: skip
    section = Section(
        "Models", tables=[Table(heads, [_model_row(comparison, row) for row in rows], wide=True)]
    )
    if comparison.costs:
        section.text.append(
            "Time and memory were measured in one run: each model in a process of its own, taking turns on "
            "each picture after a first run that is not counted. Time is the median, without reading the "
            "picture; memory is the most that the process had at any time, or took of the GPU."
        )
        section.figures.append(
            drawn(
                plots.costs(comparison), "Bars: size, parameters, time and memory", "What each model costs."
            )
        )
    return section


def _model_row(comparison: Comparison, row: Mapping[Any, Any]) -> list[Cell]:
    name = row["model"]
    kind = "long"
    if comparison.max_loss is not None:
        kind += " good" if comparison.is_good(name) else " bad"
    difference = "" if name == comparison.first else with_interval_of_points(row)
    return [
        Cell(one_line(name)),
        Cell(with_interval(row["mean_iou"], row["mean_iou_low"], row["mean_iou_high"])),
        Cell(difference),
        Cell(number(row["mean_boundary_f1"])),
        Cell(_scaled(row.get("bytes"), 1e6)),
        Cell(number(row.get("seconds_per_megapixel"))),
        Cell(_scaled(row.get("peak_bytes"), 1e6)),
        Cell(_engine(row)),
        Cell(row["verdict"] or "the first", kind=kind),
    ]


def with_interval_of_points(row: Mapping[Any, Any]) -> str:
    """Return a difference in points with its interval: ``-0.31 (-0.80 to 0.12)``."""
    keys = ("difference", "difference_low", "difference_high")
    value, low, high = (round(row[key] * 100, 2) + 0.0 for key in keys)  # no -0.00
    return f"{value:+.2f}" + ("" if math.isnan(low) else f" ({low:+.2f} to {high:+.2f})")


def _scaled(value: Any, unit: float) -> str:
    known = value is not None and not math.isnan(value)
    return f"{value / unit:.1f}" if known else "–"


def _engine(row: Mapping[Any, Any]) -> str:
    parts = [row.get(key) for key in ("backend", "precision", "device")]
    return ", ".join(part for part in parts if isinstance(part, str)) or "–"


def _difference_section(comparison: Comparison) -> Section:
    figures = [
        drawn(
            plots.differences(comparison, other),
            f"Differences in IoU by class between {other} and {comparison.first}",
            f"{one_line(other)}: right of the line it is better than {one_line(comparison.first)}. Lines are "
            "95 % intervals, paired: both models on the same draws of pictures.",
        )
        for other in comparison.others
    ]
    class_map = comparison.scores[comparison.first].class_map
    heads = ["class", *(f"IoU, {one_line(name)}" for name in comparison.names)]
    rows = [
        [
            Cell(one_line(row["class"]), color=color_of(class_map, row["class"])),
            *(Cell(number(row[f"iou {name}"])) for name in comparison.names),
        ]
        for row in comparison.classes.to_dict("records")
    ]
    return Section("Classes by model", tables=[Table(heads, rows)], figures=figures)


def _pairs_section(given: ReportInput) -> Section:
    comparison = given.comparison
    figures = distributions(given, "Mean IoU of every picture by model")
    figures += [
        drawn(
            plots.scatter(comparison, other, given.ceiling),
            f"Points: mean IoU of every picture by {other} against {comparison.first}",
            "One point for each picture, in the colour of the model that is better on it.",
        )
        for other in comparison.others
    ]
    heads = {"image": "picture", **{f"mean_iou {name}": one_line(name) for name in comparison.names}}
    table = plain_table(comparison.pictures, {**heads, "winner": "best"})
    text = ["Mean IoU of each picture; where the models differ most comes first."]
    return Section(
        "Pictures by model", text=text + shortened(len(comparison.pictures)), tables=[table], figures=figures
    )
