"""The Evaluate dock: how good a model or masks are, which one is better, and where they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QLineEdit, QVBoxLayout, QWidget

from ..core.errors import MeasureError, SpecimenError, one_line
from ..core.progress import Progress, Report
from ..evaluation.settings import EvaluateSettings
from ..models.settings import PredictSettings
from .dock import Dock, button, fold, heading, primary, row
from .empty import EmptyState
from .evaluate_data import EvaluateData, FolderLine
from .evaluate_layers import Showcase
from .evaluate_models import Competitors
from .evaluate_recipe import evaluate_recipe
from .evaluate_run import Evaluated, EvaluateRequest, evaluate_work
from .evaluate_tabs import ResultTabs
from .forms import SettingsForm
from .memory import recall, remember
from .reproduce import Recipe, Reproduce

if TYPE_CHECKING:
    from napari.viewer import Viewer

HINT = "Choose labelled pictures, add a model or masks, then press Evaluate."
NEXT = "Add a model or masks, then press Evaluate."
READY = "Press Evaluate."
NOTHING = (
    "How good is a model, or are masks? Choose a folder of labels that you trust, or open a picture with "
    "such labels."
)
EVALUATE_FIELDS = ("tolerance", "tolerance_unit", "instances", "curves")
PREDICT_FIELDS = ("device", "precision", "threshold")


class EvaluateDock(Dock):
    """Evaluates models and masks on labelled pictures.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, HINT)
        self.showcase = Showcase(napari_viewer)
        self._report: Path | None = None
        self._kept: dict[Path, object] = {}
        self._hint = HINT
        self._make_controls()
        self._arrange()
        self._connect()
        self._on_setting()
        self._recall()

    # -- layout ------------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        self.data = EvaluateData(self)
        choose = ("Choose folder…", "Folder of the true labels", self.data.labels.ask)
        self.empty = EmptyState(self, NOTHING, ways=(choose,), labelled=True)
        self.competitors = Competitors(self.data.other_labels, self.data.take)
        self.form = SettingsForm(EvaluateSettings)
        self.form.show_fields(EVALUATE_FIELDS)
        self.predict = SettingsForm(PredictSettings)
        self.predict.show_fields(PREDICT_FIELDS, unset={"threshold": "model's own"})
        self.ignore = QLineEdit()
        self.ignore.setPlaceholderText("none")
        self.ignore.setToolTip("Values in the truth whose pixels are left out, such as 255")
        self.ignore.setAccessibleName("Ignore")
        self.second = FolderLine("2nd labels", "Labels of the same pictures by another person")
        self.go = primary("Evaluate", self.evaluate, "Compare with the truth, picture by picture")
        self.tabs = ResultTabs(self.viewer)
        self.save = button("Save report…", self.save_report, "Write tables, pictures and the report")
        self.open = button("Open report", self.open_report, "Show the report in the browser")
        self.reproduce = Reproduce(self.recipe)

    def _arrange(self) -> None:
        more = QWidget()
        inner = QVBoxLayout(more)
        inner.setContentsMargins(12, 0, 0, 0)
        for part in (self.form, self.predict):
            inner.addWidget(part)
        inner.addLayout(row(heading("Ignore"), self.ignore, stretch=1))
        inner.addWidget(self.second)
        toggle, content = fold("More", more)
        self.main = QWidget()
        box = QVBoxLayout(self.main)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.data)
        box.addLayout(row(heading("Models"), self.competitors, stretch=1))
        for part in (toggle, content, self.go):
            box.addWidget(part)
        for part in (self.empty, self.main, self.status, self.tabs):
            self.body.addWidget(part)
        self.body.addLayout(row(self.save, self.open, self.reproduce.toggle))
        self.body.addWidget(self.reproduce)
        self.body.addStretch(1)
        for part in (self.save, self.open):
            part.setVisible(False)

    def _connect(self) -> None:
        for emitter in (self.data.changed, self.competitors.changed, self.form.changed, self.predict.changed):
            emitter.connect(self._on_setting)
        self.ignore.editingFinished.connect(self._on_setting)
        self.second.changed.connect(self._on_setting)
        self.competitors.refused.connect(self.show_error)
        self.tabs.picture_asked.connect(self.show_picture)
        self.tabs.cell_asked.connect(self.show_cell)
        self.follow(self.viewer.events.theme, self.tabs.refresh_plots)
        self.follow(self.viewer.layers.events.inserted, self._on_layers)

    def showEvent(self, event: Any) -> None:
        """Take labels that are open, where no folder is chosen."""
        super().showEvent(event)
        self.data.take_layers()

    def _on_layers(self, event: Any = None) -> None:
        del event
        if self.isVisible():
            self.data.take_layers()

    def _on_setting(self) -> None:
        is_empty = self.data.is_empty and not self.competitors.chosen
        self.empty.setVisible(is_empty)
        for part in (self.main, self.reproduce.toggle):
            part.setVisible(not is_empty)
        hint = "" if is_empty else HINT if self.data.is_empty else READY if self.competitors.chosen else NEXT
        if hint != self._hint and self.job is None and self.tabs.evaluated is None:
            self.status.show_hint(hint)  # and not again: an error may stand there by now
        self._hint = hint
        several = len(self.competitors.chosen) > 1
        self.go.setText("Compare" if several else "Evaluate")
        self.form.controls["curves"].widget.setEnabled(self._one_model())
        self.reproduce.refresh()

    def _one_model(self) -> bool:
        chosen = self.competitors.chosen
        return len(chosen) == 1 and bool(chosen[0].model)

    # -- what is chosen ----------------------------------------------------------------------------

    def keep(self, owner: object, *folders: Path) -> None:
        """Hold what owns folders that are evaluated here, until the dock is closed."""
        self._kept |= dict.fromkeys(folders, owner)

    def shut_down(self) -> None:
        """Let go of what was kept."""
        super().shut_down()
        self._kept.clear()

    def request(self) -> EvaluateRequest:
        """Return what is to be done as it stands.

        Raises
        ------
        SpecimenError
            If something is missing or wrong.
        """
        if not self.competitors.chosen:
            raise MeasureError("nothing to evaluate is chosen", advice="Add a model or masks.")
        opened = self.data.open_picture()
        if opened is None and self.data.from_layer.isChecked():
            raise MeasureError("no labels are open", advice="Open labels, or choose folders.")
        return EvaluateRequest(
            competitors=tuple(self.competitors.chosen),
            labels=self.data.labels.path,
            images=self.data.images.path,
            second=self.second.path if opened is None else None,
            opened=opened,
            settings=self.settings(),
            predict=PredictSettings.model_validate(self.predict.values()),
        )

    def settings(self) -> EvaluateSettings:
        """Return the settings as they stand.

        Raises
        ------
        MeasureError
            If what is to be ignored is not a list of values.
        """
        values = self.form.values()
        values["curves"] = bool(values["curves"]) and self._one_model()
        words = self.ignore.text().replace(",", " ").split()
        if not all(word.isascii() and word.isdigit() and int(word) <= 65535 for word in words):
            raise MeasureError(
                f"{one_line(self.ignore.text(), 40)!r} is not a list of values to ignore",
                advice="Give whole numbers from 0 to 65535.",
            )
        return EvaluateSettings.model_validate({**values, "ignore": tuple(map(int, words))})

    # -- the run -----------------------------------------------------------------------------------

    def evaluate(self) -> None:
        """Compare everything that is chosen with the truth."""
        if self.job is not None:
            return
        try:
            request = self.request()
        except SpecimenError as error:
            self.show_error(error)
            return
        self._remember()
        self.go.setEnabled(False)
        names = ", ".join(competitor.name for competitor in request.competitors)
        self.run(f"Evaluate {one_line(names, 60)}", evaluate_work(request), self._show)

    def _show(self, evaluated: Evaluated, warned: tuple[str, ...]) -> None:
        self.tabs.show_results(evaluated)
        self.save.setVisible(True)
        self.open.setVisible(False)
        count = len(evaluated.evaluation.cases)
        failures = tuple(f"{one_line(f.path.name)}: {f.message}" for f in evaluated.failures)
        text = f"Compared {count} picture{'s' * (count != 1)}."
        self.status.show_warnings(text, (*failures, *warned, *evaluated.notes))

    def on_finished(self) -> None:
        """Allow the next run."""
        super().on_finished()
        self.go.setEnabled(True)
        self.save.setEnabled(True)

    # -- looking -----------------------------------------------------------------------------------

    def show_picture(self, name: str) -> None:
        """Show a picture with truth, predictions and disagreements as layers."""
        if self.tabs.evaluated is not None:
            self.showcase.show(self.tabs.evaluated, name)

    def show_cell(self, name: str, row: int, column: int, source: str) -> None:
        """Light up the pixels of a cell of the confusion matrix of a model in a picture."""
        if self.tabs.evaluated is not None:
            self.showcase.mark(self.tabs.evaluated, name, row, column, source)

    # -- what goes out -----------------------------------------------------------------------------

    def save_report(self) -> None:
        """Ask for a folder and write tables, pictures and the report into it."""
        evaluated = self.tabs.evaluated
        if evaluated is None or self.job is not None:
            return
        near = self.data.labels.path
        lasting = near is not None and near not in self._kept  # else the report would go with the folder
        proposed = near.with_name("evaluation") if near is not None and lasting else Path("evaluation")
        options = QFileDialog.Option.ShowDirsOnly | QFileDialog.Option.DontConfirmOverwrite
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Folder for the report", str(proposed), "", options=options
        )
        if not chosen:
            return
        folder = Path(chosen)

        def work(report: Report) -> Path:
            from ..evaluation.output import write_results

            report(Progress("writing the report", 0, 0))
            return write_results(folder, evaluated.evaluation, notes=evaluated.notes)[0]

        self.save.setEnabled(False)
        self.run("Save the report", work, lambda path, _: self._on_saved(path), shown=False)

    def _on_saved(self, path: Path) -> None:
        self._report = path
        self.open.setVisible(True)
        self.status.show_hint(f"Saved as {path}.")

    def open_report(self) -> None:
        """Show the saved report in the browser."""
        if self._report is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._report)))

    def recipe(self) -> Recipe:
        """Return the command line and the settings of what the dock would do now."""
        settings, note = EvaluateSettings(), ""
        try:
            settings = self.settings()
        except SpecimenError as error:
            note = str(error)
        asked = EvaluateRequest(
            competitors=tuple(self.competitors.chosen),
            labels=self.data.labels.path,
            images=self.data.images.path,
            second=self.second.path,
            settings=settings,
            predict=PredictSettings.model_validate(self.predict.values()),
        )
        return evaluate_recipe(asked, from_layers=self.data.from_layer.isChecked(), note=note)

    # -- what was chosen before --------------------------------------------------------------------

    def _remember(self) -> None:
        def lasting(line: FolderLine) -> str:
            return "" if line.path in self._kept else line.line.text()  # that is gone the next time

        values: dict[str, Any] = {
            "labels": lasting(self.data.labels),
            "images": lasting(self.data.images),
            "second": lasting(self.second),
            "models": [c.model for c in self.competitors.chosen if c.model],
            "settings": self.form.values(),
        }
        remember("evaluate", None, values)

    def _recall(self) -> None:
        before = recall("evaluate", None)
        for line, key in (
            (self.data.labels, "labels"),
            (self.data.images, "images"),
            (self.second, "second"),
        ):
            text = before.get(key)
            if isinstance(text, str) and text and Path(text).is_dir():
                line.choose(text)
        if isinstance(before.get("settings"), dict):
            self.form.set_values(before["settings"])
