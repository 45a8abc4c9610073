"""What the settings and the data say of the model to be: its input, its classes, its card."""

from __future__ import annotations

import hashlib

import numpy as np

from ..core.classes import PRESETS, ClassMap
from ..core.errors import SpecimenError
from ..core.files import read_labels
from ..core.preprocessing import Preprocessing
from ..models.bundle import read_card
from ..models.card import Binary, ModelCard, Sigmoid, Softmax, Training
from ..models.library import find_model
from .coco import categories_of
from .config import TrainConfig
from .pair import Pair

IMAGENET = {"rgb": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), "gray": ((0.449,), (0.226,))}
"""Mean and deviation of photographs, values 0 to 1; for grey their averages."""


def preprocessing_of(config: TrainConfig) -> Preprocessing:
    """Return the preprocessing that the settings ask for; that of the starting model where there is one."""
    if config.network.start_from:
        start = read_card(find_model(config.network.start_from)).preprocessing
        if start.channels == config.input.channels:
            return start.model_copy(update={"values": config.input.values, "geometry": config.input.geometry})
    channels = config.input.channels
    mean, std = IMAGENET.get(str(channels), ((0.5,), (0.25,)))
    if isinstance(channels, int):
        mean, std = mean * channels, std * channels
    return Preprocessing(
        channels=channels, values=config.input.values, mean=mean, std=std, geometry=config.input.geometry
    )


def card_of(
    config: TrainConfig,
    class_map: ClassMap,
    preprocessing: Preprocessing,
    learn: list[Pair],
    validate: list[Pair],
    name: str,
) -> ModelCard:
    """Return the card of the model to be trained; scores come later."""
    settings = config.learn
    kind = settings.head
    if kind == "auto":
        kind = "binary" if len(class_map.foreground) == 1 else "softmax"
    head: Softmax | Sigmoid | Binary = Softmax()
    if kind == "sigmoid":
        head = Sigmoid(threshold=settings.threshold)
    elif kind == "binary":
        head = Binary(threshold=settings.threshold)
    start = config.network.start_from
    parent = read_card(find_model(start)) if start else None
    clean = "".join(c if c.isalnum() or c in "._- " else "-" for c in config.run.name or name).strip("._- ")
    return ModelCard(
        name=clean or "model",
        description=f"Trained with the recipe {config.recipe}." if config.recipe else "",
        architecture=config.network.architecture,
        encoder=config.network.encoder,
        options={k: tuple(v) if isinstance(v, list) else v for k, v in config.network.options.items()},
        class_map=class_map,
        head=head,
        preprocessing=preprocessing,
        license=parent.license if parent else "",
        training=Training(
            data=str(config.data.images.name if config.data.images else ""),
            pictures=len(learn),
            split=f"{config.data.split}, {len(validate)} pictures for validation, seed {config.run.seed}",
            data_sha256=data_hash(learn + validate),
            attribution=parent.training.attribution if parent else (),
            notes=learned_on_from(parent) if parent else "",
        ),
    )


def learned_on_from(parent: ModelCard) -> str:
    """Return in a sentence from which model another one learned on, and that its licence applies.

    Parameters
    ----------
    parent : ModelCard

    Returns
    -------
    str
    """
    said = f"Learned on from {parent.name}"
    if not parent.license:
        return f"{said}, whose licence is not stated."
    return f"{said}, whose licence {parent.license} applies; that of the pictures is not stated."


def data_hash(pairs: list[Pair]) -> str:
    """Return one SHA-256 over all pictures and masks, by name and content."""
    digest = hashlib.sha256()
    for pair in sorted(pairs, key=lambda p: p.name):
        for path in (pair.picture, *pair.masks):
            digest.update(f"{path.name}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        digest.update(repr(pair.regions).encode())
    return digest.hexdigest()


def class_map_of(config: TrainConfig, pairs: list[Pair]) -> ClassMap:
    """Find out the classes: from the masks' own class map, a COCO file, or the values that occur."""
    data = config.data
    if data.labels is not None and data.labels.suffix.lower() == ".json":
        return categories_of(data.labels)
    found: set[int] = set()
    for pair in pairs:
        labels = read_labels(pair.masks[0])
        if data.kind in ("binary", "instances"):
            return PRESETS["nuclei" if data.kind == "instances" else "specimen"]
        if labels.class_map is not None:
            return labels.class_map
        found.update(np.unique(np.asarray(labels.data)).tolist())
        if len(found) > 256:
            raise SpecimenError(
                "the masks hold hundreds of values: they number objects",
                path=pair.masks[0],
                advice="Choose 'instances' as the kind of masks, or give a class map.",
            )
    return ClassMap.of_ids(sorted(found - {data.ignore_id, data.background_id}))
