"""Lessons as the network sees them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.classes import ClassMap
from ..core.errors import ReadError
from ..core.input_settings import Tiles
from ..core.tiling import layout, piece
from ..models.card import ModelCard
from ..models.network import stride_of_card
from .frozen import Features, content_key
from .lesson import Lesson
from .losses import IGNORE


@dataclass(slots=True)
class View:
    """A part of a picture as the network takes it.

    Parameters
    ----------
    picture : torch.Tensor
        (1, C, Y, X) float32.
    target : torch.Tensor
        (Y, X) int64: position in the class map, `IGNORE` where nobody labelled.
    places : mapping
        For every labelled class the flat indices of its pixels.
    key : bytes
        By which the picture's features are found again.
    before : torch.Tensor, optional
        (C, Y, X): what the network answered before the round.
    """

    picture: Tensor
    target: Tensor
    places: dict[int, Tensor] = field(default_factory=dict)
    key: bytes = b""
    before: Tensor | None = None

    def __post_init__(self) -> None:
        self.key = content_key(self.picture)
        flat = self.target.ravel()
        for number in torch.unique(flat[flat != IGNORE]).tolist():
            self.places[int(number)] = torch.nonzero(flat == number)[:, 0]


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a view to learn from.

    Parameters
    ----------
    features : tuple of torch.Tensor
        The encoder's answers, (1, C, Y, X) each.
    target : torch.Tensor
        (Y, X) int64.
    before : torch.Tensor or None
        (C, Y, X): what the network answered before the round.
    """

    features: Features
    target: Tensor
    before: Tensor | None


def views_of(lesson: Lesson, card: ModelCard) -> list[View]:
    """Cut a lesson into what the network takes: tiles at the picture's scale, or the whole picture.

    Parameters
    ----------
    lesson : Lesson
    card : ModelCard

    Returns
    -------
    list of View
        Those with a labelled pixel. The inputs are those that a prediction makes.
    """
    plane = np.asarray(lesson.image.data)
    preprocessing = card.preprocessing
    values = preprocessing.value_range(plane, name=lesson.image.name, bit_depth=lesson.image.bit_depth)
    target = _target(lesson, card.class_map)
    if not isinstance(preprocessing.geometry, Tiles):
        inner = preprocessing.fit(plane, values)
        return [_view(inner, _fitted(target, card))] if (target != IGNORE).any() else []
    height, width = target.shape
    plan = layout(height, width, preprocessing.geometry, stride_of_card(card))
    views = []
    for tile in plan.tiles:
        shape = plan.height, plan.width
        labels = target[tile.top : tile.top + shape[0], tile.left : tile.left + shape[1]]
        if not (labels != IGNORE).any():
            continue
        cut = preprocessing.to_channels(piece(plane, tile, shape))
        rows, columns = (have - part for have, part in zip(shape, labels.shape, strict=True))
        whole = np.pad(labels, ((0, rows), (0, columns)), constant_values=IGNORE)
        views.append(_view(preprocessing.normalise(cut, values), whole))
    return views


def _view(picture: NDArray[np.float32], target: NDArray[np.int32]) -> View:
    return View(torch.from_numpy(np.ascontiguousarray(picture))[None], torch.from_numpy(target).long())


def _target(lesson: Lesson, class_map: ClassMap) -> NDArray[np.int32]:
    """Return the position of each labelled pixel's class, `IGNORE` elsewhere."""
    target = np.full(lesson.labels.shape, IGNORE, np.int32)
    for class_id in np.unique(lesson.labels[lesson.known]).tolist():
        if class_id not in class_map.ids:
            raise ReadError(
                f"{lesson.image.name}: the labels hold {class_id}, which is no class",
                advice="Add it to the classes.",
            )
        target[lesson.known & (lesson.labels == class_id)] = class_map.ids.index(class_id)
    return target


def _fitted(target: NDArray[np.int32], card: ModelCard) -> NDArray[np.int32]:
    """Bring labelled pixels to the network's size; thin strokes survive being made smaller."""
    small: NDArray[np.int32] = card.preprocessing.fit_labels(target - IGNORE) + IGNORE  # what is added is 0
    place = card.preprocessing.placement(*target.shape)
    rows, columns = np.nonzero(target != IGNORE)
    y = place.top + rows * place.height // target.shape[0]
    x = place.left + columns * place.width // target.shape[1]
    missed = small[y, x] == IGNORE
    small[y[missed], x[missed]] = target[rows[missed], columns[missed]]
    return small
