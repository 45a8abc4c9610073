"""The one way from a picture to its classes, for docks, command line, batch and scripts alike."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DeviceError, ImageError, ModelError, SpecimenWarning
from ..core.image import Array, Prediction, SpecimenImage
from ..core.input_settings import Tiles
from ..core.progress import COMPUTING, Progress, Report, silent
from ..core.tiling import Grid, Layout, band_layout, layout
from .backends import Ask, Backend
from .blending import blended_grid, blended_parts
from .bundle import read_card
from .card import ModelCard, Softmax
from .context import tiles_of
from .devices import Engine, is_out_of_memory
from .engines import engine_for, open_backend
from .library import find_model
from .memory import refuse_too_large
from .network import stride_of_card
from .settings import PredictSettings
from .stream import Job, Order, Part, Spot, tile_parts, whole_layout, whole_parts

if TYPE_CHECKING:
    import torch

    from .watching import Watch


def load_model(name: str | os.PathLike[str]) -> Predictor:
    """Find a model by name or path.

    Parameters
    ----------
    name : str or path-like
        ``"beetle-parts"``, ``"nuclei"``, a model in the person's model folder, or the path of one.

    Returns
    -------
    Predictor
        With its card; the network is read when it is first needed.

    Raises
    ------
    ModelError
        If there is no such model, or its card was altered.
    """
    folder = find_model(name)
    return Predictor(read_card(folder), folder)


class Predictor:
    """A model that is ready to segment pictures.

    Parameters
    ----------
    card : ModelCard
    source : Path or torch.nn.Module
        The model folder, or a network that fits the card.
    """

    def __init__(self, card: ModelCard, source: Path | torch.nn.Module) -> None:
        self.card = card
        self._source = source
        self._network: torch.nn.Module | None = None
        self._backend: Backend | None = None
        self._torch_only = False
        self._lock = Lock()  # while what computes is chosen: docks may ask twice at once

    @property
    def network(self) -> torch.nn.Module:
        """The network in evaluation mode, on the CPU; its output is the original's.

        Raises
        ------
        ModelError
            If the weights are missing, altered or do not fit the card.
        """
        from .network import load_network

        if self._network is None:
            given = self._source
            self._network = load_network(given, self.card) if isinstance(given, Path) else given.eval()
        return self._network

    def predict(
        self,
        picture: SpecimenImage | Array,
        settings: PredictSettings | None = None,
        report: Report = silent,
        *,
        watch: Watch | None = None,
    ) -> Prediction:
        """Segment a picture, or every plane of a stack.

        Parameters
        ----------
        picture : SpecimenImage or array
            (Y, X), (Y, X, C), or with leading plane axes; any integer, bool or float type.
        settings : PredictSettings, optional
        report : callable
            Called before every tile and plane; may raise `CancelledError`, which passes through.
        watch : callable, optional
            Is shown the probabilities of all classes, part by part.

        Returns
        -------
        Prediction
            Labels of exactly the picture's height and width, uint8 (uint16 where ids need it).

        Raises
        ------
        ImageError
            If the picture is empty, without finite values, has channels that do not fit, or is too
            large for this machine's memory.
        ModelError
            If the model is incomplete or altered, or a setting does not apply to it.
        DeviceError
            If the device is absent or ran out of memory.
        """
        settings = settings or PredictSettings()
        image = SpecimenImage.of(picture)
        self._refuse_unfit(settings, image)
        self.engine(settings)  # refuses what this machine does not have
        whole = not isinstance(self._geometry, Tiles)
        refuse_too_large(image, settings.confidence, whole=whole, objects=settings.instances)
        shape = (*image.planes(), image.height, image.width)
        labels = np.zeros(shape, self.card.class_map.label_dtype)
        confidence = np.zeros(shape, np.float32) if settings.confidence else None
        engines: dict[Engine, None] = {}
        for part in self.stream(image, settings, report, watch=watch):
            engines[part.engine] = None
            labels[part.place] = part.labels
            if confidence is not None:
                confidence[part.place] = part.confidence
        objects, object_classes = self._separate(labels, report) if settings.instances else (None, None)
        return Prediction(
            labels=labels,
            confidence=confidence,
            class_map=self.card.class_map,
            provenance=self.describe(settings, *engines),
            objects=objects,
            object_classes=object_classes,
        )

    def stream(
        self,
        picture: SpecimenImage | Array,
        settings: PredictSettings | None = None,
        report: Report = silent,
        *,
        order: Order | None = None,
        done: Collection[Spot] = frozenset(),
        watch: Watch | None = None,
    ) -> Generator[Part, None, None]:
        """Segment a picture part by part; every pixel comes once, in no more memory than a few tiles take.

        Parameters
        ----------
        picture : SpecimenImage or array
            As for `predict`; of a dask array, a memory map or anything else that is read when it is cut,
            only a tile's pixels are read at once.
        settings : PredictSettings, optional
            `PredictSettings.instances` plays no part: objects are found in whole pictures.
        report : callable
            As for `predict`.
        order : callable, optional
            Asked for the next of the tiles that are left (each a plane's index and a number in the layout
            of `plan`), a few tiles ahead of what is shown; row by row if left out, and always when blending.
        done : collection
            Tiles that are finished already and are left out.
        watch : callable, optional
            As for `predict`.

        Yields
        ------
        Part
            Class ids of some rows and columns. Closing the iterator stops the work; others may predict
            with this model while it pauses.

        Raises
        ------
        ImageError, ModelError, DeviceError
            As `predict`.
        """
        settings = settings or PredictSettings()
        image = SpecimenImage.of(picture)
        self._refuse_unfit(settings, image)
        report(Progress("loading model", 0, 1))
        job = Job(
            card=self.card,
            backend=self._backend_or_torch(settings),
            image=image,
            layout=self.plan(image, settings),
            ask=Ask(settings.threshold, settings.confidence, watch is not None),
            report=report,
            watch=watch,
            order=order,
            done=done,
            fallback=lambda: self._on_processor(settings),
        )
        report(Progress(f"{COMPUTING} {job.backend.engine}", 0, 1))
        try:
            yield from self._parts(job, settings)
        except (RuntimeError, MemoryError) as error:
            raise self._explain(error, job.backend) from error

    def plan(self, picture: SpecimenImage | Array, settings: PredictSettings | None = None) -> Layout:
        """Return the tiles that `stream` computes for every plane of a picture.

        Parameters
        ----------
        picture : SpecimenImage or array
        settings : PredictSettings, optional

        Returns
        -------
        Layout
            `Part.number` counts its tiles.
        """
        image = SpecimenImage.of(picture)
        if not isinstance(self._geometry, Tiles):
            return whole_layout(self.card, image.height, image.width)
        size = None if settings is None else settings.tile
        if settings is not None and settings.blend:
            return band_layout(self._places(image, settings), image.height, image.width)
        return layout(image.height, image.width, tiles_of(self.card), stride_of_card(self.card), size)

    def engine(self, settings: PredictSettings | None = None) -> Engine:
        """Return what would compute a picture with these settings, without computing anything.

        Raises
        ------
        DeviceError
            If this machine, or this model, does not have what is asked for.
        """
        stored = isinstance(self._source, Path) and not self._torch_only
        return engine_for(self.card, settings or PredictSettings(), stored=stored)

    def describe(self, settings: PredictSettings, engine: Engine, *others: Engine) -> dict[str, Any]:
        """Return what made a prediction: model, settings and device, as plain values.

        Parameters
        ----------
        settings : PredictSettings
        engine : Engine
            What computed the first part.
        *others : Engine
            What computed other parts, where that changed in between.

        Returns
        -------
        dict
            ``other_engines`` only where there were any.
        """
        return {
            "model": {
                "name": self.card.name,
                "version": self.card.version,
                "card_sha256": self.card.card_sha256,
                "sha256": self.card.sha256,
            },
            "settings": settings.model_dump(mode="json"),
            "engine": asdict(engine),
            **({"other_engines": [asdict(other) for other in others]} if others else {}),
        }

    def _refuse_unfit(self, settings: PredictSettings, image: SpecimenImage) -> None:
        if settings.tile is not None and not isinstance(self._geometry, Tiles):
            raise ModelError(f"{self.card.name} looks at the whole picture: a tile size does not apply to it")
        if settings.blend and not isinstance(self._geometry, Tiles):
            raise ModelError(f"{self.card.name} looks at the whole picture: there are no tiles to blend")
        if settings.threshold is not None and isinstance(self.card.head, Softmax):
            raise ModelError(f"{self.card.name} picks the likeliest class: a threshold does not apply to it")
        if 0 in image.data.shape:
            raise ImageError(f"{image.name}: the picture is empty (shape {image.data.shape})")
        wanted = self.card.preprocessing.channels
        if isinstance(wanted, str) and image.channels > 1 and not image.is_color:
            names = ", ".join(image.channel_names) or f"{image.channels} of them"
            raise ImageError(
                f"{image.name}: the picture has channels of its own ({names}), "
                f"{self.card.name} takes {wanted}",
                advice="Save the channel to segment as a picture of its own.",
            )
        if settings.tile is not None and self.card.onnx is not None and self.card.onnx.height is not None:
            raise ModelError(f"{self.card.name} takes one size only: a tile size does not apply to it")

    def _parts(self, job: Job, settings: PredictSettings) -> Iterator[Part]:
        if not isinstance(self._geometry, Tiles):
            return whole_parts(job)
        return blended_parts(job, self._places(job.image, settings)) if settings.blend else tile_parts(job)

    def _places(self, image: SpecimenImage, settings: PredictSettings) -> Grid:
        return blended_grid(self.card, image.height, image.width, settings.tile)

    @property
    def _geometry(self) -> object:
        return self.card.preprocessing.geometry

    def _forward(self, engine: Engine) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Return what computes batches in place of the engine; for networks that are still learning."""
        del engine
        return None

    def _backend_for(self, engine: Engine) -> Backend:
        """Return what computes with an engine; the last one is kept."""
        live = self._forward(engine)
        if live is not None:
            from .torch_run import LiveBackend

            self._backend = LiveBackend(live, self.card, engine)
        elif self._backend is None or self._backend.engine != engine:
            self._backend = None  # frees the other device's memory first
            folder = self._source if isinstance(self._source, Path) else None
            self._backend = open_backend(self.card, engine, folder, lambda: self.network)
            if folder is not None:
                self._network = None  # what computes has a copy of its own
        return self._backend

    def _backend_or_torch(self, settings: PredictSettings) -> Backend:
        """Return what computes; torch where OpenVINO was nobody's wish and cannot compute the network."""
        from .openvino_graph import ConversionError

        with self._lock:
            try:
                return self._backend_for(self.engine(settings))
            except ConversionError as error:
                if settings.backend != "auto":
                    raise
                self._torch_only = True
                warnings.warn(f"{error.cause}; torch computes it", SpecimenWarning, stacklevel=3)
                return self._backend_for(self.engine(settings))

    def _on_processor(self, settings: PredictSettings) -> Backend:
        with self._lock:
            self._backend = None
            return self._backend_for(self.engine(settings.model_copy(update={"device": "cpu"})))

    def _explain(self, error: BaseException, backend: Backend) -> DeviceError | ModelError:
        if is_out_of_memory(error):
            with self._lock:
                if self._backend is backend:
                    self._backend = None
            return DeviceError(
                f"{backend.engine.device} ran out of memory", advice="Use a smaller --tile, or --device cpu."
            )
        return ModelError(f"{self.card.name}: the network failed ({error})")

    def _separate(self, labels: NDArray[Any], report: Report) -> tuple[NDArray[Any], NDArray[Any]]:
        from ..core.instances import separate

        report(Progress("separating objects", 0, 1))
        return separate(labels, self.card.class_map)
