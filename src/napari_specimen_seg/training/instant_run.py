"""Instant learning from files, as the command line does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..core.classes import ClassMap
from ..core.errors import CancelledError, SpecimenError
from ..core.files import read_image
from ..core.progress import Progress
from ..models.bundle import refuse_taken
from ..models.card import ModelCard
from .config import DataSettings, TrainConfig
from .dataset import read_target
from .events import Event, Finished, Noted
from .instant import InstantSession
from .lesson import Lesson
from .losses import IGNORE
from .pair import Pair
from .pairs import find_pairs


def run_instant(
    config: TrainConfig,
    out: Path,
    seconds: float,
    tell: Callable[[Event], None],
    stop: Callable[[], bool] = lambda: False,
    *,
    steps: int | None = None,
) -> ModelCard:
    """Let a model learn from strokes on a few pictures for some seconds and write it as a folder.

    Parameters
    ----------
    config : TrainConfig
        What counts are the data, the classes, the seed, and the model to begin with.
    out : Path
        The model folder to be made.
    seconds : float
    tell : callable
        Called with every event.
    stop : callable
        Tells whether the work is asked to stop.
    steps : int, optional
        So many steps instead of seconds, so that the same strokes give the same model.

    Returns
    -------
    ModelCard

    Raises
    ------
    SpecimenError
        If no model to begin with is given, or the data do not allow it.
    CancelledError
        If it was asked to stop; nothing is written then.
    """
    if not config.network.start_from:
        raise SpecimenError("instant learning needs a model to begin with", advice="Name one by --from.")
    refuse_taken(out, overwrite=False)

    def report(progress: Progress) -> None:
        del progress
        if stop():
            raise CancelledError

    session = InstantSession(config.network.start_from, seed=config.run.seed)
    class_map = config.data.class_map or session.card.class_map
    found = find_pairs(config.data)
    lessons = [lesson_of(pair, config.data, class_map) for pair in found.pairs]
    for path, problem in found.problems:
        tell(Noted(f"{path.name} {problem}"))
    session.learn(lessons, seconds=seconds, steps=steps, class_map=class_map, answer=(), report=report)
    tell(Noted(f"{session.steps} steps on {len(lessons)} pictures; the encoder stayed as it was"))
    card = session.save(out)
    tell(Finished(str(out)))
    return card


def lesson_of(pair: Pair, data: DataSettings, class_map: ClassMap) -> Lesson:
    """Read a picture and its strokes.

    Parameters
    ----------
    pair : Pair
    data : DataSettings
        Which label means "not labelled".
    class_map : ClassMap

    Returns
    -------
    Lesson

    Raises
    ------
    ReadError
        If a file cannot be read or picture and mask do not fit.
    """
    image = read_image(pair.picture)
    target = read_target(pair, data, class_map, (image.height, image.width))
    known = target != IGNORE
    return Lesson(image, np.array(class_map.ids)[np.where(known, target, 0)], known)
