"""The one way from a picture to its classes, for docks, command line, batch and scripts alike."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DeviceError, ImageError, ModelError
from ..core.image import Array, Prediction, SpecimenImage
from ..core.preprocessing import Preprocessing, Tiles
from ..core.progress import Progress, Report, silent
from ..core.tiling import Layout, Tile, layout, piece
from .bundle import read_card
from .card import ModelCard, Softmax
from .cores import cores_for, one_core_each
from .devices import Engine, batch_size, forward_on, is_out_of_memory, to_device
from .engines import engine_for, foreign_forward
from .library import find_model
from .memory import refuse_too_large
from .settings import PredictSettings
from .watching import Watcher

if TYPE_CHECKING:
    import torch

    from .watching import Watch

    Forward = Callable[[torch.Tensor], torch.Tensor]


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
        self._placed: tuple[Engine, torch.nn.Module] | None = None
        self._foreign: tuple[Engine, Forward] | None = None
        self._lock = Lock()

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
        engine = engine_for(self.card, settings)
        with self._lock:  # one network, one user at a time: docks may ask twice
            report(Progress("loading model", 0, 1))
            forward = self._forward(engine)
            labels, confidence = self._predict_planes(image, settings, engine, forward, report, watch)
        objects, object_classes = self._separate(labels, report) if settings.instances else (None, None)
        return Prediction(
            labels=labels,
            confidence=confidence,
            class_map=self.card.class_map,
            provenance=self.describe(settings, engine),
            objects=objects,
            object_classes=object_classes,
        )

    def describe(self, settings: PredictSettings, engine: Engine) -> dict[str, Any]:
        """Return what made a prediction: model, settings and device, as plain values.

        Parameters
        ----------
        settings : PredictSettings
        engine : Engine

        Returns
        -------
        dict
        """
        return {
            "model": {
                "name": self.card.name,
                "version": self.card.version,
                "card_sha256": self.card.card_sha256,
                "sha256": self.card.sha256,
            },
            "settings": settings.model_dump(mode="json"),
            "engine": {"device": engine.device, "backend": engine.backend, "precision": engine.precision},
        }

    def _refuse_unfit(self, settings: PredictSettings, image: SpecimenImage) -> None:
        if settings.tile is not None and not isinstance(self.card.preprocessing.geometry, Tiles):
            raise ModelError(f"{self.card.name} looks at the whole picture: a tile size does not apply to it")
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

    def _forward(self, engine: Engine) -> Forward:
        """Return the function that computes a batch, with the network placed on its device."""
        if engine.backend != "torch":
            if self._foreign is None or self._foreign[0] != engine:
                self._foreign = engine, foreign_forward(self.network, self.card, engine)
            return self._foreign[1]
        if self._placed is None or self._placed[0].device != engine.device:
            self._placed = None  # frees the other device's copy first
            network = self.network if engine.device == "cpu" else copy.deepcopy(self.network)
            self._placed = engine, to_device(network, engine)
        return forward_on(self._placed[1], engine)

    def _predict_planes(
        self,
        image: SpecimenImage,
        settings: PredictSettings,
        engine: Engine,
        forward: Forward,
        report: Report,
        watch: Watch | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
        lead, shape = image.planes(), (image.height, image.width)
        refuse_too_large(image, settings.confidence)
        labels = np.zeros((*lead, *shape), self.card.class_map.label_dtype)
        confidence = np.zeros((*lead, *shape), np.float32) if settings.confidence else None
        job = _PlaneJob(self.card, settings, engine, forward, report)
        for number, index in enumerate(np.ndindex(*lead)):
            if lead:
                report(Progress("plane", number, int(np.prod(lead))))
            plane = np.asarray(image.data[index])
            target = None if confidence is None else confidence[index]
            job.watch = Watcher(self.card, index, watch)
            try:
                job.run(plane, image, labels[index], target)
            except RuntimeError as error:
                raise self._explain(error, engine) from error
        return labels, confidence

    def _explain(self, error: RuntimeError, engine: Engine) -> DeviceError | ModelError:
        if is_out_of_memory(error):
            self._placed = None
            return DeviceError(
                f"{engine.device} ran out of memory", advice="Use a smaller --tile, or --device cpu."
            )
        return ModelError(f"{self.card.name}: the network failed ({error})")

    def _separate(self, labels: NDArray[Any], report: Report) -> tuple[NDArray[Any], NDArray[Any]]:
        from ..core.instances import separate

        report(Progress("separating objects", 0, 1))
        return separate(labels, self.card.class_map)


class _PlaneJob:
    """Runs one plane after another through the network with the same settings."""

    def __init__(
        self, card: ModelCard, settings: PredictSettings, engine: Engine, forward: Forward, report: Report
    ) -> None:
        from .decide import decide

        self.card = card
        self.preprocessing: Preprocessing = card.preprocessing
        self.settings = settings
        self.engine = engine
        self.forward = forward
        self.on_cores = engine.device == "cpu" and engine.backend != "onnxruntime"
        self.report = report
        self.watch = Watcher(card)
        self._decide = decide

    def run(
        self,
        plane: NDArray[Any],
        image: SpecimenImage,
        labels: NDArray[Any],
        confidence: NDArray[np.float32] | None,
    ) -> None:
        """Fill `labels` (Y, X) and, where given, `confidence` for a plane (Y, X) or (Y, X, C)."""
        self.preprocessing.to_channels(plane[:1, :1], name=image.name)  # refuses before anything is computed
        values = self.preprocessing.value_range(plane, name=image.name, bit_depth=image.bit_depth)
        if isinstance(self.preprocessing.geometry, Tiles):
            self._run_tiles(plane, values, labels, confidence)
        else:
            self._run_whole(plane, values, labels, confidence)

    def _choose(self, output: torch.Tensor) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
        ids, sure = self._decide(
            output, self.card, self.settings.threshold, confidence=self.settings.confidence
        )
        return ids.cpu().numpy(), None if sure is None else sure.cpu().numpy()

    # -- the picture at its own scale ----------------------------------------------------------------

    def _run_tiles(
        self,
        plane: NDArray[Any],
        values: tuple[float, float],
        labels: NDArray[Any],
        confidence: NDArray[np.float32] | None,
    ) -> None:
        from .network import stride_of_card

        geometry = self.preprocessing.geometry
        assert isinstance(geometry, Tiles)
        height, width = labels.shape
        plan = layout(height, width, geometry, stride_of_card(self.card), self.settings.tile)
        size = batch_size(
            self.engine.device,
            (plan.height, plan.width),
            max(self.preprocessing.in_channels, self.card.out_channels),
        )
        done = 0
        for tiles, output in self._outputs(plan, plane, values, size):
            for tile, answer in zip(tiles, output, strict=True):
                part = answer[(slice(None), *tile.inner)].contiguous()
                ids, sure = self._choose(part)
                self.watch.show(part, tile.rows, tile.columns)
                labels[tile.rows, tile.columns] = ids
                if confidence is not None and sure is not None:
                    confidence[tile.rows, tile.columns] = sure
            done += len(tiles)
            self.report(Progress("tile", done, len(plan.tiles)))

    def _outputs(
        self, plan: Layout, plane: NDArray[Any], values: tuple[float, float], size: int
    ) -> Iterator[tuple[tuple[Tile, ...], torch.Tensor]]:
        """Yield tiles and the network's answers in batches; out of memory halves the batch."""
        start = 0
        self.report(Progress("tile", 0, len(plan.tiles)))
        if self.on_cores and size == 1:
            yield from self._outputs_of_cores(plan, plane, values)
            return
        while start < len(plan.tiles):
            tiles = plan.tiles[start : start + size]
            batch = np.stack([self._input(plane, tile, plan, values) for tile in tiles])
            try:
                answer = self.forward(_tensor(batch))
            except RuntimeError as error:
                if size == 1 or not is_out_of_memory(error):
                    raise
                size //= 2
                continue
            yield tiles, answer
            start += len(tiles)

    def _outputs_of_cores(
        self, plan: Layout, plane: NDArray[Any], values: tuple[float, float]
    ) -> Iterator[tuple[tuple[Tile, ...], torch.Tensor]]:
        """Yield tiles and the network's answers one by one; several are computed at once."""

        def compute(tile: Tile) -> torch.Tensor:
            return self.forward(_tensor(self._input(plane, tile, plan, values)[None]))

        channels = max(self.preprocessing.in_channels, self.card.out_channels)
        count = min(len(plan.tiles), cores_for(plan.height * plan.width, channels))
        answers = one_core_each(compute, plan.tiles, count)
        yield from (((tile,), answer) for tile, answer in zip(plan.tiles, answers, strict=True))

    def _input(
        self, plane: NDArray[Any], tile: Tile, plan: Layout, values: tuple[float, float]
    ) -> NDArray[np.float32]:
        cut = piece(plane, tile, (plan.height, plan.width))
        return self.preprocessing.normalise(self.preprocessing.to_channels(cut), values)

    # -- the whole picture at the network's scale ----------------------------------------------------

    def _run_whole(
        self,
        plane: NDArray[Any],
        values: tuple[float, float],
        labels: NDArray[Any],
        confidence: NDArray[np.float32] | None,
    ) -> None:
        from ..core.resizing import resize_nearest
        from .resample import smooth_bands

        self.report(Progress("picture", 0, 1))
        height, width = labels.shape
        place = self.preprocessing.placement(height, width)
        batch = _tensor(self.preprocessing.fit(plane, values)[None])
        (whole,) = one_core_each(self.forward, [batch], 1) if self.on_cores else [self.forward(batch)]
        answer = whole[0]
        rows, columns = (
            slice(place.top, place.top + place.height),
            slice(place.left, place.left + place.width),
        )
        inner = answer[:, rows, columns].contiguous()
        if getattr(self.preprocessing.geometry, "answer", "nearest") == "nearest":
            ids, sure = self._choose(inner)
            labels[...] = resize_nearest(ids, height, width)
            self.watch.show_enlarged(inner, height, width)
            if confidence is not None and sure is not None:
                confidence[...] = resize_nearest(sure, height, width)
        else:
            for band, scores in smooth_bands(inner, height, width):
                ids, sure = self._choose(scores)
                labels[band] = ids
                self.watch.show(scores, band, slice(0, width))
                if confidence is not None and sure is not None:
                    confidence[band] = sure
        self.report(Progress("picture", 1, 1))


def _tensor(batch: NDArray[np.float32]) -> torch.Tensor:
    import torch

    return torch.from_numpy(batch)
