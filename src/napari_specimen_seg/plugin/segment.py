"""The Segment dock: from a picture and a model to a Labels layer with class names and colours."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QGridLayout, QVBoxLayout, QWidget

from ..core.errors import ModelError, SpecimenError
from ..models.settings import PredictSettings
from .dock import Dock, button, heading, open_dock, primary, quiet, row, slim
from .empty import EmptyState
from .layer_picker import LayerPicker
from .legend import Legend
from .memory import recall, remember
from .model_picker import ModelPicker
from .options import ModelOptions
from .pictures import describe_layer, layer_path, picture_of, plane_shape, shown_plane
from .reproduce import Recipe, Reproduce
from .results import find_result, planes_of, put_confidence, put_labels, put_objects
from .segment_run import Predictors, Request, Result, ask_to_replace, edit_check, segment_work
from .status import duration

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

WHOLE, ONE = "whole stack", "this plane"
HINT = "Choose a picture and a model, then press Segment."


class SegmentDock(Dock):
    """Segments a picture of the viewer.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, HINT)
        self._predictors = Predictors()
        self._pace: dict[str, float] = {}  # seconds per pixel by model
        self._request: Request | None = None
        self._result: Labels | None = None
        self._make_controls()
        self._arrange()
        self._connect()
        self._on_picture(self.picker.layer)
        self._on_model()

    # -- layout ------------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        self.picker = LayerPicker(self, _is_picture, "picture")
        self.about = quiet()
        self.planes = slim(QComboBox())
        self.planes.addItems([ONE, WHOLE])
        self.planes.setToolTip("A stack can be segmented plane by plane, or all at once")
        self.planes_head = heading("Planes")
        self.models = ModelPicker()
        self.options = ModelOptions()
        self.go = primary("Segment", self.segment, "Find the model's classes in the picture")
        self.legend = Legend()
        self.measure = button("Measure ▸", self.open_measure, "Open the Measure dock with these labels")
        self.save = button(
            "Save labels…", self.save_labels, "Write labels, class names and pixel size to a file"
        )
        self.reproduce = Reproduce(self.recipe)
        self.empty = EmptyState(self.viewer, "Open a picture to segment it.", self.show_error)

    def _arrange(self) -> None:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        top = Qt.AlignmentFlag.AlignTop
        grid.addWidget(heading("Picture"), 0, 0)
        grid.addWidget(self.picker, 0, 1)
        grid.addWidget(self.about, 1, 1)
        grid.addWidget(self.planes_head, 2, 0)
        grid.addWidget(self.planes, 2, 1)
        grid.addWidget(heading("Model"), 3, 0, top)
        grid.addWidget(self.models, 3, 1)
        self.main = QWidget()
        box = QVBoxLayout(self.main)
        box.setContentsMargins(0, 0, 0, 0)
        box.addLayout(grid)
        box.addWidget(self.options)
        box.addWidget(self.go)
        self.body.addWidget(self.empty)
        self.body.addWidget(self.main)
        self.body.addWidget(self.status)
        self.body.addWidget(self.legend)
        self.body.addLayout(row(self.measure, self.save, self.reproduce.toggle))
        self.body.addWidget(self.reproduce)
        self.body.addStretch(1)

    def _connect(self) -> None:
        self.picker.layer_changed.connect(self._on_picture)
        self.models.model_changed.connect(self._on_model)
        self.models.refused.connect(self.show_error)
        self.options.changed.connect(self._on_setting)
        self.planes.currentTextChanged.connect(lambda _: self._on_setting())
        self.legend.class_chosen.connect(self.paint_class)
        self.follow(self.viewer.layers.events.removed, self._find_result)

    # -- what is chosen ----------------------------------------------------------------------------

    @property
    def settings(self) -> PredictSettings:
        """The settings as they stand; those that the model does not need have their defaults."""
        return self.options.settings

    def _on_picture(self, layer: Layer | None) -> None:
        self.empty.setVisible(layer is None)
        for widget in (self.main, self.reproduce.toggle):
            widget.setVisible(layer is not None)
        self.about.setText("" if layer is None else describe_layer(layer))
        is_stack = layer is not None and bool(plane_shape(layer))
        for widget in (self.planes, self.planes_head):
            widget.setVisible(is_stack)
        if layer is None:
            self.status.show_hint("")
        else:
            if self.job is None:
                self.status.show_hint(HINT)
            self._recall(layer)
            self._watch(layer)
        self._find_result()
        self._on_setting()

    def _watch(self, layer: Image) -> None:
        """Keep the line about the picture true when its scale or data change."""
        for emitter in [e for e, slot in self._followed if slot == self._on_picture_data]:
            self.unfollow(emitter)
        for emitter in (layer.events.scale, layer.events.units, layer.events.data):
            self.follow(emitter, self._on_picture_data)

    def _on_picture_data(self, event: Any = None) -> None:
        del event
        if self.picker.layer is not None:
            self.about.setText(describe_layer(self.picker.layer))
            self.reproduce.refresh()

    def _on_model(self) -> None:
        card = self.models.card
        if card is not None:
            self.options.show_model(card)
            if self.job is None:
                self.status.show_hint(HINT if self.picker.layer is not None else "")
        self._find_result()
        self._on_setting()

    def _on_setting(self) -> None:
        self.go.setText(self._button_text())
        self.reproduce.refresh()

    def _button_text(self) -> str:
        pace, layer = self._pace.get(self.models.name), self.picker.layer
        if pace is None or layer is None:
            return "Segment"
        return f"Segment (about {duration(pace * self._pixels(layer))})"

    def _pixels(self, layer: Image) -> int:
        shape = plane_shape(layer)
        data = layer.data[0] if layer.multiscale else layer.data
        pixels = int(data.size) // (data.shape[-1] if layer.rgb else 1)
        if shape and self.planes.currentText() == ONE:
            for count in shape:
                pixels //= max(1, count)
        return pixels

    def _find_result(self, event: Any = None) -> None:
        """Bring legend and buttons in line with the result of the chosen picture and model."""
        del event
        layer, card = self.picker.layer, self.models.card
        found = None
        if layer is not None and card is not None and layer in self.viewer.layers:
            found = find_result(self.viewer, layer, "labels", card.class_map)
        if self._result is not None and found is not self._result:
            self.unfollow(self._result.events.selected_label)
        if found is not None and found is not self._result:
            self.follow(found.events.selected_label, self._on_selected_label)
        self._result = found
        self.legend.show_classes(card.class_map if card is not None and found is not None else None)
        for widget in (self.measure, self.save):
            widget.setVisible(found is not None)
        self._on_selected_label()

    def _on_selected_label(self, event: Any = None) -> None:
        del event
        if self._result is not None:
            self.legend.show_selected(int(self._result.selected_label))

    # -- what was chosen for this folder before ----------------------------------------------------

    def _recall(self, layer: Image) -> None:
        path = layer_path(layer)
        before = recall("segment", path.parent if path else None)
        model = before.get("model")
        if isinstance(model, str) and model != self.models.name:
            self.models.blockSignals(True)  # a model that is gone by now is no error
            self.models.choose(model)
            self.models.blockSignals(False)
            self._on_model()
        values = before.get("settings")
        if isinstance(values, dict):
            self.options.set_values(values)

    def _remember(self, layer: Image) -> None:
        path = layer_path(layer)
        remember(
            "segment",
            path.parent if path else None,
            {"model": self.models.name, "settings": self.options.form.values()},
        )

    # -- the run -----------------------------------------------------------------------------------

    def segment(self) -> None:
        """Run the model on the picture. Labels that were edited by hand are replaced only after asking."""
        if self.job is not None:
            return
        try:
            request = self._make_request()
        except SpecimenError as error:
            self.show_error(error)
            return
        self._request = request
        self._remember(request.layer)
        self.go.setEnabled(False)
        if request.onto is None:
            self._start(request)
            return
        self.run(
            f"Look at {request.onto.name}",
            edit_check(request.onto, request.planes),
            lambda edited, _: self._after_check(request, edited),
            shown=False,
        )

    def _make_request(self) -> Request:
        layer, card, path = self.picker.layer, self.models.card, self.models.path
        if self.models.problem is not None:
            raise self.models.problem
        if card is None or path is None:
            raise ModelError("no model is chosen", advice="Choose a model folder.")
        assert layer is not None
        plane = None
        if plane_shape(layer) and self.planes.currentText() == ONE:
            plane = shown_plane(layer, layer.world_to_data(self.viewer.dims.point[-layer.ndim :]))
        return Request(
            layer=layer,
            picture=picture_of(layer, plane),
            plane=plane,
            planes=planes_of(layer, plane),
            model=path,
            settings=self.settings,
            onto=find_result(self.viewer, layer, "labels", card.class_map),
        )

    def _after_check(self, request: Request, edited: bool) -> None:
        if edited and not self._may_replace(request):
            self.on_cancelled()
            return
        self._start(request)

    def _may_replace(self, request: Request) -> bool:
        """Ask about edited labels; set the request accordingly; return False to stop."""
        assert request.onto is not None
        answer = ask_to_replace(self, request.onto.name)
        if answer == "keep":
            request.onto = None
        return answer != "cancel"

    def _start(self, request: Request) -> None:
        if request.onto is not None:
            request.onto.events.paint.connect(request.note_touch)
            request.onto.events.data.connect(request.note_touch)
        card = self.models.card
        assert card is not None
        began = time.monotonic()
        self._request = request
        self.run(
            f"Segment {request.layer.name}",
            segment_work(request, self._predictors, card.card_sha256),
            lambda result, warned: self._show(request, result, warned, time.monotonic() - began),
        )
        self.go.setEnabled(False)

    def _show(self, request: Request, result: Result, warned: tuple[str, ...], seconds: float) -> None:
        """Put the result into the viewer; runs in the GUI thread."""
        if request.layer not in self.viewer.layers:
            self.status.show_hint("The picture was closed meanwhile, so its result was dropped.")
            return
        if request.onto is not None and request.onto not in self.viewer.layers:
            request.onto = None
        if request.onto is not None and request.touched and not self._may_replace(request):
            self.on_cancelled()
            return
        put_confidence(self.viewer, request.layer, result.prediction, request.plane)
        labels = put_labels(
            self.viewer, request.layer, result.prediction, result.sums, plane=request.plane, onto=request.onto
        )
        put_objects(self.viewer, request.layer, result.prediction, request.plane)
        self.viewer.layers.selection.active = labels
        self._pace[self.models.name] = seconds / max(1, self._pixels(request.layer))
        self.status.show_warnings(_done_text(result, seconds), warned)
        self._find_result()

    def on_finished(self) -> None:
        """Let go of the request, and allow the next one."""
        super().on_finished()
        if self._request is not None and self._request.onto is not None:
            self._request.onto.events.paint.disconnect(self._request.note_touch)
            self._request.onto.events.data.disconnect(self._request.note_touch)
        self._request = None
        self.go.setEnabled(True)
        self._on_setting()

    # -- with the result ---------------------------------------------------------------------------

    def paint_class(self, class_id: int) -> None:
        """Take up a class for painting on the result."""
        if self._result is None:
            return
        self._result.visible = True
        self.viewer.layers.selection.active = self._result
        self._result.selected_label = class_id
        self._result.mode = "paint"

    def open_measure(self) -> None:
        """Open the Measure dock with the result."""
        from .measure import MeasureDock

        if self._result is not None:
            open_dock(self.viewer, MeasureDock, "Measure").choose(self._result)

    def save_labels(self) -> None:
        """Ask for a file and write the labels to it."""
        from .save import ask_where, save_work

        if self._result is None or self.job is not None:
            return
        path = ask_where(self, self._result, self.picker.layer)
        if path is not None:
            self.run(
                f"Save {self._result.name}",
                save_work(self.viewer, self._result, self.picker.layer, path),
                lambda written, warned: self.status.show_warnings(f"Saved as {written}.", warned),
                shown=False,
            )

    def recipe(self) -> Recipe:
        """Return the command line and the settings of what the dock would do now."""
        from ..batch.commands import predict_command

        layer = self.picker.layer
        settings = self.settings
        path = None if layer is None else layer_path(layer)
        name = "picture" if layer is None else layer.name
        notes = []
        if path is None:
            notes.append(
                f"“{name}” has no file yet: save it as {name}.tif (File > Save Selected Layers) first."
            )
        if layer is not None and plane_shape(layer) and self.planes.currentText() == ONE:
            notes.append("The command segments every plane of the file.")
        return Recipe(
            predict_command([path or f"{name}.tif"], self.models.name or "MODEL", "results", settings),
            json.dumps({"model": self.models.name, **settings.model_dump(mode="json")}, indent=1),
            " ".join(notes),
        )


def _is_picture(layer: Layer) -> bool:
    """Tell whether a layer is a picture, and not a result of this dock."""
    from napari.layers import Image

    from .results import origin_of

    return isinstance(layer, Image) and origin_of(layer) is None


def _done_text(result: Result, seconds: float) -> str:
    found = len(result.found)
    if not found:
        return "The model found none of its classes in this picture."
    of = len(result.prediction.class_map.foreground)
    classes = "" if of == 1 else f": {found} of {of} classes found"
    return f"Done in {duration(seconds)}{classes}."
