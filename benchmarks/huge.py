"""Pictures larger than the memory: memory and time from 4096 x 4096 to 65,536 x 65,536 pixels.

The picture is a zarr array on the disk, all of whose chunks are the same file; the network costs next to
nothing, so that what is measured is everything around it: reading, the range of values, tiles, choosing
classes, writing the store with its pyramid. Each size has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .harness import machine, markdown, write_into

SMALL, LARGE, CHUNK, TILE = 4096, 65536, 2048, 1024
LIMIT_S = 300


def picture(folder: Path, side: int) -> Path:
    """Write a zarr array of stained tissue, and return its folder."""
    import numpy as np
    import zarr
    from skimage.color import rgb2gray
    from skimage.data import immunohistochemistry

    tissue = (255 * rgb2gray(immunohistochemistry())).astype(np.uint8)
    array = zarr.open_group(str(folder), mode="w", zarr_format=3).create_array(
        "0", shape=(side, side), chunks=(CHUNK, CHUNK), dtype="uint8"
    )
    array[:CHUNK, :CHUNK] = np.tile(tissue, (CHUNK // 512, CHUNK // 512))
    first = folder / "0" / "c" / "0" / "0"
    for row in range(side // CHUNK):
        for column in range(side // CHUNK):
            path = folder / "0" / "c" / str(row) / str(column)
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                os.link(first, path)
    return folder


def predictor() -> Any:
    """Return a model of one multiplication per pixel, that looks at percentiles of the whole picture."""
    import torch

    from napari_specimen_seg.core.classes import PRESETS
    from napari_specimen_seg.core.input_settings import ByPercentile, Tiles
    from napari_specimen_seg.core.preprocessing import Preprocessing
    from napari_specimen_seg.models.card import Binary, ModelCard
    from napari_specimen_seg.models.predictor import Predictor

    class Stub(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -x

    card = ModelCard(
        name="stub",
        architecture="Unet",
        encoder="resnet18",
        class_map=PRESETS["nuclei"],
        head=Binary(),
        preprocessing=Preprocessing(
            channels="gray", values=ByPercentile(), mean=(0.5,), std=(0.5,), geometry=Tiles(size=TILE)
        ),
        license="CC0-1.0",
    ).sealed()
    return Predictor(card, Stub())


def run_one(folder: Path, side: int) -> dict[str, float]:
    """Predict a picture into a store and save it as TIFF; return seconds and peak memory."""
    import dask.array as da
    import psutil
    import zarr

    from napari_specimen_seg.core.files import write_labels
    from napari_specimen_seg.core.image import SpecimenImage, SpecimenLabels
    from napari_specimen_seg.models.large import open_result, predict_into
    from napari_specimen_seg.models.settings import PredictSettings

    model, settings = predictor(), PredictSettings()
    array = zarr.open_group(str(picture(folder / "picture.zarr", side)), mode="r")["0"]
    image = SpecimenImage(da.from_array(array, chunks=array.chunks), "tissue")
    begin = time.perf_counter()
    with open_result(folder / "labels.zarr", model, image, settings, {"side": side}) as store:
        first = 0.0
        for _ in predict_into(store, model, image, settings):
            first = first or time.perf_counter() - begin
        predicted = time.perf_counter() - begin
        assert store.labels[side // 2, side // 2 - 64 : side // 2].size == 64
        memory = _peak()
        begin = time.perf_counter()
        levels = tuple(level.as_dask() for level in store.levels[1:])
        write_labels(folder / "labels.tif", SpecimenLabels(store.labels.as_dask(), levels=levels))
        saved = time.perf_counter() - begin
    return {
        "first": first,
        "predicted": predicted,
        "peak": memory,
        "saved": saved,
        "peak_saved": _peak(),
        "tiff": (folder / "labels.tif").stat().st_size / 1e6,
        "rss": psutil.Process().memory_info().rss / 1e6,
    }


def _peak() -> float:
    """Return the most memory that this process ever held, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def table(sides: list[int]) -> str:
    """Run every size in a process of its own and return the table as Markdown."""
    found = {}
    for side in sides:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            command = [sys.executable, "-m", "benchmarks.huge", "--one", str(side), "--folder", folder]
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_S)
            found[side] = json.loads(done.stdout.splitlines()[-1])
    rows = [
        [
            f"{side:,} x {side:,}",
            f"{one['predicted']:.1f}",
            f"{side * side / 1e6 / one['predicted']:.0f}",
            f"{one['peak']:.0f}",
            f"{one['saved']:.1f}",
            f"{one['peak_saved']:.0f}",
        ]
        for side, one in found.items()
    ]
    head = [
        "picture",
        "predicted, s",
        "megapixels/s",
        "peak memory, MB",
        "saved as TIFF, s",
        "peak memory then, MB",
    ]
    growth = found[sides[-1]]["peak"] / found[sides[0]]["peak"] - 1
    return "\n\n".join(
        [
            f"A stub network on a zarr picture, results into a store with a pyramid. {machine()}.",
            markdown(head, rows),
            f"From the first to the last row the peak memory of predicting grows by {100 * growth:.1f} % "
            "(goal: 10 % at most).",
        ]
    )


def main() -> None:
    """Measure and print; with ``--write`` also put the table into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[SMALL, 16384, LARGE])
    parser.add_argument("--write", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(run_one(given.folder, given.one)))
        return
    text = table(given.sides)
    print(text)
    if given.write:
        write_into(given.write, "huge", text)


if __name__ == "__main__":
    main()
