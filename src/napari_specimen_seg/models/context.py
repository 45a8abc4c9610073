"""How far around a pixel a network looks, measured once for each model by what it answers.

A tile's answer near its edge differs from that of the whole picture, because the network misses what lies
beyond. How quickly the difference fades towards the inside (the effective receptive field; Luo et al. 2016,
Understanding the effective receptive field in deep convolutional neural networks) is seen by computing a
picture once as a whole and once cut out of its middle. Networks that look at the whole tile at once, such as
those with squeeze-and-excitation, show a difference that does not fade.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.input_settings import Tiles
from .card import Context, ModelCard
from .network import stride_of_card

if TYPE_CHECKING:
    import torch

Forward = Callable[[NDArray[np.float32]], NDArray[np.float32]]

TOLERANCE = 0.02
"""How large a difference may be at the halo, relative to the spread of the scores (root mean squares).

A Unet with a resnet34 then gets 64 pixels, with which 99.99 % of the labels are those of the whole picture.
"""

WHOLE = 0.01
"""How large the difference may be at the end of `REACH`; where it is larger it does not fade at all."""

REACH = 192
"""How far into the cut picture differences are looked for, in pixels."""

STEP = 8
"""A halo is a multiple of this."""

LARGEST_SIDE = 1152
"""Of tiles fitted to the picture, in pixels.

The larger the tiles, the fewer pixels are computed twice (1.13 times as many as a picture of 4096 x 4096
has, against 1.9 with tiles of 512 and a quarter of overlap) and the more memory each needs. It is the same
on every machine, so that masks are.
"""


def tiles_of(card: ModelCard) -> Tiles:
    """Return the tiles that a model works in: the card's, or larger ones where it is known how far it looks.

    Parameters
    ----------
    card : ModelCard
        Of a model that works in tiles.

    Returns
    -------
    Tiles
    """
    tiles, context = card.preprocessing.geometry, card.context
    assert isinstance(tiles, Tiles)
    if context is None or card.onnx is not None:
        return tiles
    if context.whole:
        return tiles.model_copy(update={"fitted": False})
    side = max(tiles.size, LARGEST_SIDE) if tiles.fitted else tiles.size
    return tiles.model_copy(update={"size": side, "halo": min(context.halo, (side - 1) // 2)})


def with_context(card: ModelCard, weights: Mapping[str, torch.Tensor] | bytes) -> ModelCard:
    """Measure how far a model of torch looks, and write it into its card.

    Parameters
    ----------
    card : ModelCard
    weights : mapping of str to torch.Tensor, or bytes
        The state dict; a network of another engine (bytes) is not measured.

    Returns
    -------
    ModelCard
        The card itself where the model does not work in tiles, or does not answer to the measurement.
    """
    if not isinstance(card.preprocessing.geometry, Tiles) or isinstance(weights, bytes):
        return card
    from .network import build_network, load_weights

    network = build_network(card)
    load_weights(network, weights, card.name)
    try:
        return card.model_copy(update={"context": measure_context(_forward(network), card)})
    except RuntimeError:  # such as a network of one size only
        return card


def _forward(network: torch.nn.Module) -> Forward:
    import torch

    def forward(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(batch)).float().numpy())

    return forward


def measure_context(forward: Forward, card: ModelCard, pictures: int = 2) -> Context:
    """Find the halo that the tiles of a model need.

    Parameters
    ----------
    forward : callable
        Takes and gives (N, C, Y, X) float32, as `Backend.scores`.
    card : ModelCard
        Of a model that works in tiles.
    pictures : int
        How many drawn pictures to measure on.

    Returns
    -------
    Context
        The least halo beyond which the difference stays within `TOLERANCE`; `Context.whole` where it does
        not fade within `REACH`.
    """
    fading = np.mean([difference(forward, card, seed) ** 2 for seed in range(pictures)], axis=0) ** 0.5
    beyond = np.flatnonzero(fading > TOLERANCE)
    last = int(beyond[-1]) + 1 if beyond.size else 0
    whole = bool(fading[-REACH // 6 :].max() > WHOLE)
    return Context(halo=min(-(-last // STEP) * STEP, REACH), whole=whole)


def difference(forward: Forward, card: ModelCard, seed: int) -> NDArray[np.float64]:
    """Return how much a cut picture's answer differs from the whole one's, by the distance from the cut.

    Parameters
    ----------
    forward : callable
    card : ModelCard
    seed : int
        Of the picture.

    Returns
    -------
    array
        (REACH,) root mean square of the difference, relative to the standard deviation of the scores.

    Raises
    ------
    RuntimeError
        If the answer is not as large as the picture, or not finite: then it tells nothing.
    """
    stride = stride_of_card(card)
    margin = -(-REACH // stride) * stride
    picture = card.preprocessing.normalise(
        _picture(4 * margin, card.preprocessing.in_channels, seed), (0, 255)
    )
    inside = slice(margin, 3 * margin)
    whole = forward(np.ascontiguousarray(picture[None]))[0, :, inside, inside]
    cut = forward(np.ascontiguousarray(picture[None, :, inside, inside]))[0]
    if not whole.shape[1:] == cut.shape[1:] == (2 * margin, 2 * margin):
        raise RuntimeError("the answer is not as large as the picture")
    square = ((whole - cut) ** 2).mean(axis=0, dtype=np.float64)
    if not np.isfinite(square).all():
        raise RuntimeError("the answer is not finite")
    edge = np.minimum(np.arange(2 * margin), np.arange(2 * margin)[::-1])
    distance = np.minimum(edge[:, None], edge)
    sums = np.bincount(distance.ravel(), square.ravel(), margin)
    spread = max(float(whole.std(dtype=np.float64)), 1e-12)
    return np.sqrt(sums / np.bincount(distance.ravel(), minlength=margin))[:REACH] / spread


def _picture(side: int, channels: int, seed: int) -> NDArray[np.uint8]:
    """Draw things of all sizes: discs on a ground whose spectrum falls like that of photographs."""
    rng = np.random.default_rng(seed)
    ground = np.zeros((side, side, channels))
    for size in (1, 4, 16, 64):
        grain = rng.normal(0, size**0.5, (-(-side // size), -(-side // size), channels))
        ground += grain.repeat(size, axis=0).repeat(size, axis=1)[:side, :side]
    picture = 150 + 8 * ground
    rows, columns = np.mgrid[:side, :side]
    for _ in range(side * side // 6000):
        row, column, radius = *rng.integers(0, side, 2), rng.integers(6, 50)
        disc = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        picture[disc] = rng.integers(20, 235, channels) + rng.normal(0, 9, (int(disc.sum()), channels))
    return picture.clip(0, 255).astype(np.uint8)
