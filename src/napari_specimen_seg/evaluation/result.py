"""The scores of a set of pictures, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap
from .bootstrap import interval, weighted_mean
from .boundary import boundary_f1
from .counts import PictureCounts
from .curves import GRID, best_threshold, iou_by_threshold, precision_recall
from .instances import (
    MERGED,
    PREDICTED,
    SPLIT,
    THRESHOLDS,
    TRUE,
    average_precision,
    dsb_score,
    object_f1,
)
from .scores import (
    PIXEL_SCORES,
    Floats,
    PixelCounts,
    accuracy,
    f_score,
    foreground_mean,
    iou,
    mean,
    ratio,
    total,
)
from .settings import EvaluateSettings

if TYPE_CHECKING:
    import pandas as pd

OTHER = "(no class)"
"""The column of the confusion matrix for predicted values that the class map does not have."""


_AP_COLUMNS = tuple(f"ap_{round(threshold * 100)}" for threshold in THRESHOLDS)


@dataclass(frozen=True)
class Scores:
    """How well predictions agree with the truth, over one or many pictures.

    Parameters
    ----------
    class_map : ClassMap
        Its order is that of all tables.
    pictures : tuple of PictureCounts
        What was counted in each picture.
    settings : EvaluateSettings
    """

    class_map: ClassMap
    pictures: tuple[PictureCounts, ...]
    settings: EvaluateSettings = field(default_factory=EvaluateSettings)

    # -- counts --------------------------------------------------------------------------------------

    @cached_property
    def counted(self) -> NDArray[np.int64]:
        """Confusion matrices by picture, (pictures, classes, classes + 1)."""
        size = len(self.class_map)
        return _stack((p.confusion for p in self.pictures), (size, size + 1))

    @cached_property
    def outlines(self) -> NDArray[np.int64]:
        """Outline pixels by picture, (pictures, classes, 4)."""
        return _stack((p.boundary for p in self.pictures), (len(self.class_map), 4))

    @cached_property
    def object_counts(self) -> NDArray[np.int64] | None:
        """Objects by picture, (pictures, classes, columns); None unless all pictures have them."""
        found = [p.objects for p in self.pictures if p.objects is not None]
        return np.stack(found) if found and len(found) == len(self.pictures) else None

    @cached_property
    def sureness(self) -> NDArray[np.int64] | None:
        """How sure the model was, over all pictures, (classes without background, 2, steps), or None."""
        found = [p.sureness for p in self.pictures if p.sureness is not None]
        return total(found) if found and len(found) == len(self.pictures) else None

    @property
    def names(self) -> tuple[str, ...]:
        """The pictures' names."""
        return tuple(p.name for p in self.pictures)

    def of(self, names: Iterable[str]) -> Scores:
        """Return the scores of these pictures only, in this order."""
        known = {p.name: p for p in self.pictures}
        return Scores(self.class_map, tuple(known[name] for name in names), self.settings)

    # -- by picture ----------------------------------------------------------------------------------

    @cached_property
    def picture_iou(self) -> Floats:
        """IoU by picture and class, (pictures, classes); NaN where neither mask has the class."""
        return iou(PixelCounts.of(self.counted))

    @cached_property
    def picture_mean_iou(self) -> Floats:
        """Mean IoU of each picture over its classes without the background, (pictures,)."""
        return np.asarray(foreground_mean(self.picture_iou, self.class_map))

    # -- tables --------------------------------------------------------------------------------------

    @cached_property
    def classes(self) -> pd.DataFrame:
        """One row per class, pooled over the pixels of all pictures; see the reference for the columns."""
        import pandas as pd

        pooled = PixelCounts.of(self.counted.sum(0))
        spread = interval(len(self.pictures), lambda w: iou(PixelCounts.of(self.counted).weighted(w)))
        by_picture = interval(len(self.pictures), lambda w: weighted_mean(w, self.picture_iou))
        return pd.DataFrame(
            {
                "class": [item.name for item in self.class_map],
                **{name: score(pooled) for name, score in PIXEL_SCORES.items()},
                "support": pooled.support,
                "support_pictures": (PixelCounts.of(self.counted).support > 0).sum(0),
                "boundary_f1": boundary_f1(self.outlines.sum(0)),
                "iou_low": spread.low,
                "iou_high": spread.high,
                "iou_mean": mean(self.picture_iou),
                "iou_mean_low": by_picture.low,
                "iou_mean_high": by_picture.high,
                "id": self.class_map.ids,
            }
        )

    @cached_property
    def overall(self) -> Mapping[str, float]:
        """The scores of all classes together, by name; means are over classes without the background."""
        values = {"pictures": float(len(self.pictures)), "pixels": float(self.counted.sum())}
        pooled = PixelCounts.of(self.counted.sum(0))
        for name, score in PIXEL_SCORES.items():
            values[f"mean_{name}"] = float(foreground_mean(score(pooled), self.class_map))
            if name == "iou":
                values |= _limits("mean_iou", self._spread_of_mean())
        values["mean_boundary_f1"] = float(foreground_mean(boundary_f1(self.outlines.sum(0)), self.class_map))
        values["mean_iou_with_background"] = float(mean(iou(pooled)))
        values["accuracy"] = float(accuracy(self.counted.sum(0)))
        values["picture_mean_iou"] = float(mean(self.picture_mean_iou))
        by_picture = interval(len(self.pictures), lambda w: weighted_mean(w, self.picture_mean_iou))
        values |= _limits("picture_mean_iou", (by_picture.low, by_picture.high))
        return values | self._overall_objects()

    @property
    def mean_iou(self) -> float:
        """Mean IoU over classes without the background, pooled over all pixels."""
        return float(foreground_mean(iou(PixelCounts.of(self.counted.sum(0))), self.class_map))

    def _spread_of_mean(self) -> tuple[Any, Any]:
        counts = PixelCounts.of(self.counted)
        found = interval(
            len(self.pictures), lambda w: np.asarray(foreground_mean(iou(counts.weighted(w)), self.class_map))
        )
        return found.low, found.high

    @cached_property
    def images(self) -> pd.DataFrame:
        """One row per picture, worst first: mean scores, then the IoU of each class."""
        import pandas as pd

        counts = PixelCounts.of(self.counted)
        table = {
            "image": self.names,
            "mean_iou": self.picture_mean_iou,
            "mean_dice": foreground_mean(PIXEL_SCORES["dice"](counts), self.class_map),
            "mean_boundary_f1": foreground_mean(boundary_f1(self.outlines), self.class_map),
            "accuracy": accuracy(self.counted),
            "pixels": self.counted.sum((1, 2)),
            **self._object_columns(),
            **{f"iou {item.name}": self.picture_iou[:, place] for place, item in enumerate(self.class_map)},
        }
        frame = pd.DataFrame(table)
        return frame.sort_values(["mean_iou", "image"], kind="stable").reset_index(drop=True)

    @cached_property
    def confusion(self) -> pd.DataFrame:
        """Pixels by true class (rows) and predicted class (columns)."""
        import pandas as pd

        names = [item.name for item in self.class_map]
        return pd.DataFrame(self.counted.sum(0), index=pd.Index(names, name="truth"), columns=[*names, OTHER])

    # -- objects -------------------------------------------------------------------------------------

    @cached_property
    def objects(self) -> pd.DataFrame | None:
        """One row per class that has objects: how many, found at which overlap, split and merged."""
        if self.object_counts is None:
            return None
        import pandas as pd

        by_picture, pooled = dsb_score(self.object_counts), self.object_counts.sum(0)
        wrong = self.object_counts[..., PREDICTED] - self.object_counts[..., TRUE]
        spread = interval(len(self.pictures), lambda w: weighted_mean(w, by_picture))
        table = {
            "class": [item.name for item in self.class_map],
            "objects": pooled[:, TRUE],
            "predicted": pooled[:, PREDICTED],
            "count_error": pooled[:, PREDICTED] - pooled[:, TRUE],
            "count_error_mean": np.abs(wrong).mean(0),
            "split": pooled[:, SPLIT],
            "merged": pooled[:, MERGED],
            "f1_50": object_f1(pooled)[:, 0],
            "ap": dsb_score(pooled),
            **dict(zip(_AP_COLUMNS, average_precision(pooled).T, strict=True)),
            "ap_mean": mean(by_picture),
            "ap_mean_low": spread.low,
            "ap_mean_high": spread.high,
        }
        keep = [item.id != 0 for item in self.class_map]
        return pd.DataFrame(table)[keep].reset_index(drop=True)

    def _object_columns(self) -> dict[str, NDArray[Any]]:
        if self.object_counts is None:
            return {}
        counts = self.objects_of_all_classes()
        return {
            "objects": counts[:, TRUE],
            "predicted_objects": counts[:, PREDICTED],
            "object_ap": dsb_score(counts),
        }

    def objects_of_all_classes(self) -> NDArray[np.int64]:
        """Return object counts added up over classes, (pictures, columns)."""
        assert self.object_counts is not None
        keep = [place for place, item in enumerate(self.class_map) if item.id != 0]
        summed: NDArray[np.int64] = self.object_counts[:, keep].sum(1)
        return summed

    def _overall_objects(self) -> dict[str, float]:
        if self.object_counts is None:
            return {}
        counts = self.objects_of_all_classes()
        scores = dsb_score(counts)
        spread = interval(len(self.pictures), lambda w: weighted_mean(w, scores))
        pooled = counts.sum(0)
        return {
            "objects": float(pooled[TRUE]),
            "predicted_objects": float(pooled[PREDICTED]),
            "split_objects": float(pooled[SPLIT]),
            "merged_objects": float(pooled[MERGED]),
            "object_ap": float(mean(scores)),
            **_limits("object_ap", (spread.low, spread.high)),
            "object_ap50": float(mean(average_precision(counts)[:, 0])),
            "object_f1_50": float(object_f1(pooled)[0]),
        }

    # -- thresholds ----------------------------------------------------------------------------------

    @cached_property
    def curves(self) -> pd.DataFrame | None:
        """Precision, recall, F1 and IoU of each class at every threshold; None without a model's scores."""
        if self.sureness is None:
            return None
        import pandas as pd

        precision, recall = precision_recall(self.sureness)
        names = [item.name for item in self.class_map.foreground]
        return pd.DataFrame(
            {
                "class": np.repeat(names, GRID.size),
                "threshold": np.tile(GRID, len(names)),
                "precision": precision.ravel(),
                "recall": recall.ravel(),
                "f1": f_score(precision, recall).ravel(),
                "iou": iou_by_threshold(self.sureness).ravel(),
            }
        )

    @cached_property
    def best_threshold(self) -> tuple[float, float] | None:
        """The threshold with the highest mean IoU over classes, and that IoU; None without curves."""
        return None if self.sureness is None else best_threshold(self.sureness)

    # -- for people ----------------------------------------------------------------------------------

    def __repr__(self) -> str:
        """Return the table of classes and the means."""
        table = self.classes.drop(columns="id").to_string(index=False, float_format=lambda v: f"{v:.3f}")
        return f"{table}\nmean IoU {self.mean_iou:.3f} over {len(self.pictures)} pictures"

    def _repr_html_(self) -> str:
        return str(self.classes.drop(columns="id").to_html(index=False, float_format=lambda v: f"{v:.3f}"))


def _stack(arrays: Iterable[NDArray[np.int64]], shape: tuple[int, ...]) -> NDArray[np.int64]:
    found = list(arrays)
    return np.stack(found) if found else np.zeros((0, *shape), np.int64)


def _limits(name: str, limits: tuple[Any, Any]) -> dict[str, float]:
    return {f"{name}_low": float(limits[0]), f"{name}_high": float(limits[1])}


def row_shares(counts: NDArray[Any]) -> Floats:
    """Return a confusion matrix as shares of each row: what became of every true class."""
    return ratio(counts, counts.sum(-1, keepdims=True))
