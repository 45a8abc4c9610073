"""Instant learning: correct a few strokes, learn for seconds, look at the answer.

The encoder stays as it is and its answers for the open pictures are remembered, so that a round costs no
more than the decoder. What nobody labelled is kept near to what the model said before, as in learning
without forgetting (Li & Hoiem 2017, arXiv:1606.09282), so that a stroke changes what it is about.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.classes import ClassMap
from ..core.errors import SpecimenError
from ..core.image import Prediction, SpecimenImage
from ..core.progress import Progress, Report, silent
from ..models.bundle import read_card, write_bundle
from ..models.card import ModelCard, Softmax
from ..models.cores import cores, lanes
from ..models.library import find_model
from ..models.network import load_network, stride_of_card
from ..models.settings import PredictSettings
from .describe import learned_on_from
from .frozen import Features, Given, Remembered, answering, cut, encoder_of
from .head import with_classes
from .lesson import Lesson
from .live_predictor import LivePredictor
from .losses import SumOfLosses, drift
from .pace import Pace
from .precision import autocast
from .views import View, Window, views_of

SECONDS = 6.0
"""How long a round learns unless told otherwise."""

WINDOW = 192
"""Side of the parts that are learned from, in pixels of the network's input."""

RATE = 2e-4
"""Highest learning rate: large enough for a change after seconds, small enough to keep the rest."""

KEEP = 1.0
"""How much staying the same counts where nobody labelled."""

MOST_ROUNDS = 20
"""How many rounds can be undone."""


@dataclass(frozen=True, slots=True)
class _Before:
    """All that a round changes, as it was before."""

    card: ModelCard
    weights: dict[str, Tensor]
    head: nn.Module
    steps: int
    pictures: frozenset[str]
    chance: Tensor


class InstantSession:
    """A model that learns from strokes on open pictures, round after round.

    Parameters
    ----------
    model : str or Path
        Name or folder of the model to begin with.
    seed : int
        Of which parts are looked at in which order.
    rate : float
        Highest learning rate.

    Raises
    ------
    ModelError
        If there is no such model, or its network has no encoder that could be kept.
    """

    def __init__(self, model: str | Path, *, seed: int = 0, rate: float = RATE) -> None:
        folder = find_model(model)
        self.card: ModelCard = read_card(folder)
        self.network: nn.Module = load_network(folder, self.card)
        self.steps = 0
        self._rate = rate
        self.pictures: set[str] = set()
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._generator = torch.Generator().manual_seed(seed)
        self._encoder = encoder_of(self.network, self.card.name)
        self.network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._memory = Remembered(self._encoder, _room(), self._autocast)
        self._given = Given()
        self._earlier: list[_Before] = []
        self._begin()

    # -- what a person does --------------------------------------------------------------------------

    def predict(self, image: SpecimenImage, report: Report = silent) -> Prediction:
        """Segment a picture; the second time only the decoder is computed.

        Parameters
        ----------
        image : SpecimenImage
        report : callable
            May raise `CancelledError`.

        Returns
        -------
        Prediction
        """
        predictor = LivePredictor(self.card, self.network, self._device, self._autocast)
        with answering(self._encoder, self._memory):
            return predictor.predict(image, PredictSettings(device="cpu"), report)

    def learn(
        self,
        lessons: Sequence[Lesson],
        *,
        seconds: float = SECONDS,
        steps: int | None = None,
        class_map: ClassMap | None = None,
        answer: Sequence[SpecimenImage] | None = None,
        report: Report = silent,
    ) -> list[Prediction]:
        """Learn from strokes for some seconds and segment the pictures again.

        Parameters
        ----------
        lessons : sequence of Lesson
            All open pictures; those without strokes are segmented only.
        seconds : float
            How long to look at the pictures and learn, before they are segmented again; at least half of
            it is learning.
        steps : int, optional
            So many steps instead, so that the same strokes give the same model.
        class_map : ClassMap, optional
            Classes from here on; those with a name that the model knows keep what it learned.
        answer : sequence of SpecimenImage, optional
            Pictures to segment instead of those of the lessons.
        report : callable
            May raise `CancelledError`: then the model is what it was before the round.

        Returns
        -------
        list of Prediction
            One for each lesson, or for each picture of `answer`.

        Raises
        ------
        SpecimenError
            If no pixel is labelled, or a label is no class.
        """
        begin = time.monotonic()
        self._remember_round()
        try:
            self._take_classes(class_map)
            with answering(self._encoder, self._given), lanes(cores()) as pool:
                torch.set_num_threads(1)  # beside the lanes; where these end, they set it back
                views = self._views(lessons, pool, report)
                left = max(seconds / 2, seconds - (time.monotonic() - begin))
                self._improve(views, pool, left, steps, report)
            asked = [lesson.image for lesson in lessons] if answer is None else answer
            answers = [self.predict(image, report) for image in asked]
        except BaseException:
            self.undo()
            raise
        self.pictures.update(lesson.image.name for lesson in lessons if lesson.known.any())
        return answers

    def undo(self) -> bool:
        """Forget the last round, as if it had never been; tells whether there was one."""
        if not self._earlier:
            return False
        before = self._earlier.pop()
        self.card, self.steps, self.pictures = before.card, before.steps, set(before.pictures)
        self._generator.set_state(before.chance)
        self.network.segmentation_head = before.head
        self.network.load_state_dict(before.weights, strict=False)
        self._begin()
        return True

    def save(self, folder: Path, *, overwrite: bool = False) -> ModelCard:
        """Write the model as a folder that needs nothing else.

        Parameters
        ----------
        folder : Path
        overwrite : bool
            Whether a model folder may be replaced.

        Returns
        -------
        ModelCard

        Raises
        ------
        WriteError
            If the folder is taken or cannot be written.
        """
        clean = "".join(c if c.isalnum() or c in "._- " else "-" for c in folder.name).strip("._- ")
        weights = {key: value.detach().cpu().float() if value.is_floating_point() else value.detach().cpu()
                   for key, value in self.network.state_dict().items()}  # fmt: skip
        return write_bundle(folder, self._told(clean or "model"), weights, overwrite=overwrite)

    # -- learning ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Let only the decoder learn. Batch norms stay as they are: a few strokes are no statistics."""
        self.network.eval()
        self.network.requires_grad_(True)
        self._encoder.requires_grad_(False)
        self._learned = [p for p in self.network.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._learned, self._rate, weight_decay=0.0, fused=True)
        self._loss = SumOfLosses({"cross_entropy": 1.0}, self.card.head.kind)
        self._kept = list(range(self.card.out_channels))

    def _take_classes(self, class_map: ClassMap | None) -> None:
        """Give the network a head for other classes; channels that stay the same are kept near."""
        if class_map is not None and class_map != self.card.class_map:
            self.card, kept = with_classes(self.network, self.card, class_map)
            self._begin()
            self._kept = kept
        if isinstance(self.card.head, Softmax) and len(self._kept) == 1:
            self._kept = []  # one of the likeliest says nothing about the others

    def _views(self, lessons: Sequence[Lesson], pool: ThreadPoolExecutor, report: Report) -> list[View]:
        """Return what is labelled, with the encoder's answers remembered and the model's own noted."""
        views: list[View] = []
        for number, lesson in enumerate(lessons):
            report(Progress("looking at pictures", number, len(lessons)))
            found = views_of(lesson, self.card)
            for view, answer in zip(found, pool.map(self._answer, found), strict=True):
                view.before = answer
                views.append(view)
        if not views:
            raise SpecimenError("no pixel is labelled", advice="Draw a stroke of each class to be learned.")
        return views

    def _answer(self, view: View) -> Tensor:
        """Return what the network answers now, (C, Y, X)."""
        with torch.no_grad(), self._autocast():
            return self._from(self._features(view), (1, *view.target.shape))[0]

    def _improve(
        self,
        views: list[View],
        pool: ThreadPoolExecutor,
        seconds: float,
        steps: int | None,
        report: Report,
    ) -> None:
        pace = Pace(seconds, steps)
        while pace.goes_on:
            report(Progress("learning", round(100 * pace.part), 100))
            self._optimizer.param_groups[0]["lr"] = self._rate * pace.share
            self._step(views, pool)
            pace.step()
        self.steps += pace.done
        report(Progress("learning", 100, 100))

    def _step(self, views: list[View], pool: ThreadPoolExecutor) -> None:
        """Learn from some windows, each computed by one core: no core waits for another in the middle."""
        windows = [self._at_label(views), self._anywhere(views)]
        slopes = list(pool.map(self._slopes, windows))
        for parameter, *parts in zip(self._learned, *slopes, strict=True):
            parameter.grad = sum(parts[1:], parts[0]) / len(parts)
        nn.utils.clip_grad_norm_(self._learned, 1.0)
        self._optimizer.step()

    def _slopes(self, window: Window) -> list[Tensor]:
        """Return the gradients of the loss in a window, one for each parameter that learns."""
        target = window.target.to(self._device)[None]
        with self._autocast():
            output = self._from(window.features, tuple(target.shape)).float()
        loss = self._loss(output, target)
        if self._kept and window.before is not None:
            loss = loss + KEEP * drift(
                output[:, self._kept], window.before.float()[self._kept][None], target, self.card.head.kind
            )
        found = torch.autograd.grad(loss, self._learned, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(self._learned, found, strict=True)]

    def _from(self, features: Features, shape: tuple[int, ...]) -> Tensor:
        """Return the network's answer to features, for an input of (N, Y, X)."""
        blank = torch.zeros((), device=self._device).expand(
            shape[0], self.card.preprocessing.in_channels, *shape[1:]
        )
        self._given.features = features
        answer: Tensor = self.network(blank)
        return answer

    def _at_label(self, views: list[View]) -> Window:
        """Cut a window around a labelled pixel, of each class as often as of any other."""
        classes = sorted({name for view in views for name in view.places})
        name = classes[self._random(len(classes))]
        showing = [view for view in views if name in view.places]
        view = showing[self._random(len(showing))]
        places = view.places[name]
        return self._window(view, int(places[self._random(len(places))]))

    def _anywhere(self, views: list[View]) -> Window:
        """Cut a window anywhere, so that what nobody labelled is held everywhere."""
        view = views[self._random(len(views))]
        return self._window(view, self._random(view.target.numel()))

    def _window(self, view: View, place: int) -> Window:
        stride = stride_of_card(self.card)
        height, width = view.target.shape
        rows = self._span(place // width, height, stride)
        columns = self._span(place % width, width, stride)
        return Window(
            cut(self._features(view), (height, width), rows, columns),
            view.target[rows, columns],
            None if view.before is None else view.before[:, rows, columns],
        )

    def _span(self, place: int, extent: int, stride: int) -> slice:
        """Return a window that holds a place, anywhere in it, on the encoder's grid."""
        side = min(WINDOW, extent)
        first = max(0, -(-(place - side + 1) // stride))
        last = min(place, extent - side) // stride
        start = stride * (first + self._random(max(1, last - first + 1)))
        return slice(start, start + side)

    def _features(self, view: View) -> Features:
        return self._memory.of(view.key, self._placed(view.picture))

    # -- small things --------------------------------------------------------------------------------

    def _random(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self._generator))

    def _placed(self, picture: Tensor) -> Tensor:
        return picture.to(self._device).contiguous(memory_format=torch.channels_last)

    def _autocast(self) -> Any:
        return autocast(self._device.type)

    def _copy(self) -> nn.Module:
        """Return the network as it is, with the same encoder."""
        return copy.deepcopy(self.network, {id(self._encoder): self._encoder}).eval()

    def _remember_round(self) -> None:
        copied = self._copy()
        weights = {k: v for k, v in copied.state_dict().items() if not k.startswith("encoder.")}
        head = copied.segmentation_head
        assert isinstance(head, nn.Module)
        chance = self._generator.get_state()
        before = _Before(self.card, weights, head, self.steps, frozenset(self.pictures), chance)
        self._earlier = [*self._earlier[1 - MOST_ROUNDS :], before]

    def _told(self, name: str) -> ModelCard:
        """Return the card of the model as it is now."""
        start = self.card.training
        notes = (
            f"{learned_on_from(self.card)} {self.steps} steps with strokes on "
            f"{len(self.pictures)} pictures; the encoder stayed as it was."
        )
        return self.card.model_copy(
            update={
                "name": name,
                "description": f"{self.card.name}, learned on from strokes.",
                "scores": {},
                "training": start.model_copy(
                    update={"notes": f"{start.notes} {notes}".strip(), "command": ""}
                ),
            }
        )


def _room() -> int:
    """Return how many bytes of features to remember: a quarter of the free memory."""
    import psutil

    return int(psutil.virtual_memory().available) // 4
