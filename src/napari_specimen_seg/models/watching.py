"""The probabilities of all classes while a picture is segmented, without ever holding all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .card import ModelCard, Softmax

if TYPE_CHECKING:
    import torch


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

    def show(self, output: torch.Tensor, rows: slice, columns: slice) -> None:
        """Show the output (C, rows, columns) for a part of the plane."""
        if self.watch is not None:
            self.watch(Seen(self.plane, rows, columns, probabilities(output, self.card).cpu().numpy()))

    def show_enlarged(self, output: torch.Tensor, height: int, width: int) -> None:
        """Show the output (C, y, x) for the whole plane, enlarged like its labels: by nearest neighbour."""
        from ..core.resizing import resize_nearest

        if self.watch is None:
            return
        small = probabilities(output, self.card).cpu().numpy()
        large = np.stack([resize_nearest(channel, height, width) for channel in small])
        self.watch(Seen(self.plane, slice(0, height), slice(0, width), large))


def probabilities(output: torch.Tensor, card: ModelCard) -> torch.Tensor:
    """Return what a network answered as probabilities.

    Parameters
    ----------
    output : torch.Tensor
        (C, Y, X): with the activation of the card, or logits.
    card : ModelCard

    Returns
    -------
    torch.Tensor
        (C, Y, X) float, 0 to 1.
    """
    import torch

    if card.activation is not None:
        return output
    return torch.softmax(output, 0) if isinstance(card.head, Softmax) else torch.sigmoid(output)
