"""Labelled pictures in memory, and the samples that a network learns from.

A sample is a pure function of (seed, epoch, position): nothing is remembered between samples, so that a
run that is cut off and resumed sees exactly what it would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.classes import ClassMap
from ..core.errors import ReadError
from ..core.files import read_image, read_labels
from ..core.image import SpecimenImage
from ..core.input_settings import Tiles
from ..core.preprocessing import Preprocessing
from ..core.resizing import resize, resize_nearest
from ..core.temporary import temporary_folder
from .augmentation import Augment, Window
from .coco import paint
from .config import DataSettings, TrainConfig
from .losses import IGNORE
from .pair import Pair
from .rare import RarePixels

SPARE = 1.5
"""Pictures that are shrunk for the network are kept this much larger, for zooming in."""

IN_MEMORY = 2_000_000_000
"""Bytes of decoded pictures beyond which they are kept in a temporary file instead."""


@dataclass(slots=True)
class Example:
    """A decoded picture with its target.

    Parameters
    ----------
    pair : Pair
    picture : array
        (Y, X, C) uint16: values 0 to 1 by the card's range, times 65535.
    target : array
        (Y, X) int32: number of the class in the class map's order, `IGNORE` where not labelled.
    """

    pair: Pair
    picture: NDArray[np.uint16]
    target: NDArray[np.int32]

    def counts(self, classes: int) -> NDArray[np.int64]:
        """Return how many labelled pixels each class has."""
        labelled = self.target[self.target != IGNORE]
        return np.bincount(labelled.ravel(), minlength=classes)[:classes]


def read_target(
    pair: Pair, data: DataSettings, class_map: ClassMap, shape: tuple[int, int]
) -> NDArray[np.int32]:
    """Read a pair's masks as numbers of classes.

    Parameters
    ----------
    pair : Pair
    data : DataSettings
        What kind of masks these are, and the id that means "not labelled".
    class_map : ClassMap
    shape : (int, int)
        Height and width that the picture has.

    Returns
    -------
    array
        (Y, X) int32: position in the class map, `IGNORE` where not labelled.

    Raises
    ------
    ReadError
        If sizes differ or a value has no class.
    """
    ids = _read_ids(pair, data, class_map, shape)
    if ids.shape != shape:
        raise ReadError(
            f"the mask has {ids.shape[0]} x {ids.shape[1]} pixels, its picture {shape[0]} x {shape[1]}",
            path=pair.masks[0] if pair.masks else pair.picture,
        )
    table = np.full(int(ids.max(initial=0)) + 1, -2, np.int32)
    for position, class_id in enumerate(class_map.ids):
        if class_id < len(table):
            table[class_id] = position
    if data.background_id is not None and data.background_id < len(table):
        table[data.background_id] = class_map.ids.index(0)
    if data.ignore_id is not None and data.ignore_id < len(table):
        table[data.ignore_id] = IGNORE
    target: NDArray[np.int32] = table[ids]
    if (target == -2).any():
        strange = np.unique(ids[target == -2])
        raise ReadError(
            f"the mask has values without a class ({', '.join(map(str, strange[:5]))})",
            path=pair.masks[0] if pair.masks else pair.picture,
            advice="Add them to the classes, or name one as 'not labelled'.",
        )
    return target


def _read_ids(pair: Pair, data: DataSettings, class_map: ClassMap, shape: tuple[int, int]) -> NDArray[Any]:
    """Return the mask as class ids, whatever kind it is of."""
    if pair.regions:
        return paint(pair.regions, *shape)
    first = class_map.foreground[0].id
    if len(pair.masks) > 1:  # one object a file
        merged = np.zeros(shape, np.int64)
        for mask in pair.masks:
            part = np.asarray(read_labels(mask).data)
            if part.shape != shape:
                return part
            merged[part > 0] = first
        return merged
    labels = read_labels(pair.masks[0], class_map=class_map if data.kind == "colors" else None)
    ids = np.asarray(labels.data)
    if data.kind in ("binary", "instances"):
        ignored = (ids == data.ignore_id) if data.ignore_id is not None else np.zeros(ids.shape, bool)
        return np.where(ignored, ids, np.where(ids > 0, first, 0))
    return ids


def read_example(
    pair: Pair, data: DataSettings, class_map: ClassMap, preprocessing: Preprocessing
) -> Example:
    """Read, scale and where useful shrink one labelled picture.

    Parameters
    ----------
    pair : Pair
    data : DataSettings
    class_map : ClassMap
    preprocessing : Preprocessing

    Returns
    -------
    Example

    Raises
    ------
    SpecimenError
        If picture or mask cannot be read, or they do not fit.
    """
    image = read_image(pair.picture)
    plane = np.asarray(image.data)
    if image.planes():
        raise ReadError("is a stack; train on single pictures", path=pair.picture)
    target = read_target(pair, data, class_map, (image.height, image.width))
    unit = _unit_picture(image, plane, preprocessing)
    if not isinstance(preprocessing.geometry, Tiles):
        place = preprocessing.placement(*target.shape)
        rows, columns = math.ceil(place.height * SPARE), math.ceil(place.width * SPARE)
        if target.shape[0] > rows or target.shape[1] > columns:
            unit = resize(unit, rows, columns)
            target = resize_nearest(target, rows, columns)
    return Example(pair, np.rint(unit * 65535).astype(np.uint16), target)


def _unit_picture(
    image: SpecimenImage, plane: NDArray[Any], preprocessing: Preprocessing
) -> NDArray[np.float32]:
    values = preprocessing.value_range(plane, name=image.name, bit_depth=image.bit_depth)
    return np.clip(preprocessing.unit(preprocessing.to_channels(plane, name=image.name), values), 0, 1)


class Store(Sequence[Example]):
    """Decoded pictures, in memory or, where that is too much, in a temporary file.

    Parameters
    ----------
    pairs : sequence of Pair
    config : TrainConfig
    class_map : ClassMap
    preprocessing : Preprocessing
    """

    def __init__(
        self, pairs: Sequence[Pair], config: TrainConfig, class_map: ClassMap, preprocessing: Preprocessing
    ) -> None:
        self._examples: list[Example] = []
        self._folder: Path | None = None
        held = 0
        for pair in pairs:
            example = read_example(pair, config.data, class_map, preprocessing)
            held += example.picture.nbytes + example.target.nbytes
            self._examples.append(self._on_disk(example) if held > IN_MEMORY else example)

    def _on_disk(self, example: Example) -> Example:
        """Keep an example in a file from which only the pages that are looked at are read."""
        if self._folder is None:
            self._folder = temporary_folder(self)
        stem = self._folder / str(len(self._examples))
        arrays = []
        for name, array in (("picture", example.picture), ("target", example.target)):
            np.save(f"{stem}-{name}.npy", array, allow_pickle=False)
            arrays.append(np.load(f"{stem}-{name}.npy", mmap_mode="r", allow_pickle=False))
        return Example(example.pair, *arrays)

    def __getitem__(self, index: Any) -> Any:
        """Return an example."""
        return self._examples[index]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._examples)


class Samples(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Varied samples of a store; an index is (epoch, position, picture).

    Parameters
    ----------
    store : Store
    config : TrainConfig
    preprocessing : Preprocessing
    classes : int
        How many classes there are, background included.
    """

    def __init__(self, store: Store, config: TrainConfig, preprocessing: Preprocessing, classes: int) -> None:
        self.store = store
        self.config = config
        self.tiles = isinstance(preprocessing.geometry, Tiles)
        self.preprocessing = preprocessing
        shape = sample_shape(preprocessing)
        self.augment = Augment(config.augment, shape, preprocessing.mean, preprocessing.std)
        counts = np.stack([example.counts(classes) for example in store])
        self.rare = RarePixels(counts) if config.learn.rare_patches else None
        self.counts = counts

    def __getitem__(self, index: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """Return the picture (C, Y, X) float32 and target (Y, X) int64 of a sample."""
        epoch, position, number = index
        generator = torch.Generator().manual_seed(_mix(self.config.run.seed, epoch, position))
        example = self.store[number]
        positions = self.augment.positions(self._window(number, example, generator), generator)
        rows, columns = positions.box(*example.target.shape)  # the rest need not be made into numbers
        picture = torch.from_numpy(example.picture[rows, columns].astype(np.float32)).permute(2, 0, 1)
        target = torch.from_numpy(example.target[rows, columns].astype(np.int64))
        return self.augment.taken(picture / 65535, target, positions.moved(rows, columns), generator)

    def _window(self, number: int, example: Example, generator: torch.Generator) -> Window:
        height, width = example.target.shape
        if self.tiles:
            y, x = self._center(number, example.target, generator)
            return Window((y, x), (1.0, 1.0))
        place = self.preprocessing.placement(height, width)
        return Window(((height - 1) / 2, (width - 1) / 2), (height / place.height, width / place.width))

    def _center(self, number: int, target: NDArray[np.int32], generator: torch.Generator) -> tuple[int, int]:
        """Pick where a patch lies: anywhere, or on a pixel of a rare class."""
        share = self.config.learn.rare_patches
        if self.rare is not None and float(torch.rand((), generator=generator)) < share:
            place = self.rare.pick(number, target, generator)
            if place is not None:
                return place
        side = self.augment.shape[0]
        return tuple(_anywhere(extent, side, generator) for extent in target.shape)  # type: ignore[return-value]

    def __len__(self) -> int:
        """Return how many pictures there are; samples are drawn by the sampler."""
        return len(self.store)


def sample_shape(preprocessing: Preprocessing) -> tuple[int, int]:
    """Return height and width of the samples that a network learns from."""
    geometry = preprocessing.geometry
    if isinstance(geometry, Tiles):
        return geometry.size, geometry.size
    return preprocessing.placement(1, 1).shape


def _anywhere(extent: int, side: int, generator: torch.Generator) -> int:
    if extent <= side:
        return extent // 2
    return side // 2 + int(torch.randint(extent - side + 1, (), generator=generator))


def _mix(*numbers: int) -> int:
    """Return a seed that differs for every combination of numbers (splitmix64's finaliser)."""
    state = 0
    for number in numbers:
        state = (state ^ (number + 0x9E3779B97F4A7C15)) & (2**64 - 1)
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        state ^= state >> 31
    return state % (2**63)


def epoch_order(counts: NDArray[np.int64], config: TrainConfig, epoch: int) -> Iterator[int]:
    """Yield the numbers of the pictures of an epoch, in order.

    Parameters
    ----------
    counts : array
        (pictures, classes): labelled pixels.
    config : TrainConfig
    epoch : int

    Yields
    ------
    int
        Every picture `patches` times in random order; with balanced batches, k classes times m pictures
        that show them.
    """
    rng = np.random.default_rng(_mix(config.run.seed, epoch, -1))
    learn = config.learn
    chosen = np.arange(len(counts))
    if learn.per_class:
        chosen = _capped(counts, learn.per_class, rng)
    if learn.balance is None:
        order = np.tile(chosen, learn.patches)
        rng.shuffle(order)
        yield from order.tolist()
        return
    classes, each = learn.balance
    present = [c for c in range(1, counts.shape[1]) if (counts[chosen, c] > 0).any()] or [0]
    for _ in range(max(1, round(len(chosen) * learn.patches / (classes * each)))):
        for name in rng.choice(present, classes, replace=len(present) < classes):
            members = chosen[counts[chosen, name] > 0]
            yield from rng.choice(members, each, replace=len(members) < each).tolist()


def _capped(counts: NDArray[np.int64], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return at most so many pictures of every class, anew in every epoch."""
    kept: set[int] = set()
    for name in range(counts.shape[1]):
        members = np.flatnonzero(counts[:, name] > 0)
        kept.update(rng.permutation(members)[:most].tolist() if name else [])
    return np.array(sorted(kept) or list(range(len(counts))), np.int64)
