"""A training as the dock sees it: a process of its own, watched through the files in its folder."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from ..core.errors import SpecimenError
from ..core.temporary import temporary_name
from ..training.config import TrainConfig
from ..training.live import LiveRun
from .status import duration

EVERY_MS = 200

LITTLE_SPACE = 20_000_000
"""Bytes; a disk with less is what a run failed for."""

LAST_CHECKPOINT = Path("checkpoints") / "last.ckpt"

NICENESS = 5
"""Of a run, so that the window comes first."""

BELOW_NORMAL = 0x00004000
"""The same on Windows: a flag for a child."""

NO_CONSOLE = 0x08000000
"""Windows' flag for a child without a console window, which would flash up."""

_ORPHANS: list[subprocess.Popen[bytes]] = []
"""Children that go on after their dock; kept so that their end is noticed and no warning is given."""


class Watcher(QObject):
    """Starts a run, or finds one that goes on, and hands on what it tells.

    Signals
    -------
    told
        An event, as a dict with the key ``event``.
    ended
        No process works on the run any more; carries why, as a `SpecimenError`, or None where all is well
        or the run itself told.
    """

    told = Signal(dict)
    ended = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.run: LiveRun | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._log: Path | None = None
        self._position = 0
        self._began = self._failed = self._stopping = False
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
            If the folder is in use or holds something else, or the process cannot be started.
        """
        from ..training.checkpoints import is_free

        run = LiveRun(out)
        if run.pid() is not None:
            raise SpecimenError("another run works in this folder", path=out, advice="Watch it instead.")
        settings = settings_file(out)
        command = [sys.executable, "-m", "napari_specimen_seg", "train", "--config", str(settings)]
        command += ["-o", str(out), "--progress", "json"] + (["--resume"] if resume else [])
        try:
            # The run would find this out too, but seconds later: until then Discard would remove the folder.
            if not is_free(out, resume=resume):
                raise SpecimenError("the folder is not empty", path=out, advice="Choose another.")
            out.parent.mkdir(parents=True, exist_ok=True)
            settings.write_text(config.to_toml(), encoding="utf-8")
            position = run.read(0)[1]
            # not beside the model: where that disk is full, this is where it is told
            number, name = tempfile.mkstemp(prefix=temporary_name(), suffix=".log")
            with open(number, "wb") as log:  # noqa: PTH123  (a number, not a path)
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
        _stand_back(self._child.pid)
        self._log = Path(name)
        self._follow(run, position)

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
        self._child, self._log = None, None
        self._follow(run, 0)

    def _follow(self, run: LiveRun, position: int) -> None:
        self.run, self._position = run, position
        self._began = self._failed = self._stopping = False
        self._timer.start()

    def stop_and_keep(self) -> None:
        """Ask the run to stop after the current batch and keep its best model.

        A run that has not begun to learn has nothing to keep, and listens to nobody yet: it is ended.
        """
        if self.run is None or not self.is_running:
            return
        self._stopping = True
        if not self._began and self._child is not None:
            self._child.kill()
        elif self.run.folder.is_dir():
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
        self.run = None

    def let_go(self) -> None:
        """Stop watching; the run goes on."""
        self._timer.stop()

    def _look(self) -> None:
        if self.run is None:
            return
        alive = self._child.poll() is None if self._child is not None else self.run.pid() is not None
        events, self._position = self.run.read(self._position)
        for event in events:
            self._began |= event["event"] in ("started", "step", "epoch")
            self._failed |= event["event"] == "failed"
            self.told.emit(event)
        if not alive or any(event["event"] == "finished" for event in events):
            self._timer.stop()  # what the process still does after its model is complete matters to nobody
            problem = self._problem()
            self._clean_up()
            self.ended.emit(problem)

    def _problem(self) -> SpecimenError | None:
        """Return why the run ended, unless that is as it should be or the run itself told."""
        assert self.run is not None
        code = self._child.poll() if self._child is not None else 0
        finished = (self.run.folder / "card.json").is_file()
        if self._failed or self._stopping or (not code and finished):
            return None
        log = _read(self._log)
        go_on = (self.run.folder / LAST_CHECKPOINT).is_file()
        advice = "Press Train to go on after the last finished epoch." if go_on else ""
        error = SpecimenError(self._reason(code, log), advice=advice)
        if log:
            error.add_note(log)  # shown under Details
        return error

    def _reason(self, code: int | None, log: str) -> str:
        assert self.run is not None
        where = next((p for p in (self.run.folder, self.run.folder.parent) if p.is_dir()), None)
        if where is not None and shutil.disk_usage(where).free < LITTLE_SPACE:
            return f"training ended early: the disk of {where} is full"
        if code is not None and code < 0:
            memory = ", as systems do when memory runs out" if -code == getattr(signal, "SIGKILL", 9) else ""
            return f"training ended early: its process was ended from outside (signal {-code}{memory})"
        if not self.run.folder.is_dir():
            return f"training ended early: its folder {self.run.folder} is gone"
        lines = log.strip().splitlines()
        return f"training ended early: {lines[-1] if lines else 'its process is gone'}"

    def _clean_up(self) -> None:
        assert self.run is not None
        for path in (settings_file(self.run.folder), self._log):
            with suppress(OSError):  # Windows keeps what is still open
                path.unlink(missing_ok=True) if path is not None else None
        self._child, self._log = None, None
        _ORPHANS[:] = [child for child in _ORPHANS if child.poll() is None]


def step_line(event: dict[str, Any], epochs: int) -> tuple[str, int, int]:
    """Return what a step says of a run: a line, how many steps are done, and how many there are."""
    done = (event["epoch"] - 1) * event["steps"] + event["step"]
    left = event["seconds_left"]
    text = f"epoch {event['epoch']} of {epochs}"
    text += f" · {duration(left)} left" if math.isfinite(left) and left > 1 else ""
    return text, done, epochs * event["steps"]


def settings_file(out: Path) -> Path:
    """Return where the settings for a run wait until it has read them."""
    return out.with_name(f".{out.name}.toml")


def _read(path: Path | None) -> str:
    try:
        return "" if path is None else path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _own_session() -> dict[str, Any]:
    """Return what makes a child outlive its parent's window, on each system."""
    if os.name == "nt":
        return {"creationflags": 0x00000200 | BELOW_NORMAL | NO_CONSOLE}  # new process group
    return {"start_new_session": True}


def _stand_back(pid: int) -> None:
    """Let other processes come before one that has just begun; its threads to come are as patient."""
    if os.name == "nt":
        return
    import psutil

    with suppress(psutil.Error):
        psutil.Process(pid).nice(NICENESS)


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
