"""Drawn specimens, and a network that has learned them for a minute.

With random weights the classes of most pixels are a narrow choice, so that how well two ways of computing
agree says nothing. A minute of learning gives answers as sure as those of a real model. Pictures and weights
are kept in the user's cache folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASSES = 12
ARCHITECTURE, ENCODER = "Unet", "resnet34"


def cache() -> Path:
    """Return the folder where pictures and weights are kept."""
    from platformdirs import user_cache_path

    folder = user_cache_path("napari-specimen-seg", appauthor=False) / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def draw(side: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a picture (side, side, 3) of textured ellipses on paper, and their classes (side, side)."""
    from scipy.ndimage import gaussian_filter
    from skimage.draw import ellipse

    rng = np.random.default_rng(seed)
    classes = np.zeros((side, side), np.uint8)
    picture = np.full((side, side, 3), (205, 200, 190), np.uint8)
    colors = np.random.default_rng(99).integers(20, 235, (CLASSES, 3))
    for _ in range(side * side // 6000):
        kind = int(rng.integers(1, CLASSES))
        center, angle = rng.integers(side, size=2), float(rng.uniform(-np.pi, np.pi))
        axes = int(rng.integers(12, 60)), int(rng.integers(6, 31))
        color = np.clip(colors[kind] + rng.integers(-18, 19, 3), 0, 255)
        where = ellipse(*center, *axes, shape=classes.shape, rotation=angle)
        picture[where], classes[where] = color, kind
        if kind % 2:
            inside = ellipse(*center, *(max(2, axis // 2) for axis in axes), classes.shape, angle)
            picture[inside] = (color * 0.6).astype(np.uint8)
    for channel in range(3):
        picture[..., channel] = gaussian_filter(picture[..., channel], 1.2)
    for top in range(0, side, 512):
        band = picture[top : top + 512]
        noise = rng.normal(0, 9, (*band.shape[:2], 1)) + rng.normal(0, 4, band.shape)
        band[:] = np.clip(band + noise, 0, 255)
    return picture, classes


def specimens(side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a drawn picture and its classes, from the cache if they were drawn before."""
    path = cache() / f"drawn-{side}.npz"
    if not path.exists():
        picture, classes = draw(side, side)
        np.savez(path.with_suffix(".tmp.npz"), picture=picture, classes=classes)
        path.with_suffix(".tmp.npz").rename(path)
    with np.load(path) as stored:
        return stored["picture"], stored["classes"]


def card() -> Any:
    """Return the card of the network that learns drawn specimens."""
    from napari_specimen_seg.core.classes import ClassMap, LabelClass
    from napari_specimen_seg.core.input_settings import Tiles
    from napari_specimen_seg.core.preprocessing import Preprocessing
    from napari_specimen_seg.models.card import ModelCard, Softmax

    classes = tuple(
        LabelClass(id=i, name=f"class {i}" if i else "background", color=f"#{i:02x}{20 * i:02x}80")
        for i in range(CLASSES)
    )
    return ModelCard(
        name="drawn",
        architecture=ARCHITECTURE,
        encoder=ENCODER,
        class_map=ClassMap(classes=classes),
        head=Softmax(),
        preprocessing=Preprocessing(geometry=Tiles(size=512, halo=32)),
    )


def model(steps: int = 150) -> Path:
    """Return the folder of the network, after it has learned if it had not before."""
    folder = cache() / f"{ARCHITECTURE}-{ENCODER}-{steps}"
    if not (folder / "card.json").exists():
        _learn(folder, steps)
    return folder


def _learn(folder: Path, steps: int) -> None:
    import torch

    from napari_specimen_seg.models.bundle import write_bundle
    from napari_specimen_seg.models.context import with_context
    from napari_specimen_seg.models.network import build_network

    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    made = card()
    picture, classes = draw(4096, 7)
    network = build_network(made).train().to(memory_format=torch.channels_last)
    best = torch.optim.Adam(network.parameters(), 1e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(best, 3e-3, steps)
    normalise = made.preprocessing.normalise
    for _ in range(steps):
        corners = rng.integers(0, 4096 - 256, (6, 2))
        cuts = [(slice(y, y + 256), slice(x, x + 256)) for y, x in corners]
        batch = torch.from_numpy(np.stack([normalise(picture[cut], (0, 255)) for cut in cuts]))
        truth = torch.from_numpy(np.stack([classes[cut].astype(np.int64) for cut in cuts]))
        with torch.autocast("cpu", torch.bfloat16):
            output = network(batch.contiguous(memory_format=torch.channels_last))
        loss = torch.nn.functional.cross_entropy(output.float(), truth)
        best.zero_grad()
        loss.backward()
        best.step()
        rate.step()
    weights = network.eval().state_dict()
    write_bundle(folder, with_context(made, weights), weights)


def shrunk(precision: str) -> Path:
    """Return the folder of the network in OpenVINO's form, made once."""
    from PIL import Image

    from napari_specimen_seg.models.exporting import export_model

    folder = cache() / f"{model().name}-{precision}"
    if not (folder / "card.json").exists():
        pictures = cache() / "calibration"
        pictures.mkdir(exist_ok=True)
        for seed in range(4):
            Image.fromarray(draw(512, 100 + seed)[0]).save(pictures / f"{seed}.png")
        export_model(model(), folder, "openvino", precision=precision, calibrate=pictures)
    return folder


if __name__ == "__main__":
    print(model())
