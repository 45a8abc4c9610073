"""A Labels layer that is larger than the memory, and that can be painted on.

napari shows large data as a pyramid, of which it reads the visible part at the zoom of the screen, but it
lets nobody paint on a pyramid. What is missing is little: strokes go to the full size, which the pyramid
answers for (`StoredPyramid`), and what changed has to be found in the part that is shown (`LargeLabels`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.layers._multiscale_data import MultiScaleData
from numpy.typing import NDArray

from ..core.files.label_store import LabelStore

FILL_SIDE = 4096
"""Filling looks at no more than this around the click: an outline that is not closed would take hours."""


class StoredPyramid(MultiScaleData):
    """The levels of a store. Indexed with one number it gives a level, with more the labels at full size.

    Parameters
    ----------
    store : LabelStore
    """

    def __init__(self, store: LabelStore) -> None:
        super().__init__(store.levels)
        self.store = store

    def __getitem__(self, key: Any) -> Any:
        """Return a level, or a part of the largest."""
        return self.store.labels[key] if isinstance(key, tuple) else self._data[key]

    def __setitem__(self, key: Any, values: Any) -> None:
        """Change a part of the labels, on all levels."""
        self.store.paint(key, values)

    def __deepcopy__(self, memo: dict[int, Any]) -> MultiScaleData:
        """Give a duplicated layer the same labels to look at; two layers must not write to one store."""
        return MultiScaleData(self.store.levels)


class LargeLabels(Labels):
    """A Labels layer on a store.

    Parameters
    ----------
    store : LabelStore
    **attributes
        Of a Labels layer.
    """

    _updated_slice: tuple[slice, ...] | None

    def __init__(self, store: LabelStore, **attributes: Any) -> None:
        self.store = store
        super().__init__(StoredPyramid(store), multiscale=True, **attributes)

    @property
    def _type_string(self) -> str:
        return "labels"

    def _ensure_int_labels(self, data: Any) -> Any:
        return data  # which would take the pyramid apart

    def _reset_editable(self) -> None:
        self.editable = True

    def _reset_thumbnail_level_data(self) -> None:
        super()._reset_thumbnail_level_data()
        self._level_materializer = None  # which would keep the smallest level as it was at first

    @property
    def selected_label(self) -> int:
        """The id that is painted."""
        return int(super().selected_label)

    @selected_label.setter
    def selected_label(self, value: Any) -> None:
        # The picker takes what a pyramid says of a pixel: its level and its value.
        number = value[1] or 0 if isinstance(value, tuple) else value
        Labels.selected_label.fset(self, number)

    # -- what changed ------------------------------------------------------------------------------

    def show_changed(self, box: Sequence[slice]) -> None:
        """Draw labels anew that were changed, if they are visible.

        Parameters
        ----------
        box : sequence of slice
            One for each axis, in pixels of the full size.
        """
        if not self._slicing_state.loaded or self._slice.empty or not self.visible:
            return
        displayed = list(self._slice_input.displayed)
        if self._slice_input.ndisplay != 2 or displayed != sorted(displayed):
            self.refresh(extent=False)
            return
        hidden = self._get_pt_not_disp()
        if any(not box[axis].start <= at < box[axis].stop for axis, at in hidden.items()):
            return
        self._draw_changed(box, displayed, hidden)

    def _draw_changed(self, box: Sequence[slice], displayed: list[int], hidden: dict[int, int]) -> None:
        """Read what is visible of a box at the zoom of the screen, and put it into the texture."""
        tile = self._transforms["tile2data"]
        raw, view = self._slice.image.raw, self._slice.image.view
        inside: list[slice] = []
        wanted: dict[int, int | slice] = dict(hidden)
        for at, axis in enumerate(displayed):
            step = round(float(tile.scale[axis]))
            corner = round(float(tile.translate[axis]) / tile.scale[axis])
            first = max(-(-box[axis].start // step) - corner, 0)
            last = min(-(-box[axis].stop // step) - corner, raw.shape[at])
            if first >= last:
                return
            inside.append(slice(first, last))
            wanted[axis] = slice(first + corner, last + corner)
        part = tuple(inside)
        raw[part] = self.data[self.data_level][tuple(wanted[axis] for axis in range(self.ndim))]
        shown = self._raw_to_displayed(raw, data_slice=part)
        if not np.shares_memory(raw, view):
            view[part] = shown
        self.events.labels_update(data=shown, offset=[axis.start for axis in part])

    def _partial_labels_refresh(self) -> None:
        box: Sequence[slice] | None = self._updated_slice
        self._updated_slice = None
        if box is not None:
            self.show_changed(box)

    def _refresh_caches_from_region(self, *args: Any) -> None:
        """Do nothing: `show_changed` reads anew what is shown."""

    # -- edits -------------------------------------------------------------------------------------

    def data_setitem(self, indices: tuple[NDArray[Any], ...], value: Any, refresh: bool = True) -> None:
        """Change single pixels as one step that Undo takes back.

        Parameters
        ----------
        indices : tuple of array of int
        value : int or array of int
        refresh : bool
            Whether to draw them anew at once.
        """
        places = [np.atleast_1d(np.asarray(axis)).ravel() for axis in indices]
        if not places[0].size:
            return
        box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in places)
        before = np.asarray(self.data[box])
        after = before.copy()
        after[tuple(axis - part.start for axis, part in zip(places, box, strict=True))] = value
        if np.array_equal(before, after):
            return
        self._save_history((box, before, after))
        self.data[box] = after
        self._accumulate_updated_slice(box)
        if refresh:
            self._partial_labels_refresh()

    def _get_flood_mask_and_bbox(
        self, coord: Sequence[float], new_label: int, dims_to_paint: list[int]
    ) -> Any:
        """Fill around the click, and no further than `FILL_SIDE`."""
        from skimage.segmentation import flood

        at = [int(np.round(c)) for c in coord]
        if any(not 0 <= place < length for place, length in zip(at, self.data.shape, strict=True)):
            return None
        old = int(self.data[tuple(at)])
        allowed = not self.preserve_labels or old == self._get_preserve_labels_source_label(new_label)
        if old == new_label or not allowed or len(dims_to_paint) != 2:
            return None
        low = {axis: max(0, at[axis] - FILL_SIDE // 2) for axis in dims_to_paint}
        window = [slice(low[a], low[a] + FILL_SIDE) if a in low else at[a] for a in range(self.ndim)]
        labels = np.asarray(self.data[tuple(window)])
        seed = tuple(at[axis] - low[axis] for axis in dims_to_paint)
        mask = flood(labels, seed, connectivity=1) if self.contiguous else labels == old
        first, last = self._compute_mask_bbox(mask)
        inner = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        corner = np.array([low[axis] for axis in dims_to_paint])
        return mask[inner], first + corner, last + corner, labels[inner]
