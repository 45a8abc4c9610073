"""What the Segment dock does off the GUI thread, and what it asks before it replaces anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QWidget

from ..core.image import Prediction, SpecimenImage
from ..core.progress import Progress, Report
from ..core.regions import tally
from ..models.settings import PredictSettings
from .choices import Role, ask_which
from .results import Plane, checksum, is_edited
from .status import duration

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from ..models.predictor import Predictor

Answer = Literal["replace", "keep", "cancel"]


@dataclass(eq=False)  # without slots: napari keeps weak references to those whom it calls back
class Request:
    """One press of the Segment button.

    Parameters
    ----------
    layer : napari Image layer
        The picture.
    picture : SpecimenImage
        The same for the model: all of it, or the one plane.
    plane : tuple of int or None
        Which plane of a stack; None for all.
    planes : list of tuple of int
        The planes that the result covers.
    model : Path
        The model folder.
    sealed : str
        Checksum of the model's card.
    pixels : int
        How many there are to segment.
    settings : PredictSettings
    onto : napari Labels layer or None
        The layer to replace the content of.
    touched : bool
        Whether somebody changed that layer while the model was running.
    """

    layer: Image
    picture: SpecimenImage
    plane: Plane | None
    planes: list[Plane]
    model: Path
    sealed: str
    pixels: int
    settings: PredictSettings
    onto: Labels | None = None
    touched: bool = False

    def note_touch(self, event: Any = None) -> None:
        """Remember that the layer to be replaced was changed."""
        del event
        self.touched = True


@dataclass(frozen=True, slots=True)
class Result:
    """What a run hands back to the GUI thread.

    Parameters
    ----------
    prediction : Prediction
    sums : dict
        Checksums of its labels by plane.
    found : list of int or None
        The class ids that occur; None where there are too many pixels to look.
    seconds : float
        Time it took, without reading the model, which the next picture need not wait for.
    """

    prediction: Prediction
    sums: dict[Plane, int]
    found: list[int] | None
    seconds: float


class Predictors:
    """The model that was used last stays in memory, so that the next picture need not read it again."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._sealed = ""
        self._predictor: Predictor | None = None

    def get(self, path: Path, sealed: str) -> Predictor:
        """Return the model in a folder.

        Parameters
        ----------
        path : Path
        sealed : str
            Checksum of its card, which changes with the weights.

        Returns
        -------
        Predictor
        """
        from ..models.predictor import load_model

        if self._predictor is None or (path, sealed) != (self._path, self._sealed):
            self._predictor = None  # free the old one first
            self._predictor = load_model(path)
            self._path, self._sealed = path, sealed
        return self._predictor


def segment_work(request: Request, predictors: Predictors) -> Callable[[Report], Result]:
    """Return the work of one press of the button.

    Parameters
    ----------
    request : Request
    predictors : Predictors

    Returns
    -------
    callable
        Takes a report function; imports torch when it is called.
    """
    picture, settings = request.picture, request.settings
    model, sealed = request.model, request.sealed

    def work(report: Report) -> Result:
        report(Progress("loading model", 0, 0))
        began = 0.0

        def timed(progress: Progress) -> None:
            nonlocal began
            if not began and not progress.stage.startswith("loading"):
                began = time.monotonic()
            report(progress)

        prediction = predictors.get(model, sealed).predict(picture, settings, timed)
        seconds = time.monotonic() - began if began else 0.0
        report(Progress("showing", 0, 0))
        return result_of(request, prediction, seconds)

    return work


def result_of(request: Request, prediction: Prediction, seconds: float) -> Result:
    """Return what a run hands back.

    Parameters
    ----------
    request : Request
    prediction : Prediction
        In memory.
    seconds : float
        Time it took.

    Returns
    -------
    Result
    """
    labels = np.asarray(prediction.labels)
    found = [int(value) for value in tally(labels)[0] if value != 0]
    return Result(prediction, sums_of(labels, request.plane), found, seconds)


def sums_of(labels: NDArray[Any], plane: Plane | None) -> dict[Plane, int]:
    """Return the checksums of labels by plane; `plane` says which they are, None all."""
    if plane is not None:
        return {plane: checksum(labels)}
    return {at: checksum(labels[at]) for at in np.ndindex(*labels.shape[:-2])}


def edit_check(onto: Labels, planes: list[Plane]) -> Callable[[Report], bool]:
    """Return the work that finds out whether an earlier result was edited by hand."""
    return lambda _report: is_edited(onto, planes)


def ask_to_replace(parent: QWidget, name: str) -> Answer:
    """Ask what is to happen to labels that were edited by hand.

    Parameters
    ----------
    parent : QWidget
        Over which the question is shown.
    name : str
        Of the layer.

    Returns
    -------
    {"replace", "keep", "cancel"}
    """
    told = "Replace it with the new result? Undo (Ctrl+Z) brings the edited labels back."
    answers = {
        "keep": ("Keep both", Role.AcceptRole),
        "replace": ("Replace", Role.DestructiveRole),
        "cancel": ("Cancel", Role.RejectRole),
    }
    question = f"“{name}” was edited by hand."
    return cast("Answer", ask_which(parent, "Replace edited labels?", question, told, answers))


def done_text(result: Result, seconds: float) -> str:
    """Return what the status line says of a finished run.

    Parameters
    ----------
    result : Result
    seconds : float
        How long the person has waited.

    Returns
    -------
    str
    """
    if result.found is None:
        return f"Done in {duration(seconds)}."
    found = len(result.found)
    if not found:
        return "The model found none of its classes in this picture."
    of = len(result.prediction.class_map.foreground)
    classes = "" if of == 1 else f": {found} of {of} classes found"
    return f"Done in {duration(seconds)}{classes}."
