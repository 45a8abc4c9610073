"""Turn specimen pictures into measurements: load, segment, correct, measure and train, in napari.

The names below are the public interface. Importing this package loads neither torch, napari nor Qt:
each name is fetched from its room when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.classes import ClassMap, LabelClass
    from .core.errors import SpecimenError
    from .core.files import read_image, read_labels, write_labels
    from .core.image import Prediction, SpecimenImage, SpecimenLabels
    from .core.measure import measure
    from .evaluation.evaluate import evaluate
    from .models.card import ModelCard
    from .models.predictor import Predictor, load_model
    from .training.config import TrainConfig
    from .training.run import train

__version__ = "0.1.0"

_ROOMS = {
    "ClassMap": "core.classes",
    "LabelClass": "core.classes",
    "ModelCard": "models.card",
    "Prediction": "core.image",
    "Predictor": "models.predictor",
    "SpecimenError": "core.errors",
    "SpecimenImage": "core.image",
    "SpecimenLabels": "core.image",
    "TrainConfig": "training.config",
    "evaluate": "evaluation.evaluate",
    "load_model": "models.predictor",
    "measure": "core.measure",
    "read_image": "core.files",
    "read_labels": "core.files",
    "train": "training.run",
    "write_labels": "core.files",
}

__all__ = [
    "ClassMap",
    "LabelClass",
    "ModelCard",
    "Prediction",
    "Predictor",
    "SpecimenError",
    "SpecimenImage",
    "SpecimenLabels",
    "TrainConfig",
    "evaluate",
    "load_model",
    "measure",
    "read_image",
    "read_labels",
    "train",
    "write_labels",
]


def __getattr__(name: str) -> Any:
    """Fetch a public name from its room on first use."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ROOMS[name]}", __name__), name)


def __dir__() -> list[str]:
    """List the public names for completion."""
    return sorted(__all__)
