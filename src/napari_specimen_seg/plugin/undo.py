"""Replacing many labels at once as one step that Undo takes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.layers import Labels


def replace_with_undo(layer: Labels, region: tuple[int, ...], new: NDArray[Any]) -> bool:
    """Replace the labels of a region as one step that Undo takes back.

    napari's public `data_setitem` keeps 16 bytes for the place of every changed pixel, which is good for
    few and slow for many. For many, a box around them goes into the layer's history as it is.

    Parameters
    ----------
    layer : napari Labels layer
        With labels in memory.
    region : tuple of int
        Which plane; () for everything.
    new : array
        Of the region's shape.

    Returns
    -------
    bool
        Whether any pixel differs.
    """
    if (
        not np.can_cast(new.dtype, layer.data.dtype)
        and int(new.max(initial=0)) > np.iinfo(layer.data.dtype).max
    ):
        layer.data = layer.data.astype(new.dtype)
    changed = layer.data[region] != new
    count = int(np.count_nonzero(changed))
    if count == 0:
        return False
    box = _box(changed)
    whole = tuple(slice(at, at + 1) for at in region) + box
    new = new.astype(layer.data.dtype, copy=False)
    if count * 8 < changed[box].size or not hasattr(layer, "_save_history"):
        where = np.nonzero(changed)
        lead = tuple(np.full(count, at) for at in region)
        layer.data_setitem(lead + where, new[where])
        return True
    block = new[box].reshape(layer.data[whole].shape)
    layer._save_history((whole, layer.data[whole].copy(), block.copy()))
    layer.data[whole] = block
    layer.refresh()
    return True


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the smallest box around all that is true."""
    found = []
    for axis in range(mask.ndim):
        line = mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis))
        hits = np.flatnonzero(line)
        found.append(slice(int(hits[0]), int(hits[-1]) + 1))
    return tuple(found)


def forget_under(layer: Labels, box: Sequence[slice]) -> None:
    """Let Undo and Redo forget strokes in a part that has got a new content behind them.

    What Undo would bring back is what was there before the stroke, and that is out of date.

    Parameters
    ----------
    layer : napari Labels layer
    box : sequence of slice
        One for each axis, in pixels of the full size.
    """
    for name in ("_undo_history", "_redo_history"):
        history = getattr(layer, name, None)
        if not history:
            continue
        kept = [item for item in history if not any(_reaches_into(atom, box) for atom in item)]
        if len(kept) < len(history):
            history.clear()
            history.extend(kept)


def _reaches_into(atom: Any, box: Sequence[slice]) -> bool:
    """Tell whether a change in napari's history has changed pixels of a box.

    A change is where it was, then either which pixels of that (napari 0.9 for brushes) or their old values.
    """
    place, second, third = atom[0], atom[1], atom[2]
    if not all(isinstance(axis, slice) for axis in place):
        inside = [
            (np.asarray(axis) >= part.start) & (np.asarray(axis) < part.stop)
            for axis, part in zip(place, box, strict=True)
        ]
        return bool(np.logical_and.reduce(np.broadcast_arrays(*inside)).any())
    common = []
    for axis, part in zip(place, box, strict=True):
        first, last = max(axis.start, part.start), min(axis.stop, part.stop)
        if first >= last:
            return False
        common.append(slice(first - axis.start, last - axis.start))
    if len(atom) > 3:  # a mask of the pixels; none where all of them are meant
        return second is None or bool(second[tuple(common)].any())
    changed = np.asarray(second) != np.asarray(third)
    return changed.ndim != len(common) or bool(changed[tuple(common)].any())
