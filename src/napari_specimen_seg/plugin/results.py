"""A prediction as layers of its picture, and the second run on the same picture.

A result layer remembers in its metadata which picture and role it has, and the checksums of what was
put there, plane by plane. So a hand edit is noticed whichever way it was made, an edit that was undone
is none, and a layer that somebody else made is never touched.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap
from ..core.image import Prediction, SpecimenLabels
from .pictures import placement_of, plane_shape
from .undo import replace_with_undo

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

KEY = "specimen_seg_result"
"""Where a layer's metadata hold its `Origin`."""

EDITED = "specimen_seg_edited"
"""In the metadata of labels that are too large for checksums: whether anybody painted on them."""

Role = Literal["labels", "objects", "confidence", "running"]
Plane = tuple[int, ...]


@dataclass(slots=True)
class Origin:
    """What a result layer remembers.

    Parameters
    ----------
    picture, layer : str
        Unique ids of the picture's layer and of this layer; a duplicate of it has another id.
    role : str
        What kind of result it is.
    written : dict
        For each plane the checksums of all contents that runs put there, and what made each.
    unfinished : live.Unfinished or None
        What a run that was broken off needs to go on.
    running : bool
        Whether a run is still writing into the layer.
    """

    picture: str
    layer: str
    role: Role
    written: dict[Plane, dict[int, dict[str, Any]]] = field(default_factory=dict)
    unfinished: Any = None
    running: bool = False


def origin_of(layer: Layer) -> Origin | None:
    """Return what a layer remembers of the run that made it; None for all other layers."""
    origin = layer.metadata.get(KEY)
    return origin if isinstance(origin, Origin) and origin.layer == str(layer.unique_id) else None


def selected_labels(viewer: Viewer) -> Labels | None:
    """Return the selected layer if it is one of labels with classes, wherever these are from."""
    from napari.layers import Labels

    layer = viewer.layers.selection.active
    if not isinstance(layer, Labels) or layer not in viewer.layers:
        return None
    return layer if layer.metadata.get("class_map") is not None else None


def is_result_of(layer: Layer, picture: Layer | None) -> bool:
    """Tell whether a layer was made from a picture of the viewer."""
    origin = origin_of(layer)
    return origin is not None and picture is not None and origin.picture == str(picture.unique_id)


def find_result(
    viewer: Viewer, picture: Image, role: Role, class_map: ClassMap | None = None
) -> Layer | None:
    """Return the topmost layer that an earlier run made from this picture.

    Parameters
    ----------
    viewer : napari.Viewer
    picture : napari Image layer
    role : {"labels", "objects", "confidence"}
    class_map : ClassMap, optional
        Only a layer with these classes: with others, undo would show values under wrong names.

    Returns
    -------
    napari layer or None
    """
    for layer in reversed(viewer.layers):
        origin = origin_of(layer)
        if origin is None or origin.picture != str(picture.unique_id) or origin.role != role:
            continue
        if class_map is None or layer.metadata.get("class_map") == class_map:
            return layer
    return None


# -- hand edits ----------------------------------------------------------------------------------------


def checksum(plane: NDArray[Any]) -> int:
    """Return a number that changes with any pixel value; the type of the numbers does not count."""
    smallest = np.uint16 if plane.dtype.itemsize <= 2 else np.uint32
    return zlib.crc32(np.ascontiguousarray(plane, smallest).data)


def planes_of(picture: Image, plane: Plane | None) -> list[Plane]:
    """Return the planes that a run covers: one, or all of the picture."""
    return [plane] if plane is not None else list(np.ndindex(*plane_shape(picture)))


def is_edited(layer: Labels, planes: list[Plane]) -> bool:
    """Tell whether some plane holds something that no run put there.

    Parameters
    ----------
    layer : napari Labels layer
        The result of an earlier run.
    planes : list of tuple of int
        Where to look.

    Returns
    -------
    bool
        A plane that no run has reached yet counts as edited once it holds any label.
    """
    if hasattr(layer, "store"):
        return bool(layer.metadata.get(EDITED))
    origin = origin_of(layer)
    return origin is None or any(_made_by(origin, layer, plane) is None for plane in planes)


def provenance_now(layer: Labels) -> dict[str, Any]:
    """Return what made the labels as they are now, after undo and by hand.

    Parameters
    ----------
    layer : napari Labels layer

    Returns
    -------
    dict
        That of the run whose result this is; with ``edited`` where pixels were changed by hand or planes
        come from different runs.
    """
    latest = dict(layer.metadata.get("provenance") or {})
    origin = origin_of(layer)
    by_hand = origin is None and len(getattr(layer, "_undo_history", ())) > 0  # of a file that was opened
    if layer.metadata.get(EDITED) or (by_hand and latest):
        return {**latest, "edited": True}
    if origin is None or hasattr(layer, "store"):
        return latest
    data = layer.data
    made = [_made_by(origin, layer, at) for at in np.ndindex(*data.shape[:-2])]
    if made[0] and all(one == made[0] for one in made):
        return made[0]
    return {**latest, "edited": True}


def _made_by(origin: Origin, layer: Labels, plane: Plane) -> dict[str, Any] | None:
    """Return what made the content of a plane: a run, nobody yet ({}), or somebody else (None)."""
    content = np.asarray(layer.data[plane])
    written = origin.written.get(plane)
    if written is None:
        return None if content.any() else {}
    return written.get(checksum(content))


# -- putting results into the viewer ---------------------------------------------------------------------


def put_labels(
    viewer: Viewer,
    picture: Image,
    prediction: Prediction,
    sums: dict[Plane, int],
    *,
    plane: Plane | None = None,
    onto: Labels | None = None,
) -> Labels:
    """Show predicted classes directly above their picture.

    Parameters
    ----------
    viewer : napari.Viewer
    picture : napari Image layer
        Where the prediction is from; it must be in the viewer.
    prediction : Prediction
        Of the whole picture, or of one plane of it.
    sums : dict
        `checksums` of the labels by plane.
    plane : tuple of int, optional
        Which plane of a stack the prediction is for.
    onto : napari Labels layer, optional
        The layer to replace the content of, so that Undo brings it back; a new layer if None.

    Returns
    -------
    napari Labels layer
    """
    if onto is not None:
        if onto.data is not prediction.labels and not hasattr(onto, "store"):
            replace_with_undo(onto, plane or (), np.asarray(prediction.labels))
        onto.metadata["provenance"] = dict(prediction.provenance)
        origin = origin_of(onto)
    else:
        full = full_of(prediction.labels, plane_shape(picture), plane)
        onto = labels_layer_of(
            SpecimenLabels(full, f"{picture.name} labels", axes_of(full), class_map=prediction.class_map,
                           provenance=prediction.provenance),
            placement_of(picture),
        )  # fmt: skip
        origin = insert(viewer, picture, onto, "labels")
    for at, value in sums.items():
        if origin is not None:
            origin.written.setdefault(at, {})[value] = dict(prediction.provenance)
    return onto


def put_objects(viewer: Viewer, picture: Image, prediction: Prediction, plane: Plane | None) -> Layer | None:
    """Show separated objects above their picture; an earlier layer of them is updated.

    Parameters
    ----------
    viewer : napari.Viewer
    picture : napari Image layer
    prediction : Prediction
        Without objects, nothing is shown.
    plane : tuple of int, optional
        Which plane of a stack the prediction is for.

    Returns
    -------
    napari Labels layer or None
    """
    if prediction.objects is None:
        return None
    full = full_of(prediction.objects, plane_shape(picture), plane)
    found = SpecimenLabels(
        full,
        f"{picture.name} objects",
        axes_of(full),
        class_map=prediction.class_map,
        provenance=prediction.provenance,
        object_class=prediction.object_classes,
    )
    layer = labels_layer_of(found, placement_of(picture))
    old = find_result(viewer, picture, "objects")
    insert(viewer, picture, layer, "objects")
    if old is not None:  # numbers mean something else after every run, so there is nothing to undo to
        viewer.layers.remove(old)
        layer.name = found.name
    return layer


def put_confidence(
    viewer: Viewer, picture: Image, prediction: Prediction, plane: Plane | None
) -> Layer | None:
    """Show how sure the model is, hidden at first; an earlier layer of it is updated.

    Parameters
    ----------
    viewer : napari.Viewer
    picture : napari Image layer
    prediction : Prediction
        Without confidence, nothing is shown.
    plane : tuple of int, optional
        Which plane of a stack the prediction is for.

    Returns
    -------
    napari Image layer or None
    """
    if prediction.confidence is None:
        return None
    old = find_result(viewer, picture, "confidence")
    if old is not None:
        old.data[plane or ()] = prediction.confidence
        old.refresh()
        return old
    full = full_of(prediction.confidence, plane_shape(picture), plane)
    return insert_confidence(viewer, picture, full, placement_of(picture))


def insert_confidence(
    viewer: Viewer, picture: Image, data: Any, placement: dict[str, Any], **more: Any
) -> Layer:
    """Put a hidden layer of how sure a model is above its picture; further arguments are the layer's."""
    from napari.layers import Image as ImageLayer

    layer = ImageLayer(
        data,
        name=f"{picture.name} confidence",
        colormap="viridis",
        contrast_limits=(0, 1),
        blending="translucent",
        visible=False,
        **placement,
        **more,
    )
    insert(viewer, picture, layer, "confidence")
    return layer


def labels_layer_of(labels: SpecimenLabels, placement: dict[str, Any]) -> Labels:
    """Return a Labels layer with class names and colours, lying where its picture lies.

    Parameters
    ----------
    labels : SpecimenLabels
    placement : dict
        From `placement_of`.

    Returns
    -------
    napari Labels layer
    """
    from napari.layers import Labels as LabelsLayer

    from .layers import labels_layer

    data, attributes, _ = labels_layer(labels)
    return LabelsLayer(data, **{**attributes, **placement})


def insert(viewer: Viewer, picture: Image, layer: Layer, role: Role) -> Origin:
    """Put a layer directly above its picture; labels above the other results, those of other models too.

    Parameters
    ----------
    viewer : napari.Viewer
    picture : napari Image layer
    layer : napari layer
    role : str

    Returns
    -------
    Origin
        Which the layer remembers from now on.
    """
    origin = Origin(str(picture.unique_id), str(layer.unique_id), role)
    layer.metadata[KEY] = origin
    at = viewer.layers.index(picture) + 1
    labels = find_result(viewer, picture, "labels")
    if role in ("labels", "running"):  # what comes now is what one wants to see
        results = (viewer.layers.index(other) for other in viewer.layers if _is_result(other, picture))
        at = max([at - 1, *results]) + 1
    elif role == "objects" and labels is not None:
        at = viewer.layers.index(labels) + 1
    viewer.layers.insert(at, layer)
    return origin


def _is_result(layer: Layer, picture: Image) -> bool:
    origin = origin_of(layer)
    return origin is not None and origin.picture == str(picture.unique_id)


def full_of(content: Any, planes: tuple[int, ...], plane: Plane | None) -> NDArray[Any]:
    """Return an array of the whole picture's planes with one plane filled in.

    Parameters
    ----------
    content : array
        Of all planes, or of one.
    planes : tuple of int
        How many there are, along each stacked axis.
    plane : tuple of int or None
        Which one it is; None for all.
    """
    part: NDArray[Any] = np.asarray(content)
    if plane is None:
        return part
    full: NDArray[Any] = np.zeros((*planes, *part.shape), part.dtype)
    full[plane] = part
    return full


def axes_of(labels: Any) -> str:
    """Name the axes of a result."""
    return "QTZYX"[-labels.ndim :]
