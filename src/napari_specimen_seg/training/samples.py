"""A sheet of varied samples, to be looked at before training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.classes import ClassMap
from .config import TrainConfig
from .dataset import Samples, Store
from .describe import class_map_of, preprocessing_of
from .losses import IGNORE
from .pairs import find_pairs

COUNT, COLUMNS, GAP = 12, 4, 4


@dataclass(frozen=True, slots=True)
class Sheet:
    """Samples side by side.

    Parameters
    ----------
    picture : array
        (Y, X, 3) or (Y, X) float32, 0 to 1.
    labels : array
        (Y, X): class ids; what is not learned is background here.
    class_map : ClassMap
    """

    picture: NDArray[np.float32]
    labels: NDArray[Any]
    class_map: ClassMap


class SampleSource:
    """Makes sheets one after another; pictures are read again only where they have to be."""

    def __init__(self) -> None:
        self._key: object = None
        self._store: Store | None = None
        self._class_map: ClassMap | None = None

    def sheet(self, config: TrainConfig, count: int = COUNT, turn: int = 0) -> Sheet:
        """Vary some pictures as training would.

        Parameters
        ----------
        config : TrainConfig
        count : int
            How many samples.
        turn : int
            Another number gives other samples.

        Returns
        -------
        Sheet

        Raises
        ------
        SpecimenError
            If data cannot be read.
        """
        preprocessing = preprocessing_of(config)
        key = config.data, preprocessing, count
        if key != self._key or self._store is None or self._class_map is None:
            found = find_pairs(config.data)
            self._class_map = config.data.class_map or class_map_of(config, found.pairs)
            self._store = Store(found.pairs[:count], config, self._class_map, preprocessing)
            self._key = key
        samples = Samples(self._store, config, preprocessing, len(self._class_map))
        return arranged(samples, preprocessing.in_channels, self._class_map, count, turn)


def sample_sheet(config: TrainConfig, count: int = COUNT) -> Sheet:
    """Vary some pictures as training would; see `SampleSource.sheet`."""
    return SampleSource().sheet(config, count)


def arranged(samples: Samples, channels: int, class_map: ClassMap, count: int, turn: int) -> Sheet:
    """Put samples side by side.

    Parameters
    ----------
    samples : Samples
    channels : int
        Of the network's input.
    class_map : ClassMap
    count : int
        How many samples.
    turn : int
        Another number gives other samples.

    Returns
    -------
    Sheet
    """
    height, width = samples.augment.shape
    rows = -(-count // COLUMNS)
    shape = rows * (height + GAP) - GAP, COLUMNS * (width + GAP) - GAP
    picture = np.ones((*shape, channels), np.float32)
    labels = np.zeros(shape, class_map.label_dtype)
    ids = np.array(class_map.ids)
    for number in range(count):
        shown, target = samples[(turn, number, number % len(samples))]
        top, left = number // COLUMNS * (height + GAP), number % COLUMNS * (width + GAP)
        place = slice(top, top + height), slice(left, left + width)
        unit = shown * samples.augment.std + samples.augment.mean
        picture[place] = unit.clamp(0, 1).permute(1, 2, 0).numpy()
        learned = target.numpy() != IGNORE
        labels[place] = np.where(learned, ids[np.where(learned, target.numpy(), 0)], 0)
    if picture.shape[-1] not in (1, 3):
        picture = picture[..., :1]
    return Sheet(picture[..., 0] if picture.shape[-1] == 1 else picture, labels, class_map)
