"""The Measure dock: labels as a table of areas, whose rows and the labels in the viewer select each other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QFileDialog

from ..core.errors import SpecimenError
from ..core.measurements import Per
from .calibrate import PixelSize
from .dock import Dock, button, heading, primary, quiet, row
from .empty import EmptyState
from .family import label_colors, labels_of
from .layer_picker import LayerPicker
from .levels import LevelPicker
from .live import told_of_a_part
from .measure_recipe import measure_recipe
from .measure_run import Measured, measure_work
from .measure_view import MeasureView
from .memory import recall, remember
from .paintable import PaintableOffer
from .pictures import describe_layer, layer_path
from .reproduce import Recipe, Reproduce
from .results import origin_of
from .selecting import clicks, show_place

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

ONLY = "Hide all other labels in the viewer"
NOT_ONLY = (
    "Single parts of a class cannot be hidden: they share its label. Separate objects when you segment "
    "(More), and measure the layer of objects."
)

WAIT_MS = 300
"""After an edit, wait so long for the next one before measuring."""


class MeasureDock(Dock):
    """Measures a Labels layer of the viewer, and again after every edit.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._stale = False
        self._watched: Labels | None = None
        self._view: Any = None
        self._selecting = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self.measure_now)
        self._make_controls()
        self._arrange()
        self._connect()
        self._on_layer(self.picker.layer)

    # -- layout ------------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        self.picker = LayerPicker(self, _is_labels, "labels")
        self.about = quiet()
        self.paintable = PaintableOffer(self)
        self.pixel_size = PixelSize(self.viewer)
        self.levels = LevelPicker()
        self.go = primary("Measure", self.measure_now, "Measure the labels; edits are measured by themselves")
        self.view = MeasureView(self.viewer, self)
        self.table = self.view.table
        self.only = QCheckBox("Show selected only")
        self.only.setToolTip(ONLY)
        self.copy = button("Copy", self.copy_table, "Copy the table as it is shown, for a spreadsheet")
        self.save = button("Save table…", self.save_table, "Write all measurements to a CSV file")
        self.reproduce = Reproduce(self.recipe)
        self.empty = EmptyState(self, "Segment a picture, or open labels, to measure them.")

    def _arrange(self) -> None:
        self.body.addWidget(self.empty)
        self.body.addLayout(self._head())
        self.body.addWidget(self.about)
        self.body.addWidget(self.paintable)
        self.body.addWidget(self.pixel_size)
        self.body.addWidget(self.levels)
        self.body.addWidget(self.go)
        self.body.addWidget(self.status)
        self.body.addLayout(row(self.only, self.view.columns))
        self.body.addWidget(self.view)
        self.body.addLayout(row(self.copy, self.save, self.reproduce.toggle))
        self.body.addWidget(self.reproduce)
        self.body.addStretch(1)
        self._working = (
            self._labels_head,
            self.picker,
            self.about,
            self.pixel_size,
            self.levels,
            self.go,
        )
        self._results = (
            self.view, self.view.columns, self.only, self.copy, self.save, self.reproduce.toggle
        )  # fmt: skip

    def _head(self) -> Any:
        self._labels_head = heading("Labels")
        return row(self._labels_head, self.picker, stretch=1)

    def _connect(self) -> None:
        self.picker.layer_changed.connect(self._on_layer)
        self.levels.changed.connect(self._on_level)
        self.view.row_chosen.connect(self._on_row)
        self.view.columns_changed.connect(self._remember)
        self.only.toggled.connect(self._on_only)
        self.pixel_size.size_set.connect(self.measure_now)
        self.pixel_size.refused.connect(self.show_error)
        self.follow(self.viewer.events.theme, self.view.plot.refresh)

    # -- what is measured --------------------------------------------------------------------------

    @property
    def measured(self) -> Measured | None:
        """The table on screen, and where its rows are in the picture."""
        return self.view.measured

    @property
    def per(self) -> Per:
        """What gets a row."""
        return self.levels.level

    def choose(self, layer: Labels) -> None:
        """Measure this layer."""
        self.picker.choose(layer)
        if self.measured is None and self.job is None:
            self.measure_now()

    def _on_layer(self, layer: Layer | None) -> None:
        self._unwatch()
        self._forget()
        self.empty.setVisible(layer is None)
        for widget in self._working:
            widget.setVisible(layer is not None)
        self.pixel_size.show_layer(layer)
        self.paintable.show_layer(layer)
        self.status.show_hint("")
        if layer is None:
            return
        self.about.setText(describe_layer(layer))
        self._watch(layer)
        self._recall()
        self.measure_now()

    def _watch(self, layer: Labels) -> None:
        self._watched = layer
        events = layer.events
        for emitter in (events.paint, events.labels_update, events.data):
            self.follow(emitter, self._on_edit)
        self._view = self._viewed()
        self.follow(events.set_data, self._on_shown)
        for emitter in (events.scale, events.units):
            self.follow(emitter, self._on_scale)
        self.follow(events.selected_label, self._on_selected_label)
        layer.mouse_drag_callbacks.append(self._on_mouse)

    def _unwatch(self) -> None:
        layer, self._watched = self._watched, None
        if layer is None:
            return
        events = layer.events
        for emitter in (
            events.paint, events.labels_update, events.set_data, events.data, events.scale, events.units,
            events.selected_label,
        ):  # fmt: skip
            self.unfollow(emitter)
        if self._on_mouse in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.remove(self._on_mouse)
        if self.only.isChecked():
            layer.show_selected_label = False

    def _forget(self) -> None:
        self._timer.stop()
        self.view.measured = None
        for widget in self._results:
            widget.setVisible(False)

    def _on_edit(self, event: Any = None) -> None:
        del event
        origin = None if self._watched is None else origin_of(self._watched)
        if origin is None or not origin.running:  # else there is another tile in a moment
            self._timer.start()

    def _on_shown(self, event: Any = None) -> None:
        """Measure after Undo, which tells no more than that the layer is shown anew."""
        before, self._view = self._view, self._viewed()
        if self._view == before:  # else it is shown anew because another plane is
            self._on_edit(event)

    def _viewed(self) -> Any:
        dims = self.viewer.dims
        return dims.current_step, dims.order, dims.ndisplay

    def _on_scale(self, event: Any = None) -> None:
        del event
        self.pixel_size.show_layer(self._watched)
        if self._watched is not None:
            self.about.setText(describe_layer(self._watched))
        self._timer.start()

    def _on_level(self) -> None:
        if self.picker.layer is not None:
            self._remember()
            self.measure_now()

    # -- the run -----------------------------------------------------------------------------------

    def measure_now(self) -> None:
        """Measure; if that is going on already, once more afterwards."""
        layer = self.picker.layer
        self._timer.stop()
        if layer is None or not self.is_open:
            self._stale = False
            return
        if self.job is not None:
            self._stale = True
            return
        self._stale = False
        try:
            labels = labels_of(layer, self.viewer)
        except SpecimenError as error:
            self.show_error(error)
            return
        self.go.setEnabled(False)
        self.run(
            f"Measure {layer.name}",
            measure_work(labels, self.per),
            lambda measured, warned: self._show(layer, measured, warned),
            shown=False,
        )

    def _show(self, layer: Labels, measured: Measured, warned: tuple[str, ...]) -> None:
        if layer is not self.picker.layer or measured.per != self.per:
            self._stale = True
            return
        if measured.classes is None:
            measured = replace(measured, shown_colors=label_colors(layer, measured.frame["index"].to_numpy()))
        self.view.show_measured(measured)
        self._offer_only(measured)
        for widget in self._results:
            widget.setVisible(True)
        self._on_selected_label()
        said = "" if len(measured.frame) else "There are no labels to measure yet."
        self.status.show_warnings(said, (*told_of_a_part(layer), *warned))
        self.reproduce.refresh()

    def show_error(self, error: BaseException) -> None:
        """Show an error, and no results that are no longer true."""
        self._forget()
        super().show_error(error)

    def on_cancelled(self) -> None:
        """Tell that measuring was stopped."""
        self.status.show_hint("Cancelled.")

    def on_finished(self) -> None:
        """Measure again if the labels changed meanwhile."""
        super().on_finished()
        self.go.setEnabled(True)
        if self._stale:
            self.measure_now()

    # -- selecting ---------------------------------------------------------------------------------

    def _on_row(self, number: int) -> None:
        """Select in the viewer what a row is about."""
        layer, measured = self._watched, self.measured
        if layer is None or measured is None:
            return
        self._selecting = True
        try:
            value = measured.label_of(number)
            if value is not None:
                layer.selected_label = value
            self.viewer.layers.selection.active = layer
            show_place(self.viewer, layer, measured, number)
        finally:
            self._selecting = False

    def _on_selected_label(self, event: Any = None) -> None:
        """Select the row of the label that was picked in the viewer."""
        del event
        layer, measured = self._watched, self.measured
        if self._selecting or layer is None or measured is None or not measured.rows_are_labels:
            return
        rows = measured.rows_of(int(layer.selected_label))
        current = self.table.selected_row
        if rows and current not in rows:
            self.table.select_row(rows[0])
        elif not rows:
            self.table.select_row(None)

    def _on_mouse(self, layer: Labels, event: Any) -> Any:
        """Select the row of what is clicked on, unless the click draws or drags."""
        if self.measured is not None:
            yield from clicks(layer, event, self.select_at)

    def select_at(self, point: tuple[int, ...]) -> None:
        """Select the row and label of the pixel at a point, in data coordinates of the layer."""
        if self.measured is None or self._watched is None:
            return
        number = self.measured.row_at(point)
        if number is None:
            return
        self.table.select_row(number)
        value = self.measured.label_of(number)
        if value is not None:
            self._selecting = True
            self._watched.selected_label = value
            self._selecting = False

    def _offer_only(self, measured: Measured) -> None:
        """Offer to hide all but the selected label where each row has a label of its own."""
        can = measured.rows_are_labels
        self.only.setEnabled(can)
        self.only.setToolTip(ONLY if can else NOT_ONLY)
        if not can:
            self.only.setChecked(False)

    def _on_only(self, on: bool) -> None:
        if self._watched is not None:
            self._watched.show_selected_label = on

    # -- what goes out -----------------------------------------------------------------------------

    def copy_table(self) -> None:
        """Put the table on the clipboard as it is shown, tab separated, all digits."""
        if self.measured is None:
            return
        self.status.show_hint(f"Copied {self.view.copy_table()} rows.")

    def save_table(self) -> None:
        """Ask for a file and write all measurements to it."""
        if self.measured is None:
            return
        folder = self._folder()
        name = f"{self.measured.labels.name}_{self.per}.csv"
        path, _ = QFileDialog.getSaveFileName(
            self, "Save table", str(folder / name) if folder else name, "Tables (*.csv)"
        )
        if not path:
            return
        from ..core.files.tables import write_table

        try:
            write_table(path, self.measured.frame, overwrite=True)  # the dialog has asked
        except SpecimenError as error:
            super().show_error(error)
            return
        self.status.show_hint(f"Saved as {path}.")

    def recipe(self) -> Recipe:
        """Return the command line that makes the same table from the saved labels."""
        labels = None if self.measured is None else self.measured.labels
        return measure_recipe(self.picker.layer, labels, self.per)

    # -- what was chosen for this folder before ----------------------------------------------------

    def _folder(self) -> Any:
        path = None if self.picker.layer is None else layer_path(self.picker.layer)
        return path.parent if path else None

    def _remember(self) -> None:
        remember("measure", self._folder(), {"per": self.per, "columns": self.view.chosen})

    def _recall(self) -> None:
        before = recall("measure", self._folder())
        columns = before.get("columns")
        if isinstance(columns, dict):
            self.view.chosen = {k: v for k, v in columns.items() if isinstance(v, list)}
        self.levels.choose(str(before.get("per")))

    def shut_down(self) -> None:
        """Let go of the layer too."""
        self._timer.stop()
        self._unwatch()
        super().shut_down()


def _is_labels(layer: Layer) -> bool:
    from napari.layers import Labels

    return isinstance(layer, Labels)
