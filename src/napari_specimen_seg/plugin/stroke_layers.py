"""Layers of strokes, which a person draws, and of answers, which a model gives; one of each per picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.classes import ClassMap, LabelClass, default_color
from ..core.image import Prediction, SpecimenLabels
from .layers import class_colormap
from .pictures import labels_array, picture_of, placement_of
from .results import labels_layer_of
from .train_layers import HELPER

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from ..training.lesson import Lesson

STROKES, ANSWER = "specimen_seg_strokes", "specimen_seg_answer"
"""In a layer's metadata: the unique id of its picture."""

BACKGROUND = 65535
"""Value of strokes on the background: 0 means that nobody drew there. Classes that are added stay below."""

_BLACKS, _WHITES = ("#000000", "#000001"), ("#f5f5f5", "#f4f5f5")
OPACITY = 0.5


@dataclass(frozen=True, slots=True)
class Strokes:
    """A picture and the layer in which strokes are drawn on it, None where there is none yet."""

    picture: Image
    layer: Labels | None

    def show_classes(self, class_map: ClassMap) -> None:
        """Give the layer the names and colours of classes."""
        if self.layer is not None:
            self.layer.colormap = class_colormap(painted_map(class_map))


def painted_map(class_map: ClassMap) -> ClassMap:
    """Return the classes that can be drawn: those of a model, and background."""
    others = [item for item in class_map.foreground if item.id != BACKGROUND]
    taken, names = {item.color for item in others}, {item.name for item in others}
    nothing, ground = (next(c for c in colors if c not in taken) for colors in (_BLACKS, _WHITES))
    name = next(n for n in ("background", "nothing of these", "what is no class") if n not in names)
    return ClassMap(
        classes=(
            LabelClass(id=0, name="(not drawn on)", color=nothing),
            *others,
            LabelClass(id=BACKGROUND, name=name, color=ground),
        )
    )


def with_class(class_map: ClassMap, name: str) -> ClassMap:
    """Return classes with one more, in a colour that none of them has."""
    class_id = max(i for i in class_map.ids if i != BACKGROUND) + 1
    taken = {item.color for item in class_map} | {*_BLACKS, *_WHITES}
    color = default_color(class_id)
    while color in taken:
        color = f"#{(int(color[1:], 16) + 0x10307) % 0x1000000:06x}"
    return ClassMap(classes=(*class_map.classes, LabelClass(id=class_id, name=name, color=color)))


def strokes_in(viewer: Viewer) -> list[Strokes]:
    """Return all layers of strokes whose picture is open."""
    pictures = {str(layer.unique_id): layer for layer in viewer.layers}
    return [
        Strokes(pictures[layer.metadata[STROKES]], layer)
        for layer in viewer.layers
        if layer.metadata.get(STROKES) in pictures
    ]


def strokes_layer(viewer: Viewer, picture: Image, class_map: ClassMap) -> Labels:
    """Return the layer in which strokes are drawn on a picture; make it where there is none.

    Parameters
    ----------
    viewer : napari.Viewer
    picture : napari Image layer
    class_map : ClassMap
        Of the model.

    Returns
    -------
    napari Labels layer
        On top; 0 where nobody drew.
    """
    found = next((s for s in strokes_in(viewer) if s.picture is picture and s.layer is not None), None)
    if found is not None and found.layer is not None:
        found.show_classes(class_map)
        return found.layer
    image = picture_of(picture)
    layer = viewer.add_labels(
        np.zeros((image.height, image.width), np.uint16),
        name=f"{picture.name} strokes",
        colormap=class_colormap(painted_map(class_map)),
        metadata={STROKES: str(picture.unique_id), HELPER: True},
        **placement_of(picture),
    )
    layer.brush_size = max(4, round(min(image.height, image.width) / 60))
    return layer


def lessons_of(drawn: list[Strokes]) -> list[Lesson]:
    """Take pictures and strokes as they are now; without a layer nothing is drawn.

    Returns
    -------
    list of Lesson
    """
    from ..training.lesson import Lesson

    lessons = []
    for strokes in drawn:
        image = picture_of(strokes.picture)
        shape = image.height, image.width
        data: Any = np.zeros(shape, np.uint16) if strokes.layer is None else labels_array(strokes.layer)
        lessons.append(Lesson.sparse(image, np.array(data), 0, BACKGROUND))
    return lessons


def answer_layer(viewer: Viewer, picture: Image) -> Labels | None:
    """Return the layer that shows what the model says of a picture."""
    wanted = str(picture.unique_id)
    return next((layer for layer in viewer.layers if layer.metadata.get(ANSWER) == wanted), None)


def show_answer(viewer: Viewer, picture: Image, prediction: Prediction) -> Labels:
    """Show what the model says of a picture, under the strokes; which layer is selected stays.

    Parameters
    ----------
    viewer : napari.Viewer
    picture : napari Image layer
    prediction : Prediction

    Returns
    -------
    napari Labels layer
    """
    layer = answer_layer(viewer, picture)
    if layer is not None and layer.data.dtype == np.asarray(prediction.labels).dtype:
        layer.data = np.asarray(prediction.labels)
        layer.colormap = class_colormap(prediction.class_map)
        layer.metadata["class_map"] = prediction.class_map
        return layer
    if layer is not None:
        viewer.layers.remove(layer)
    active = viewer.layers.selection.active
    labels = np.asarray(prediction.labels)
    found = SpecimenLabels(labels, f"{picture.name} answer", "YX", class_map=prediction.class_map)
    made = labels_layer_of(found, placement_of(picture))
    made.opacity = OPACITY
    made.metadata.update({ANSWER: str(picture.unique_id), HELPER: True})
    viewer.layers.insert(_place_for(viewer, picture), made)
    if active is not None and active in viewer.layers:
        viewer.layers.selection.active = active
    return made


def _place_for(viewer: Viewer, picture: Image) -> int:
    """Return where an answer lies: directly under the strokes on its picture, else on top."""
    strokes = next((s.layer for s in strokes_in(viewer) if s.picture is picture), None)
    return len(viewer.layers) if strokes is None else int(viewer.layers.index(strokes))
