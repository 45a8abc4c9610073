"""Train: from settings to a model folder, telling what happens on the way."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.classes import ClassMap
from ..core.errors import SpecimenError
from ..core.files import read_image
from ..core.image import SpecimenImage
from ..models.bundle import read_card, read_weights
from ..models.card import ModelCard, Softmax
from ..models.devices import is_out_of_memory
from ..models.library import find_model
from ..models.network import build_network, load_weights
from .checkpoints import Keeper
from .config import TrainConfig
from .dataset import Samples, Store, read_target
from .describe import card_of, class_map_of, preprocessing_of
from .events import Event, Failed, Noted, Started
from .head import start_at_frequencies, with_classes
from .live import LiveRun
from .loader import Batches
from .losses import balanced_weights
from .pair import Pair
from .pairs import find_pairs
from .preflight import check_data
from .samples import COUNT, arranged
from .split import split_pairs
from .task import NotANumberError, SegmentationTask

Tell = Callable[[Event], None]


def train(config: TrainConfig, out: str | Path, *, resume: bool = False) -> Iterator[Event]:
    """Train a model.

    Parameters
    ----------
    config : TrainConfig
    out : path-like
        The model folder to be made.
    resume : bool
        Go on with what an earlier run of the same settings left in `out`.

    Yields
    ------
    Event
        From `Started` to `Finished`. Closing the iterator stops the run and keeps the best model so far.

    Raises
    ------
    SpecimenError
        If data or settings do not allow training.
    """
    events: queue.Queue[Event | BaseException | None] = queue.Queue()
    stop = threading.Event()

    def tell(event: Event) -> None:
        events.put(event)

    def work() -> None:
        try:
            run_training(config, Path(out), tell, resume=resume, stop=stop)
            events.put(None)
        except BaseException as error:
            events.put(error)

    thread = threading.Thread(target=work, name="training", daemon=True)
    thread.start()
    try:
        while (event := events.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        stop.set()
        thread.join()


def run_training(
    config: TrainConfig,
    out: Path,
    tell: Tell,
    *,
    resume: bool = False,
    stop: threading.Event | None = None,
    hurry: float | None = None,
) -> ModelCard | None:
    """Train in this thread; see `train`.

    Parameters
    ----------
    config : TrainConfig
    out : Path
    tell : callable
        Called with every event.
    resume : bool
    stop : threading.Event, optional
        Set it to stop after the current batch and keep the best model so far.
    hurry : float, optional
        For a run that has the process to itself: how many seconds a batch may go on after the wish to
        stop. Then the best model so far is put together and the process ends, with exit code 0 or 1.

    Returns
    -------
    ModelCard or None
        None if it was stopped before anything was worth keeping.
    """
    live = LiveRun(out)

    def stopping() -> bool:
        return bool(stop and stop.is_set()) or live.stop_file.exists()

    if not leads():
        return _follow(config, out, stopping, resume=resume)
    keeper = Keeper(out, config, resume=resume)

    def tell_all(event: Event) -> None:
        live.write(event)
        tell(event)

    live.begin()
    try:
        job = prepare(config, tell_all, out.name)
        if hurry is not None and config.run.devices == "1" and config.run.nodes == 1:
            leave = partial(_leave, keeper, job, tell_all, live)
            threading.Thread(target=_hurry, args=(stopping, hurry, keeper, leave), daemon=True).start()
        while True:
            try:
                job.fit(keeper, tell_all, stopping)
                break
            except RuntimeError as error:
                job = job.with_half_the_batch(error, tell_all)
        return keeper.finish(job.card, tell_all, at_once=stopping())
    except SpecimenError as error:
        live.write(Failed(str(error)))
        raise
    finally:
        live.end()


RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
"""Where those who start several processes say which of them this is."""


def leads() -> bool:
    """Tell whether this process speaks and writes for those that train together."""
    return next((os.environ[name] for name in RANKS if name in os.environ), "0") == "0"


def _follow(config: TrainConfig, out: Path, stop: Callable[[], bool], *, resume: bool) -> ModelCard:
    """Train beside the process that leads, silently; it keeps what comes of it."""
    job = prepare(config, name=out.name)
    job.fit(Keeper(out, config, resume=resume, leads=False), _nobody, stop)
    return job.card


def _hurry(stopping: Callable[[], bool], patience: float, keeper: Keeper, leave: Callable[[], None]) -> None:
    """Wait for the wish to stop; if the loop does not end in time, end without it."""
    while not stopping():
        time.sleep(0.1)
    if not keeper.finishing.wait(patience):
        leave()


def _leave(keeper: Keeper, job: Job, tell: Tell, live: LiveRun) -> None:
    """Put the best model together from the disk and end the process, whatever the loop computes."""
    card = keeper.finish(job.card, tell, at_once=True)
    live.end()
    os._exit(0 if card is not None else 1)


def _nobody(event: Event) -> None:
    del event


def prepare(config: TrainConfig, tell: Tell = _nobody, name: str = "model") -> Job:
    """Find, check and read the data of a run.

    Parameters
    ----------
    config : TrainConfig
    tell : callable
        Called with what the check of the data found.
    name : str
        Of the model, unless the settings have one.

    Returns
    -------
    Job

    Raises
    ------
    SpecimenError
        If the data do not allow training.
    """
    pairs = find_pairs(config.data)
    class_map = config.data.class_map or class_map_of(config, pairs.pairs)
    learn, validate = split_pairs(pairs.pairs, config.data, config.run.seed)
    for line in check_data(pairs, learn, validate, config, class_map):
        tell(Noted(line))
    if is_frozen_chance(config):
        tell(Noted("the encoder is frozen but begins with random numbers: use --pretrained or --from"))
    return Job(config, class_map, learn, validate, name)


def is_frozen_chance(config: TrainConfig) -> bool:
    """Tell whether an encoder that never learned anything would be kept as it is."""
    learn, network = config.learn, config.network
    frozen = learn.freeze_encoder or learn.frozen_epochs > 0
    return frozen and not network.pretrained and not network.start_from


class Job:
    """Data, network and settings of one run."""

    def __init__(
        self, config: TrainConfig, class_map: ClassMap, learn: list[Pair], validate: list[Pair], name: str
    ) -> None:
        self.config = config
        self.preprocessing = preprocessing_of(config)
        self.card = card_of(config, class_map, self.preprocessing, learn, validate, name)
        self.store = Store(learn, config, class_map, self.preprocessing)
        self.validation = [_validation_pair(pair, config, class_map) for pair in validate]

    def with_half_the_batch(self, error: RuntimeError, tell: Tell) -> Job:
        """Return the job with half the batch and twice the accumulation, or explain why it ends."""
        size = self.config.learn.batch_size
        if isinstance(error, NotANumberError):
            raise SpecimenError(
                str(error), advice="Lower the learning rate (a tenth is a good try) or use precision fp32."
            ) from error
        if not is_out_of_memory(error) or size == 1:
            raise SpecimenError(f"training failed ({error})") from error
        learn = self.config.learn
        self.config = self.config.changed(
            {"learn": {"batch_size": size // 2, "accumulate": learn.accumulate * 2}}
        )
        tell(Noted(f"out of memory: the batch is {size // 2} from here on, two of them a step"))
        return self

    def make_task(self) -> SegmentationTask:
        """Return a fresh network with its samples, loss and schedule."""
        samples = Samples(self.store, self.config, self.preprocessing, len(self.card.class_map))
        weights = None
        if self.config.learn.class_weights == "balanced":
            counts = torch.from_numpy(samples.counts.sum(0))
            weights = balanced_weights(counts if isinstance(self.card.head, Softmax) else counts[1:])
        torch.manual_seed(self.config.run.seed)
        counts = samples.counts.sum(0).tolist()
        network = starting_network(self.config, self.card, counts).to(memory_format=torch.channels_last)
        return SegmentationTask(network, self.card, self.config, samples, self.validation, weights)

    def fit(self, keeper: Keeper, tell: Tell, stop: Callable[[], bool]) -> None:
        """Run Lightning's loop from the last checkpoint, or from the start."""
        from .loop import make_trainer

        task = self.make_task()
        if keeper.leads:
            channels = self.preprocessing.in_channels
            keeper.keep_samples(arranged(task.samples, channels, self.card.class_map, COUNT, 0))
        trainer = make_trainer(task, keeper, tell, stop)
        tell(
            Started(
                learn=len(self.store),
                validate=len(self.validation),
                epochs=trainer.max_epochs or 0,
                steps=len(Batches(task.samples, self.config, 0, 0, 1)),
                classes=tuple(c.model_dump() for c in self.card.class_map),
                device=trainer.accelerator.__class__.__name__.removesuffix("Accelerator").lower(),
                precision=str(trainer.precision),
                shown=str(self.validation[0][0].source or ""),
            )
        )
        checkpoint = keeper.last_checkpoint(tell)
        trainer.fit(task, ckpt_path=checkpoint, weights_only=True)


def starting_network(config: TrainConfig, card: ModelCard, counts: Sequence[int]) -> torch.nn.Module:
    """Build the network with the weights it starts from.

    Parameters
    ----------
    config : TrainConfig
    card : ModelCard
    counts : sequence of int
        Labelled pixels of each class.

    Raises
    ------
    SpecimenError
        If the model to start from has another architecture.
    """
    network = build_network(card)
    start_at_frequencies(network, card, counts)
    if not config.network.start_from:
        return _with_imagenet(network, card) if config.network.pretrained else network
    folder = find_model(config.network.start_from)
    other = read_card(folder)
    if (other.architecture, other.encoder) != (card.architecture, card.encoder):
        raise SpecimenError(
            f"{other.name} is {other.architecture} with {other.encoder}, the settings ask for "
            f"{card.architecture} with {card.encoder}",
            advice="Take over the model's network.",
        )
    weights = _for_classes(card, other, read_weights(folder, other))
    own = network.state_dict()
    # The head is new where the classes differ; everything else must fit.
    fitting = {k: v for k, v in weights.items() if k in own and v.shape == own[k].shape}
    left = [k for k in own if k not in fitting and not k.startswith("segmentation_head")]
    if left:
        raise SpecimenError(f"{other.name} does not fit: {left[0]} has another shape")
    network.load_state_dict({**own, **fitting})
    return network


def _for_classes(
    card: ModelCard, other: ModelCard, weights: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return weights whose last layer answers for the card's classes; known names keep what was learned."""
    if other.class_map == card.class_map:
        return weights
    network = build_network(other)
    load_weights(network, weights, other.name)
    made, _ = with_classes(network, other, card.class_map)
    return dict(network.state_dict()) if made.head.kind == card.head.kind else weights


def _with_imagenet(network: torch.nn.Module, card: ModelCard) -> torch.nn.Module:
    """Give a network ImageNet weights in its encoder, downloading them where they are missing."""
    import segmentation_models_pytorch as smp

    try:
        encoder = smp.encoders.get_encoder(
            card.encoder,
            in_channels=card.preprocessing.in_channels,
            depth=int(card.options.get("encoder_depth", 5)),  # type: ignore[arg-type]
            weights="imagenet",
        )
    except Exception as error:  # the libraries raise whatever their downloader raises
        raise SpecimenError(
            f"the ImageNet weights of {card.encoder} cannot be had ({error})",
            advice="Go online once, or train from scratch or from a model.",
        ) from error
    network.encoder.load_state_dict(encoder.state_dict())  # type: ignore[union-attr]
    return network


def _validation_pair(pair: Pair, config: TrainConfig, class_map: ClassMap) -> tuple[SpecimenImage, Any]:
    image = read_image(pair.picture)
    image = image.replace(data=np.asarray(image.data))
    return image, read_target(pair, config.data, class_map, (image.height, image.width))
