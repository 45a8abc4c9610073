"""Class scores of a network brought to the size of the picture, a band of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

BAND_BYTES = 32_000_000
"""About how much one band may take; a whole photograph of scores would take gigabytes."""


def smooth_bands(scores: torch.Tensor, height: int, width: int) -> Iterator[tuple[slice, torch.Tensor]]:
    """Enlarge (or shrink) class scores bilinearly.

    Parameters
    ----------
    scores : torch.Tensor
        (C, y, x) float.
    height, width : int
        Wanted.

    Yields
    ------
    rows : slice
        Of the wanted picture.
    scores : torch.Tensor
        (C, rows, width); the same numbers whatever the bands are.
    """
    per_row = scores.shape[0] * width * 4
    band = max(1, BAND_BYTES // per_row)
    for start in range(0, height, band):
        rows = slice(start, min(height, start + band))
        part = _lerp(scores, 1, rows, height)
        yield rows, _lerp(part, 2, slice(0, width), width)


def _lerp(scores: torch.Tensor, axis: int, part: slice, full: int) -> torch.Tensor:
    """Take the samples `part` of `full` along an axis, pixel centres on pixel centres."""
    import torch

    extent = scores.shape[axis]
    if extent == full:
        return scores.narrow(axis, part.start, part.stop - part.start)
    where = (torch.arange(part.start, part.stop, dtype=torch.float64) + 0.5) * extent / full - 0.5
    where = where.clamp(0, extent - 1)
    below = where.floor().long()
    above = (below + 1).clamp(max=extent - 1)
    share = (where - below).to(scores.dtype).to(scores.device)
    share = share.reshape([-1 if i == axis else 1 for i in range(scores.ndim)])
    below, above = below.to(scores.device), above.to(scores.device)
    return torch.lerp(scores.index_select(axis, below), scores.index_select(axis, above), share)
