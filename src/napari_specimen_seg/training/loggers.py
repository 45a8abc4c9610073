"""Logs of a training for other programs: TensorBoard and Weights & Biases, off unless asked for."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from ..core.errors import SpecimenError
from .config import TrainConfig
from .events import EpochEnded


def loggers_of(config: TrainConfig, folder: Path) -> Any:
    """Return Lightning's loggers that were asked for; history.csv is always written beside them.

    Parameters
    ----------
    config : TrainConfig
    folder : Path
        The model folder; logs go into ``tensorboard`` and ``wandb`` in it.

    Returns
    -------
    list of lightning.pytorch.loggers.Logger, or False

    Raises
    ------
    SpecimenError
        If the package that writes them is not installed.
    """
    made = []
    for name in config.run.loggers:
        try:
            made.append(_tensorboard(folder) if name == "tensorboard" else _wandb(config, folder))
        except ModuleNotFoundError as error:
            raise SpecimenError(
                f"the log {name!r} needs a package that is not installed",
                advice=f"Run: pip install 'napari-specimen-seg[{name}]'.",
            ) from error
    return made or False


def values_of(event: EpochEnded) -> dict[str, float]:
    """Return what is logged of an epoch, by name."""
    values = {
        "loss/learning": event.loss,
        "loss/validation": event.validation_loss,
        "score/mean iou": event.mean_iou,
        "score/mean dice": event.mean_dice,
        "learning rate": event.lr,
        **{f"iou/{name}": value for name, value in event.iou.items()},
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _tensorboard(folder: Path) -> Any:
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="tensorboard", version="")


def _wandb(config: TrainConfig, folder: Path) -> Any:
    """Log without network access unless the environment asks for it (``WANDB_MODE=online``)."""
    from lightning.pytorch.loggers import WandbLogger

    offline = os.environ.get("WANDB_MODE", "offline") != "online"
    return WandbLogger(save_dir=folder, name=config.run.name or folder.name, offline=offline)
