"""A picture of an evaluation in the viewer: picture, truth, predictions and where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap, LabelClass
from ..core.errors import SpecimenError
from ..core.image import SpecimenImage, SpecimenLabels, label_axes
from ..evaluation.pairs import LoadedCase, sample_folder
from ..evaluation.thumbs import DISAGREEMENT, disagreement
from .evaluate_exchange import exchange, fits
from .evaluate_run import TRUTH, Evaluated
from .family import HELPER
from .results import checksum

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

KEY = "specimen_seg_evaluation"
"""Where the metadata of a layer hold the checksum that it had when it was made here."""

MOST_ZOOM = 6
"""How much closer than the whole picture the camera goes."""

Slot = tuple[str, int]
"""What a layer shows: ``picture``, ``truth``, ``said``, ``wrong`` or ``taken``; and of which channel or
competitor."""

MARKS: Slot = ("taken", 0)

_TAKEN = ClassMap(
    classes=(
        LabelClass(id=0, name="other pixels", color="#000000"),
        LabelClass(id=1, name="taken for another", color="#ff00ff"),
    )
)


class _Cell(NamedTuple):
    """A cell of the confusion matrix of one competitor."""

    row: int
    column: int
    source: str


class _Placed(NamedTuple):
    """Where labels lie."""

    spacing: tuple[float, ...] | None
    unit: str


class _Wanted(NamedTuple):
    """What a layer is to show."""

    slot: Slot
    layer: Image | Labels


class Showcase:
    """Shows one picture at a time, in layers that are used again for the next one.

    napari takes long to remove a layer, so going from picture to picture removes none: what is in the layers
    is exchanged. A layer that somebody drew on is left alone, and another one takes its place.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._shown: dict[Slot, Layer] = {}
        self._of: Evaluated | None = None
        self._cell: _Cell | None = None
        self._placed: _Placed | None = None
        self.name = ""

    def show(self, evaluated: Evaluated, name: str) -> list[Layer]:
        """Show a picture with its truth, predictions and disagreements.

        Parameters
        ----------
        evaluated : Evaluated
        name : str
            Of the picture.

        Returns
        -------
        list of napari layers
            From the bottom to the top.
        """
        if evaluated is not self._of:
            self._cell = None
        self._fill(evaluated, name, marked=False)
        selection = self._viewer.layers.selection
        if selection.active is not None and selection.active is self._shown.get(MARKS):  # hidden by now
            selection.active = self._shown[max(slot for slot in self._shown if slot[0] in ("truth", "wrong"))]
        if not isinstance(evaluated.cases[name], LoadedCase):
            self._viewer.reset_view()
        return list(self._shown.values())

    def mark(
        self, evaluated: Evaluated, name: str, row: int, column: int, source: str | None = None
    ) -> Labels | None:
        """Light up the pixels of a true class that a competitor took for a class.

        Parameters
        ----------
        evaluated : Evaluated
        name : str
            Of the picture; shown first if another one is.
        row, column : int
            In the order of the class map; a column behind its last is for values without a class.
        source : str, optional
            Name of the competitor; the first if None.

        Returns
        -------
        napari Labels layer or None
        """
        self._cell = _Cell(row, column, source or evaluated.comparison.first)
        if self._of is evaluated and self.name == name and self._still_there():
            self._mark_shown(evaluated, name)
        else:
            self._fill(evaluated, name, marked=True)
        layer = self._shown.get(MARKS)
        if layer is not None:
            self._look_at(layer, np.asarray(layer.data))
        return layer

    def _mark_shown(self, evaluated: Evaluated, name: str) -> None:
        """Mark the cell in the picture that is shown."""
        for layer in self._shown.values():
            _show_if(layer, KEY not in layer.metadata)
        marks = self._marks(evaluated, name, visible=True)
        if marks is not None:
            self._put(_Wanted(MARKS, marks), self._topmost())

    def _fill(self, evaluated: Evaluated, name: str, *, marked: bool) -> None:
        """Put a picture into the layers; if it is marked, only picture and marks are seen."""
        self._of, self.name = evaluated, name
        wanted = list(self._wanted(evaluated, name))
        if marked:
            for each in wanted:
                _show_if(each.layer, KEY not in each.layer.metadata)
        marks = self._marks(evaluated, name, visible=marked)
        if marks is not None and (marked or self._shown.get(MARKS) in self._viewer.layers):
            wanted.append(_Wanted(MARKS, marks))
        for slot in set(self._shown) - {each.slot for each in wanted}:
            self._drop(slot)
        below: Layer | None = None
        for each in wanted:
            below = self._put(each, below)

    # -- what is to be seen --------------------------------------------------------------------------

    def _wanted(self, evaluated: Evaluated, name: str) -> Iterator[_Wanted]:
        """Give what is shown of a picture, from the bottom to the top."""
        class_map = evaluated.evaluation.class_map
        truth = evaluated.masks.get(name, TRUTH)
        assert truth is not None
        picture, placed = _picture_of(evaluated, name)
        self._placed = placed
        for channel, image in enumerate(_image_layers(picture)):
            yield _Wanted(("picture", channel), image)
        yield _Wanted(("truth", 0), _labels(truth, f"{name} truth", class_map, placed, opacity=0.5))
        for place, source in enumerate(evaluated.comparison.names):
            said = evaluated.masks.get(name, source)
            if said is None:
                continue
            answer = _labels(said, f"{name} {source}", class_map, placed, opacity=0.5, visible=False)
            yield _Wanted(("said", place), _helper(answer))
            marks = disagreement(truth, said, ignore=evaluated.evaluation.settings.ignore)
            wrong = _labels(marks, f"{name} wrong in {source}", DISAGREEMENT, placed, opacity=0.8)
            yield _Wanted(("wrong", place), _helper(wrong))

    def _marks(self, evaluated: Evaluated, name: str, *, visible: bool) -> Labels | None:
        """Return the marks of the cell that was clicked last, for a picture."""
        if self._cell is None:
            return None
        row, column, source = self._cell
        truth, said = (evaluated.masks.get(name, key) for key in (TRUTH, source))
        if truth is None or said is None:
            return None
        ids = evaluated.evaluation.class_map.ids
        names = [*(item.name for item in evaluated.evaluation.class_map), "no class"]
        found = said == ids[column] if column < len(ids) else ~np.isin(said, ids)
        marks = ((truth == ids[row]) & found).astype(np.uint8)
        title = f"taken: {names[row]} → {names[min(column, len(ids))]}"
        return _helper(_labels(marks, title, _TAKEN, self._placed, opacity=0.9, visible=visible))

    # -- layers --------------------------------------------------------------------------------------

    def _still_there(self) -> bool:
        return any(layer in self._viewer.layers for layer in self._shown.values())

    def _topmost(self) -> Layer | None:
        """Return the highest of our layers."""
        layers = self._viewer.layers
        return max((s for s in self._shown.values() if s in layers), key=layers.index, default=None)

    def _drop(self, slot: Slot) -> None:
        layer = self._shown.pop(slot)
        if layer in self._viewer.layers and not _is_edited(layer):
            self._viewer.layers.remove(layer)

    def _put(self, wanted: _Wanted, below: Layer | None) -> Layer:
        """Show something in the layer that showed the like before, or in a new one above `below`."""
        old = self._shown.get(wanted.slot)
        there = old is not None and old in self._viewer.layers
        if old is not None and there and fits(old, wanted.layer) and not _is_edited(old):
            exchange(old, wanted.layer)
            return old
        layers = self._viewer.layers
        place, before = self._place(old if there else below), len(layers)
        if old is not None:
            self._drop(wanted.slot)
        layers.insert(place - (before - len(layers)), wanted.layer)
        self._shown[wanted.slot] = wanted.layer
        return wanted.layer

    def _place(self, below: Layer | None) -> int:
        """Return where a layer is to lie: above that one, or below all of ours, or on top."""
        layers = self._viewer.layers
        if below is not None and below in layers:
            return int(layers.index(below)) + 1
        ours = [layers.index(layer) for layer in self._shown.values() if layer in layers]
        return min(ours, default=len(layers))

    def _look_at(self, layer: Layer, marks: NDArray[Any]) -> None:
        """Move the camera to the middle of the marks, and closer where they fill little of the picture."""
        where = np.argwhere(marks)
        if not len(where):
            return
        self._viewer.reset_view()
        middle = np.median(where, axis=0)
        world = layer.data_to_world(middle)
        for axis in range(marks.ndim - 2):
            self._viewer.dims.set_point(self._viewer.dims.ndim - marks.ndim + axis, world[axis])
        low, high = np.percentile(where[:, -2:], [10, 90], axis=0)
        room = max(float((high - low).max()), 10.0) * 4
        camera = getattr(self._viewer, "scene", self._viewer).camera  # napari 0.9 moved it
        camera.center = (*camera.center[:-2], *world[-2:])
        camera.zoom *= float(np.clip(max(marks.shape[-2:]) / room, 1, MOST_ZOOM))


def _show_if(layer: Layer, visible: bool) -> None:
    """Show or hide a layer; napari draws everything anew even where that changes nothing."""
    if layer.visible != visible:
        layer.visible = visible


def _is_edited(layer: Layer) -> bool:
    made = layer.metadata.get(KEY)
    return made is not None and checksum(np.asarray(layer.data)) != made


def _helper(layer: Labels) -> Labels:
    """Mark a layer as one to look at: it is nobody's labels, and not to be learned from."""
    layer.metadata[HELPER] = True
    return layer


def _labels(data: NDArray[Any], name: str, class_map: ClassMap, placed: _Placed | None, **how: Any) -> Labels:
    from napari.layers import Labels

    from .layers import labels_layer

    labels = SpecimenLabels(data, name, label_axes(data.ndim), class_map=class_map)
    if placed is not None and placed.spacing is not None and len(placed.spacing) == data.ndim:
        labels = labels.replace(spacing=placed.spacing, unit=placed.unit)
    values, attributes, _ = labels_layer(labels)
    layer = Labels(values, **{**attributes, **how})
    layer.metadata[KEY] = checksum(np.asarray(data))
    return layer


def _image_layers(picture: SpecimenImage | None) -> list[Image]:
    from napari.layers import Image

    from .layers import image_layers

    found = [] if picture is None else image_layers(picture)
    return [Image(data, **attributes) for data, attributes, _ in found]


def _picture_of(evaluated: Evaluated, name: str) -> tuple[SpecimenImage | None, _Placed | None]:
    """Return the picture, unless it is open or cannot be read; and what tells where labels lie."""
    case = evaluated.cases[name]
    picture = None if isinstance(case, LoadedCase) else _read_picture(case.image)
    known = picture if picture is not None else _where_truth_is(case)
    return picture, None if known is None else _Placed(known.spacing, known.unit)


def _read_picture(path: Any) -> SpecimenImage | None:
    from ..core.files import read_image

    if path is None:
        return None
    try:
        return read_image(path)
    except SpecimenError:  # it was read during the run; without it the masks still tell something
        return None


def _where_truth_is(case: Any) -> SpecimenLabels | None:
    """Return labels that carry the pixel size of the truth, where there is no picture to take it from."""
    from ..core.files import read_labels

    if isinstance(case, LoadedCase):
        return case.truth
    try:
        return read_labels(sample_folder(case.labels) or case.labels)
    except SpecimenError:
        return None
