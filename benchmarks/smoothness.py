"""How smooth napari's window stays while the Segment dock predicts: gaps between events of its loop.

A window is opened on the display there is (``xvfb-run`` gives one), a 4096 x 4096 picture is segmented with
a bundled model on all cores, and a timer of 5 ms notes when it is called; then the same while the Train dock
learns in a process of its own and draws its curves. Also how soon the first result is seen on a picture of
20,000 x 20,000, and how soon Cancel is answered.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .harness import machine, markdown, write_into

SIDE, LARGE, TICK_MS = 4096, 20000, 5
LIMIT_S = 110
"""How long a window is watched at most."""


class Watch:
    """Notes when the event loop comes round.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.viewer = viewer
        self.ticks: list[float] = []
        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.setInterval(TICK_MS)
        self.timer.timeout.connect(lambda: self.ticks.append(time.perf_counter()))

    def run_until(self, condition: Any, seconds: float) -> float:
        """Let the window work until something is so, or time is up; return how long that took."""
        from qtpy.QtCore import QEventLoop, QTimer

        loop, begin = QEventLoop(), time.perf_counter()
        check = QTimer()
        check.timeout.connect(
            lambda: loop.quit() if condition() or time.perf_counter() - begin > seconds else None
        )
        check.start(10)
        loop.exec()
        return time.perf_counter() - begin

    def gaps(self) -> Any:
        """Return how far apart the ticks were, in ms."""
        import numpy as np

        return 1000 * np.diff(self.ticks)


def window(side: int) -> tuple[Any, Any, Watch]:
    """Open a picture and the Segment dock; return viewer, dock and watch."""
    import napari
    import numpy as np
    from skimage.data import immunohistochemistry

    from napari_specimen_seg.plugin.dock import open_dock
    from napari_specimen_seg.plugin.segment import SegmentDock

    tissue = immunohistochemistry()
    repeats = -(-side // 512)
    pixels = np.tile(tissue, (repeats, repeats, 1))[:side, :side]
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1366, 768)
    picture: Any = pixels if side == SIDE else [pixels[:: 2**n, :: 2**n] for n in range(5)]
    viewer.add_image(picture, name="tissue", rgb=True, multiscale=side != SIDE)
    dock = open_dock(viewer, SegmentDock, "Segment")
    watch = Watch(viewer)
    watch.run_until(lambda: False, 2)
    dock.models.choose("nuclei")
    viewer.reset_view()
    watch.run_until(lambda: False, 1)
    return viewer, dock, watch


IDLE_S = 10
"""How long the window is watched before, for what the machine and napari do by themselves."""


def smooth(side: int) -> dict[str, float]:
    """Segment a picture twice: the first run loads everything, the second is watched, then cancelled."""
    import numpy as np

    viewer, dock, watch = window(side)
    _warm(dock, watch)
    watch.timer.start()
    watch.run_until(lambda: False, IDLE_S)
    idle = watch.gaps()
    watch.ticks.clear()
    dock.go.click()
    took = watch.run_until(lambda: dock.job is None, LIMIT_S)
    watch.timer.stop()
    cancelled = 0.0
    if dock.job is not None:
        dock.cancel()
        cancelled = watch.run_until(lambda: dock.job is None, 10)
    gaps = watch.gaps()
    viewer.close()
    quantiles = {f"p{q}": float(np.quantile(gaps, q / 100)) for q in (50, 99, 99.9)}
    quantiles["idle"] = float(np.quantile(idle, 0.999))
    return {"took": took, "ticks": len(gaps), "max": float(gaps.max()), "cancel": cancelled, **quantiles}


def _warm(dock: Any, watch: Watch) -> None:
    """Load what a first run loads, on a small picture, so that tiles alone are measured."""
    import numpy as np

    from napari_specimen_seg.core.progress import silent
    from napari_specimen_seg.plugin.torch_guard import before_torch
    from napari_specimen_seg.plugin.workers import behind_the_window

    before_torch()
    predictor = dock._live.predictors.get(dock.models.path, dock.models.card.card_sha256)
    small = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    behind_the_window(lambda _: predictor.predict(small))(silent)  # whose threads keep its priority
    watch.run_until(lambda: False, 1)


def first_result(side: int) -> dict[str, float]:
    """Return when the first labels are seen on a large picture, and how long one tile takes alone."""
    import numpy as np

    viewer, dock, watch = window(side)
    _warm(dock, watch)
    predictor = dock._live.predictors.get(dock.models.path, dock.models.card.card_sha256)
    plan = predictor.plan(np.zeros((side, side, 3), np.uint8))
    tile = np.random.default_rng(0).integers(0, 255, (plan.height, plan.width, 3), dtype=np.uint8)
    begin = time.perf_counter()
    predictor.predict(tile)
    alone = time.perf_counter() - begin
    count = len(viewer.layers)
    dock.go.click()
    first = watch.run_until(lambda: len(viewer.layers) > count, LIMIT_S)
    dock.cancel()
    cancelled = watch.run_until(lambda: dock.job is None, 10)
    viewer.close()
    return {"first": first, "tile": alone, "cancel": cancelled}


WATCH_S = 40
"""How long learning is watched, from its first step on."""


def learning() -> dict[str, float]:
    """Train the recipe `embryo-gray` on drawn nuclei in the Train dock, and watch the window meanwhile."""
    import tempfile

    import napari
    import numpy as np

    from napari_specimen_seg.plugin.dock import open_dock
    from napari_specimen_seg.plugin.train import TrainDock

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_nuclei(folder)
        viewer = napari.Viewer(show=True)
        viewer.window.resize(1366, 768)
        dock = open_dock(viewer, TrainDock, "Train")
        watch = Watch(viewer)
        watch.run_until(lambda: False, 2)
        dock.data.use_folders(folder / "images", folder / "labels")
        watch.run_until(lambda: dock._looked is not None and dock.job is None, LIMIT_S)
        dock.setup.recipe.setCurrentText("embryo-gray")
        dock.setup.out.setText(str(folder / "model"))
        dock.train()
        watch.run_until(lambda: bool(dock.curves.steps), LIMIT_S)
        watch.timer.start()
        watch.run_until(lambda: False, WATCH_S)
        watch.timer.stop()
        steps = len(dock.curves.steps)
        dock.watcher.discard()
        viewer.close()
    gaps = watch.gaps()
    quantiles = {f"p{q}": float(np.quantile(gaps, q / 100)) for q in (50, 99, 99.9)}
    return {"steps": steps, "max": float(gaps.max()), **quantiles}


def _write_nuclei(folder: Path, count: int = 24, side: int = 256) -> None:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[:side, :side]
    for number in range(count):
        mask = np.zeros((side, side), bool)
        for y, x in rng.integers(0, side, (12, 2)):
            mask |= (rows - y) ** 2 + (columns - x) ** 2 < 200
        picture = rng.integers(0, 60, mask.shape) + 120 * mask
        for kind, content in (("images", picture), ("labels", 255 * mask)):
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(content.astype(np.uint8)).save(folder / kind / f"{number:02}.png")


def _child(task: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.smoothness", "--task", task]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=360)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def table() -> str:
    """Run each window in a process of its own and return the table as Markdown."""
    found, large, taught = (_child(task) for task in TASKS)
    rows = [
        ["gap between events before, 99.9th percentile", f"{found['idle']:.0f} ms", ""],
        ["while predicting, median", f"{found['p50']:.0f} ms", ""],
        ["99th percentile", f"{found['p99']:.0f} ms", ""],
        ["99.9th percentile", f"{found['p99.9']:.0f} ms", "100 ms"],
        ["longest", f"{found['max']:.0f} ms", ""],
        ["while learning, median", f"{taught['p50']:.0f} ms", "17 ms"],
        ["99th percentile", f"{taught['p99']:.0f} ms", ""],
        ["99.9th percentile", f"{taught['p99.9']:.0f} ms", "100 ms"],
        ["longest", f"{taught['max']:.0f} ms", ""],
        ["first result on 20,000 x 20,000", f"{large['first']:.2f} s", f"{0.5 + large['tile']:.2f} s"],
        ["of that, one tile", f"{large['tile']:.2f} s", ""],
        ["Cancel answered within", f"{max(found['cancel'], large['cancel']):.2f} s", "2 s"],
    ]
    text = (
        f"`nuclei` on {SIDE} x {SIDE} RGB in napari's window, {found['ticks']:.0f} events watched "
        f"in {found['took']:.0f} s. {machine()}."
    )
    return "\n\n".join([text, markdown(["what", "measured", "goal"], rows)])


TASKS: dict[str, Callable[[], dict[str, float]]] = {
    "smooth": lambda: smooth(SIDE),
    "first": lambda: first_result(LARGE),
    "learning": learning,
}
"""What is watched, each in a process of its own."""


def main() -> None:
    """Measure and print; with ``--write`` also put the table into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--task", choices=list(TASKS), help=argparse.SUPPRESS)
    parser.add_argument("--nice", type=int, help="priority of threads that compute, instead of the plugin's")
    given = parser.parse_args()
    if given.task:
        if given.nice is not None:
            from napari_specimen_seg.plugin import workers

            workers.NICE = given.nice
        print(json.dumps(TASKS[given.task]()))
        return
    text = table()
    print(text)
    if given.write:
        write_into(given.write, "smoothness", text)


if __name__ == "__main__":
    main()
