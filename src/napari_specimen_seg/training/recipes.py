"""The five earlier systems as settings.

Each number is the system's own; where a recipe mends a flaw of its system, a comment says which.
"""

from __future__ import annotations

from ..core.classes import PRESETS
from ..core.input_settings import ByDtype, ByPercentile, FixedResize, PadToSquare, Tiles
from .config import (
    AugmentSettings,
    DataSettings,
    InputSettings,
    LearnSettings,
    NetworkSettings,
    TrainConfig,
)

NO_AUGMENT = AugmentSettings(
    flip_horizontal=False,
    rotate=0,
    shift=0,
    scale=0,
    brightness=0,
    contrast=0,
    gamma=0,
    hue=0,
    noise=0,
    blur=0,
)
"""The start for recipes that name what they do: everything else is off."""


def _only(**wanted: object) -> AugmentSettings:
    return NO_AUGMENT.model_copy(update=wanted)


FISH_TRAITS = TrainConfig(
    recipe="fish-traits",
    data=DataSettings(class_map=PRESETS["fish-traits"], kind="colors"),
    network=NetworkSettings(architecture="FPN", encoder="se_resnext50_32x4d"),
    input=InputSettings(values=ByDtype(), geometry=FixedResize(height=320, width=800, answer="nearest")),
    augment=_only(flip_horizontal=True, shift=0.1, rotate=15, scale=0.1, noise=0.2),
    learn=LearnSettings(
        head="sigmoid",
        losses={"dice": 1.0},
        optimizer="adam",
        weight_decay=0.0,
        lr=1e-4,
        schedule="constant",
        epochs=120,
        freeze_encoder=True,
        threshold=0.5,
        clip=0,
    ),
)

HERBARIUM = TrainConfig(
    recipe="herbarium",
    data=DataSettings(class_map=PRESETS["specimen"], kind="binary", split="column"),
    # Its decoder's self-attention is smp's scSE attention here.
    network=NetworkSettings(
        architecture="Unet", encoder="resnet34", options={"decoder_attention_type": "scse"}
    ),
    # Padded, never centre-cropped, so that the top and the bottom of a sheet are kept.
    input=InputSettings(values=ByDtype(), geometry=PadToSquare(size=512)),
    augment=_only(
        flip_horizontal=True,
        flip_vertical=True,
        rotate=10,
        scale=0.1,
        brightness=0.2,
        contrast=0.2,
        elastic=0.2,
        crop=(0.25, 0.9),
    ),
    learn=LearnSettings(
        head="softmax",
        losses={"cross_entropy": 1.0},
        optimizer="adam",
        lr=1e-3,
        schedule="one_cycle",
        frozen_epochs=10,
        epochs=10,
        discriminative=(400, 4),
        batch_size=4,
        precision="mixed",
        clip=0,
    ),
)

EMBRYO_GRAY = TrainConfig(
    recipe="embryo-gray",
    data=DataSettings(class_map=PRESETS["nuclei"], kind="binary"),
    network=NetworkSettings(architecture="Unet", encoder="resnet18"),
    input=InputSettings(channels="gray", values=ByDtype(), geometry=FixedResize(height=256, width=256)),
    augment=_only(flip_horizontal=True, flip_vertical=True, quarter_turns=True),
    learn=LearnSettings(
        head="binary", losses={"dice": 1.0}, optimizer="adam", weight_decay=0.0, lr=1e-3, epochs=24, clip=0
    ),
)

BALANCED = TrainConfig(
    recipe="balanced",
    network=NetworkSettings(architecture="FPN", encoder="resnet18"),
    input=InputSettings(values=ByDtype(), geometry=PadToSquare(size=256)),
    augment=_only(flip_horizontal=True, flip_vertical=True, trivial=True, erase=0.358),
    learn=LearnSettings(
        losses={"cross_entropy": 1.0},
        optimizer="sgd",
        lr=0.01,
        schedule="cosine",
        epochs=40,
        balance=(4, 2),
        per_class=50,
        precision="mixed",
    ),
)

NUCLEI_UNET = TrainConfig(
    recipe="nuclei-unet",
    data=DataSettings(class_map=PRESETS["nuclei"], kind="instances", validation_share=0.1),
    # Five levels of 16 to 256 filters: the decoder's; a small residual encoder stands for the plain one.
    network=NetworkSettings(
        architecture="Unet", encoder="resnet18", options={"decoder_channels": [256, 128, 64, 32, 16]}
    ),
    # The system resized every picture to 256 x 256; tiles of that size at native scale keep the shapes.
    input=InputSettings(values=ByPercentile(), geometry=Tiles(size=256, halo=32)),
    augment=_only(flip_horizontal=True, flip_vertical=True, quarter_turns=True),
    learn=LearnSettings(
        head="binary",
        losses={"cross_entropy": 1.0},
        optimizer="adam",
        weight_decay=0.0,
        lr=1e-3,
        schedule="constant",
        epochs=30,
        batch_size=8,
        threshold=0.4,
    ),
)

NUCLEI_HRNET = NUCLEI_UNET.model_copy(
    update={
        "recipe": "nuclei-hrnet",
        "network": NetworkSettings(architecture="Unet", encoder="tu-hrnet_w32"),
    }
)

RECIPES: dict[str, TrainConfig] = {
    recipe.recipe: recipe
    for recipe in (FISH_TRAITS, HERBARIUM, EMBRYO_GRAY, BALANCED, NUCLEI_UNET, NUCLEI_HRNET)
}
"""The recipes by name."""
