"""Layers of strokes, which a person draws, and of answers, which a model gives; one of each per picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap, LabelClass, default_color
from ..core.errors import ImageError, SpecimenError
from ..core.image import Prediction, SpecimenImage, SpecimenLabels
from .family import HELPER
from .layers import class_colormap
from .pictures import picture_of, placement_of, plane_shape
from .results import axes_of, full_of, labels_layer_of, origin_of
from .train_layers import Held, OpenPair, Stem, free_stem, snapshots

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from ..training.lesson import Lesson

STROKES, ANSWER = "specimen_seg_strokes", "specimen_seg_answer"
"""In a layer's metadata: the unique id of its picture."""

BACKGROUND = 65535
"""Value of strokes on the background: 0 means that nobody drew there. Classes that are added stay below."""

MOST_PLANE_AXES = 3
"""Stacks of more axes cannot be segmented."""

_BLACKS, _GREYS = ("#000000", "#000001"), ("#7f7f7f", "#7e7f7f")  # grey is seen on white paper and on black
OPACITY = 0.5


@dataclass(frozen=True, slots=True)
class Strokes:
    """A picture and the layer in which strokes are drawn on it."""

    picture: Image
    layer: Labels

    def show_classes(self, class_map: ClassMap) -> None:
        """Give the layer the names and colours of classes."""
        painted = painted_map(class_map)
        self.layer.colormap = class_colormap(painted)
        self.layer.features = _names(painted)
        self.layer.metadata["class_map"] = painted


@dataclass(frozen=True, slots=True)
class Target:
    """What a model is to answer on: a picture, or a plane of a stack."""

    picture: Image
    plane: tuple[int, ...] = ()

    def image(self) -> SpecimenImage:
        """Return it as a model takes it; lazy data stay lazy."""
        return picture_of(self.picture, self.plane or None)


def painted_map(class_map: ClassMap) -> ClassMap:
    """Return the classes that can be drawn: those of a model, and background."""
    others = [item for item in class_map.foreground if item.id != BACKGROUND]
    taken, names = {item.color for item in others}, {item.name for item in others}
    nothing, ground = (next(c for c in colors if c not in taken) for colors in (_BLACKS, _GREYS))
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
    taken = {item.color for item in class_map} | {*_BLACKS, *_GREYS}
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
        On top, with the planes of the picture; 0 where nobody drew.

    Raises
    ------
    ImageError
        If the picture is larger than the memory.
    """
    found = next((s for s in strokes_in(viewer) if s.picture is picture), None)
    if found is not None:
        found.show_classes(class_map)
        return found.layer
    image = picture_of(picture)
    _refuse_too_large(image)
    painted = painted_map(class_map)
    layer = viewer.add_labels(
        np.zeros((*image.planes(), image.height, image.width), np.uint16),
        name=f"{picture.name} strokes",
        colormap=class_colormap(painted),
        features=_names(painted),
        metadata={STROKES: str(picture.unique_id), HELPER: True, "class_map": painted},
        **placement_of(picture),
    )
    layer.brush_size = max(4, round(min(image.height, image.width) / 60))
    return layer


def _names(class_map: ClassMap) -> dict[str, NDArray[Any]]:
    """Return what napari says of the value under the pointer."""
    names = [item.name for item in class_map]
    return {"index": np.array(class_map.ids), "class_name": np.array(names, dtype=object)}


def _refuse_too_large(image: SpecimenImage) -> None:
    import psutil

    pixels = math.prod(image.planes()) * image.height * image.width
    if pixels * np.dtype(np.uint16).itemsize > psutil.virtual_memory().available // 2:
        raise ImageError(
            f"{image.name}: strokes on so large a picture need more memory than is free",
            advice="Open a part of it.",
        )


def stroke_pairs(viewer: Viewer) -> list[OpenPair]:
    """Return the pictures that have a layer of strokes, with it."""
    taken: list[Stem] = []
    return [OpenPair(free_stem(s.picture, taken), s.picture, s.layer) for s in strokes_in(viewer)]


def lessons_from(held: list[Held]) -> list[Lesson]:
    """Take pictures and strokes as they are now; for another thread than the window's.

    Parameters
    ----------
    held : list of Held

    Returns
    -------
    list of Lesson
        One for each picture or plane with strokes, called and sorted like the files that
        `train_layers.write_snapshots` writes: from these the command line learns the same.
    """
    from ..training.lesson import Lesson

    drawn = sorted(snapshots(held, blank=False), key=lambda item: item.stem)
    return [Lesson.sparse(item.image.replace(name=item.stem), item.labels, 0, BACKGROUND) for item in drawn]


def answer_layer(viewer: Viewer, picture: Image) -> Labels | None:
    """Return the layer that shows what the model says of a picture."""
    wanted = str(picture.unique_id)
    return next((layer for layer in viewer.layers if layer.metadata.get(ANSWER) == wanted), None)


def show_answer(viewer: Viewer, target: Target, prediction: Prediction) -> Labels:
    """Show what the model says of a picture or plane, under the strokes; which layer is selected stays.

    Parameters
    ----------
    viewer : napari.Viewer
    target : Target
    prediction : Prediction

    Returns
    -------
    napari Labels layer
    """
    labels = np.asarray(prediction.labels)
    layer = answer_layer(viewer, target.picture)
    if layer is None or layer.data.dtype != labels.dtype:
        return _new_answer(viewer, target, labels, prediction.class_map, layer)
    if target.plane:
        layer.data[target.plane] = labels
        layer.refresh()
    else:
        layer.data = labels
    if layer.metadata["class_map"] != prediction.class_map:
        layer.colormap = class_colormap(prediction.class_map)
        layer.metadata["class_map"] = prediction.class_map
    return layer


def _new_answer(
    viewer: Viewer, target: Target, labels: NDArray[Any], class_map: ClassMap, old: Labels | None
) -> Labels:
    """Put a layer for answers on a picture into the viewer, instead of one that cannot hold them."""
    picture = target.picture
    if old is not None:
        viewer.layers.remove(old)
    active = viewer.layers.selection.active
    full = full_of(labels, plane_shape(picture), target.plane or None)
    found = SpecimenLabels(full, f"{picture.name} answer", axes_of(full), class_map=class_map)
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


def no_picture() -> SpecimenError:
    """Return the error that says what to do where nothing is open."""
    return SpecimenError("no picture is open", advice="Open one, then draw on it.")


def may_be_drawn_on(layer: Layer) -> bool:
    """Tell whether a layer is a picture or stack, and no result or helper of a dock."""
    from napari.layers import Image as ImageLayer

    return (
        isinstance(layer, ImageLayer)
        and origin_of(layer) is None
        and HELPER not in layer.metadata
        and len(plane_shape(layer)) <= MOST_PLANE_AXES
    )
