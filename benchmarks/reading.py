"""Files of 100 megapixels: how long reading takes and how much memory it needs, beside other readers."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .harness import machine, markdown, peak_memory, write_into

SIDE = 10_000
OURS, BASE = "ours", "Pillow"

GOAL = 2.0
"""How many times as fast as Pillow."""


def scan(side: int) -> NDArray[np.uint8]:
    """Return stained tissue (side, side, 3) with the noise of a camera, so that it packs like a scan."""
    from skimage.data import immunohistochemistry

    tissue = immunohistochemistry()
    times = -(-side // len(tissue))
    picture = np.ascontiguousarray(np.tile(tissue, (times, times, 1))[:side, :side])
    rng = np.random.default_rng(0)
    for top in range(0, side, 500):
        band = picture[top : top + 500]
        np.minimum(band, 251, out=band)
        band += rng.integers(0, 4, band.shape, np.uint8)
    return picture


def mask(side: int) -> NDArray[np.uint8]:
    """Return a colour-coded mask (side, side, 3): flat areas, as people draw them."""
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(0)
    picture = Image.new("RGB", (side, side))
    pen = ImageDraw.Draw(picture)
    colors = rng.integers(0, 256, (12, 3)).tolist()
    for _ in range(side * side // 60_000):
        x, y = rng.integers(0, side, 2).tolist()
        wide, high = rng.integers(10, 200, 2).tolist()
        pen.ellipse((x - wide, y - high, x + wide, y + high), fill=tuple(colors[rng.integers(12)]))
    return np.asarray(picture)


def write_all(folder: Path, side: int) -> dict[str, Path]:
    """Write the picture in every format; return the files by what they are."""
    import imagecodecs
    import tifffile

    picture = scan(side)
    (folder / "a.png").write_bytes(imagecodecs.png_encode(picture, level=6))
    (folder / "mask.png").write_bytes(imagecodecs.png_encode(mask(side), level=6))
    (folder / "a.jpg").write_bytes(imagecodecs.jpeg8_encode(picture, level=92))
    tiles: dict[str, Any] = {"tile": (512, 512), "photometric": "rgb"}
    tifffile.imwrite(folder / "deflate.tif", picture, compression="deflate", predictor=True, **tiles)
    tifffile.imwrite(folder / "zstd.tif", picture, compression="zstd", predictor=True, **tiles)
    how = {"compression": "jpeg", "compressionargs": {"level": 90}, "subsampling": (2, 2)}
    tifffile.imwrite(folder / "jpeg.tif", picture, **{**tiles, **how, "photometric": "ycbcr"})
    return {
        "PNG of a scan": folder / "a.png",
        "PNG of a colour mask": folder / "mask.png",
        "JPEG": folder / "a.jpg",
        "TIFF, tiles, deflate": folder / "deflate.tif",
        "TIFF, tiles, zstd": folder / "zstd.tif",
        "TIFF, tiles, JPEG": folder / "jpeg.tif",
    }


def readers(path: Path) -> dict[str, Callable[[], object]]:
    """Return the ways to read a file into an array."""
    import imagecodecs
    import tifffile
    from PIL import Image

    from napari_specimen_seg.core.files.images import read_image

    Image.MAX_IMAGE_PIXELS = None
    found: dict[str, Callable[[], object]] = {
        OURS: lambda: np.asarray(read_image(path).data),
        BASE: lambda: np.asarray(Image.open(path)),
    }
    if path.suffix == ".tif":
        found["tifffile"] = lambda: tifffile.imread(path)
    else:
        decode = imagecodecs.png_decode if path.suffix == ".png" else imagecodecs.jpeg8_decode
        found["imagecodecs"] = lambda: decode(path.read_bytes())
    return found


def read_once(path: Path, name: str) -> None:
    """Read a file in this process and print what it took."""
    from napari_specimen_seg.core.files import bitmaps, tiff  # what is imported is not what is timed

    del bitmaps, tiff
    work = readers(path)[name]
    seconds = []

    def timed() -> None:
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)

    megabytes = peak_memory(timed)
    print(json.dumps({"seconds": seconds[0], "megabytes": megabytes}))


def measure(files: Mapping[str, Path], rounds: int) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Read each file with each reader in turn, each time in a fresh process."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for _ in range(rounds):
        for kind, path in files.items():
            for name in readers(path):
                command = [sys.executable, "-m", "benchmarks.reading", "--one", str(path), name]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                result = json.loads(done.stdout.splitlines()[-1])
                found.setdefault(kind, {}).setdefault(name, []).append(result)
    return found


def times_as_fast(found: Mapping[str, list[dict[str, float]]], name: str) -> float:
    """Return the median over rounds of how many times as fast as Pillow a reader is."""
    pairs = zip(found[BASE], found[name], strict=True)
    return statistics.median(base["seconds"] / own["seconds"] for base, own in pairs)


def ratios(rounds: int = 3, side: int = SIDE) -> dict[str, float]:
    """Return how many times as fast as Pillow we read each format."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(write_all(Path(folder), side), rounds)
    return {f"read {kind} / Pillow": times_as_fast(readings, OURS) for kind, readings in found.items()}


def table(found: Mapping[str, dict[str, list[dict[str, float]]]], side: int, rounds: int) -> str:
    """Return the figures as Markdown."""
    rows = []
    for kind, by_reader in found.items():
        for name, readings in by_reader.items():
            seconds = statistics.median(reading["seconds"] for reading in readings)
            memory = statistics.median(reading["megabytes"] for reading in readings)
            goal = f">= {GOAL:.1f}" if name == OURS else ""
            fast = f"{times_as_fast(by_reader, name):.2f}"
            rows.append([kind, name, f"{seconds:.2f}", fast, goal, f"{memory:.0f}"])
    head = ["file", "reader", "s", "times as fast as Pillow", "goal", "MB at its peak"]
    text = (
        f"{side} x {side} RGB, which takes {side * side * 3 / 1e6:.0f} MB; fresh processes, in turn, "
        f"median of {rounds}. {machine()}."
    )
    return f"{text}\n\n{markdown(head, rows)}"


def main() -> None:
    """Measure and print; with ``--write`` also put the table into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=SIDE, help="pixels")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("FILE", "READER"), help="for the processes it starts")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.one:
        read_once(Path(given.one[0]), given.one[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        found = measure(write_all(Path(folder), given.side), given.rounds)
    text = table(found, given.side, given.rounds)
    print(text)
    if given.write:
        write_into(given.write, "reading", text)


if __name__ == "__main__":
    main()
