"""A model with a network so small that its answer can be worked out by hand; other processes import it.

Bright pixels (above half) are class 2, others class 1; nothing is class 0.
"""

from functools import partial

import torch

from fake_model import CLASSES
from napari_specimen_seg.core.input_settings import ByDtype, ByPercentile, Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.models.card import ModelCard, Softmax
from napari_specimen_seg.models.predictor import Predictor


class Threshold(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        nothing = torch.full_like(x, -9.0)
        return torch.cat([nothing, 0.5 - x, x - 0.5], 1)


def card(values=None, tile=64) -> ModelCard:
    return ModelCard(
        name="threshold",
        architecture="Unet",
        encoder="resnet18",
        class_map=CLASSES,
        head=Softmax(),
        preprocessing=Preprocessing(
            geometry=Tiles(size=tile, halo=8),
            values=values or ByDtype(),
            channels="gray",
            mean=(0.0,),
            std=(1.0,),
        ),
        license="CC0-1.0",
    ).sealed()


def load(name: str, values=None) -> Predictor:
    del name
    return Predictor(card(values), Threshold())


load_by_percentile = partial(load, values=ByPercentile(low=0, high=100))
