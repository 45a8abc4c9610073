"""Pictures of pictures: small, coloured, side by side."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap, LabelClass
from ..core.errors import SpecimenError
from ..core.image import SpecimenImage, SpecimenLabels

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 360
"""The longer side of a thumbnail in pixels."""

DISAGREEMENT = ClassMap(
    classes=(
        LabelClass(id=0, name="agree", color="#000000"),
        LabelClass(id=1, name="missed", color="#0072b2"),
        LabelClass(id=2, name="extra", color="#f0b400"),
        LabelClass(id=3, name="other class", color="#d55e00"),
    )
)
"""What a pixel of a disagreement means; the colours differ for colour-blind eyes and in grey."""

Rgb = NDArray[np.uint8]


def disagreement(
    truth: NDArray[Any], prediction: NDArray[Any], *, ignore: Iterable[int] = ()
) -> NDArray[np.uint8]:
    """Mark where a prediction differs from the truth, and how.

    Parameters
    ----------
    truth, prediction : array of int
        Class ids of the same shape.
    ignore : iterable of int
        Values of the truth where nothing is marked.

    Returns
    -------
    array of uint8
        Same shape, values of `DISAGREEMENT`: 0 agree, 1 missed, 2 extra, 3 other class.
    """
    marks = np.where(truth == prediction, 0, 3).astype(np.uint8)
    marks[(prediction == 0) & (truth != 0)] = 1
    marks[(truth == 0) & (prediction != 0)] = 2
    left_out = sorted(set(ignore))
    if left_out:
        marks[np.isin(truth, left_out)] = 0
    return marks


def colored(labels: NDArray[Any], class_map: ClassMap) -> Rgb:
    """Return labels (Y, X) in class colours, (Y, X, 3); values without a class are grey."""
    palette = np.full((max(class_map.ids) + 2, 3), 128, np.uint8)
    for item in class_map:
        palette[item.id] = item.rgb
    return palette.take(labels, axis=0, mode="clip")


def first_plane(labels: SpecimenLabels) -> NDArray[Any]:
    """Return (Y, X): the labels, or the first plane of a stack."""
    return np.asarray(labels.data[(0,) * (labels.data.ndim - 2)])


def small_labels(labels: NDArray[Any], side: int = SIDE) -> NDArray[Any]:
    """Return labels (Y, X) reduced so that the longer side is at most `side`, by nearest neighbour."""
    from ..core.resizing import resize_nearest

    height, width = _small_size(labels.shape[0], labels.shape[1], side)
    return labels if (height, width) == labels.shape else resize_nearest(labels, height, width)


def small_picture(image: SpecimenImage, side: int = SIDE) -> Rgb:
    """Return a picture as it would be shown, (Y, X, 3), with its longer side at most `side`.

    Grey and 16-bit pictures are stretched from their 0.5th to their 99.5th percentile; a picture of
    8 bits in colour stays as it is. Of a stack the first plane is shown, of other channels the first.
    """
    from ..core.resizing import resize

    plane = np.asarray(image.data[(0,) * len(image.planes())])
    plane = plane[..., None] if plane.ndim == 2 else plane
    plane = plane[..., :3] if plane.shape[-1] >= 3 else plane[..., :1]
    height, width = _small_size(plane.shape[0], plane.shape[1], side)
    step = max(1, min(plane.shape[0] // max(1, height * 4), plane.shape[1] // max(1, width * 4)))
    values = np.nan_to_num(plane[::step, ::step].astype(np.float32))
    if not (image.data.dtype == np.uint8 and values.shape[-1] == 3):
        low, high = np.percentile(values, [0.5, 99.5])
        values = (values - low) * (255 / max(high - low, 1e-9))
    shrunk = resize(np.ascontiguousarray(values), height, width)
    return np.broadcast_to(np.clip(np.rint(shrunk), 0, 255).astype(np.uint8), (height, width, 3))


def _small_size(height: int, width: int, side: int) -> tuple[int, int]:
    factor = min(1.0, side / max(height, width, 1))
    return max(1, round(height * factor)), max(1, round(width * factor))


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture with its masks, small.

    Parameters
    ----------
    name : str
    score : float
        By which it was chosen.
    panels : tuple of (str, array)
        Headings and (Y, X, 3) pictures of one size: picture, truth, predictions, disagreements.
    """

    name: str
    score: float
    panels: tuple[tuple[str, Rgb], ...]


def make_sample(
    name: str,
    score: float,
    image: SpecimenImage | None,
    truth: SpecimenLabels,
    predictions: Sequence[tuple[str, SpecimenLabels]],
    class_map: ClassMap,
    *,
    ignore: Iterable[int] = (),
) -> Sample:
    """Make the row of a contact sheet.

    Parameters
    ----------
    name : str
    score : float
    image : SpecimenImage, optional
    truth : SpecimenLabels
        Class ids.
    predictions : sequence of (str, SpecimenLabels)
        With headings; one is shown with its disagreement, several without.
    class_map : ClassMap
    ignore : iterable of int
        Values of the truth that count nowhere.

    Returns
    -------
    Sample
    """
    true = small_labels(first_plane(truth))
    panels: list[tuple[str, Rgb]] = []
    if image is not None:
        try:
            panels.append(("picture", small_picture(image)))
        except SpecimenError:  # a picture that cannot be shown still has a score
            panels.append(("picture", np.full((*true.shape, 3), 255, np.uint8)))
    panels.append(("truth", colored(true, class_map)))
    for heading, labels in predictions:
        said = small_labels(first_plane(labels))
        panels.append((heading, colored(said, class_map)))
        marks = disagreement(true, said, ignore=ignore)
        panels.append(
            (f"wrong{'' if len(predictions) == 1 else ' in ' + heading}", colored(marks, DISAGREEMENT))
        )
    return Sample(name, score, tuple(panels))


@dataclass(slots=True)
class SampleKeeper:
    """Keeps the best and the worst of all samples that pass by; the others are forgotten.

    Parameters
    ----------
    count : int
        How many of each.
    """

    count: int = 4
    _best: list[tuple[float, str, Sample]] = field(default_factory=list)
    _worst: list[tuple[float, str, Sample]] = field(default_factory=list)

    def wants(self, score: float) -> bool:
        """Tell whether a sample with this score would be kept, before it is made."""
        if math.isnan(score):
            return False
        full = len(self._best) >= self.count
        return not full or score > self._best[0][0] or -score > self._worst[0][0]

    def add(self, sample: Sample) -> None:
        """Keep a sample if it is among the best or the worst."""
        for heap, key in ((self._best, sample.score), (self._worst, -sample.score)):
            heapq.heappush(heap, (key, sample.name, sample))
            if len(heap) > self.count:
                heapq.heappop(heap)

    @property
    def worst(self) -> list[Sample]:
        """The samples with the lowest scores, the worst first."""
        return sorted((s for *_, s in self._worst), key=lambda s: (s.score, s.name))

    @property
    def best(self) -> list[Sample]:
        """The samples with the highest scores, the best first, without those that are among the worst."""
        worst = {sample.name for sample in self.worst}
        kept = [s for *_, s in self._best if s.name not in worst]
        return sorted(kept, key=lambda s: (-s.score, s.name))


def contact_sheet(samples: Sequence[Sample], *, margin: int = 8) -> Image:
    """Put samples below each other, with names, scores and headings.

    Parameters
    ----------
    samples : sequence of Sample
        At least one.
    margin : int
        Pixels between the panels.

    Returns
    -------
    PIL.Image.Image
    """
    from PIL import Image as Pictures
    from PIL import ImageDraw

    columns = max(len(sample.panels) for sample in samples)
    widths = [
        max((s.panels[c][1].shape[1] for s in samples if c < len(s.panels)), default=0)
        for c in range(columns)
    ]
    heights = [max(panel.shape[0] for _, panel in s.panels) for s in samples]
    line = 18
    size = sum(widths) + margin * (columns + 1), sum(heights) + (margin + line) * len(samples) + line + margin
    sheet = Pictures.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for heading, left in zip(samples[0].panels, _starts(widths, margin), strict=False):
        draw.text((left, 4), heading[0], fill="black")
    top = line
    for sample, height in zip(samples, heights, strict=True):
        draw.text((margin, top + 4), f"{sample.name}: {sample.score:.3f}", fill="black")
        for (_, panel), left in zip(sample.panels, _starts(widths, margin), strict=False):
            sheet.paste(Pictures.fromarray(np.ascontiguousarray(panel)), (left, top + line))
        top += height + margin + line
    return sheet


def _starts(widths: list[int], margin: int) -> list[int]:
    starts = [margin]
    for width in widths:
        starts.append(starts[-1] + width + margin)
    return starts
