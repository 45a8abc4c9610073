"""A model without a network, for tests of everything around it; other processes import it by name.

It calls dark pixels class 1 ("dark") and bright ones class 2 ("bright"); exactly 0 is background. Names of
pictures make it misbehave: "slow" reports for a minute, "deaf" computes for a minute without a report,
"full" runs out of memory, "bug" raises what nobody foresaw, "die" ends the process.
"""

import functools
import os
import sys
import time
from pathlib import Path

import numpy as np

from napari_specimen_seg.core.classes import ClassMap, LabelClass
from napari_specimen_seg.core.image import Prediction, SpecimenImage
from napari_specimen_seg.core.input_settings import ByDtype, Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.core.progress import Progress
from napari_specimen_seg.models.bundle import read_card
from napari_specimen_seg.models.card import ModelCard, Softmax
from napari_specimen_seg.models.library import find_model
from napari_specimen_seg.models.settings import PredictSettings

CLASSES = ClassMap(
    classes=(
        LabelClass(id=0, name="background", color="#000000"),
        LabelClass(id=1, name="dark", color="#1111ee"),
        LabelClass(id=2, name="bright", color="#ee1111"),
    )
)


def write_model(folder: Path, version: str = "1") -> Path:
    """Write a model folder that is a card and nothing else."""
    card = ModelCard(
        name="fake",
        version=version,
        description="Tells dark from bright.",
        architecture="Unet",
        encoder="resnet18",
        class_map=CLASSES,
        head=Softmax(),
        preprocessing=Preprocessing(
            geometry=Tiles(size=64, halo=8), values=ByDtype(), channels="gray", mean=(0.0,), std=(1.0,)
        ),
        license="CC0-1.0",
    ).sealed()
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(card.model_dump_json(), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def load(name: str) -> "FakePredictor":
    return FakePredictor(read_card(find_model(name)))


class FakePredictor:
    """What the batch needs of a `Predictor`."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card

    def predict(self, picture, settings=None, report=lambda progress: None) -> Prediction:
        settings = settings or PredictSettings()
        report(Progress("tile", 0, 2))
        misbehave(picture, report)
        data = np.asarray(picture.data)
        gray = data if "C" not in picture.axes else data[..., :3].mean(-1)
        labels = np.where(gray == 0, 0, np.where(gray < 128, 1, 2)).astype(np.uint8)
        objects = (labels > 0).astype(np.uint16) * 2 if settings.instances else None
        report(Progress("tile", 2, 2))
        return Prediction(
            labels=labels,
            confidence=np.full(labels.shape, 0.75, np.float32) if settings.confidence else None,
            class_map=self.card.class_map,
            provenance={
                "model": {"name": self.card.name, "card_sha256": self.card.card_sha256},
                "settings": settings.model_dump(mode="json"),
                "engine": {
                    "device": "cpu" if settings.device == "auto" else settings.device,
                    "backend": "torch",
                    "precision": "fp32",
                },
            },
            objects=objects,
            object_classes=np.array([0, 1, 2], np.uint16) if settings.instances else None,
        )


def misbehave(picture: SpecimenImage, report) -> None:
    name = picture.name
    if "slow" in name:
        for _ in range(1200):
            time.sleep(0.05)
            report(Progress("tile", 1, 2))
    elif "deaf" in name:
        time.sleep(60)
    elif "full" in name:
        raise MemoryError
    elif "bug" in name:
        raise ZeroDivisionError("division by zero")
    elif "die" in name:
        os._exit(9)


def install() -> None:
    """Let the command line use this model."""
    from napari_specimen_seg import batch

    for name in ("predict_files", "repeat_files"):
        setattr(batch, name, functools.partial(getattr(batch, name), load=load))


if __name__ == "__main__":
    # Imported under its own name, so that worker processes find `load` where it was pickled.
    from fake_model import install
    from napari_specimen_seg.cli import main

    install()
    sys.exit(main(sys.argv[1:]))
