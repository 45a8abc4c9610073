"""The probabilities of all classes while a picture is segmented, without ever holding all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .card import ModelCard, Softmax
from .decide import sigmoid


@dataclass(frozen=True, slots=True)
class Seen:
    """The probabilities of a part of a picture.

    Parameters
    ----------
    plane : tuple of int
        Index into the leading axes; () for a single picture.
    rows, columns : slice
        Which pixels; every pixel is seen once.
    probability : array of float32
        (C, rows, columns), 0 to 1, in the order of `ModelCard.channel_ids`.
    """

    plane: tuple[int, ...]
    rows: slice
    columns: slice
    probability: NDArray[np.float32]


Watch: TypeAlias = Callable[[Seen], None]
"""Called with one part after the other."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """Turns a network's output into probabilities and shows them.

    Parameters
    ----------
    card : ModelCard
    plane : tuple of int
        Which plane of the picture the output is of.
    watch : callable, optional
        Without it nothing is computed.
    """

    card: ModelCard
    plane: tuple[int, ...] = ()
    watch: Watch | None = None

    def show(self, output: NDArray[np.float32], rows: slice, columns: slice) -> None:
        """Show the output (C, rows, columns) for a part of the plane."""
        if self.watch is not None:
            self.watch(Seen(self.plane, rows, columns, probabilities(output, self.card)))

    def show_enlarged(self, output: NDArray[np.float32], height: int, width: int) -> None:
        """Show the output (C, y, x) for the whole plane, enlarged like its labels: by nearest neighbour."""
        from ..core.resizing import resize_nearest

        if self.watch is None:
            return
        small = probabilities(output, self.card)
        large = np.stack([resize_nearest(channel, height, width) for channel in small])
        self.watch(Seen(self.plane, slice(0, height), slice(0, width), large))


def probabilities(output: NDArray[np.float32], card: ModelCard) -> NDArray[np.float32]:
    """Return what a network answered as probabilities.

    Parameters
    ----------
    output : array of float32
        (C, Y, X): with the activation of the card, or logits.
    card : ModelCard

    Returns
    -------
    array of float32
        (C, Y, X), 0 to 1.
    """
    if card.activation is not None:
        return output
    if not isinstance(card.head, Softmax):
        return sigmoid(output)
    powers = np.exp(output - output.max(axis=0))
    powers /= powers.sum(axis=0)
    return np.asarray(powers, np.float32)
