"""The network with its loss, optimiser and schedule, as Lightning runs it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.image import SpecimenImage
from ..models.card import ModelCard
from ..models.settings import PredictSettings
from .batch_norms import settle, spare_single_values
from .config import LearnSettings, TrainConfig
from .dataset import Samples, _mix
from .feature_store import FeatureStore
from .frozen import decoded
from .live_predictor import LivePredictor
from .loader import Batches, Key, Loader
from .losses import IGNORE, SumOfLosses
from .pictures import ROWS, Triple, triple
from .schedule import Phase, factor, group_rates, phase_at, phases_of

AHEAD = 2
"""Batches that are made while a device other than the processor learns."""


YOUNG_STEPS = 200
"""So long weights change faster than the running statistics of batch norms can follow."""

SETTLED_BY = 8
"""Batches that those statistics are measured on anew, before such weights are validated."""


class NotANumberError(RuntimeError):
    """The loss left the numbers; going on would only spoil the weights."""


class SegmentationTask(pl.LightningModule):
    """Learns on samples, validates on whole pictures by the one predict.

    Parameters
    ----------
    network : torch.nn.Module
    card : ModelCard
    config : TrainConfig
    samples : Samples
    validation : list of (SpecimenImage, array)
        Pictures as they are, and targets (Y, X) as class positions, `IGNORE` where not labelled.
    class_weights : torch.Tensor, optional
    """

    def __init__(
        self,
        network: torch.nn.Module,
        card: ModelCard,
        config: TrainConfig,
        samples: Samples,
        validation: list[tuple[SpecimenImage, NDArray[np.int32]]],
        class_weights: Tensor | None,
    ) -> None:
        super().__init__()
        self.network = network
        self.card = card
        self.config = config
        self.samples = samples
        self.validation = validation
        self.loss = SumOfLosses(config.learn.losses, card.head.kind, class_weights)
        self.phases = phases_of(config.learn)
        self.confusion = np.zeros((len(card.class_map),) * 2, np.int64)
        self.validation_loss = math.nan
        self.shown: NDArray[np.generic] | None = None  # labels of the first validation picture
        self._losses: list[float] = []
        self.triples: list[Triple] = []
        self._features: FeatureStore | None = None
        self._spared = False

    # -- data ----------------------------------------------------------------------------------------

    def batches(self, epoch: int) -> Batches:
        """Return the batches of an epoch for this process."""
        return Batches(
            self.samples,
            self.config,
            epoch,
            self.global_rank,
            self.trainer.world_size,
            views=self.config.learn.fixed_views if self.is_cached(epoch) else 0,
        )

    def is_cached(self, epoch: int) -> bool:
        """Tell whether an epoch learns from the encoder's kept answers instead of from pictures."""
        return self.config.learn.fixed_views > 0 and phase_at(self.phases, epoch).frozen

    def train_dataloader(self) -> Any:
        """Return a loader for the current epoch; the trainer asks anew for every epoch."""
        batches = self.batches(self.current_epoch)
        if self.is_cached(self.current_epoch):
            return batches
        ahead = 0 if self.device.type == "cpu" else AHEAD
        return Loader(self.samples, batches, ahead, self.config.run.workers)

    def val_dataloader(self) -> Any:
        """Return the numbers of the validation pictures."""
        mine = range(self.global_rank, len(self.validation), self.trainer.world_size)
        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(mine)), batch_size=1)

    # -- learning ------------------------------------------------------------------------------------

    def phase(self) -> Phase:
        """Return the stretch that the current epoch belongs to."""
        return phase_at(self.phases, self.current_epoch)

    def on_train_start(self) -> None:
        """Freeze or thaw: a run that goes on inside of an epoch does not start that epoch."""
        self.on_train_epoch_start()

    def on_train_epoch_start(self) -> None:
        """Freeze or thaw the encoder for the current epoch."""
        self.set_modes(self.batches(self.current_epoch), frozen=self.phase().frozen)
        if not self.is_cached(self.current_epoch):
            self._features = None  # the memory is needed for the encoder's own gradients now

    def set_modes(self, batches: Batches, *, frozen: bool) -> None:
        """Make the network ready to learn from batches; a frozen encoder stays as it is."""
        self.network.train()  # Lightning leaves it as it was built: ready to predict
        if not self._spared and 1 in map(len, batches.batches):
            self._spared = spare_single_values(self.network)
        encoder = getattr(self.network, "encoder", None)
        if encoder is not None:
            encoder.requires_grad_(not frozen)
            encoder.train(not frozen)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout by the step, so that a resumed run drops what the first would have dropped."""
        del batch
        torch.manual_seed(_mix(self.config.run.seed, self.current_epoch, batch_idx, self.global_rank))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        del batch_idx
        output, target = self._answer(batch)
        loss: Tensor = self.loss(output, target)
        if not bool(torch.isfinite(loss)):
            raise NotANumberError(f"the loss became {loss.item()} in epoch {self.current_epoch + 1}")
        return loss

    def _answer(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return output and target of a batch."""
        if self.is_cached(self.current_epoch):
            return self._from_features(batch)
        picture, target = batch
        return self.network(picture.contiguous(memory_format=torch.channels_last)), target

    def _from_features(self, keys: list[Key]) -> tuple[Tensor, Tensor]:
        """Return output and target of a batch whose pictures the encoder has seen, or sees now."""
        if self._features is None:
            wrap = self.trainer.precision_plugin.forward_context
            self._features = FeatureStore(self.network, self.samples, self.device, wrap)
        features, target = self._features.batch(keys)
        return decoded(self.network, features, self.card.preprocessing.in_channels, target.shape), target

    # -- validating ----------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.confusion[:] = 0
        self._losses = []
        self.triples = []
        if self.global_step <= YOUNG_STEPS:
            settle(self.network, self._few_answers())

    def _few_answers(self) -> Iterator[object]:
        """Compute the network on the first batches of the epoch, which a resumed run knows too."""
        batches = self.batches(self.current_epoch)
        batches.batches = batches.batches[:SETTLED_BY]
        answers: Iterator[object]
        if self.is_cached(self.current_epoch):
            answers = (self._answer(keys) for keys in batches)
        else:
            made = Loader(self.samples, batches)
            answers = (self._answer((x.to(self.device), y)) for x, y in made)
        with self.trainer.precision_plugin.forward_context():
            yield from answers

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Predict a whole picture as anybody would, and count what is right."""
        del batch_idx
        image, target = self.validation[int(batch[0][0])]
        predictor = LivePredictor(self.card, self.network, self.device)
        answer = predictor.predict(image, PredictSettings(device="cpu"))
        if image is self.validation[0][0]:
            self.shown = np.asarray(answer.labels)
        if len(self.triples) < ROWS:
            labels = np.asarray(answer.labels)
            self.triples.append(triple(image, target, labels, self.card.class_map, self.card.preprocessing))
        ids = self.card.class_map.ids
        order = np.zeros(max(ids) + 1, np.int64)
        order[list(ids)] = np.arange(len(ids))
        seen = target != IGNORE
        count = len(ids)
        pairs = target[seen].astype(np.int64) * count + order[np.asarray(answer.labels)[seen]]
        self.confusion += np.bincount(pairs, minlength=count * count).reshape(count, count)
        self._losses.append(self._loss_of(image, target))

    def _loss_of(self, image: SpecimenImage, target: NDArray[np.int32]) -> float:
        """Return the loss on one picture at the scale that the network sees, at most one tile of it."""
        preprocessing = self.card.preprocessing
        plane = np.asarray(image.data)
        values = preprocessing.value_range(plane, name=image.name, bit_depth=image.bit_depth)
        if preprocessing.geometry.kind == "tiles":
            side = preprocessing.geometry.size
            top, left = (max(0, (n - side) // 2) for n in target.shape)
            plane = plane[top : top + side, left : left + side]
            target = target[top : top + side, left : left + side]
            rows, columns = (-n % 32 for n in target.shape)
            inner = preprocessing.normalise(preprocessing.to_channels(plane), values)
            x = np.pad(inner, ((0, 0), (0, rows), (0, columns)))
            y = np.pad(target, ((0, rows), (0, columns)), constant_values=IGNORE)
        else:
            x, y = preprocessing.fit(plane, values), preprocessing.fit_labels(target)
        batch = torch.from_numpy(np.ascontiguousarray(x))[None].to(self.device)
        output = self.network(batch.contiguous(memory_format=torch.channels_last))
        loss: Tensor = self.loss(output, torch.from_numpy(y).long()[None].to(self.device))
        return float(loss.detach())

    def on_validation_epoch_end(self) -> None:
        """Add up what all processes counted, and tell the score to the schedule."""
        if self.trainer.world_size > 1:
            counted = torch.from_numpy(self.confusion).to(self.device)
            gathered: Any = self.all_gather(counted)
            self.confusion = gathered.sum(0).cpu().numpy()
        self.validation_loss = float(np.mean(self._losses)) if self._losses else math.nan
        self.log("mean_iou", float(np.nan_to_num(mean_iou(self.confusion))), sync_dist=True)

    # -- optimiser -----------------------------------------------------------------------------------

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimiser with its groups of layers."""
        learn = self.config.learn
        groups = layer_groups(self.network, learn.discriminative is not None)
        rated = [{"params": list(group), "lr": learn.lr} for group in groups]
        return _optimizer(rated, learn, fused=self.device.type == "cpu")

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm; Lightning refuses fused optimisers, for the sake of GPUs that scale the loss."""
        if not optimizer.param_groups[0].get("fused"):
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val)

    def configure_optimizers(self) -> Any:
        """Return the optimiser and the schedule."""
        learn = self.config.learn
        optimizer = self.make_optimizer()
        groups = len(optimizer.param_groups)
        if learn.schedule == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, mode="max", factor=0.3, patience=4
            )
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "mean_iou"}}
        steps = max(1, math.ceil(len(self.batches(0)) / learn.accumulate))

        def rate(group: int) -> Any:
            def at(step: int) -> float:
                phase = phase_at(self.phases, step // steps)
                done = (step - phase.first_epoch * steps) / max(1, phase.epochs * steps)
                peak = group_rates(learn, groups, phase)[group]
                return peak / learn.lr * factor(learn.schedule, done)

            return at

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, [rate(i) for i in range(groups)])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def layer_groups(network: torch.nn.Module, discriminative: bool) -> list[list[torch.nn.Parameter]]:
    """Return the parameters in groups, first layers first; one group unless rates differ by depth."""
    encoder = getattr(network, "encoder", None)
    if not discriminative or not isinstance(encoder, torch.nn.Module):
        return [list(network.parameters())]
    groups = [list(child.parameters()) for child in encoder.children()]
    inside = {id(p) for group in groups for p in group}
    groups.append([p for p in network.parameters() if id(p) not in inside])
    return [group for group in groups if group]


def _optimizer(groups: list[dict[str, Any]], learn: LearnSettings, *, fused: bool) -> torch.optim.Optimizer:
    """Return the optimiser; fused, it goes over the weights once, which is three times as fast."""
    common: dict[str, Any] = {"weight_decay": learn.weight_decay, "fused": fused}
    if learn.optimizer == "sgd":
        return torch.optim.SGD(groups, learn.lr, momentum=0.9, **common)
    kind = torch.optim.Adam if learn.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, learn.lr, **common)


def iou_of(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the intersection over union by class, NaN where a class is in neither truth nor answer."""
    hit = np.diag(confusion).astype(float)
    union = confusion.sum(0) + confusion.sum(1) - hit
    out = np.full(len(hit), np.nan)
    np.divide(hit, union, out=out, where=union > 0)
    return out


def dice_of(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the Dice coefficient by class, NaN where a class is in neither truth nor answer."""
    hit = np.diag(confusion).astype(float)
    total = confusion.sum(0) + confusion.sum(1)
    out = np.full(len(hit), np.nan)
    np.divide(2 * hit, total, out=out, where=total > 0)
    return out


def mean_iou(confusion: NDArray[np.int64]) -> float:
    """Return the mean IoU over the classes beside background that occur; NaN if none does."""
    iou = iou_of(confusion)[1:]
    return float(np.nanmean(iou)) if np.isfinite(iou).any() else math.nan
