"""The Segment dock's work on a whole folder: the same loop as ``specimen-seg predict``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from ..core.errors import ReadError, one_line
from ..core.progress import Progress, Report
from ..models.settings import PredictSettings
from .dock import button, row

if TYPE_CHECKING:
    from ..batch import FileResult


@dataclass(frozen=True, slots=True)
class Folders:
    """Where pictures are, and where their labels go."""

    pictures: Path
    results: Path


def ask_folders(parent: QWidget, near: Path | None) -> Folders | None:
    """Ask for the folder of the pictures and that of the results.

    Parameters
    ----------
    parent : QWidget
        Over which is asked.
    near : Path, optional
        Where to begin.

    Returns
    -------
    Folders or None
        None if the person cancelled.
    """
    start = str(near) if near else ""
    pictures = QFileDialog.getExistingDirectory(parent, "Segment all pictures in this folder", start)
    if not pictures:
        return None
    proposed = Path(pictures).with_name(f"{Path(pictures).name}_labels")
    results = ResultsFolder(parent, proposed).ask()
    return None if results is None else Folders(Path(pictures), results)


class ResultsFolder(QDialog):
    """Asks for a folder that may be there or not; Qt's own questions take only one of the two.

    Parameters
    ----------
    parent : QWidget
    proposed : Path
    """

    def __init__(self, parent: QWidget, proposed: Path) -> None:
        super().__init__(parent)
        self.setWindowTitle("Folder for the labels")
        self.path = QLineEdit(str(proposed))
        self.path.setMinimumWidth(420)
        self.path.setAccessibleName("Folder for the labels")
        browse = button("…", self._browse, "Choose a folder that is there")
        kinds = QDialogButtonBox.StandardButton
        answers = QDialogButtonBox(kinds.Ok | kinds.Cancel)
        answers.accepted.connect(self.accept)
        answers.rejected.connect(self.reject)
        box = QVBoxLayout(self)
        box.addWidget(QLabel("Write the labels into this folder. Pictures that are done there are skipped."))
        box.addLayout(row(self.path, browse))
        box.addWidget(answers)

    def _browse(self) -> None:
        near = Path(self.path.text())
        start = near if near.is_dir() else near.parent
        found = QFileDialog.getExistingDirectory(self, "Folder for the labels", str(start))
        if found:
            self.path.setText(found)

    def ask(self) -> Path | None:
        """Return the folder; None if the person cancelled."""
        accepted = self.exec() == QDialog.DialogCode.Accepted
        text = self.path.text().strip()
        return Path(text).expanduser() if accepted and text else None


def batch_work(
    folders: Folders, model: str, settings: PredictSettings
) -> Callable[[Report], list[FileResult]]:
    """Return the work of segmenting a folder.

    Parameters
    ----------
    folders : Folders
    model : str
        Name or folder of the model.
    settings : PredictSettings

    Returns
    -------
    callable
        Takes a report function; a picture that fails does not end the rest. What is done already is
        skipped, so the same again goes on after a break.
    """

    def work(report: Report) -> list[FileResult]:
        from ..batch import plan_jobs, predict_files
        from ..core.files.inputs import find_inputs
        from ..models.predictor import load_model

        report(Progress("loading model", 0, 0))
        found = find_inputs([folders.pictures])
        if not found:
            raise ReadError("there are no pictures in this folder", path=folders.pictures)
        jobs = plan_jobs(found, folders.results, confidence=settings.confidence)
        results = predict_files(jobs, model, settings, report=_by_picture(report, len(jobs)), load=load_model)
        return list(results)

    return work


def _by_picture(report: Report, total: int) -> Report:
    """Pass on how many pictures are done; every step of one is still a chance to cancel."""
    from ..batch.workers import STAGE

    done = 0

    def passed_on(progress: Progress) -> None:
        nonlocal done
        if progress.stage == STAGE:
            done = progress.done
        report(Progress("picture", done, total))

    return passed_on


def summary(results: list[FileResult]) -> tuple[str, str]:
    """Return what became of a folder: one line, and the rest for the log.

    Parameters
    ----------
    results : list of FileResult

    Returns
    -------
    (str, str)
        The log is empty if there is nothing more to say.
    """
    count = {kind: sum(r.status == kind for r in results) for kind in ("done", "skipped", "failed")}
    parts = [f"{count['done']} of {len(results)} pictures segmented"]
    parts += [f"{count['skipped']} were done already"] if count["skipped"] else []
    parts += [f"{count['failed']} failed"] if count["failed"] else []
    failures = [f"{r.path}: {r.message}" for r in results if r.status == "failed"]
    warned = [f"{r.path}: {line}" for r in results for line in r.warnings]
    where = {str(path.parent) for result in results for path in result.outputs[:1]}
    parts += [f"labels in {one_line(where.pop(), 200)}"] if len(where) == 1 else []
    return ", ".join(parts) + ".", "\n".join(failures + warned)
