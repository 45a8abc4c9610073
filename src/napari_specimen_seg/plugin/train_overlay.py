"""The newest answer on a validation picture, shown over that picture while a model learns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from ..core.classes import ClassMap
from ..core.image import SpecimenImage
from ..core.progress import Progress, Report
from .family import HELPER
from .layers import class_colormap, image_layers
from .pictures import placement_of
from .workers import Job

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

SHOWN = Path("checkpoints") / "shown.npy"


@dataclass(frozen=True, slots=True)
class _Read:
    labels: Any
    image: SpecimenImage | None


class Overlay(QObject):
    """Reads answers off the GUI thread and keeps one layer up to date with them.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._job: Job | None = None
        self._again = False
        self._layers: list[Layer] = []
        self.folder: Path | None = None
        self.picture: Path | None = None
        self.over: Image | None = None
        self.class_map = ClassMap.of_ids([1])

    def begin(self, folder: Path, picture: str, class_map: ClassMap, over: Image | None) -> None:
        """Tell of which run, on which picture; `over` is that picture if it is open."""
        self.folder, self.picture = folder, Path(picture) if picture else None
        self.class_map, self.over = class_map, over

    def update(self) -> None:
        """Show the newest answer."""
        if self.folder is None or self.picture is None:
            return
        if self._job is not None:
            self._again = True
            return
        self._again = False
        shown, picture = self.folder / SHOWN, self.picture
        needed = self._picture_layer() is None and not self._is_open()

        def work(report: Report) -> _Read:
            from ..core.files import read_image

            report(Progress("reading", 0, 0))
            labels = np.load(shown, allow_pickle=False)
            image = read_image(picture) if needed else None
            return _Read(labels, None if image is None else image.replace(data=np.asarray(image.data)))

        self._job = Job("Show the validation picture", work, shown=False)
        self._job.succeeded.connect(lambda found, _: self._show(found))
        self._job.finished.connect(self._on_end)
        self._job.start()

    def _on_end(self) -> None:
        self._job = None
        if self._again:
            self.update()

    def remove(self) -> None:
        """Take away the layers that were made for looking."""
        self._again = False
        for layer in self._layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._layers = []

    def shut_down(self) -> None:
        """Stop reading; the layers stay."""
        self._again = False
        if self._job is not None:
            self._job.blockSignals(True)
            self._job.cancel()
            self._job = None

    # -- layers --------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return f"{self.picture.stem if self.picture else ''} (validation)"

    def _picture_layer(self) -> Any:
        return next((x for x in self._viewer.layers if x.name == self._name and HELPER in x.metadata), None)

    def _show(self, found: _Read) -> None:
        """Put answer and picture into the viewer without changing which layer is selected."""
        active = self._viewer.layers.selection.active
        if self._picture_layer() is None and self.over is not None and self._is_open():
            self._add_view(self.over)
        elif found.image is not None and self._picture_layer() is None:
            self._add_picture(found.image)
        picture = self._picture_layer()
        name = f"{self._name} while training"
        layer = next((x for x in self._viewer.layers if x.name == name and HELPER in x.metadata), None)
        if picture is not None and layer is not None and layer.data.shape == found.labels.shape:
            layer.data = found.labels
        elif picture is not None:
            self._add_labels(found.labels, name, picture)
        if active is not None and active in self._viewer.layers:
            self._viewer.layers.selection.active = active

    def _is_open(self) -> bool:
        return self.over is not None and self.over in self._viewer.layers

    def _add_view(self, over: Image) -> None:
        """Show an open picture once more, above all that is open; the numbers are shared."""
        data, options, kind = over.as_layer_data_tuple()
        options |= {"name": self._name, "visible": True, "metadata": {HELPER: True}}
        self._layers += self._viewer._add_layer_from_data(data, options, kind)

    def _add_picture(self, image: SpecimenImage) -> None:
        empty = not self._viewer.layers
        data, options, kind = image_layers(image)[0]
        options["name"] = self._name
        options["metadata"] = {**options["metadata"], HELPER: True}
        self._layers += self._viewer._add_layer_from_data(data, options, kind)
        if empty:
            self._viewer.reset_view()

    def _add_labels(self, labels: Any, name: str, picture: Any) -> None:
        placement = placement_of(picture)
        if labels.ndim != len(placement["scale"]):  # the plane of a stack
            placement = {}
        self._layers.append(
            self._viewer.add_labels(
                labels,
                name=name,
                colormap=class_colormap(self.class_map),
                metadata={HELPER: True, "class_map": self.class_map},
                **placement,
            )
        )
