"""How long a person waits before anything happens: import, help, an opened dock, a first answer."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .harness import markdown, write_into


def commands(folder: Path) -> dict[str, list[str]]:
    """Return what is started, each in a fresh process."""
    import numpy as np
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)).save(folder / "a.png")
    run = [sys.executable, "-m", "napari_specimen_seg"]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import napari_specimen_seg": [sys.executable, "-c", "import napari_specimen_seg"],
        "specimen-seg --help": [*run, "--help"],
        "specimen-seg models": [*run, "models"],
        "specimen-seg predict, one small picture": [
            *run, "predict", str(folder / "a.png"), "-m", "nuclei", "-o", str(folder / "out"), "--overwrite",
        ],
    }  # fmt: skip


def main() -> None:
    """Measure and print; with ``--write`` also put the table into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        todo = commands(Path(folder))
        for count in range(-1, given.rounds):
            for name, command in todo.items():
                begin = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                if count >= 0:
                    times.setdefault(name, []).append(time.perf_counter() - begin)
    bare = statistics.median(times["python -c pass"])
    rows = [
        [f"`{name}`", f"{statistics.median(t) * 1000:.0f}", f"{(statistics.median(t) - bare) * 1000:.0f}"]
        for name, t in times.items()
    ]
    text = markdown(["what", "ms", "ms beyond a bare interpreter"], rows)
    print(text)
    if given.write:
        write_into(given.write, "startup", text)


if __name__ == "__main__":
    main()
