"""How long a person waits before anything happens: import, help, the list of models, a first answer."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .harness import Work, in_turn, markdown, ratio, write_into

NOTHING, NUMPY = "python -c pass", "python -c 'import numpy'"
HELP, MODELS = "specimen-seg --help", "specimen-seg models"
TORCH = "specimen-seg predict, one small picture, torch"
KEPT = "specimen-seg predict, one small picture, OpenVINO, converted before"

GOALS = {HELP: 0.1, MODELS: 0.15, KEPT: 1.2, TORCH: 3.5}
"""Seconds on the two cores that `docs/benchmarks.md` names."""


def commands(folder: Path) -> dict[str, list[str]]:
    """Return what is started, each in a fresh process."""
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    run = [sys.executable, "-m", "napari_specimen_seg"]
    predict = [*run, "predict", str(folder / "a.png"), "-m", "nuclei", "-o", str(folder / "out")]
    predict += ["--overwrite", "--device", "cpu", "--backend"]
    found = {
        NOTHING: [sys.executable, "-c", "pass"],
        NUMPY: [sys.executable, "-c", "import numpy"],
        "import napari_specimen_seg": [sys.executable, "-c", "import napari_specimen_seg"],
        HELP: [*run, "--help"],
        MODELS: [*run, "models"],
        "python -c 'import torch'": [sys.executable, "-c", "import torch"],
        TORCH: [*predict, "torch"],
    }
    if find_spec("openvino") is not None:
        found[KEPT] = [*predict, "openvino"]
    return found


def measure(rounds: int) -> dict[str, list[float]]:
    """Time every command in turn; in the round that does not count, networks are converted and kept."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = partial(
            subprocess.run,
            check=True,
            capture_output=True,
            env={**os.environ, "SPECIMEN_SEG_CACHE": str(folder / "cache")},
        )
        works: dict[str, Work] = {key: partial(start, words) for key, words in commands(folder).items()}
        return in_turn(works, rounds)


def ratios(rounds: int = 5) -> dict[str, float]:
    """Return how many times as long as an interpreter with numpy each command takes."""
    times = measure(rounds)
    return {f"{name} / import numpy": ratio(times, name, NUMPY) for name in GOALS if name in times}


def table(times: Mapping[str, list[float]]) -> str:
    """Return the figures as Markdown."""
    bare = statistics.median(times[NOTHING])
    rows = []
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        goal = f"<= {GOALS[name] * 1000:.0f}" if name in GOALS else ""
        over = f"{(middle - bare) * 1000:.0f}"
        rows.append([f"`{name}`", f"{middle * 1000:.0f}", goal, over, f"{ratio(times, name, NUMPY):.1f}"])
    head = ["what", "ms", "goal", "ms beyond a bare interpreter", "relative to numpy's import"]
    return markdown(head, rows)


def main() -> None:
    """Measure and print; with ``--write`` also put the table into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    text = table(measure(given.rounds))
    print(text)
    if given.write:
        write_into(given.write, "startup", text)


if __name__ == "__main__":
    main()
