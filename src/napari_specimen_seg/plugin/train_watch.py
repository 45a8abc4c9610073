"""A training as the dock sees it: a process of its own, watched through the files in its folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from ..core.errors import SpecimenError
from ..training.config import TrainConfig
from ..training.live import LiveRun

EVERY_MS = 200

_ORPHANS: list[subprocess.Popen[bytes]] = []
"""Children that go on after their dock; kept so that their end is noticed and no warning is given."""


class Watcher(QObject):
    """Starts a run, or finds one that goes on, and hands on what it tells.

    Signals
    -------
    told
        An event, as a dict with the key ``event``.
    ended
        No process works on the run any more; carries the last lines of its log where it failed.
    """

    told = Signal(dict)
    ended = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.run: LiveRun | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._position = 0
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self._look)

    @property
    def is_running(self) -> bool:
        """Whether a run is being watched."""
        return bool(self._timer.isActive())

    def start(self, config: TrainConfig, out: Path, *, resume: bool) -> None:
        """Start a run in a process of its own, which this window's end does not end.

        Parameters
        ----------
        config : TrainConfig
        out : Path
            The model folder to be.
        resume : bool
            Whether to go on with the unfinished run in it.

        Raises
        ------
        SpecimenError
            If the folder is in use or the process cannot be started.
        """
        run = LiveRun(out)
        if run.pid() is not None:
            raise SpecimenError("another run works in this folder", path=out, advice="Watch it instead.")
        settings = out.with_name(f".{out.name}.toml")
        command = [sys.executable, "-m", "napari_specimen_seg", "train", "--config", str(settings)]
        command += ["-o", str(out), "--progress", "json"] + (["--resume"] if resume else [])
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            settings.write_text(config.to_toml(), encoding="utf-8")
            self._position = run.read(0)[1]
            with out.with_name(f".{out.name}.log").open("wb") as log:
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    **_own_session(),
                )
        except OSError as error:
            raise SpecimenError(f"training cannot be started ({error.strerror})", path=out) from error
        _ORPHANS.append(self._child)
        self.run = run
        self._timer.start()

    def attach(self, folder: Path) -> None:
        """Watch a run that somebody else started, from its beginning.

        Raises
        ------
        SpecimenError
            If no process works on it.
        """
        run = LiveRun(folder)
        if run.pid() is None:
            raise SpecimenError("no training goes on in this folder", path=folder)
        self.run, self._position = run, 0
        self._timer.start()

    def stop_and_keep(self) -> None:
        """Ask the run to stop after the current batch and keep its best model."""
        if self.run is not None and self.run.folder.is_dir():
            self.run.ask_to_stop()

    def discard(self) -> None:
        """End the run at once and remove what it left."""
        self._timer.stop()
        if self.run is None:
            return
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        else:
            _kill(self.run.pid())
        shutil.rmtree(self.run.folder, ignore_errors=True)
        self._clean_up()

    def let_go(self) -> None:
        """Stop watching; the run goes on."""
        self._timer.stop()

    def _look(self) -> None:
        if self.run is None:
            return
        alive = self._child.poll() is None if self._child is not None else self.run.pid() is not None
        events, self._position = self.run.read(self._position)
        for event in events:
            self.told.emit(event)
        if not alive:
            self._timer.stop()
            failed = self._child is not None and self._child.returncode not in (0, None)
            text = self._log() if failed and not any(e["event"] == "failed" for e in events) else ""
            self._clean_up()
            self.ended.emit(text)

    def _log(self) -> str:
        assert self.run is not None
        try:
            path = self.run.folder.with_name(f".{self.run.folder.name}.log")
            lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""

    def _clean_up(self) -> None:
        assert self.run is not None
        for ending in ("toml", "log"):
            self.run.folder.with_name(f".{self.run.folder.name}.{ending}").unlink(missing_ok=True)
        if self._child is not None and self._child.poll() is not None:
            _ORPHANS.remove(self._child)
        self._child = None


def _own_session() -> dict[str, Any]:
    """Return what makes a child outlive its parent's window, on each system."""
    if os.name == "nt":
        return {"creationflags": 0x00000200 | 0x08000000}  # new process group, no console window
    return {"start_new_session": True}


def _kill(pid: int | None) -> None:
    import psutil

    if pid is None:
        return
    try:
        process = psutil.Process(pid)
        process.kill()
        process.wait(5)
    except psutil.Error:
        return
