"""Labelled toy pictures and a toy network, for the tests of the Train dock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from napari_specimen_seg.core.input_settings import PadToSquare


def write_pictures(folder: Path, count: int = 12) -> Path:
    """Write pictures with a bright square each, and their masks."""
    rng = np.random.default_rng(0)
    for number in range(count):
        mask = np.zeros((64, 64), np.uint8)
        y, x = rng.integers(8, 40, 2)
        mask[y : y + 16, x : x + 16] = 1
        for name, content in (
            ("images", 60 + 100 * mask + rng.integers(0, 40, (64, 64))),
            ("labels", mask),
        ):
            (folder / name).mkdir(exist_ok=True, parents=True)
            Image.fromarray(content.astype(np.uint8)).save(folder / name / f"p{number:02}.png")
    return folder


def small(dock: Any, out: Path, **learn: Any) -> None:
    """Let the dock train a toy network."""
    dock.setup.recipe.setCurrentText("embryo-gray")
    dock.settings.set("network", encoder="tu-resnet10t")
    dock.settings.set("input", geometry=PadToSquare(size=32))
    dock.settings.set("learn", **{"batch_size": 8, **learn})
    dock.settings.set("run", device="cpu")
    dock.setup.out.setText(str(out))


def looked(dock: Any, data: Path, qtbot: Any) -> None:
    """Choose folders and wait until they were looked at."""
    dock.data.use_folders(data / "images", data / "labels")
    qtbot.waitUntil(lambda: dock._looked is not None and dock.job is None, timeout=60_000)
