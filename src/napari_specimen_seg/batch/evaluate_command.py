"""The command lines that evaluate and compare, ready to paste into a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .commands import PROGRAM, quoted, settings_words

if TYPE_CHECKING:
    from ..evaluation.settings import EvaluateSettings
    from ..models.settings import PredictSettings


def evaluate_command(
    *,
    labels: Path,
    output: Path,
    model: str | None = None,
    predictions: Path | None = None,
    images: Path | None = None,
    second: Path | None = None,
    settings: EvaluateSettings | None = None,
    predict: PredictSettings | None = None,
) -> str:
    """Return the command line that evaluates a model or masks.

    Parameters
    ----------
    labels, output : Path
        Folders of the truth and of the results.
    model : str, optional
        Name or folder.
    predictions : Path, optional
        Folder of masks, instead of a model.
    images, second : Path, optional
        Folders of the pictures and of another person's labels.
    settings : EvaluateSettings, optional
        Only what differs from the defaults is spelled out.
    predict : PredictSettings, optional
        How the model is run; the same.

    Returns
    -------
    str
        Quoted for the shell of this system.
    """
    words = [PROGRAM, "evaluate"]
    words += _folder("predictions", predictions)
    words += ["--model", model] if model else []
    words += _shared(labels, images, second, settings, predict if model else None)
    return quoted([*words, *_folder("output", output)])


def compare_command(
    models: Sequence[str],
    *,
    labels: Path,
    output: Path,
    images: Path | None = None,
    second: Path | None = None,
    settings: EvaluateSettings | None = None,
    predict: PredictSettings | None = None,
) -> str:
    """Return the command line that compares models; parameters as for `evaluate_command`."""
    words = [PROGRAM, "compare", *models]
    return quoted([*words, *_shared(labels, images, second, settings, predict), *_folder("output", output)])


def _shared(
    labels: Path,
    images: Path | None,
    second: Path | None,
    settings: EvaluateSettings | None,
    predict: PredictSettings | None,
) -> list[str]:
    words = [*_folder("labels", labels), *_folder("images", images), *_folder("second-labels", second)]
    if settings is not None:
        for value in settings.ignore:
            words += ["--ignore", str(value)]
        words += settings_words(settings.model_copy(update={"ignore": ()}))
    return words + (settings_words(predict) if predict is not None else [])


def _folder(name: str, path: Path | None) -> list[str]:
    return [] if path is None else [f"--{name}", str(path)]
