"""Lightning's trainer, set up for this program, and the callback that tells, keeps and stops."""

from __future__ import annotations

import logging
import math
import time
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from ..models.devices import has_bf16
from .config import TrainConfig
from .events import EpochEnded, Stepped
from .loggers import loggers_of, values_of
from .task import SegmentationTask, dice_of, iou_of, mean_iou

if TYPE_CHECKING:
    from collections.abc import Callable

    from .checkpoints import Keeper
    from .events import Event


def make_trainer(
    task: SegmentationTask, keeper: Keeper, tell: Callable[[Event], None], stop: Callable[[], bool]
) -> pl.Trainer:
    """Return a trainer that tells what it does, keeps what is worth keeping, and stops when asked.

    Parameters
    ----------
    task : SegmentationTask
    keeper : Keeper
    tell : callable
    stop : callable
        Tells whether the run is asked to stop.

    Returns
    -------
    lightning.pytorch.Trainer
    """
    config = task.config
    watch = Watch(keeper, tell, stop)
    callbacks: list[pl.Callback] = [watch]
    if config.learn.ema:
        callbacks.insert(0, EMAWeightAveraging(decay=config.learn.ema))
    for name in ("lightning.pytorch", "lightning.fabric"):  # their advice is for programmers
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pl.Trainer(
            accelerator=config.run.device if config.run.device != "auto" else _accelerator(),
            devices=_devices(config.run.devices),
            num_nodes=config.run.nodes,
            strategy=config.run.strategy,
            precision=precision_of(config),
            max_epochs=sum(phase.epochs for phase in task.phases),
            accumulate_grad_batches=config.learn.accumulate,
            gradient_clip_val=config.learn.clip or None,
            callbacks=callbacks,
            logger=loggers_of(config, keeper.folder),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            reload_dataloaders_every_n_epochs=1,
            log_every_n_steps=1,
            default_root_dir=keeper.folder,
        )


class Watch(pl.Callback):
    """Tells every step and epoch, keeps checkpoints and the best weights, stops when asked.

    Parameters
    ----------
    keeper : Keeper
    tell : callable
    stop : callable
        Tells whether the run is asked to stop.
    """

    def __init__(self, keeper: Keeper, tell: Callable[[Event], None], stop: Callable[[], bool]) -> None:
        self.keeper = keeper
        self.tell = tell
        self.stop = stop
        self._losses: list[float] = []
        self._begin = 0.0
        self._saved = 0.0
        self._done = 0
        self._step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        del trainer, pl_module
        self._begin = self._saved = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell the loss and the time left."""
        del batch
        assert isinstance(pl_module, SegmentationTask)
        loss = float(outputs["loss"] if isinstance(outputs, dict) else outputs)
        self._losses.append(loss)
        self._done += 1
        steps = int(trainer.num_training_batches)
        left = (trainer.max_epochs or 1) * steps - trainer.current_epoch * steps - batch_idx - 1
        pace = (time.monotonic() - self._begin) / self._done
        self.tell(
            Stepped(
                epoch=trainer.current_epoch + 1,
                step=batch_idx + 1,
                steps=steps,
                loss=loss,
                lr=_rate(trainer),
                seconds_left=round(left * pace, 1),
            )
        )
        self._step = batch_idx + 1
        if self._stopping(trainer):
            trainer.should_stop = True
            trainer.limit_val_batches = 0
        elif self._is_due(trainer, pl_module.config):
            self.keeper.save(trainer)
            self._saved = time.monotonic()
        self._step = 0

    def _stopping(self, trainer: pl.Trainer) -> bool:
        """Tell whether the run is asked to stop; all processes that train together agree on it."""
        asked = self.stop()
        return (
            asked if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(asked, all=False)
        )

    def _is_due(self, trainer: pl.Trainer, config: TrainConfig) -> bool:
        """Tell whether a checkpoint inside of an epoch is due: between two steps of the optimiser.

        Processes that train together have clocks of their own; they have a checkpoint after each epoch only.
        """
        minutes = config.run.checkpoint_minutes
        if not minutes or trainer.world_size > 1 or self._step >= int(trainer.num_training_batches):
            return False
        return self._step % config.learn.accumulate == 0 and time.monotonic() - self._saved >= 60 * minutes

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell the scores of the epoch; keep the weights if they are the best."""
        assert isinstance(pl_module, SegmentationTask)
        if self.stop() or trainer.sanity_checking or not trainer.is_global_zero:
            return
        score = mean_iou(pl_module.confusion)
        best = self.keeper.best
        is_best = best is None or not score <= best.mean_iou
        names = [c.name for c in pl_module.card.class_map][1:]
        iou, dice = iou_of(pl_module.confusion)[1:], dice_of(pl_module.confusion)[1:]
        event = EpochEnded(
            epoch=trainer.current_epoch + 1,
            loss=float(np.mean(self._losses)) if self._losses else math.nan,
            validation_loss=pl_module.validation_loss,
            mean_iou=score if math.isfinite(score) else 0.0,
            mean_dice=float(np.nanmean(dice)) if np.isfinite(dice).any() else 0.0,
            lr=_rate(trainer),
            best=is_best,
            iou={n: float(v) for n, v in zip(names, iou, strict=True) if math.isfinite(v)},
        )
        self._losses = []
        self.keeper.show(pl_module.shown)
        with self.keeper.writing:
            if is_best:
                self.keeper.keep_best(pl_module.network)
            self.keeper.record(event)
        if is_best:
            self.keeper.keep_answers(pl_module.triples, pl_module.card.class_map)
        self.tell(event)
        for logger in trainer.loggers:
            logger.log_metrics(values_of(event), step=event.epoch)
        patience = pl_module.config.learn.patience
        best = self.keeper.best
        if patience and best is not None and event.epoch - best.epoch >= patience:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the checkpoint after an epoch that was finished."""
        del pl_module
        if trainer.world_size > 1:  # only the process that leads knows whether it gets better
            trainer.should_stop = bool(trainer.strategy.broadcast(trainer.should_stop))
        if not self._stopping(trainer):
            self.keeper.save(trainer)
            self._saved = time.monotonic()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the history into the checkpoint, so that both always belong together."""
        del trainer, pl_module
        checkpoint["specimen_history"] = [asdict(event) for event in self.keeper.history]
        checkpoint["specimen_losses"] = list(self._losses)
        checkpoint["specimen_step"] = self._step

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take up the losses of the steps of an epoch that was cut off."""
        del trainer, pl_module
        self._losses = list(checkpoint.get("specimen_losses", []))


def precision_of(config: TrainConfig) -> Any:
    """Return Lightning's name of the precision; mixed only where it is faster."""
    if config.learn.precision == "fp32":
        return "32-true"
    if torch.cuda.is_available() and config.run.device in ("auto", "cuda", "gpu"):
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    on_cpu = config.run.device == "cpu" or _accelerator() == "cpu"
    return "bf16-mixed" if on_cpu and has_bf16() else "32-true"


def _accelerator() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _devices(text: str) -> Any:
    if text.isdigit():
        return int(text)
    return text if text == "auto" else [int(part) for part in text.split(",")]


def _rate(trainer: pl.Trainer) -> float:
    return float(max(group["lr"] for group in trainer.optimizers[0].param_groups))
