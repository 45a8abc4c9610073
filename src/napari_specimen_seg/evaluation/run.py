"""An evaluation while it goes on: one picture after the other, by one or several sources."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap
from ..core.errors import MeasureError, SpecimenError
from ..core.files import read_image
from ..core.image import SpecimenImage, SpecimenLabels
from ..core.progress import Progress, Report
from ..core.provenance import sha256_of
from ..core.regions import tally
from .counts import PictureCounts, count_prepared, prepared
from .curves import STEPS, sureness_counts
from .instances import as_classes
from .pairs import Case, LoadedCase, sample_folder
from .race import Cost, ProcessSource
from .reading import read_mask
from .result import Scores
from .scores import PixelCounts, foreground_mean, iou, mean
from .settings import EvaluateSettings
from .sources import Answer, ModelSource, Source
from .thumbs import SampleKeeper, make_sample

if TYPE_CHECKING:
    from ..models.watching import Seen

SECOND = "second person"
"""The name of the source whose agreement with the truth is the human ceiling."""

Compared = Callable[[Case, SpecimenLabels, Mapping[str, SpecimenLabels]], None]
"""Told of each picture: its truth and the predictions by source, as class ids or numbered objects."""


@dataclass(slots=True)
class Evaluation:
    """Counts that grow picture by picture.

    Parameters
    ----------
    sources : sequence of Source
        What is evaluated; the first is what others are compared with.
    class_map : ClassMap
        The classes to compare by.
    settings : EvaluateSettings
    second : Source, optional
        Another person's labels of some of the pictures.
    samples : int
        How many of the best and of the worst pictures to keep in small.
    compared : callable, optional
        Told of each picture, after it is counted.
    """

    sources: Sequence[Source]
    class_map: ClassMap
    settings: EvaluateSettings = field(default_factory=EvaluateSettings)
    second: Source | None = None
    samples: int = 4
    compared: Compared | None = None
    keeper: SampleKeeper = field(init=False)
    cases: list[Case] = field(default_factory=list, init=False)
    _digest: Any = field(default_factory=hashlib.sha256, init=False)
    _counts: dict[str, list[PictureCounts]] = field(default_factory=dict, init=False)
    _seconds: dict[str, list[float]] = field(default_factory=dict, init=False)
    _peaks: dict[str, list[tuple[int, float]]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.keeper = SampleKeeper(self.samples)
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise MeasureError("two of what is compared have the same name", advice="Give them names.")

    # -- one picture ---------------------------------------------------------------------------------

    def add(self, case: Case, report: Report) -> Mapping[str, float]:
        """Compare one picture; it counts for all sources or, where one of them fails, for none.

        Parameters
        ----------
        case : Case
        report : callable
            Called between steps; may raise `CancelledError`, which passes through.

        Returns
        -------
        mapping of str to float
            Mean IoU over classes by source.

        Raises
        ------
        SpecimenError
            If a file cannot be read, a model fails, or labels cannot be compared.
        """
        truth, image = self._opened(case)
        truth = prepared(truth, self.class_map, self.settings)
        self._refuse_other_picture(case, truth, image)
        answers: dict[str, SpecimenLabels] = {}
        counts: dict[str, PictureCounts] = {}
        costs: dict[str, Answer] = {}
        for source in self._in_turn():
            report(Progress(source.name, 0, 0))
            answer, counts[source.name] = self._ask(source, case, truth, image, report)
            answers[source.name], costs[source.name] = answer.labels, answer
        if self.second is not None and case.prediction(self.second.name) is not None:
            answers[self.second.name], counts[self.second.name] = self._second_opinion(case, truth, report)
        self._keep(case, truth, counts, costs)
        scores = {name: self._mean_iou(count) for name, count in counts.items()}
        self._sample(case, truth, image, answers, scores)
        if self.compared is not None:
            self.compared(case, truth, answers)
        return scores

    def _opened(self, case: Case) -> tuple[SpecimenLabels, SpecimenImage | None]:
        if isinstance(case, LoadedCase):
            return case.truth.replace(name=case.name), case.picture
        truth = read_mask(case.labels, self.class_map).replace(name=case.name)
        return truth, read_image(case.image) if case.image is not None else None

    def _refuse_other_picture(self, case: Case, truth: SpecimenLabels, image: SpecimenImage | None) -> None:
        if image is not None and (image.height, image.width) != (truth.height, truth.width):
            raise MeasureError(
                f"the labels have {truth.height} x {truth.width} pixels, "
                f"their picture {image.height} x {image.width}",
                path=case.labels,
                advice="Both must have the same size.",
            )

    def _in_turn(self) -> Sequence[Source]:
        """Return the sources, each picture beginning with another one: the first pays for cold caches."""
        start = len(self.cases) % max(1, len(self.sources))
        return [*self.sources[start:], *self.sources[:start]]

    def _ask(
        self,
        source: Source,
        case: Case,
        truth: SpecimenLabels,
        image: SpecimenImage | None,
        report: Report,
    ) -> tuple[Answer, PictureCounts]:
        watcher = self._watcher(source, truth)
        answer = source.answer(case, image, report, None if watcher is None else watcher.see)
        labels = prepared(answer.labels.replace(name=case.name), self.class_map, self.settings)
        counts = count_prepared(truth, labels, self.class_map, self.settings)
        sureness = None if watcher is None else watcher.counts
        return replace(answer, labels=labels), replace(counts, sureness=sureness)

    def _second_opinion(
        self, case: Case, truth: SpecimenLabels, report: Report
    ) -> tuple[SpecimenLabels, PictureCounts]:
        assert self.second is not None
        answer, counts = self._ask(self.second, case, truth, None, report)
        return answer.labels, counts

    def _watcher(self, source: Source, truth: SpecimenLabels) -> SurenessWatcher | None:
        if not self.settings.curves or not isinstance(source, ModelSource):
            return None
        card = source.card
        names = {class_id: card.class_map.name_of(class_id) for class_id in card.channel_ids}
        channel = {names[class_id]: place for place, class_id in enumerate(card.channel_ids)}
        channels = [channel.get(item.name) for item in self.class_map.foreground]
        return SurenessWatcher(as_classes(truth), self.class_map, channels, self.settings.ignore)

    def _keep(
        self,
        case: Case,
        truth: SpecimenLabels,
        counts: Mapping[str, PictureCounts],
        answers: Mapping[str, Answer],
    ) -> None:
        self.cases.append(case)
        self._digest.update(_line_of(case))
        megapixels = truth.data.size / 1e6
        for name, count in counts.items():
            self._counts.setdefault(name, []).append(count)
        for name, answer in answers.items():
            if answer.seconds is not None and answer.memory is not None and megapixels:
                self._seconds.setdefault(name, []).append(answer.seconds / megapixels)
                self._peaks.setdefault(name, []).append((answer.memory, megapixels))

    def _mean_iou(self, counts: PictureCounts) -> float:
        return float(foreground_mean(iou(PixelCounts.of(counts.confusion)), self.class_map))

    def _sample(
        self,
        case: Case,
        truth: SpecimenLabels,
        image: SpecimenImage | None,
        answers: Mapping[str, SpecimenLabels],
        scores: Mapping[str, float],
    ) -> None:
        names = [source.name for source in self.sources]
        score = float(mean(np.array([scores[name] for name in names])))
        if not self.keeper.wants(score):
            return
        shown = [("prediction" if len(names) == 1 else name, as_classes(answers[name])) for name in names]
        sample = make_sample(
            case.name, score, image, as_classes(truth), shown, self.class_map, ignore=self.settings.ignore
        )
        self.keeper.add(sample)

    # -- the whole -----------------------------------------------------------------------------------

    def scores(self, name: str | None = None) -> Scores:
        """Return the scores of a source over all pictures so far; of the first one if not named."""
        counted = self._counts.get(self.sources[0].name if name is None else name, [])
        return Scores(self.class_map, tuple(counted), self.settings)

    @property
    def ceiling(self) -> Scores | None:
        """The agreement of two people, or None."""
        return None if self.second is None else self.scores(self.second.name)

    @property
    def data_sha256(self) -> str:
        """SHA-256 over names and contents of all label files and pictures so far, in their order."""
        return str(self._digest.hexdigest())

    def cost(self, source: Source) -> Cost | None:
        """Return what a model costs; None where it was not timed."""
        if not isinstance(source, ProcessSource) or source.facts is None:
            return None
        name = source.name
        return Cost(source.facts, tuple(self._seconds.get(name, ())), tuple(self._peaks.get(name, ())))

    def close(self) -> None:
        """Let go of all sources."""
        for source in self.sources:
            source.close()


@dataclass(slots=True)
class SurenessWatcher:
    """Counts how sure a model is of each class, part by part.

    Parameters
    ----------
    truth : SpecimenLabels
        Class ids.
    class_map : ClassMap
    channels : sequence of int or None
        For each class without the background: which probability is its own.
    ignore : iterable of int
    """

    truth: SpecimenLabels
    class_map: ClassMap
    channels: Sequence[int | None]
    ignore: Iterable[int] = ()
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((len(self.channels), 2, STEPS + 1), np.int64)

    def see(self, seen: Seen) -> None:
        """Count a part of the picture."""
        true = np.asarray(self.truth.data[seen.plane][seen.rows, seen.columns])
        valid = ~np.isin(true, sorted(set(self.ignore)))
        for place, (channel, item) in enumerate(zip(self.channels, self.class_map.foreground, strict=True)):
            if channel is not None:
                self.counts[place] += sureness_counts(seen.probability[channel], true == item.id, valid)


def _line_of(case: Case) -> bytes:
    """Return a line that changes with the case's name, labels or picture."""
    if isinstance(case, LoadedCase):
        arrays = [case.truth.data, *([case.picture.data] if case.picture else [])]
        found = [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays]
    else:
        files = [sample_folder(case.labels) or case.labels, *([case.image] if case.image else [])]
        found = [sha256_of(path) for path in files]
    return "\0".join([case.name, *found]).encode(errors="surrogateescape") + b"\n"


def choose_class_map(given: ClassMap | None, cases: Sequence[Case], sources: Sequence[Source]) -> ClassMap:
    """Return the classes to compare by.

    Parameters
    ----------
    given : ClassMap or None
        What the person asked for; wins.
    cases : sequence of Case
    sources : sequence of Source

    Returns
    -------
    ClassMap
        Else that of the first readable truth that has one, of a model, of the first prediction that has
        one; else one class for every value of the truth.
    """
    if given is not None:
        return given
    loaded = (case.truth.class_map for case in cases if isinstance(case, LoadedCase))
    files = [case.labels for case in cases[:1] if not isinstance(case, LoadedCase)]
    first = next((own for own in loaded if own is not None), None) or _first_own(files)
    models = (source.class_map() for source in sources)
    found = first or next((class_map for class_map in models if class_map is not None), None)
    if found is not None:
        return found
    paths = [path for case in cases[:1] for _, path in case.predictions]
    return _first_own(paths) or _of_values(cases)


def _first_own(paths: Iterable[Path]) -> ClassMap | None:
    for path in paths:
        try:
            own = read_mask(path).class_map
        except SpecimenError:  # it will be told when its turn comes
            continue
        if own is not None:
            return own
    return None


def _of_values(cases: Sequence[Case]) -> ClassMap:
    values: set[int] = set()
    for case in cases:
        for labels in _all_labels(case):
            values.update(tally(np.asarray(labels.data))[0].tolist())
    return ClassMap.of_ids(sorted(values))


def _all_labels(case: Case) -> Iterator[SpecimenLabels]:
    if isinstance(case, LoadedCase):
        yield case.truth
        return
    for path in (case.labels, *(path for _, path in case.predictions)):
        try:
            yield read_mask(path)
        except SpecimenError:
            continue
