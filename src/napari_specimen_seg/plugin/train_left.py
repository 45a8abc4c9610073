"""Runs that were left behind when napari was closed: the dock remembers them and offers what can be done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..core.errors import one_line
from ..models.bundle import is_bundle
from ..training.live import LiveRun
from .dock import button, quiet, row
from .memory import recall, remember

DOCK = "train-runs"
SETTINGS = "train.toml"

State = Literal["running", "finished", "cut off"]


@dataclass(frozen=True, slots=True)
class LeftRun:
    """A run that nobody has seen the end of.

    Parameters
    ----------
    folder : Path
    state : {"running", "finished", "cut off"}
    """

    folder: Path
    state: State


def note_run(folder: Path) -> None:
    """Remember a run that begins, until its end is seen."""
    _store([*(p for p in _noted() if p != folder), folder])


def forget_run(folder: Path) -> None:
    """Forget a run whose end was seen."""
    _store([p for p in _noted() if p != folder])


def left_runs() -> list[LeftRun]:
    """Return the runs that were left behind, the newest first; what is gone from the disk is forgotten."""
    found = []
    for folder in reversed(_noted()):
        state = state_of(folder)
        if state is None:
            forget_run(folder)
        else:
            found.append(LeftRun(folder, state))
    return found


def state_of(folder: Path) -> State | None:
    """Return what became of a run; None if there is nothing of it."""
    if LiveRun(folder).pid() is not None:
        return "running"
    if is_bundle(folder):
        return "finished"
    return "cut off" if (folder / SETTINGS).is_file() else None


def _noted() -> list[Path]:
    found = recall(DOCK, None).get("folders")
    return [Path(text) for text in found if isinstance(text, str)] if isinstance(found, list) else []


def _store(folders: list[Path]) -> None:
    remember(DOCK, None, {"folders": [str(folder) for folder in folders[-20:]]})


class LeftBanner(QWidget):
    """Tells of one run that was left behind, and offers what can be done with it.

    Signals
    -------
    watch_asked, use_asked, resume_asked
        What the person wants to do with the run; carry its folder.
    """

    watch_asked = Signal(object)
    use_asked = Signal(object)
    resume_asked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.run: LeftRun | None = None
        self.text = quiet()
        self.act = button("Watch", self._act)
        self.dismiss = button("Dismiss", self._dismiss, "Do not tell of it again; nothing is removed")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.text)
        box.addLayout(row(self.act, self.dismiss))
        self.setVisible(False)

    def refresh(self) -> None:
        """Look what was left behind."""
        self.run = next(iter(left_runs()), None)
        self.setVisible(self.run is not None)
        if self.run is None:
            return
        name = one_line(self.run.folder.name, 40)
        text, action = {
            "running": (f"The training of {name} goes on.", "Watch"),
            "finished": (f"The training of {name} is finished.", "Use this model ▸"),
            "cut off": (f"The training of {name} was cut off.", "Go on"),
        }[self.run.state]
        self.text.setText(text)
        self.text.setToolTip(str(self.run.folder))
        self.act.setText(action)

    def _act(self) -> None:
        if self.run is None:
            return
        signals = {"running": self.watch_asked, "finished": self.use_asked, "cut off": self.resume_asked}
        run = self.run
        if run.state == "finished":
            forget_run(run.folder)
        self.setVisible(False)
        signals[run.state].emit(run.folder)

    def _dismiss(self) -> None:
        if self.run is not None:
            forget_run(self.run.folder)
        self.refresh()
