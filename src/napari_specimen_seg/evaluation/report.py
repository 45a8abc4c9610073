"""The report of an evaluation or comparison: one page that needs no network and prints well."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from ..core.classes import ClassMap
from ..core.errors import one_line
from . import plots
from .page import (
    Cell,
    Picture,
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
from .report_models import comparison_sections
from .result import Scores
from .thumbs import DISAGREEMENT, Rgb, Sample

MEANINGS = (
    ("hit, missed, extra", "Pixels of a class in truth and prediction; only in the truth; only predicted."),
    ("IoU", "Intersection over union: hit / (hit + missed + extra)."),
    ("Dice, F1", "2 hit / (2 hit + missed + extra). Counted in pixels the two are the same."),
    ("precision, recall", "hit / (hit + extra), and hit / (hit + missed)."),
    ("boundary F1", "F1 of outline pixels that have the other outline within the tolerance."),
    ("–", "Undefined: the class is in neither mask (IoU), was never predicted (precision), or is not in "
     "the truth (recall). Undefined scores are left out of means, as is the background."),
    ("pooled", "Pixels of all pictures are added up first: large pictures count more."),
    ("interval", "95 %, by drawing pictures with replacement 2000 times (percentile bootstrap)."),
    ("AP of objects", "found / (found + missed + extra) objects, mean over overlaps 0.5 to 0.95."),
)  # fmt: skip


def render(given: ReportInput) -> str:
    """Return the page.

    Parameters
    ----------
    given : ReportInput

    Returns
    -------
    str
        HTML without scripts; every picture is in it. The same input gives the same text.
    """
    from jinja2 import Environment, StrictUndefined

    text = files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8")
    # Class and file names come from anywhere: everything is escaped.
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(text)
    comparison, several = given.comparison, len(given.comparison.names) > 1
    first = comparison.scores[comparison.first]
    sections = [*(comparison_sections(given) if several else []), *_sections_of_one(given, first)]
    rendered: str = page.render(
        title=("Comparison of " if several else "Evaluation of ")
        + ", ".join(map(one_line, comparison.names)),
        lead=_lead(given, first),
        facts=_facts(given, first),
        notes=given.notes,
        sections=[section for section in sections if section is not None],
        origin=given.origin,
        meanings=MEANINGS,
    )
    return rendered


def _lead(given: ReportInput, first: Scores) -> str:
    pictures, classes = len(first.pictures), len(first.class_map.foreground)
    text = (
        f"{pictures} labelled picture{'s' * (pictures != 1)}, {classes} class{'es' * (classes != 1)} "
        "beside the background."
    )
    if len(given.comparison.names) > 1:
        return f"{text} {one_line(given.comparison.first)} is what the others are held against."
    return text


def _facts(given: ReportInput, first: Scores) -> list[dict[str, str]]:
    if len(given.comparison.names) > 1:
        return [
            {"value": number(scores.mean_iou), "name": f"mean IoU, {one_line(name)}"}
            for name, scores in given.comparison.scores.items()
        ]
    overall = first.overall
    facts = [
        ("mean IoU of the classes, pooled", "mean_iou"),
        ("mean IoU, mean over pictures", "picture_mean_iou"),
        ("mean boundary F1", "mean_boundary_f1"),
        ("pixels with the right class", "accuracy"),
        ("average precision of objects", "object_ap"),
    ]
    found = [{"value": number(overall[key]), "name": name} for name, key in facts if key in overall]
    if given.ceiling is not None:
        found.append({"value": number(given.ceiling.mean_iou), "name": "mean IoU of two people"})
    return found


def _sections_of_one(given: ReportInput, scores: Scores) -> list[Section | None]:
    several = len(given.comparison.names) > 1
    whose = f" of {one_line(given.comparison.first)}" if several else ""
    return [
        _class_section(given, scores, whose),
        _object_section(given, scores),
        _curve_section(given, scores, whose),
        _confusion_section(scores, whose),
        None if several else _picture_section(given, scores),
        _sample_section(given, scores.class_map),
    ]


def _class_section(given: ReportInput, scores: Scores, whose: str) -> Section:
    heads = ["class", "IoU (95 % interval)", "IoU, mean over pictures", "Dice = F1", "precision", "recall",
             "boundary F1", "pixels", "pictures"]  # fmt: skip
    rows = [_class_row(scores.class_map, row) for row in scores.classes.to_dict("records")]
    if given.ceiling is not None:
        heads.append("IoU of two people")
        rows = [[*r, Cell(number(v))] for r, v in zip(rows, given.ceiling.classes["iou"], strict=True)]
    caption = f"IoU of each class{whose}, pooled over all pictures, with 95 % intervals."
    if given.ceiling is not None:
        caption += (
            f" Black marks: agreement of two people on {len(given.ceiling.pictures)} of the pictures, "
            "the most that can be expected of a model."
        )
    figure = drawn(plots.class_bars(scores, given.ceiling), "Bars: IoU by class, as in the table", caption)
    return Section("Classes" + whose, tables=[Table(heads, rows, wide=True)], figures=[figure])


def _class_row(class_map: ClassMap, row: Mapping[Any, Any]) -> list[Cell]:
    return [
        Cell(one_line(row["class"]), color=color_of(class_map, row["class"])),
        Cell(with_interval(row["iou"], row["iou_low"], row["iou_high"])),
        Cell(with_interval(row["iou_mean"], row["iou_mean_low"], row["iou_mean_high"])),
        *(Cell(number(row[key])) for key in ("dice", "precision", "recall", "boundary_f1")),
        Cell(number(int(row["support"]))),
        Cell(number(int(row["support_pictures"]))),
    ]


def _confusion_section(scores: Scores, whose: str) -> Section:
    figure = drawn(
        plots.confusion_plot(scores),
        "Matrix: share of each true class by predicted class",
        "What became of the pixels of each true class (row), in per cent. The counts are in confusion.csv.",
    )
    return Section("What is taken for what" + whose, figures=[figure])


def _object_section(given: ReportInput, scores: Scores) -> Section | None:
    if scores.objects is None:
        return None
    heads = ["class", "objects", "predicted", "split", "merged", "F1 at 0.5", "AP at 0.5", "AP at 0.75",
             "AP 0.5–0.95", "mean over pictures"]  # fmt: skip
    rows = [
        [
            Cell(one_line(row["class"]), color=color_of(scores.class_map, row["class"])),
            *(Cell(number(int(row[key]))) for key in ("objects", "predicted", "split", "merged")),
            *(Cell(number(row[key])) for key in ("f1_50", "ap_50", "ap_75", "ap")),
            Cell(with_interval(row["ap_mean"], row["ap_mean_low"], row["ap_mean_high"])),
        ]
        for row in scores.objects.to_dict("records")
    ]
    figure = drawn(
        plots.object_curve(given.comparison.scores, given.ceiling),
        "Curve: average precision by the overlap that counts as found",
        "Average precision by the overlap that counts as found, mean over pictures.",
    )
    return Section("Objects", tables=[Table(heads, rows)], figures=[figure])


def _curve_section(given: ReportInput, scores: Scores, whose: str) -> Section | None:
    if scores.best_threshold is None:
        return None
    text = []
    threshold, score = scores.best_threshold
    if given.used_threshold is not None and not math.isnan(threshold):
        text.append(
            f"Used was a threshold of {given.used_threshold:g}. Best on these pictures: {threshold:.3f}, "
            f"with a mean IoU of {score:.3f}. Once chosen by these pictures, try it on others: here it "
            "looks better than it is."
        )
    figure = drawn(
        plots.threshold_curves(scores, given.used_threshold, given.ceiling),
        "Curves: precision against recall, and IoU against the threshold",
        "Left: precision and recall of each class at every threshold. Right: IoU by threshold; every class "
        "for itself, before overlaps between classes are settled.",
    )
    return Section("Thresholds" + whose, text=text, figures=[figure])


def _picture_section(given: ReportInput, scores: Scores) -> Section:
    heads = {"image": "picture", "mean_iou": "mean IoU", "mean_dice": "mean Dice",
             "mean_boundary_f1": "boundary F1", "accuracy": "accuracy"}  # fmt: skip
    if scores.object_counts is not None:
        heads |= {"objects": "objects", "predicted_objects": "predicted", "object_ap": "AP of objects"}
    table = plain_table(scores.images, heads)
    figures = distributions(given, "Mean IoU of every picture")
    text = shortened(len(scores.images))
    return Section("Pictures, worst first", text=text, tables=[table], figures=figures)


def _sample_section(given: ReportInput, class_map: ClassMap) -> Section | None:
    groups: list[Mapping[str, Any]] = [
        {"title": title, "samples": [_sample(sample) for sample in samples]}
        for title, samples in (("Worst", given.worst), ("Best", given.best))
        if samples
    ]
    if not groups:
        return None
    marks = [(item.name, item.color) for item in DISAGREEMENT.foreground]
    legend = [(one_line(item.name), item.color) for item in class_map.foreground] + marks
    return Section("Best and worst pictures", samples=groups, legend=legend)


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "name": one_line(sample.name),
        "score": number(sample.score),
        "panels": [
            _photograph(panel, f"{sample.name}: {heading}", heading) for heading, panel in sample.panels
        ],
    }


def _photograph(panel: Rgb, alt: str, caption: str) -> Picture:
    from PIL import Image

    buffer = io.BytesIO()
    picture = Image.fromarray(panel.copy())
    if caption == "picture":
        picture.save(buffer, "JPEG", quality=82)
    else:
        picture.quantize(256).save(buffer, "PNG", optimize=True)
    kind = "image/jpeg" if caption == "picture" else "image/png"
    uri = plots.data_uri(buffer.getvalue(), kind)
    return Picture(uri, one_line(alt), one_line(caption), panel.shape[1], panel.shape[0])
