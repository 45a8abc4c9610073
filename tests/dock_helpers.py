"""A model without a network, and ways to wait for docks: what the tests of the docks share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.image import Prediction, SpecimenImage
from napari_specimen_seg.core.input_settings import PadToSquare, Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.core.progress import Progress, Report, silent
from napari_specimen_seg.models.bundle import read_card
from napari_specimen_seg.models.card import Attribution, Binary, ModelCard, Softmax, Training
from napari_specimen_seg.models.library import find_model
from napari_specimen_seg.models.settings import PredictSettings

BEETLE = ("beetle", "beetle-parts", Softmax(), Preprocessing(geometry=Tiles(size=256)))
NUCLEI = ("cells", "nuclei", Binary(threshold=0.4), Preprocessing(geometry=Tiles(size=512)))
WHOLE = ("whole", "specimen", Softmax(), Preprocessing(geometry=PadToSquare(size=128)))


def make_card(name: str, preset: str, head: Any, preprocessing: Preprocessing) -> ModelCard:
    card = ModelCard(
        name=name,
        description="Finds <b>parts</b>.",
        architecture="FPN",
        encoder="resnet34",
        class_map=PRESETS[preset],
        head=head,
        preprocessing=preprocessing,
        license="CC-BY-4.0",
        scores={"val": {"mean iou": 0.81, "iou head": 0.7}},
        training=Training(
            data="drawn beetles",
            pictures=224,
            attribution=(Attribution(title="Beetles <of> NEON", license="CC BY 4.0", doi="10.1/x"),),
        ),
    )
    return card.sealed()


def write_models(folder: Path) -> None:
    for name, preset, head, preprocessing in (BEETLE, NUCLEI, WHOLE):
        place = folder / name
        place.mkdir(parents=True)
        card = make_card(name, preset, head, preprocessing)
        (place / "card.json").write_text(card.model_dump_json(), encoding="utf-8")


class FakePredictor:
    """Calls the darkest fifth of the values 1, the next 2, and so on: easy to work out by hand.

    Parameters
    ----------
    gate : threading.Event, optional
        Every tile waits for it.
    error : BaseException, optional
        Raised instead of a result.
    """

    def __init__(self, card: ModelCard, gate: threading.Event | None, error: BaseException | None) -> None:
        self.card, self.gate, self.error = card, gate, error
        self.asked: list[tuple[SpecimenImage, PredictSettings]] = []

    def predict(self, picture: Any, settings: PredictSettings, report: Report = silent) -> Prediction:
        image = SpecimenImage.of(picture)
        self.asked.append((image, settings))
        for done in range(3):
            report(Progress("tile", done, 3))
            while self.gate is not None and not self.gate.wait(0.01):
                report(Progress("tile", done, 3))
        if self.error is not None:
            raise self.error
        return predicted(image, self.card, settings)


def predicted(image: SpecimenImage, card: ModelCard, settings: PredictSettings) -> Prediction:
    class_map = card.class_map
    values = np.asarray(image.data)
    if "C" in image.axes:
        values = values[..., 0]
    labels = np.clip(values, 0, max(class_map.ids)).astype(class_map.label_dtype)
    objects = labels.astype(np.uint32) * 7 if settings.instances else None
    return Prediction(
        labels=labels,
        confidence=np.full(labels.shape, 0.5, np.float32) if settings.confidence else None,
        class_map=class_map,
        provenance={
            "model": {"name": card.name, "version": card.version, "card_sha256": card.card_sha256},
            "settings": settings.model_dump(mode="json"),
            "engine": {"device": "cpu", "backend": "none", "precision": "fp32"},
        },
        objects=objects,
        object_classes=None if objects is None else np.repeat(np.arange(max(class_map.ids) + 1), 7),
    )


class Models:
    """Stands in for `load_model`; what it is set to counts for the next load."""

    def __init__(self) -> None:
        self.gate: threading.Event | None = None
        self.error: BaseException | None = None
        self.loaded: list[FakePredictor] = []

    def __call__(self, name: Any) -> FakePredictor:
        made = FakePredictor(read_card(find_model(name)), self.gate, self.error)
        self.loaded.append(made)
        return made


def until(qtbot: Any, condition: Callable[[], bool]) -> None:
    qtbot.waitUntil(condition, timeout=10_000)


def finish(qtbot: Any, dock: Any) -> None:
    """Wait until a dock has nothing to do."""
    until(qtbot, lambda: dock.job is None and not getattr(dock, "_stale", False))
