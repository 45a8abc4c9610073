"""Where predictions come from: mask files, or a model that looks at the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..core.classes import ClassMap
from ..core.errors import ReadError
from ..core.image import SpecimenImage, SpecimenLabels
from ..core.progress import Report
from ..models.settings import PredictSettings
from .pairs import Case
from .reading import read_mask

if TYPE_CHECKING:
    from ..models.card import ModelCard
    from ..models.predictor import Predictor
    from ..models.watching import Watch


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source says about a picture.

    Parameters
    ----------
    labels : SpecimenLabels
    seconds : float, optional
        Time the prediction took, without reading the picture; None where it was not measured.
    memory : int, optional
        The most bytes that the process had meanwhile, or took of the GPU's memory.
    """

    labels: SpecimenLabels
    seconds: float | None = None
    memory: int | None = None


class Source(Protocol):
    """Something that labels pictures."""

    @property
    def name(self) -> str:
        """What it is called in tables and plots."""

    def class_map(self) -> ClassMap | None:
        """Return its classes where they are known without labelling a picture."""

    def answer(
        self, case: Case, image: SpecimenImage | None, report: Report, watch: Watch | None = None
    ) -> Answer:
        """Label a picture; `watch` is shown the probabilities on the way."""

    def describe(self) -> dict[str, Any]:
        """Return what it is, for the report: plain values."""

    def close(self) -> None:
        """Let go of what it holds."""


@dataclass(frozen=True, slots=True)
class MaskSource:
    """Masks that are there already.

    Parameters
    ----------
    name : str
        As in the `Case.predictions` of the cases.
    folder : Path
        Where they are; for the report.
    needed : ClassMap, optional
        What ids or colours mean in files that do not say so themselves.
    """

    name: str
    folder: Path
    needed: ClassMap | None = None

    def class_map(self) -> ClassMap | None:
        """Return None: every file may have its own."""
        return None

    def answer(
        self, case: Case, image: SpecimenImage | None, report: Report, watch: Watch | None = None
    ) -> Answer:
        """Read the mask of a picture."""
        del image, report, watch
        path = case.prediction(self.name)
        if path is None:
            raise ReadError(f"there is no mask of {self.name} for it", path=case.labels)
        return Answer(read_mask(path, self.needed))

    def describe(self) -> dict[str, Any]:
        """Return the folder's name."""
        return {"kind": "masks", "folder": self.folder.name}

    def close(self) -> None:
        """Hold nothing."""


@dataclass(frozen=True, slots=True)
class LoadedSource:
    """Masks that are in memory.

    Parameters
    ----------
    name : str
    masks : mapping of str to SpecimenLabels
        By the name of the case.
    """

    name: str
    masks: Mapping[str, SpecimenLabels]

    def class_map(self) -> ClassMap | None:
        """Return the first class map that the masks have."""
        return next((m.class_map for m in self.masks.values() if m.class_map is not None), None)

    def answer(
        self, case: Case, image: SpecimenImage | None, report: Report, watch: Watch | None = None
    ) -> Answer:
        """Return the mask of a picture."""
        del image, report, watch
        if case.name not in self.masks:
            raise ReadError(f"there is no mask of {self.name} for it", path=case.labels)
        return Answer(self.masks[case.name])

    def describe(self) -> dict[str, Any]:
        """Return what kind of source it is."""
        return {"kind": "masks", "layer": self.name}

    def close(self) -> None:
        """Hold nothing."""


class ModelSource:
    """A model in this process.

    Parameters
    ----------
    name : str
        What it is called in tables and plots.
    model : str or Path
        Name or folder.
    settings : PredictSettings, optional
    load : callable, optional
        How a model is had by its name.
    """

    def __init__(
        self,
        name: str,
        model: str | Path,
        settings: PredictSettings | None = None,
        load: Callable[[str | Path], Predictor] | None = None,
    ) -> None:
        from ..models.predictor import load_model

        self.name = name
        self.settings = settings or PredictSettings()
        self._predictor = (load or load_model)(model)

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self._predictor.card

    def class_map(self) -> ClassMap | None:
        """Return the classes of the card."""
        return self.card.class_map

    def answer(
        self, case: Case, image: SpecimenImage | None, report: Report, watch: Watch | None = None
    ) -> Answer:
        """Segment the picture."""
        if image is None:
            raise ReadError("a model needs the picture, not only the labels", path=case.labels)
        more = {} if watch is None else {"watch": watch}
        prediction = self._predictor.predict(image, self.settings, report, **more)
        return Answer(SpecimenLabels.of(prediction.labels).replace(class_map=prediction.class_map))

    def describe(self) -> dict[str, Any]:
        """Return the model's name, version and checksums, and the settings."""
        return describe_model(self.card, self.settings)

    def close(self) -> None:
        """Hold nothing that memory would not give back by itself."""


def describe_model(card: ModelCard, settings: PredictSettings) -> dict[str, Any]:
    """Return what identifies a model and how it was run, as plain values."""
    return {
        "kind": "model",
        "model": card.name,
        "version": card.version,
        "architecture": card.architecture,
        "encoder": card.encoder,
        "card_sha256": card.card_sha256,
        "sha256": card.sha256,
        "settings": settings.model_dump(mode="json", exclude_defaults=True),
    }
