"""What a run leaves on the disk while it goes on, so that it survives being killed at any time.

Every file is written beside its place and renamed. The last checkpoint before the newest is kept too: if
the newest turns out to be damaged, the run goes on from that one and says so.
"""

from __future__ import annotations

import csv
import io
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import SpecimenError, WriteError
from ..core.files.atomic import atomic
from .config import TrainConfig
from .events import EpochEnded, Finished, Noted
from .pictures import write_sheet, write_triples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from ..core.classes import ClassMap
    from ..models.card import ModelCard
    from .events import Event
    from .pictures import Triple
    from .samples import Sheet

SETTINGS = "train.toml"
HISTORY = "history.csv"
BEST = "best.safetensors"
SAMPLES, ANSWERS = "samples.png", "validation.png"


def is_free(folder: Path, *, resume: bool) -> bool:
    """Tell whether a run may write to a folder: nothing is in it, or an unfinished run to go on with."""
    unfinished = resume and (folder / SETTINGS).is_file()
    return unfinished or not folder.exists() or not any(folder.iterdir())


@dataclass
class Keeper:
    """The folder of a run.

    Parameters
    ----------
    folder : Path
        The model folder to be.
    config : TrainConfig
    resume : bool
        Whether the folder may hold an unfinished run, which is gone on with.
    leads : bool
        False in all but one of several processes that train together: those write nothing.

    Raises
    ------
    WriteError
        If the folder holds something else, or cannot be written.
    """

    folder: Path
    config: TrainConfig
    resume: bool = False
    leads: bool = True
    history: list[EpochEnded] = field(default_factory=list)
    finishing: threading.Event = field(default_factory=threading.Event)
    """Set as soon as the model is being put together; whoever comes second leaves it alone."""
    writing: Any = field(default_factory=threading.RLock)
    """Held while weights and history change, so that both always belong together."""

    def __post_init__(self) -> None:
        if not self.leads:
            return
        if not is_free(self.folder, resume=self.resume):
            raise WriteError(
                "the folder is not empty",
                path=self.folder,
                advice="Choose another, or go on with an unfinished run by --resume.",
            )
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"cannot be written ({error.strerror})", path=self.folder) from error
        with atomic(self.folder / SETTINGS, overwrite=True) as path:
            path.write_text(self.config.to_toml(), encoding="utf-8")

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / "checkpoints"

    # -- going on ------------------------------------------------------------------------------------

    def last_checkpoint(self, tell: Callable[[Event], None]) -> Path | None:
        """Return the newest checkpoint that is whole, and take the history up to it; None at the start."""
        for name in ("last.ckpt", "previous.ckpt"):
            path = self.checkpoints / name
            if not path.is_file():
                continue
            content = _read(path)
            if content is None:
                tell(Noted(f"{name} is damaged and left aside"))
                continue
            self.history = [EpochEnded(**row) for row in content["specimen_history"]]
            epoch, step = content["epoch"] + 1, content.get("specimen_step", 0)
            place = f"in epoch {epoch} after step {step}" if step else f"after epoch {epoch}"
            tell(Noted(f"going on {place}"))
            return path
        return None

    def save(self, trainer: Any) -> None:
        """Write the newest checkpoint; the one before becomes ``previous.ckpt``."""
        newest, previous = self.checkpoints / "last.ckpt", self.checkpoints / "previous.ckpt"
        draft = self.checkpoints / "draft.ckpt"
        trainer.save_checkpoint(draft)
        if not self.leads:
            return
        with self.writing:
            if newest.exists():
                newest.replace(previous)
            draft.replace(newest)

    # -- what people look at -------------------------------------------------------------------------

    def record(self, event: EpochEnded) -> None:
        """Add an epoch to ``history.csv``."""
        self.history.append(event)
        names = list(event.iou)
        rows = io.StringIO()
        writer = csv.writer(rows)
        head = ["epoch", "loss", "validation_loss", "mean_iou", "mean_dice", "lr", "best"]
        writer.writerow(head + [f"iou {name}" for name in names])
        for item in self.history:
            writer.writerow([getattr(item, key) for key in head] + [item.iou.get(name) for name in names])
        with atomic(self.folder / HISTORY, overwrite=True) as path:
            path.write_text(rows.getvalue(), encoding="utf-8", newline="")

    @property
    def best(self) -> EpochEnded | None:
        """The best epoch so far."""
        return next((event for event in reversed(self.history) if event.best), None)

    def keep_best(self, network: torch.nn.Module) -> None:
        """Write the network's weights as the best so far."""
        from safetensors.torch import save_file

        weights = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
        with self.writing, atomic(self.checkpoints / BEST, overwrite=True) as path:
            save_file(weights, path)

    def show(self, labels: NDArray[Any] | None) -> None:
        """Write the prediction of the first validation picture, for those who watch."""
        if labels is not None:
            with atomic(self.checkpoints / "shown.npy", overwrite=True) as path, path.open("wb") as file:
                np.save(file, labels, allow_pickle=False)

    def keep_answers(self, triples: Sequence[Triple], class_map: ClassMap) -> None:
        """Write some validation pictures with truth and answer."""
        write_triples(triples, class_map, self.folder / ANSWERS)

    def keep_samples(self, sheet: Sheet) -> None:
        """Write what is learned from."""
        write_sheet(sheet.picture, sheet.labels, sheet.class_map, self.folder / SAMPLES)

    # -- the end -------------------------------------------------------------------------------------

    def finish(
        self, card: ModelCard, tell: Callable[[Event], None], *, at_once: bool = False
    ) -> ModelCard | None:
        """Turn the best weights into a model: weights, card, page for people; then draw the curves.

        Parameters
        ----------
        card : ModelCard
        tell : callable
        at_once : bool
            Whether somebody waits: then everything that can is done after the model is there.

        Returns
        -------
        ModelCard or None
            None if no epoch was finished.
        """
        from ..models.bundle import write_beside

        self.finishing.set()
        with self.writing:
            best = self.best
        if best is None:
            tell(Noted("stopped before the first epoch was over: there is no model to keep"))
            return None
        scores = _scores(best)
        card = card.model_copy(update={"scores": {"validation": scores}})
        weights = self.checkpoints / BEST
        card = write_beside(self.folder, card if at_once else _measured(card, weights), weights)
        tell(Finished(str(self.folder), scores))
        self._draw()
        if at_once:
            card = write_beside(self.folder, _measured(card, weights), weights)
        return card

    def _draw(self) -> None:
        from .plots import plot_history

        plot_history(self.history, self.folder / "curves.png")


def _scores(best: EpochEnded) -> dict[str, float]:
    scores = {"mean iou": best.mean_iou, "mean dice": best.mean_dice}
    scores |= {f"iou {name}": value for name, value in best.iou.items()}
    return {key: round(value, 4) for key, value in scores.items() if value == value}


def _measured(card: ModelCard, weights: Path) -> ModelCard:
    """Return the card with how far the network looks, where that matters."""
    from ..core.input_settings import Tiles

    if not isinstance(card.preprocessing.geometry, Tiles):
        return card
    from safetensors.torch import load_file

    from ..models.context import with_context

    return with_context(card, load_file(weights))


def _read(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint of ours; None if it is damaged. Nothing in it is executed."""
    import pickle
    import zipfile

    import torch

    try:
        with zipfile.ZipFile(path) as archive:  # torch itself does not compare checksums
            if archive.testzip() is not None:
                return None
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile):
        return None
    if not isinstance(content, dict) or "specimen_history" not in content:
        raise SpecimenError("is no checkpoint of this program", path=path)
    return content
