"""What every engine that computes networks offers to the tile loop: pixels in, classes out.

Needs neither torch nor any other engine; each is imported by the module that drives it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .card import ModelCard
from .cores import cores_for
from .decide import decide
from .devices import Engine


@dataclass(frozen=True, slots=True)
class Piece:
    """What the network is shown at once.

    Parameters
    ----------
    pixels : array
        (Y, X, in_channels) of the picture's own type, from `Preprocessing.to_channels`.
    values : (float, float)
        From `Preprocessing.value_range` of the whole plane.
    inner : (slice, slice)
        Rows and columns whose answer is used.
    """

    pixels: NDArray[Any]
    values: tuple[float, float]
    inner: tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class Ask:
    """What is wanted beside the class ids.

    Parameters
    ----------
    threshold : float, optional
        Instead of the head's own.
    confidence : bool
        The probability of the chosen class.
    scores : bool
        The network's whole output.
    """

    threshold: float | None = None
    confidence: bool = False
    scores: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a network says about the inner part of a piece.

    Parameters
    ----------
    labels : array
        (Y, X) class ids, uint8 or uint16.
    confidence : array of float32 or None
        (Y, X).
    scores : array of float32 or None
        (C, Y, X).
    """

    labels: NDArray[Any]
    confidence: NDArray[np.float32] | None = None
    scores: NDArray[np.float32] | None = None


class Backend(ABC):
    """Computes the network of a card with one engine. Several threads may ask at once.

    Parameters
    ----------
    card : ModelCard
    engine : Engine
    """

    def __init__(self, card: ModelCard, engine: Engine) -> None:
        self.card = card
        self.engine = engine

    @abstractmethod
    def scores(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a batch.

        Parameters
        ----------
        batch : array of float32
            (N, C, Y, X), from `Preprocessing.normalise` or `fit`.

        Returns
        -------
        array of float32
            (N, card.out_channels, Y, X), in C order.
        """

    def answer(self, pieces: Sequence[Piece], ask: Ask) -> list[Answer]:
        """Choose the classes of pieces of equal size.

        Parameters
        ----------
        pieces : sequence of Piece
        ask : Ask

        Returns
        -------
        list of Answer
            One for each piece.
        """
        normalise = self.card.preprocessing.normalise
        scores = self.scores(np.stack([normalise(piece.pixels, piece.values) for piece in pieces]))
        inner = (one[(slice(None), *piece.inner)] for one, piece in zip(scores, pieces, strict=True))
        return [self.choose(part, ask) for part in inner]

    def choose(self, scores: NDArray[np.float32], ask: Ask) -> Answer:
        """Choose the classes for scores (C, Y, X)."""
        labels, confidence = decide(scores, self.card, ask.threshold, confidence=ask.confidence)
        return Answer(labels, confidence, scores if ask.scores else None)

    def batch_size(self, height: int, width: int) -> int:
        """Return how many pieces of a size to compute as one batch; on a CPU a batch gains nothing."""
        del height, width
        return 1

    def lanes(self, height: int, width: int) -> int:
        """Return how many batches of pieces of a size to compute side by side."""
        return cores_for(height * width, self.channels)

    @property
    def channels(self) -> int:
        """The larger number of input and output channels."""
        return max(self.card.preprocessing.in_channels, self.card.out_channels)
