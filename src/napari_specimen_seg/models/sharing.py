"""A model folder made ready for the Hub, with a page that tells people what it is and is not good for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..core.progress import Progress, Report, silent
from .bundle import README, read_card, read_checked, refuse_taken, write_bundle
from .card import ModelCard, Softmax
from .folders import graph_of
from .library import find_model
from .network import is_in_library
from .smp_config import smp_call

TAGS = ["napari", "biology", "semantic-segmentation", "specimen"]

KNOWN_LICENSES = frozenset(
    {
        "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0",
        "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "gpl-3.0", "agpl-3.0", "lgpl-3.0", "mpl-2.0",
    }
)  # fmt: skip
"""Names that the Hub has for licences; it wants any other as ``other`` with a name beside it."""


def write_upload(
    model: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    report: Report = silent,
    *,
    overwrite: bool = False,
) -> ModelCard:
    """Write a folder that can be uploaded to the Hub as it is, and pulled from there by name.

    Parameters
    ----------
    model : str or path-like
        Name or folder.
    folder : path-like
        To make.
    report : callable
    overwrite : bool
        Whether an existing model folder may be replaced.

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelError
        If the model is missing or altered.
    WriteError
        If the folder exists or cannot be written.
    """
    source, target = find_model(model), Path(folder)
    refuse_taken(target, overwrite)
    report(Progress("reading", 0, 1))
    card = read_card(source)
    content = read_checked(source, card)
    report(Progress("writing", 0, 1))
    beside = {README: page(card), **graph_of(source, card)}
    if is_in_library(card):
        beside["config.json"] = json.dumps(smp_arguments(card), indent=2) + "\n"
    return write_bundle(target, card, content, overwrite=overwrite, beside=beside)


def smp_arguments(card: ModelCard) -> dict[str, Any]:
    """Return what segmentation-models-pytorch's own ``from_pretrained`` needs to open the folder too."""
    name, arguments = smp_call(card)
    return {"_model_class": name, **arguments}


def page(card: ModelCard) -> str:
    """Return the page for people, with what the Hub wants to know at its head.

    Parameters
    ----------
    card : ModelCard

    Returns
    -------
    str
        YAML front matter and Markdown.
    """
    import yaml

    head = yaml.safe_dump(front_matter(card), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n" + "\n\n".join(_paragraphs(card)) + "\n"


def front_matter(card: ModelCard) -> dict[str, Any]:
    """Return what the Hub reads: licence, task, library, tags and scores.

    Parameters
    ----------
    card : ModelCard

    Returns
    -------
    dict
    """
    library = "onnx" if card.onnx else "openvino" if card.openvino else "segmentation-models-pytorch"
    content: dict[str, Any] = {
        **_license(card),
        "pipeline_tag": "image-segmentation",
        "library_name": "napari-specimen-seg",
        "tags": [*TAGS, library],
    }
    if card.scores:
        content["model-index"] = [{"name": card.name, "results": _results(card)}]
    return content


def _license(card: ModelCard) -> dict[str, str]:
    if not card.license:
        return {"license": "unknown"}
    name = card.license.lower()
    return {"license": name} if name in KNOWN_LICENSES else {"license": "other", "license_name": name}


def _results(card: ModelCard) -> list[dict[str, Any]]:
    return [
        {
            "task": {"type": "image-segmentation"},
            "dataset": {"name": card.training.data or "not stated", "type": "images", "split": split},
            "metrics": [
                {"type": name.replace(" ", "_"), "name": name, "value": value}
                for name, value in scores.items()
            ],
        }
        for split, scores in card.scores.items()
    ]


def _paragraphs(card: ModelCard) -> list[str]:
    from .bundle import readme

    geometry = card.preprocessing.geometry
    sees = {
        "tiles": "It looks at pictures of any size, in tiles at their own scale.",
        "pad": "It looks at the whole picture, padded to a square.",
        "resize": "It looks at the whole picture, stretched to one size.",
    }[geometry.kind]
    answers = "one class for every pixel" if isinstance(card.head, Softmax) else "each class by itself"
    return [
        readme(card).strip(),
        "## Use",
        "```\npip install napari-specimen-seg\nspecimen-seg models pull OWNER/NAME\n"
        "specimen-seg predict photos/*.jpg --model OWNER/NAME --output masks\n```",
        "In napari: Plugins > Specimen Segmentation > Models, and then Segment.",
        "## What to expect",
        f"{sees} It decides on {answers}. Pictures unlike those that it learned from (other organisms, "
        "light, scale or background) may come out wrong without any sign of it: compare some masks with "
        "your own.",
        "Nothing in this repository is executed when it is opened there: the card is JSON, the weights are "
        "numbers.",
    ]
