"""The Segment dock: from a picture and a model to a Labels layer with class names and colours."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..core.errors import ModelError, SpecimenError
from ..models.settings import PredictSettings
from .dock import Dock, button, heading, open_dock, primary, row
from .empty import EmptyState
from .legend import Legend
from .memory import recall, remember
from .model_picker import ModelPicker
from .options import ModelOptions
from .picture_choice import PictureChoice
from .pictures import layer_path, picture_of
from .reproduce import Recipe, Reproduce
from .results import find_result, is_result_of, planes_of, selected_labels
from .segment_live import LiveRuns
from .segment_recipe import segment_recipe
from .segment_run import Request, Result, ask_to_replace, done_text, edit_check
from .status import duration

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from ..batch import FileResult

HINT = "Choose a model, then press Segment."


class SegmentDock(Dock):
    """Segments a picture of the viewer.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, HINT)
        self._live = LiveRuns(napari_viewer)
        self._pace: dict[Path, float] = {}  # seconds per pixel by model
        self._folder: Path | None = None
        self._has_recalled = False
        self._request: Request | None = None
        self._result: Labels | None = None  # of the chosen picture and model
        self._shown: Labels | None = None  # whose classes are shown, and which is measured and saved
        self._make_controls()
        self._arrange()
        self._connect()
        self._on_picture(self.picture.layer)
        self._on_model()

    # -- layout ------------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        self.picture = PictureChoice(self)
        self.picker = self.picture.picker
        self.models = ModelPicker()
        self.options = ModelOptions()
        self.go = primary("Segment", self.segment, "Find the model's classes in the picture")
        self.all = button(
            "All pictures…",
            self.segment_all,
            "Segment every picture of a folder and write the labels to files",
        )
        self.legend = Legend()
        self.measure = button("Measure ▸", self.open_measure, "Open the Measure dock with these labels")
        self.save = button(
            "Save labels…", self.save_labels, "Write labels, class names and pixel size to a file"
        )
        self.reproduce = Reproduce(self.recipe)
        self.empty = EmptyState(self, "Open a picture to segment it.")

    def _arrange(self) -> None:
        self.main = QWidget()
        box = QVBoxLayout(self.main)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.picture)
        model = row(heading("Model"), self.models, stretch=1)
        model.setAlignment(model.itemAt(0).widget(), Qt.AlignmentFlag.AlignTop)
        box.addLayout(model)
        box.addWidget(self.options)
        box.addLayout(row(self.go, self.all))
        self.body.addWidget(self.empty)
        self.body.addWidget(self.main)
        self.body.addWidget(self.status)
        self.body.addWidget(self.legend)
        self.body.addLayout(row(self.measure, self.save, self.reproduce.toggle))
        self.body.addWidget(self.reproduce)
        self.body.addStretch(1)

    def _connect(self) -> None:
        self.picture.layer_changed.connect(self._on_picture)
        self.picture.changed.connect(self._on_setting)
        self.models.model_changed.connect(self._on_model)
        self.models.refused.connect(self.show_error)
        self.models.more_asked.connect(self.open_models)
        self.options.changed.connect(self._on_setting)
        self.legend.class_chosen.connect(self.paint_class)
        self.follow(self.viewer.layers.events.removed, self._find_result)
        self.follow(self.viewer.layers.selection.events.active, self._find_result)

    def open_models(self) -> None:
        """Open the Models dock, where models are imported and pulled."""
        from .models import ModelsDock

        open_dock(self.viewer, ModelsDock, "Models")

    # -- what is chosen ----------------------------------------------------------------------------

    @property
    def settings(self) -> PredictSettings:
        """The settings as they stand; those that the model does not need have their defaults."""
        return self.options.settings

    def _on_picture(self, layer: Layer | None) -> None:
        self.empty.setVisible(layer is None)
        for widget in (self.main, self.reproduce.toggle):
            widget.setVisible(layer is not None)
        if self.job is None:
            self.status.show_hint(HINT if layer is not None else "")
        if layer is not None:
            self._recall(layer)
        self._find_result()
        self._on_setting()

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
        pace = None if self.models.path is None else self._pace.get(self.models.path)
        verb = "Continue" if self._would_go_on() else "Segment"
        if pace is None or self.picture.layer is None or verb == "Continue":
            return verb
        return f"Segment (about {duration(pace * self.picture.pixels())})"

    def _would_go_on(self) -> bool:
        """Tell whether the next run would go on with one that was broken off."""
        card = self.models.card
        with suppress(SpecimenError):
            return self._result is not None and self._live.unfinished(self._make_request(), card) is not None
        return False

    def _find_result(self, event: Any = None) -> None:
        """Bring legend and buttons in line with the result of the chosen picture and model."""
        del event
        layer, card = self.picker.layer, self.models.card
        found = None
        if layer is not None and card is not None and layer in self.viewer.layers:
            found = find_result(self.viewer, layer, "labels", card.class_map)
        self._result = found
        self._show_classes_of(selected_labels(self.viewer) or found)

    def _show_classes_of(self, labels: Labels | None) -> None:
        if self._shown is not None and labels is not self._shown:
            self.unfollow(self._shown.events.selected_label)
        if labels is not None and labels is not self._shown:
            self.follow(labels.events.selected_label, self._on_selected_label)
        self._shown = labels
        numbered = labels is None or labels.metadata.get("object_class") is not None
        self.legend.show_classes(None if labels is None or numbered else labels.metadata.get("class_map"))
        for widget in (self.measure, self.save):
            widget.setVisible(labels is not None)
        self._on_selected_label()

    def _on_selected_label(self, event: Any = None) -> None:
        del event
        if self._shown is not None:
            self.legend.show_selected(int(self._shown.selected_label))

    # -- what was chosen for this folder before ----------------------------------------------------

    def _recall(self, layer: Image) -> None:
        """Take up model and settings of the picture's folder, if it is another than before."""
        path = layer_path(layer)
        folder = path.parent if path else None
        if folder == self._folder and self._has_recalled:
            return
        self._folder, self._has_recalled = folder, True
        before = recall("segment", folder)
        model = before.get("model")
        if isinstance(model, str) and model != self.models.name:
            with QSignalBlocker(self.models):  # a model that is gone by now is no error
                self.models.choose(model)
            self._on_model()
        values = before.get("settings")
        if isinstance(values, dict):
            self.options.set_values(values)

    def _remember(self) -> None:
        values = {"model": self.models.name, "settings": self.options.form.values()}
        remember("segment", self._folder, values)

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
        self._remember()
        self.set_busy(busy=True)
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
            raise _no_model()
        assert layer is not None
        plane = self.picture.plane()
        before = find_result(self.viewer, layer, "labels", card.class_map)
        return Request(
            layer=layer,
            picture=picture_of(layer, plane),
            plane=plane,
            planes=planes_of(layer, plane),
            model=path,
            sealed=card.card_sha256,
            pixels=self.picture.pixels(),
            settings=self.settings,
            onto=before if self._live.may_replace(before) else None,
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
        began = time.monotonic()
        self._request = request
        self.run(
            f"Segment {request.layer.name}",
            self._live.work(request, self.models.card),
            lambda result, warned: self._show(request, result, warned, time.monotonic() - began),
        )

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
        labels = self._live.show(request, result)
        self.viewer.layers.selection.active = labels
        self._pace[request.model] = result.seconds / max(1, request.pixels)
        self.status.show_warnings(done_text(result, seconds), warned)
        self._find_result()

    def on_cancelled(self) -> None:
        """Keep what is done of a run that was shown while it was made."""
        left = self._live.stop()
        if not left:
            super().on_cancelled()
            return
        self.status.show_hint(left)
        self._find_result()

    def shut_down(self) -> None:
        """Let no further tile in."""
        self._live.stop()
        super().shut_down()

    def segment_all(self) -> None:
        """Ask for a folder and segment all its pictures."""
        from .all_pictures import ask_folders, batch_work

        if self.job is not None:
            return
        if self.models.card is None:
            self.show_error(self.models.problem or _no_model())
            return
        folders = ask_folders(self, self._folder)
        if folders is not None:
            work = batch_work(folders, self.models.name, self.settings)
            self.run(f"Segment {folders.pictures.name}", work, lambda done, _: self._show_all(done))
            self.set_busy(busy=True)

    def _show_all(self, results: list[FileResult]) -> None:
        from .all_pictures import summary

        line, log = summary(results)
        failed = any(result.status == "failed" for result in results)
        self.status.show_text(line, icon="warning" if failed else "", log=log)

    def set_busy(self, *, busy: bool) -> None:
        """Let nothing else be started meanwhile."""
        for widget in (self.go, self.all):
            widget.setEnabled(not busy)

    def on_finished(self) -> None:
        """Let go of the request, and allow the next one."""
        super().on_finished()
        if self._live.stop():  # where the run failed
            self._find_result()
        if self._request is not None and self._request.onto is not None:
            self._request.onto.events.paint.disconnect(self._request.note_touch)
            self._request.onto.events.data.disconnect(self._request.note_touch)
        self._request = None
        self.set_busy(busy=False)
        self._on_setting()

    # -- with the result ---------------------------------------------------------------------------

    def paint_class(self, class_id: int) -> None:
        """Take up a class for painting on the labels whose classes are shown."""
        labels = self._shown
        if labels is None:
            return
        labels.visible = True
        self.viewer.layers.selection.active = labels
        labels.selected_label = class_id
        labels.mode = "paint"

    def open_measure(self) -> None:
        """Open the Measure dock with the labels; with separated objects, where there are such."""
        from .measure import MeasureDock

        labels = self._shown
        if labels is self._result and self.picker.layer is not None and self.settings.instances:
            labels = find_result(self.viewer, self.picker.layer, "objects") or labels
        if labels is not None:
            open_dock(self.viewer, MeasureDock, "Measure").choose(labels)

    def save_labels(self) -> None:
        """Ask for a file and write the labels to it."""
        from .save import ask_where, save_work

        labels = self._shown
        if labels is None or self.job is not None:
            return
        picture = self.picker.layer if is_result_of(labels, self.picker.layer) else None
        path = ask_where(self, labels, picture)
        if path is not None:
            self.run(
                f"Save {labels.name}",
                save_work(self.viewer, labels, picture, path),
                lambda written, warned: self.status.show_warnings(f"Saved as {written}.", warned),
                shown=False,
            )

    def recipe(self) -> Recipe:
        """Return the command line and the settings of what the dock would do now."""
        layer = self.picker.layer
        one_plane = self.picture.is_one_plane
        return segment_recipe(layer, self.models.name, self.settings, one_plane=one_plane)


def _no_model() -> ModelError:
    return ModelError("no model is chosen", advice="Choose a model folder.")
