"""Pictures as a network sees them, to find out which numbers occur inside it before it is shrunk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ModelError, SpecimenError
from ..core.files import find_inputs, read_image
from ..core.progress import Progress, Report, silent
from .card import ModelCard
from .predictor import Predictor

if TYPE_CHECKING:
    import torch

MOST_INPUTS = 150
"""More make shrinking longer and hardly better."""

FEW_PICTURES = 10
"""With fewer, what was found in them says little about others."""


def calibration_inputs(
    card: ModelCard, pictures: Path | Sequence[Path], report: Report = silent, *, most: int = MOST_INPUTS
) -> list[NDArray[np.float32]]:
    """Return what the network of a card is given when pictures are segmented.

    Parameters
    ----------
    card : ModelCard
    pictures : Path or sequence of Path
        A folder, or files; like those that the model is meant for.
    report : callable
        May raise `CancelledError`.
    most : int
        How many inputs to return at most, evenly from all pictures.

    Returns
    -------
    list of array
        (1, C, Y, X) float32 each: normalised tiles or whole pictures.

    Raises
    ------
    ModelError
        If no picture can be used.
    """
    paths = find_inputs([pictures] if isinstance(pictures, Path) else list(pictures))
    paths = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, min(len(paths), most)).astype(int))]
    found: list[NDArray[np.float32]] = []
    predictor = Predictor(card.model_copy(update={"onnx": None, "openvino": None}), _listener(card, found))
    problem: SpecimenError | None = None
    for number, path in enumerate(paths):
        report(Progress("reading calibration pictures", number, len(paths)))
        try:
            predictor.predict(read_image(path))
        except ModelError:
            raise
        except SpecimenError as error:
            problem = error
    if not found:
        raise ModelError(f"no picture can be used for calibration ({problem})", path=paths[0])
    return [found[i] for i in np.unique(np.linspace(0, len(found) - 1, min(len(found), most)).astype(int))]


def _listener(card: ModelCard, found: list[NDArray[np.float32]]) -> torch.nn.Module:
    """Return a network that keeps what it is given and answers with nothing."""
    import torch

    class Listener(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            values: NDArray[Any] = batch.detach().cpu().numpy()
            found.extend(np.ascontiguousarray(one[None]) for one in values)
            return torch.zeros(batch.shape[0], card.out_channels, *batch.shape[-2:])

    return Listener()
