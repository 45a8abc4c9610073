"""What a training tells while it runs; the same for a dock, a terminal and a script."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; `kind` names it in the JSON lines."""

    kind: ClassVar[str] = "event"

    def to_json(self) -> str:
        """Return the event as one line of JSON."""
        return json.dumps({"event": self.kind, **asdict(self)}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Started(Event):
    """Data are read and learning begins.

    Parameters
    ----------
    learn, validate : int
        Numbers of pictures.
    epochs, steps : int
        Epochs in all, steps an epoch.
    classes : tuple of dict
        Id, name and color of each.
    device, precision : str
    shown : str
        The validation picture whose prediction is shown after every epoch.
    """

    kind: ClassVar[str] = "started"
    learn: int
    validate: int
    epochs: int
    steps: int
    classes: tuple[dict[str, Any], ...]
    device: str
    precision: str
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Stepped(Event):
    """A batch was learned."""

    kind: ClassVar[str] = "step"
    epoch: int
    step: int
    steps: int
    loss: float
    lr: float
    seconds_left: float


@dataclass(frozen=True, slots=True)
class EpochEnded(Event):
    """An epoch was learned and validated.

    Parameters
    ----------
    epoch : int
        From 1.
    loss, validation_loss, mean_iou, mean_dice, lr : float
    iou : mapping
        By class name.
    best : bool
        Whether this is the best so far.
    """

    kind: ClassVar[str] = "epoch"
    epoch: int
    loss: float
    validation_loss: float
    mean_iou: float
    mean_dice: float
    lr: float
    best: bool
    iou: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Noted(Event):
    """Something a person should know: a smaller batch, a resumed run, a stop."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """The model folder is complete."""

    kind: ClassVar[str] = "finished"
    folder: str
    scores: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The run ended with an error, in one line."""

    kind: ClassVar[str] = "failed"
    text: str
