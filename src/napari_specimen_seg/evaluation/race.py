"""A model in a process of its own, so that time and memory can be told apart from everything else's."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ..core.classes import ClassMap
from ..core.errors import DeviceError, ReadError, SpecimenError
from ..core.image import SpecimenImage, SpecimenLabels
from ..core.log import as_specimen_error
from ..core.processes import FreshContext
from ..core.progress import Progress, Report
from ..models.bundle import read_card
from ..models.library import find_model
from ..models.settings import PredictSettings
from .pairs import Case
from .sources import Answer, describe_model

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from ..models.card import ModelCard
    from ..models.predictor import Predictor
    from ..models.watching import Watch

POLL_SECONDS = 0.01
"""How often the memory of the other process is looked at, and whether to stop."""

_WARM_UP_SIDE = 256
_FOR_PEOPLE = (".md", ".csv", ".png", ".toml", ".txt", ".html")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model costs before it has seen a picture.

    Parameters
    ----------
    parameters : int or None
        Numbers that were learned, where the network tells.
    bytes : int
        Of the model folder, without what people read.
    loaded : int
        Bytes of memory of the process, or of the GPU, once the model is there and has done nothing yet.
    device, backend, precision : str
        What computes.
    """

    parameters: int | None
    bytes: int
    loaded: int
    device: str
    backend: str
    precision: str


class ProcessSource:
    """A model that is timed: it runs in a process that does nothing else.

    Parameters
    ----------
    name : str
        What it is called in tables and plots.
    model : str or Path
        Name or folder.
    settings : PredictSettings, optional
    """

    def __init__(self, name: str, model: str | Path, settings: PredictSettings | None = None) -> None:
        self.name = name
        self.settings = settings or PredictSettings()
        self._folder = find_model(model)
        self.card = read_card(self._folder)
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self.facts: Facts | None = None

    def class_map(self) -> ClassMap | None:
        """Return the classes of the card."""
        return self.card.class_map

    def answer(
        self, case: Case, image: SpecimenImage | None, report: Report, watch: Watch | None = None
    ) -> Answer:
        """Segment the picture in the other process, and note how long it took and what it needed."""
        del watch  # probabilities do not come through the pipe
        if image is None:
            raise ReadError("a model needs the picture, not only the labels", path=case.labels)
        if self._pipe is None:
            self._start(report)
        (labels, seconds, device_bytes), process_bytes = self._ask(image, report)
        found = SpecimenLabels.of(labels).replace(class_map=self.card.class_map)
        return Answer(found, seconds, process_bytes if device_bytes is None else device_bytes)

    def describe(self) -> dict[str, Any]:
        """Return the model's name, version and checksums, the settings, and what computed."""
        engine = {} if self.facts is None else {
            "device": self.facts.device,
            "backend": self.facts.backend,
            "precision": self.facts.precision,
        }  # fmt: skip
        return {**describe_model(self.card, self.settings), **engine}

    def close(self) -> None:
        """End the process."""
        if self._pipe is not None:
            with suppress(OSError):
                self._pipe.close()
        if self._process is not None:
            self._process.join(0.2)
            if self._process.is_alive():
                self._process.terminate()
                self._process.join(2)
        self._pipe = self._process = None

    def _start(self, report: Report) -> None:
        context = FreshContext()
        self._pipe, there = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(there, self._folder, self.settings), daemon=True, name=f"model {self.name}"
        )
        self._process.start()
        there.close()
        self.facts, _ = self._wait(report)

    def _ask(self, image: SpecimenImage, report: Report) -> tuple[Any, int]:
        assert self._pipe is not None
        try:
            self._pipe.send(image)
        except OSError as error:
            raise self._died() from error
        return self._wait(report)

    def _wait(self, report: Report) -> tuple[Any, int]:
        """Return what the process sends, and the most bytes it had meanwhile."""
        assert self._pipe is not None
        memory = _Memory(self._process)
        try:
            memory.look()
            while not self._pipe.poll(POLL_SECONDS):
                memory.look()
                report(Progress(self.name, 0, 0))
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        except SpecimenError:  # cancelled: nobody waits for the answer any more
            self.close()
            raise
        if isinstance(answer, SpecimenError):
            raise answer
        return answer, memory.peak

    def _died(self) -> DeviceError:
        self.close()
        return DeviceError(
            f"the process of {self.name} ended, probably because the memory was full",
            advice="Use smaller tiles, or smaller pictures.",
        )


class _Memory:
    """The memory that a process takes, watched from outside."""

    def __init__(self, process: BaseProcess | None) -> None:
        import psutil

        self.peak = 0
        self._gone: Any = psutil.Error
        self._process: Any = None
        if process is not None and process.pid is not None:
            with suppress(psutil.Error):
                self._process = psutil.Process(process.pid)

    def look(self) -> None:
        """Note the memory of the moment if it is the most so far."""
        if self._process is not None:
            with suppress(self._gone):
                self.peak = max(self.peak, int(self._process.memory_info().rss))


def _serve(pipe: Connection, folder: Path, settings: PredictSettings) -> None:
    """Be the process: load the model, run once to warm up, then answer until the pipe is closed."""
    import signal
    import warnings

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    warnings.simplefilter("ignore")  # they were or will be told by the parent's own run
    with suppress(EOFError, OSError):
        try:
            predictor, facts = _load(folder, settings)
        except Exception as error:
            pipe.send(as_specimen_error(error, folder))
            return
        pipe.send(facts)
        while True:
            pipe.send(_timed(predictor, pipe.recv(), settings, facts.device == "cuda"))


def _load(folder: Path, settings: PredictSettings) -> tuple[Predictor, Facts]:
    from ..models.predictor import load_model

    predictor = load_model(folder)
    numbers = [p.numel() for p in getattr(predictor.network, "parameters", list)()]
    before = _own_memory()
    engine = predictor.predict(_noise(predictor.card), settings).provenance["engine"]
    on_gpu = engine["device"] == "cuda"
    facts = Facts(
        parameters=sum(numbers) or None,
        bytes=folder_bytes(folder),
        loaded=_gpu_memory(peak=False) if on_gpu else before,
        **engine,
    )
    return predictor, facts


def _noise(card: ModelCard) -> SpecimenImage:
    """Return a small picture to warm up with: the first run of a network pays for what later runs reuse."""
    import numpy as np

    channels = card.preprocessing.in_channels
    shape = (_WARM_UP_SIDE, _WARM_UP_SIDE) + ((channels,) if channels > 1 else ())
    noise = np.random.Generator(np.random.PCG64(0)).integers(0, 255, shape, dtype=np.uint8)
    return SpecimenImage(noise, axes="YXC" if channels > 1 else "YX")


def folder_bytes(folder: Path) -> int:
    """Return the size of a model folder on disk: weights, graph and card, without what people read."""
    return sum(p.stat().st_size for p in folder.iterdir() if p.is_file() and p.suffix not in _FOR_PEOPLE)


def _timed(predictor: Predictor, image: SpecimenImage, settings: PredictSettings, on_gpu: bool) -> Any:
    import gc

    import numpy as np

    image = image.replace(data=np.asarray(image.data), levels=())
    gc.collect()
    try:
        start = time.perf_counter()
        prediction = predictor.predict(image, settings)
        seconds = time.perf_counter() - start
    except Exception as error:
        return as_specimen_error(error)
    return prediction.labels, seconds, _gpu_memory(peak=True) if on_gpu else None


def _own_memory() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def _gpu_memory(*, peak: bool) -> int:
    import torch

    return int(torch.cuda.max_memory_allocated() if peak else torch.cuda.memory_allocated())


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model costs, from many pictures.

    Parameters
    ----------
    facts : Facts
    seconds : tuple of float
        Per megapixel, one for each picture.
    peaks : tuple of (int, float)
        The most bytes of memory, and the megapixels, of each picture.
    """

    facts: Facts
    seconds: tuple[float, ...] = ()
    peaks: tuple[tuple[int, float], ...] = ()

    @property
    def seconds_per_megapixel(self) -> float:
        """Median over pictures; NaN without any."""
        return median(self.seconds) if self.seconds else float("nan")

    @property
    def peak_bytes(self) -> int:
        """The most memory that was taken at any time."""
        return max((peak for peak, _ in self.peaks), default=0)

    @property
    def bytes_per_megapixel(self) -> float:
        """What the largest picture took beyond the loaded model, per megapixel; NaN without any picture."""
        largest = max((megapixels for _, megapixels in self.peaks), default=0.0)
        return (self.peak_bytes - self.facts.loaded) / largest if largest else float("nan")
