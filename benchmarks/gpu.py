"""Prediction on a GPU beside the network alone, and what the host's side of it can feed.

The floor is the same network on as many input pixels that lie on the GPU already, in bf16 and channels-last,
without choosing classes; it is timed in turn with predicting a picture in memory. The host's side is all of
predicting but what the GPU does: cutting, copying to where a GPU fetches from, copying classes back, joining.
It is timed on any machine, and tells how fast a GPU may be before it waits.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import drawn
from .harness import in_turn, machine, markdown, ratio, write_into

NETWORKS = (("FPN", "se_resnext50_32x4d"), ("Unet", "resnet34"))
PRECISIONS = ("bf16", "fp32")
GOAL = 1.10


def picture(side: int) -> NDArray[np.uint8]:
    """Return (side, side, 3) of noise; what is in it does not change how long it takes."""
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


def model(architecture: str, encoder: str) -> Any:
    """Return a network with random weights, ready to predict."""
    import torch

    from napari_specimen_seg.models.network import build_network
    from napari_specimen_seg.models.predictor import Predictor

    torch.manual_seed(0)
    card = drawn.card().model_copy(update={"architecture": architecture, "encoder": encoder})
    return Predictor(card, build_network(card).eval())


def floor_of(predictor: Any, plan: Any, size: int) -> Callable[[], None]:
    """Return a function that computes only the network, for all tiles of a plan."""
    import torch

    backend = predictor._backend
    shape = (size, predictor.card.preprocessing.in_channels, plan.height, plan.width)
    batch = torch.rand(shape, device="cuda").contiguous(memory_format=torch.channels_last)
    count = len(plan.tiles) / size

    def run() -> None:
        for _ in range(int(count)):
            backend.forward(batch)
        rest = round((count - int(count)) * size)
        if rest:
            backend.forward(batch[:rest])
        torch.cuda.synchronize()

    return run


def on_gpu(side: int, rounds: int) -> list[list[str]]:
    """Time every network in every precision."""
    import torch

    from napari_specimen_seg.models.settings import PredictSettings

    pixels = picture(side)
    rows = []
    for architecture, encoder in NETWORKS:
        predictor = model(architecture, encoder)
        for precision in PRECISIONS:
            settings = PredictSettings(device="cuda", backend="torch", precision=precision)
            plan = predictor.plan(pixels, settings)
            torch.cuda.reset_peak_memory_stats()
            predictor.predict(pixels, settings)
            size = predictor._backend.batch_size(plan.height, plan.width)
            works = {
                "alone": floor_of(predictor, plan, size),
                "predict": partial(predictor.predict, pixels, settings),
            }
            times = in_turn(works, rounds)
            speed = {name: pixels.shape[0] ** 2 / 1e6 / min(times[name]) for name in times}
            rows.append(
                [
                    f"{architecture} {encoder}",
                    precision,
                    f"{plan.width}, {size}",
                    f"{speed['alone']:.0f}",
                    f"{speed['predict']:.0f}",
                    f"{ratio(times, 'predict', 'alone'):.3f}",
                    f"{torch.cuda.max_memory_allocated() / 2**20:.0f}",
                ]
            )
    return rows


def of_the_host(side: int, rounds: int, dtype: str) -> float:
    """Return the megapixels a second that go through everything but the GPU."""
    import torch

    from napari_specimen_seg.core.image import SpecimenImage
    from napari_specimen_seg.models import torch_run
    from napari_specimen_seg.models.devices import Engine
    from napari_specimen_seg.models.predictor import Predictor
    from napari_specimen_seg.models.torch_device import DeviceBackend

    class Idle(DeviceBackend):
        """A GPU that takes no time at all."""

        def choose_pixels(self, pixels: Any, terms: Any, ask: Any) -> list[NDArray[Any]]:
            del terms, ask
            return [np.zeros(pixels.shape[:3], np.uint8)]

        def lanes(self, height: int, width: int) -> int:
            del height, width
            return 2  # as on CUDA

        def batch_size(self, height: int, width: int) -> int:
            return max(1, torch_run.MOST_PIXELS // (height * width))

    card = drawn.card()
    backend = Idle(torch.nn.Conv2d(3, drawn.CLASSES, 1), card, Engine("cpu", "torch", "fp32"))

    class Host(Predictor):
        """A model that such a GPU computes."""

        def _backend_for(self, engine: Any) -> Any:
            del engine
            return backend

    pixels = picture(side).astype(dtype)
    whole = SpecimenImage.of(pixels)
    host = Host(card, torch.nn.Conv2d(3, drawn.CLASSES, 1))
    times = in_turn({"host": lambda: host.predict(whole)}, rounds)
    return side**2 / 1e6 / min(times["host"])


def main() -> None:
    """Measure and print; with ``--write`` also put the tables into a page."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=8192, help="pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    texts = [f"{drawn.CLASSES} classes, {given.side} x {given.side} in memory. {machine()}."]
    if torch.cuda.is_available():
        head = [
            "network", "precision", "tile, batch", "network alone, megapixels/s", "predict, megapixels/s",
            f"predict / network alone (goal {GOAL})", "MB on the GPU",
        ]  # fmt: skip
        texts += [torch.cuda.get_device_name(), markdown(head, on_gpu(given.side, given.rounds))]
    kinds = ("uint8", "uint16", "float32")
    hosts = [[kind, f"{of_the_host(given.side, given.rounds, kind):.0f}"] for kind in kinds]
    texts.append(markdown(["pixels", "the host's side alone, megapixels/s"], hosts))
    text = "\n\n".join(texts)
    print(text)
    if given.write:
        write_into(given.write, "gpu", text)


if __name__ == "__main__":
    main()
