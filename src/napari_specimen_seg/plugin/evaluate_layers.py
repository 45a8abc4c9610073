"""A picture of an evaluation in the viewer: picture, truth, predictions and where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap, LabelClass
from ..core.errors import SpecimenError
from ..core.image import SpecimenImage, SpecimenLabels, label_axes
from ..evaluation.pairs import LoadedCase, sample_folder
from ..evaluation.thumbs import DISAGREEMENT, disagreement
from .evaluate_run import TRUTH, Evaluated
from .results import checksum

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

KEY = "specimen_seg_evaluation"
"""Where the metadata of a layer hold the checksum that it had when it was made here."""

MOST_ZOOM = 6
"""How much closer than the whole picture the camera goes."""

_TAKEN = ClassMap(
    classes=(
        LabelClass(id=0, name="other pixels", color="#000000"),
        LabelClass(id=1, name="taken for another", color="#ff00ff"),
    )
)


class Showcase:
    """Shows one picture at a time; what it showed before goes, unless somebody drew on it.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._shown: list[Layer] = []
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
        self.clear()
        self.name = name
        case = evaluated.cases[name]
        class_map = evaluated.evaluation.class_map
        truth = evaluated.masks.get(name, TRUTH)
        assert truth is not None
        picture = None if isinstance(case, LoadedCase) else _read_picture(case.image)
        placed = picture if picture is not None else _where_truth_is(case)
        if picture is not None:
            self._add_picture(picture)
        self._add_labels(truth, f"{name} truth", class_map, placed, opacity=0.5)
        for source in evaluated.comparison.names:
            said = evaluated.masks.get(name, source)
            if said is not None:
                ignore = evaluated.evaluation.settings.ignore
                self._add_labels(said, f"{name} {source}", class_map, placed, opacity=0.5, visible=False)
                marks = disagreement(truth, said, ignore=ignore)
                self._add_labels(marks, f"{name} wrong in {source}", DISAGREEMENT, placed, opacity=0.8)
        if not isinstance(case, LoadedCase):
            self._viewer.reset_view()
        return list(self._shown)

    def mark(self, evaluated: Evaluated, name: str, row: int, column: int) -> Labels | None:
        """Light up the pixels of a true class that were taken for a class by the first competitor.

        Parameters
        ----------
        evaluated : Evaluated
        name : str
            Of the picture; shown first if another one is.
        row, column : int
            In the order of the class map; a column behind its last is for values without a class.

        Returns
        -------
        napari Labels layer or None
        """
        if self.name != name or not self._still_there():
            self.show(evaluated, name)
        truth, said = (evaluated.masks.get(name, key) for key in (TRUTH, evaluated.comparison.first))
        if truth is None or said is None:
            return None
        class_map = evaluated.evaluation.class_map
        ids = class_map.ids
        found = said == ids[column] if column < len(ids) else ~np.isin(said, ids)
        marks = ((truth == ids[row]) & found).astype(np.uint8)
        names = [item.name for item in class_map]
        title = f"{names[row]} → {names[column] if column < len(names) else 'no class'}"
        for layer in [each for each in self._shown if each.name.startswith("taken: ")]:
            self._drop(layer)
        for layer in self._shown:
            layer.visible = KEY not in layer.metadata  # the picture and the marks alone
        layer = self._add_labels(marks, f"taken: {title}", _TAKEN, self._placement(), opacity=0.9)
        self._look_at(layer, marks)
        return layer

    def clear(self) -> None:
        """Remove what was shown, except what was drawn on."""
        for layer in list(self._shown):
            self._drop(layer)
        self._shown = []
        self.name = ""

    def _still_there(self) -> bool:
        return any(layer in self._viewer.layers for layer in self._shown)

    def _drop(self, layer: Layer) -> None:
        if layer in self._shown:
            self._shown.remove(layer)
        if layer in self._viewer.layers and not _is_edited(layer):
            self._viewer.layers.remove(layer)

    def _add_picture(self, picture: SpecimenImage) -> None:
        from napari.layers import Image

        from .layers import image_layers

        for data, attributes, _ in image_layers(picture):
            self._add(Image(data, **attributes))

    def _add_labels(
        self, data: NDArray[Any], name: str, class_map: ClassMap, placed: Any, **how: Any
    ) -> Labels:
        from napari.layers import Labels

        from .layers import labels_layer

        labels = SpecimenLabels(data, name, label_axes(data.ndim), class_map=class_map)
        if placed is not None and placed.spacing is not None and len(placed.spacing) == data.ndim:
            labels = labels.replace(spacing=placed.spacing, unit=placed.unit)
        values, attributes, _ = labels_layer(labels)
        layer = Labels(values, **{**attributes, **how})
        layer.metadata[KEY] = checksum(np.asarray(data))
        self._add(layer)
        return layer

    def _add(self, layer: Layer) -> None:
        self._viewer.add_layer(layer)
        self._shown.append(layer)

    def _placement(self) -> Any:
        """Return what says where the shown labels lie."""
        from .pictures import layer_spacing, layer_unit

        first = next((layer for layer in self._shown if KEY in layer.metadata), None)
        return None if first is None else _Placed(layer_spacing(first), layer_unit(first))

    def _look_at(self, layer: Labels, marks: NDArray[Any]) -> None:
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


class _Placed:
    def __init__(self, spacing: tuple[float, ...] | None, unit: str) -> None:
        self.spacing, self.unit = spacing, unit


def _is_edited(layer: Layer) -> bool:
    made = layer.metadata.get(KEY)
    return made is not None and checksum(np.asarray(layer.data)) != made


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
