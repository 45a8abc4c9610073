"""The learning-rate finder: run in a process of its own, its curve, and a button that takes what it says."""

from __future__ import annotations

import csv
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..core.errors import SpecimenError
from ..core.progress import Progress, Report
from ..core.temporary import temporary_name
from .dock import button, quiet, row
from .plot_canvas import Plot
from .train_watch import NO_CONSOLE

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from ..training.config import TrainConfig


STEPS = 100
"""Batches that the finder learns at most."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the finder saw: losses by learning rate, and the rate that it suggests."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float


def rate_work(config: TrainConfig, write: Callable[[], Any]) -> Callable[[Report], Found]:
    """Return work that finds a learning rate, in a process that can be ended at once.

    Parameters
    ----------
    config : TrainConfig
    write : callable
        Writes open layers to the files that the settings name.

    Returns
    -------
    callable
    """

    def work(report: Report) -> Found:
        report(Progress("reading pictures", 0, 0))
        write()
        with tempfile.TemporaryDirectory(prefix=temporary_name()) as place:
            folder = Path(place)
            (folder / "train.toml").write_text(config.to_toml(), encoding="utf-8")
            return _in_child(folder, report)

    return work


def _in_child(folder: Path, report: Report) -> Found:
    command = [sys.executable, "-m", "napari_specimen_seg", "lr-find", "--progress", "json"]
    command += ["--config", str(folder / "train.toml"), "-o", str(folder), "--steps", str(STEPS)]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            creationflags=NO_CONSOLE if os.name == "nt" else 0,
        )
    try:
        suggestion = _listen(child, report)
    finally:
        if child.poll() is None:
            child.terminate()
        _end(child)
    if child.returncode:
        lines = (folder / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise SpecimenError(lines[-1] if lines else "the search for a learning rate was ended from outside")
    with (folder / "lr-find.csv").open(newline="", encoding="utf-8") as file:
        rows = [(float(r["lr"]), float(r["loss"])) for r in csv.DictReader(file)]
    return Found(tuple(r for r, _ in rows), tuple(v for _, v in rows), float(suggestion))


def _listen(child: subprocess.Popen[str], report: Report) -> str:
    """Pass on what the child tells until it has ended; return the last line that is no progress.

    Even while it is silent, `report` is called, which raises where the person has had enough.
    """
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert child.stdout is not None
        with child.stdout as stream:
            for line in stream:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    last, suggestion = Progress("reading pictures", 0, 0), ""
    while True:
        try:
            line = lines.get(timeout=0.1)
        except queue.Empty:
            line = ""
        if line is None:
            child.wait()
            return suggestion
        if line.startswith("{"):
            told = json.loads(line)
            last = Progress(told["stage"], told["done"], told["total"])
        suggestion = line.strip() if line.strip() and not line.startswith("{") else suggestion
        report(last)


def _end(child: subprocess.Popen[str]) -> None:
    try:
        child.wait(3)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


class RatePanel(QWidget):
    """The curve, the suggestion in it, and a button that takes it.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose theme gives the colours.

    Signals
    -------
    rate_taken
        A learning rate was taken; carries it.
    """

    rate_taken = Signal(float)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._found: Found | None = None
        self._heard: Any = None  # the canvas whose clicks arrive here
        self.rate = 0.0
        self.plot = Plot(viewer, height=150)
        self.about = quiet(
            "Loss by learning rate; it should fall steeply at the marked rate. Click for another."
        )
        self.take = button("Use", self._take, "Put this learning rate into the settings")
        self.leave = button("Close", self.hide, "Leave the learning rate as it is")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        for part in (self.plot, self.about):
            box.addWidget(part)
        box.addLayout(row(self.take, self.leave))
        self.setVisible(False)

    def show_found(self, found: Found) -> None:
        """Show a curve with its suggestion."""
        self._found = found
        self.setVisible(True)
        self.choose(found.suggestion)
        if self._heard is not self.plot.canvas:
            self._heard = self.plot.canvas
            self._heard.scene().sigMouseClicked.connect(self._on_click)

    def choose(self, rate: float) -> None:
        """Mark a rate."""
        self.rate = rate
        self.take.setText(f"Use {rate:g}")
        self.plot.draw(self._draw)

    def _draw(self, plot: Plot) -> None:
        found = self._found
        assert found is not None
        losses = np.array(found.losses)
        shown = losses[np.isfinite(losses)]
        top = float(min(shown.max(initial=0), 2 * np.median(shown))) if len(shown) else 1.0
        plot.axes("learning rate", "loss", y_range=(float(shown.min(initial=top)), top))
        plot.canvas.getAxis("bottom").setTicks([_decades(found.rates)])
        plot.line(np.log10(found.rates), losses, plot.text_color)
        plot.level(float(np.log10(self.rate)), f"{self.rate:g}")

    def _on_click(self, click: Any) -> None:
        box = self.plot.canvas.getPlotItem().vb
        if self._found is not None and box.sceneBoundingRect().contains(click.scenePos()):
            rate = 10 ** box.mapSceneToView(click.scenePos()).x()
            self.choose(float(f"{np.clip(rate, self._found.rates[0], self._found.rates[-1]):.2g}"))

    def _take(self) -> None:
        self.rate_taken.emit(self.rate)
        self.hide()


def _decades(rates: tuple[float, ...]) -> list[tuple[float, str]]:
    """Return ticks at powers of ten, every second one where there are many."""
    low, high = int(np.ceil(np.log10(rates[0]))), int(np.floor(np.log10(rates[-1])))
    every = 2 if high - low > 4 else 1
    return [
        (power, f"1e{power}" if power < -2 else f"{10.0**power:g}") for power in range(low, high + 1, every)
    ]
