"""Which of several models is better on the same pictures, by how much, and at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .bootstrap import Interval, interval, weighted_mean
from .race import Cost
from .result import Scores
from .scores import Floats, PixelCounts, foreground_mean, iou

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """Scores of several models on the same pictures; the first is what the others are held against.

    Parameters
    ----------
    scores : mapping of str to Scores
        By name, of the same pictures in the same order.
    costs : mapping of str to Cost
        For those that were timed.
    max_loss : float, optional
        By how many points (hundredths) of mean IoU a model may be worse than the first and still pass; None
        where nobody asked for a verdict.
    """

    scores: Mapping[str, Scores]
    costs: Mapping[str, Cost] = field(default_factory=dict)
    max_loss: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What is compared, in the order given."""
        return tuple(self.scores)

    @property
    def first(self) -> str:
        """The one that the others are held against."""
        return self.names[0]

    @property
    def others(self) -> tuple[str, ...]:
        """All but the first."""
        return self.names[1:]

    @cached_property
    def models(self) -> pd.DataFrame:
        """One row per model: scores, differences from the first with 95 % intervals, cost and verdict."""
        import pandas as pd

        return pd.DataFrame([self._row(name) for name in self.names])

    def _row(self, name: str) -> dict[str, Any]:
        overall, loss = self.scores[name].overall, self.loss(name)
        spread = self.difference_of_mean(name)
        row: dict[str, Any] = {
            "model": name,
            "mean_iou": overall["mean_iou"],
            "mean_iou_low": overall["mean_iou_low"],
            "mean_iou_high": overall["mean_iou_high"],
            "picture_mean_iou": overall["picture_mean_iou"],
            "mean_boundary_f1": overall["mean_boundary_f1"],
            "accuracy": overall["accuracy"],
        }
        row |= {key: overall[key] for key in ("object_ap", "object_f1_50") if key in overall}
        if name != self.first:
            row |= {
                "difference": -loss,
                "difference_low": float(spread.low),
                "difference_high": float(spread.high),
            }
        return row | _cost_row(self.costs.get(name)) | {"verdict": self.verdict(name)}

    def loss(self, name: str) -> float:
        """Return by how much the mean IoU of a model is below that of the first."""
        return self.scores[self.first].mean_iou - self.scores[name].mean_iou

    def is_good(self, name: str) -> bool:
        """Tell whether a model lost at most `max_loss` points of mean IoU, where that is asked.

        A loss that cannot be told is none that passes.
        """
        return self.max_loss is None or bool(self.loss(name) * 100 <= self.max_loss + 1e-9)

    def verdict(self, name: str) -> str:
        """Return in a few words how a model does against the first, which has none; good or not if asked."""
        points = self.loss(name) * 100
        if name == self.first:
            return ""
        if np.isnan(points):
            return "cannot be told"
        if self.max_loss is None:
            return _difference(points, "better by", "worse by")
        if not self.is_good(name):
            return f"not good: lost {points:.2f} points of mean IoU, allowed are {self.max_loss:g}"
        return f"good: {_difference(points, 'gained', 'lost')}"

    @cached_property
    def pictures(self) -> pd.DataFrame:
        """One row per picture: mean IoU by model, and which is best; where they differ most comes first."""
        import pandas as pd

        values = np.stack([s.picture_mean_iou for s in self.scores.values()], axis=1)
        frame = pd.DataFrame({"image": self.scores[self.first].names})
        for place, name in enumerate(self.names):
            frame[f"mean_iou {name}"] = values[:, place]
        frame["winner"] = [self._winner(row) for row in values]
        frame["range"] = np.ptp(values, axis=1)
        return frame.sort_values(["range", "image"], ascending=[False, True], kind="stable").reset_index(
            drop=True
        )

    def _winner(self, values: Floats) -> str:
        if np.isnan(values).all():
            return ""
        best = np.flatnonzero(values >= np.nanmax(values) - 1e-9)
        return self.names[int(best[0])] if best.size == 1 else "equal"

    @cached_property
    def classes(self) -> pd.DataFrame:
        """One row per class: IoU by model, and the others' differences from the first with intervals."""
        import pandas as pd

        class_map = self.scores[self.first].class_map
        frame = pd.DataFrame({"class": [item.name for item in class_map]})
        for name, scores in self.scores.items():
            frame[f"iou {name}"] = iou(PixelCounts.of(scores.counted.sum(0)))
        for name in self.others:
            spread = self.difference_by_class(name)
            frame[f"difference {name}"] = frame[f"iou {name}"] - frame[f"iou {self.first}"]
            frame[f"difference_low {name}"] = spread.low
            frame[f"difference_high {name}"] = spread.high
        return frame

    def difference_by_class(self, name: str) -> Interval:
        """Return the 95 % interval of a model's IoU minus that of the first, for each class.

        Both are computed from the same draws of pictures, so that what makes a picture hard for all
        cancels (paired bootstrap).
        """
        mine, first = (PixelCounts.of(self.scores[key].counted) for key in (name, self.first))
        return interval(len(self.pictures), lambda w: iou(mine.weighted(w)) - iou(first.weighted(w)))

    def difference_of_mean(self, name: str) -> Interval:
        """Return the 95 % interval of a model's mean IoU minus that of the first, pooled over pixels."""
        class_map = self.scores[self.first].class_map
        mine, first = (PixelCounts.of(self.scores[key].counted) for key in (name, self.first))

        def difference(weights: Floats) -> Floats:
            each = [foreground_mean(iou(counts.weighted(weights)), class_map) for counts in (mine, first)]
            return np.asarray(each[0] - each[1])

        return interval(len(self.pictures), difference)

    def difference_by_picture(self, name: str) -> Interval:
        """Return the 95 % interval of the mean over pictures of a model's score minus that of the first."""
        values = self.scores[name].picture_mean_iou - self.scores[self.first].picture_mean_iou
        return interval(len(values), lambda w: weighted_mean(w, values))


def _difference(lost: float, gain: str, loss: str) -> str:
    """Return points of mean IoU in words."""
    if abs(lost) < 0.005:  # less than is shown
        return "the same mean IoU"
    return f"{gain if lost < 0 else loss} {abs(lost):.2f} points of mean IoU"


def _cost_row(cost: Cost | None) -> dict[str, Any]:
    if cost is None:
        return {}
    return {
        "bytes": cost.facts.bytes,
        "parameters": cost.facts.parameters,
        "seconds_per_megapixel": cost.seconds_per_megapixel,
        "peak_bytes": cost.peak_bytes,
        "bytes_per_megapixel": cost.bytes_per_megapixel,
        "device": cost.facts.device,
        "backend": cost.facts.backend,
        "precision": cost.facts.precision,
    }


def names_for(models: Sequence[str]) -> list[str]:
    """Return short names for models: the last part of a path, with as much before it as tells them apart.

    Parameters
    ----------
    models : sequence of str
        Names or paths, as they were given.

    Returns
    -------
    list of str
        One for each; the same model given twice gets a number.
    """
    parts = [model.replace("\\", "/").rstrip("/").split("/") for model in models]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    names = [part[-1] for part in parts]
    return [
        name if names.count(name) == 1 else f"{name} {names[: place + 1].count(name)}"
        for place, name in enumerate(names)
    ]
