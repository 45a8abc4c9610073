"""The Models dock: which models there are, and how more of them come here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QInputDialog, QLineEdit, QMessageBox, QVBoxLayout, QWidget

from ..core.errors import SpecimenError, one_line
from ..core.progress import Report
from ..models.importing import Imported, ImportOptions, QuestionsError
from ..models.manage import Shelved, free_name, rename, shelf, throw_away
from .card_view import OVERLAP, CardView
from .dock import Dock, button, fold, open_dock, primary, quiet, row
from .library_events import library_events
from .questions import QuestionForm
from .shelf_view import ShelfView

if TYPE_CHECKING:
    from napari.viewer import Viewer

HINT = "Drop a model file here, or choose one above."
FILES = "Models (*.pth *.pt *.pkl *.ckpt *.bin *.onnx *.safetensors *.zip *.yaml card.json);;All files (*)"

Bring = Callable[[ImportOptions, Report], Imported]
"""Imports or pulls a model with what a person said of it."""


class ModelsDock(Dock):
    """Lists models; imports, pulls, renames and removes them.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, HINT)
        self._bring: Bring | None = None
        self._said: dict[str, str] = {}
        self._title = ""
        self._make_controls()
        self._arrange()
        self.setAcceptDrops(True)
        self.view.model_chosen.connect(self._on_model)
        self.form.answered.connect(self._on_answers)
        self.form.dismissed.connect(self._on_dismissed)
        library_events().changed.connect(self.refresh)
        self.refresh()

    # -- layout ------------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        self.choose = primary("Import file…", self.choose_file, "A model from another program, from disk")
        self.choose_dir = button("Folder…", self.choose_folder, "A model that is a folder")
        self.repository = QLineEdit()
        self.repository.setPlaceholderText("OWNER/NAME on the Hugging Face Hub")
        self.repository.setAccessibleName("Repository")
        self.repository.returnPressed.connect(self.pull)
        self.fetch = button("Pull", self.pull, "Fetch this model from the Hugging Face Hub")
        self.form = QuestionForm()
        self.view = ShelfView()
        self.use = button("Segment ▸", self.use_model, "Open the Segment dock with this model")
        self.rename = button("Rename…", self.ask_name, "Give it another name")
        self.folder = button("Open folder", self.open_folder, "Show its files")
        self.share = button("Share…", self.ask_share, "Write a folder that can be uploaded to the Hub")
        self.remove = button("Remove…", self.ask_remove, "Move it to the trash")
        self.card = CardView()
        self.facts = quiet()
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

    def _arrange(self) -> None:
        about = QWidget()
        box = QVBoxLayout(about)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.card)
        box.addWidget(self.facts)
        self.details, self.about = fold("Details", about)
        self.body.addLayout(row(self.choose, self.choose_dir))
        self.body.addLayout(row(self.repository, self.fetch))
        self.body.addWidget(self.status)
        self.body.addWidget(self.form)
        self.body.addWidget(self.view, 1)
        self.body.addLayout(row(self.use, self.folder))
        self.body.addLayout(row(self.rename, self.share, self.remove))
        self.body.addWidget(self.details)
        self.body.addWidget(self.about)

    # -- the list ----------------------------------------------------------------------------------

    def refresh(self, chosen: Path | None = None) -> None:
        """Read the list anew; cards take milliseconds."""
        self.view.show_models(shelf(), chosen)
        for item in map(self.view.item, range(self.view.count())):
            if "mean IoU" in item.text():
                item.setToolTip(f"{item.toolTip()}\nMean IoU: {OVERLAP[0].lower()}{OVERLAP[1:]}")

    def _on_model(self) -> None:
        model = self.view.current
        usable = model is not None and model.card is not None
        for widget in (self.use, self.share, self.details):
            widget.setEnabled(usable)
        self.folder.setEnabled(model is not None)
        self.rename.setEnabled(usable and model is not None and model.source == "own")
        self.remove.setEnabled(model is not None and model.is_mine)
        if model is not None and model.card is not None:
            self.card.show_card(model.card)
            self.facts.setText(facts_of(model))
        else:
            self.details.setChecked(False)

    # -- importing ---------------------------------------------------------------------------------

    def choose_file(self) -> None:
        """Ask for a file and import it."""
        path, _ = QFileDialog.getOpenFileName(self, "Choose a model", "", FILES)
        if path:
            self.import_path(Path(path))

    def choose_folder(self) -> None:
        """Ask for a folder and import it."""
        path = QFileDialog.getExistingDirectory(self, "Choose the folder of a model")
        if path:
            self.import_path(Path(path))

    def import_path(self, path: Path) -> None:
        """Import a file or folder; what it does not tell is asked for.

        Parameters
        ----------
        path : Path
        """
        from ..models.importing import import_model
        from ..models.library import own_folder

        def bring(options: ImportOptions, report: Report) -> Imported:
            name = options.name or free_name(path.stem)
            return import_model(path, own_folder() / free_name(name), options, report)

        self._begin(bring, {"name": free_name(path.stem)}, f"Import {path.name}")

    def pull(self) -> None:
        """Fetch the model that is named in the line from the Hub."""
        from ..models.hub import parse
        from ..models.hub import pull as pull_model

        text = self.repository.text().strip()
        try:
            parse(text)
        except SpecimenError as error:
            self.show_error(error)
            return

        def bring(options: ImportOptions, report: Report) -> Imported:
            return pull_model(text, None, options, report)

        self._begin(bring, {}, f"Pull {text}")

    def _begin(self, bring: Bring, said: dict[str, str], title: str) -> None:
        if self.job is not None:
            return
        self.form.setVisible(False)
        self._bring, self._said, self._title = bring, said, title
        self._go_on()

    def _go_on(self) -> None:
        """Try with what is known; what must be asked comes back as a result like others."""
        # Nothing is assumed here: what has a likely answer is asked with that answer filled in.
        bring, options = self._bring, ImportOptions(**{**self._said, "ask": True})
        assert bring is not None

        def work(report: Report) -> Imported | QuestionsError:
            try:
                return bring(options, report)
            except QuestionsError as asked:
                return asked

        self.set_busy(busy=True)
        self.run(self._title, work, self._on_result)

    def _on_result(self, result: Imported | QuestionsError, warned: tuple[str, ...]) -> None:
        if isinstance(result, QuestionsError):
            self.form.ask(result.questions, self._said)
            open_ones = any(not question.likely for question in result.questions)
            what = "Please fill in:" if open_ones else "Right as it is below? Masks depend on it."
            self.status.show_hint(f"The file does not tell everything. {what}")
        else:
            self._on_imported(result, warned)

    def _on_answers(self) -> None:
        if self.job is None and self._bring is not None:
            self._said = self.form.answers()
            self._go_on()

    def _on_dismissed(self) -> None:
        self._bring = None
        self.form.setVisible(False)
        self.status.show_hint(HINT)

    def _on_imported(self, done: Imported, warned: tuple[str, ...]) -> None:
        self._bring = None
        self.form.setVisible(False)
        self._changed(done.folder)
        text = "; ".join([f"{done.card.name} can be used now", *done.notes[:1]])
        if warned:
            self.status.show_warnings(f"{text}.", (*warned, *done.notes[1:]))
        else:
            self.status.show_text(f"{text}.", log="\n".join(done.notes) if len(done.notes) > 1 else "")

    def on_finished(self) -> None:
        """Let the person act again."""
        super().on_finished()
        self.set_busy(busy=False)

    def set_busy(self, *, busy: bool) -> None:
        """Switch off what would start other work."""
        for widget in (self.choose, self.choose_dir, self.fetch, self.repository, self.form):
            widget.setEnabled(not busy)
        if busy:
            for widget in (self.rename, self.remove, self.share):
                widget.setEnabled(False)
        else:
            self._on_model()

    # -- drag and drop -----------------------------------------------------------------------------

    def dragEnterEvent(self, event: Any) -> None:
        """Take one file or folder of this machine."""
        if self.job is None and _dropped(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Import what was dropped."""
        path = _dropped(event)
        if path is not None:
            event.acceptProposedAction()
            self.import_path(path)

    # -- what is done with a model -----------------------------------------------------------------

    def use_model(self) -> None:
        """Open the Segment dock with the chosen model."""
        from .segment import SegmentDock

        model = self.view.current
        if model is not None:
            open_dock(self.viewer, SegmentDock, "Segment").models.choose(model.path)

    def ask_name(self) -> None:
        """Ask for another name and rename the model."""
        model = self.view.current
        if model is None:
            return
        name, said = QInputDialog.getText(self, "Rename", "Name of the model:", text=model.name)
        if said and name.strip() and name.strip() != model.name:
            self.rename_to(model, name.strip())

    def rename_to(self, model: Shelved, name: str) -> None:
        """Rename a model."""
        try:
            folder = rename(model, name)
        except SpecimenError as error:
            self.show_error(error)
            return
        self._changed(folder)
        self.status.show_hint(f"It is called {name} now.")

    def ask_remove(self) -> None:
        """Ask, then move the model to the trash."""
        model = self.view.current
        if model is None:
            return
        text = f"Move the model {one_line(model.name, 80)} to the trash?"
        answer = QMessageBox.question(self, "Remove", text)
        if answer == QMessageBox.StandardButton.Yes:
            self.remove_model(model)

    def remove_model(self, model: Shelved) -> None:
        """Move a model to the trash."""
        try:
            throw_away(model)
        except SpecimenError as error:
            self.show_error(error)
            return
        self._changed(None)
        self.status.show_hint(f"{model.name} is in the trash.")

    def open_folder(self) -> None:
        """Show the files of the model in the system's file manager."""
        model = self.view.current
        if model is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(model.path)))

    def ask_share(self) -> None:
        """Ask for a place and write a folder for the Hub there."""
        folder = QFileDialog.getExistingDirectory(self, "Where shall the folder for the Hub go?")
        if folder:
            self.share_to(Path(folder))

    def share_to(self, place: Path) -> None:
        """Write a folder for the Hub into a place."""
        from ..models.sharing import write_upload

        model = self.view.current
        if model is None or model.card is None or self.job is not None:
            return
        target = place / model.card.name
        self.set_busy(busy=True)
        self.run(
            f"Share {model.name}",
            lambda report: write_upload(model.path, target, report),
            lambda *_: self.status.show_hint(f"Look at README.md in {target}, then upload the folder."),
        )

    def _changed(self, chosen: Path | None) -> None:
        library_events().changed.disconnect(self.refresh)
        library_events().changed.emit()
        library_events().changed.connect(self.refresh)
        self.refresh(chosen)


def facts_of(model: Shelved) -> str:
    """Return what the card does not say: where the model is, how large, and from where it came."""
    assert model.card is not None
    lines = [f"Folder {one_line(model.path, 300)}", f"Checksum of the weights {model.card.sha256[:16]}…"]
    if model.origin is not None:
        lines.append(f"From {one_line(model.origin.repository, 120)} at {model.origin.commit[:12]}")
    return "\n".join(lines)


def _dropped(event: Any) -> Path | None:
    """Return the one file or folder that is dropped; None if it is something else, or several."""
    urls = event.mimeData().urls()
    if len(urls) != 1 or not urls[0].isLocalFile():
        return None
    return Path(urls[0].toLocalFile())
