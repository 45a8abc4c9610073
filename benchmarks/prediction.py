"""Prediction beside a peer and beside the network alone, with memory and agreement.

Each way is timed in a process of its own, in turn. The peer is MONAI's sliding window as its documentation
has it (eager float32, 512 pixels, a quarter of overlap, Gaussian weights); the floor is the same network in
the same engine on as many input pixels, without reading, normalising, choosing or joining. Agreement is with
the whole picture at once in eager float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import drawn
from .harness import machine, markdown, peak_memory, write_into

PEER = "MONAI"
PEER_TILE, PEER_OVERLAP = 512, 0.25
SMALL = 2048
"""Side of the picture that agreement is found on: a whole one of 4096 needs 7 GB."""


@dataclass(frozen=True)
class Way:
    """One way to predict.

    Parameters
    ----------
    backend, precision : str
        As in `PredictSettings`.
    goal : str
        Speed beside the peer, and agreement, as asked for.
    """

    backend: str
    precision: str
    goal: str = ""


OURS = {
    "OpenVINO fp32": Way("openvino", "fp32", "2.6x, 99.99 %"),
    "OpenVINO bf16": Way("openvino", "bf16", "5.5x, 99.95 %"),
    "OpenVINO int8": Way("openvino", "int8", "10x, 99.85 %"),
    "torch fp32": Way("torch", "fp32", "2.6x, 99.99 %"),
    "torch bf16": Way("torch", "bf16"),
}

Times = dict[str, list[dict[str, float]]]


# -- in the processes that are started -----------------------------------------------------------------


def run_one(name: str, side: int, keep: Path) -> dict[str, float]:
    """Predict once in this process and tell what it took; the labels are saved."""
    warnings.simplefilter("ignore")
    if name == PEER:
        return _run_peer(side, keep)
    if name == "whole":
        return _run_whole(side, keep)
    return _run_ours(OURS[name], side, keep)


def _run_ours(way: Way, side: int, keep: Path) -> dict[str, float]:
    from napari_specimen_seg import load_model
    from napari_specimen_seg.models.settings import PredictSettings
    from napari_specimen_seg.training.buffers import keep_large_buffers

    keep_large_buffers()  # as the command line does
    picture, truth = drawn.specimens(side)
    model = load_model(drawn.shrunk("int8") if way.precision == "int8" else drawn.model())
    settings = PredictSettings(backend=way.backend, precision=way.precision, device="cpu")
    plan = model.plan(picture, settings)
    for _ in islice(model.stream(picture, settings), min(4, len(plan.tiles))):
        pass  # the first tiles in every thread: compiled, and with memory to compute in
    floor = floor_of(model, plan)
    floor(min(2, len(plan.tiles)))
    begin = time.perf_counter()
    floor(len(plan.tiles))
    alone = time.perf_counter() - begin
    found: dict[str, Any] = {}
    begin = time.perf_counter()
    extra = peak_memory(lambda: found.update(answer=model.predict(picture, settings)))
    seconds = time.perf_counter() - begin
    labels = found["answer"].labels
    np.save(keep, labels)
    return {
        "seconds": seconds,
        "floor": alone,
        "extra": extra,
        "tile": plan.width,
        "computed": len(plan.tiles) * plan.height * plan.width / labels.size,
        "right": float((labels == truth).mean()),
    }


def floor_of(model: Any, plan: Any) -> Callable[[int], None]:
    """Return a function that computes only the network, on so many tiles, as many at once as prediction."""
    from napari_specimen_seg.models.cores import one_core_each

    backend = model._backend
    shape = (1, model.card.preprocessing.in_channels, plan.height, plan.width)
    batch = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    if hasattr(backend, "net"):
        from napari_specimen_seg.models.openvino_graph import of_size

        net = backend.net

        def once(_: int) -> None:
            with net.computed(("floor", shape), lambda: of_size(net.model, shape), [batch]):
                pass
    else:
        import torch

        given = torch.from_numpy(batch).contiguous(memory_format=torch.channels_last)

        def once(_: int) -> None:
            backend.forward(given)

    return lambda count: [None for _ in one_core_each(once, range(count), backend.lanes(*shape[2:]))] and None


def _eager() -> Callable[[Any], Any]:
    """Return the network as torch has it, without anything that makes it faster."""
    import torch

    from napari_specimen_seg import load_model

    network = load_model(drawn.model()).network

    def forward(batch: Any) -> Any:
        with torch.inference_mode():
            return network(batch)

    return forward


def _normalised(picture: NDArray[np.uint8]) -> Any:
    import torch

    values = drawn.card().preprocessing.normalise(picture, (0.0, 255.0))
    return torch.from_numpy(np.ascontiguousarray(values)[None])


def _run_peer(side: int, keep: Path) -> dict[str, float]:
    import torch
    from monai.inferers import sliding_window_inference

    picture, truth = drawn.specimens(side)
    forward = _eager()
    window = (PEER_TILE, PEER_TILE)

    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with torch.inference_mode():
            scores = sliding_window_inference(
                _normalised(pixels), window, 1, forward, overlap=PEER_OVERLAP, mode="gaussian"
            )
            return scores[0].argmax(0).to(torch.uint8).numpy()

    predict(picture[: PEER_TILE + 64, : PEER_TILE + 64])
    return _timed(predict, picture, truth, keep)


def _run_whole(side: int, keep: Path) -> dict[str, float]:
    picture, truth = drawn.specimens(side)
    forward = _eager()
    return _timed(
        lambda pixels: forward(_normalised(pixels))[0].argmax(0).numpy().astype(np.uint8),
        picture,
        truth,
        keep,
    )


def _timed(
    predict: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    picture: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    keep: Path,
) -> dict[str, float]:
    found: dict[str, NDArray[np.uint8]] = {}
    begin = time.perf_counter()
    extra = peak_memory(lambda: found.update(labels=predict(picture)))
    seconds = time.perf_counter() - begin
    np.save(keep, found["labels"])
    return {"seconds": seconds, "extra": extra, "right": float((found["labels"] == truth).mean())}


# -- in the process that compares ----------------------------------------------------------------------


def _labels_of(name: str, side: int) -> Path:
    return drawn.cache() / f"labels-{drawn.model().name}-{name.replace(' ', '-')}-{side}.npy"


def start(name: str, side: int) -> dict[str, float]:
    """Let a process of its own predict once."""
    words = [sys.executable, "-m", "benchmarks.prediction", "--one", name, "--side", str(side)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(rounds: int, side: int, names: list[str]) -> Times:
    """Time all ways in turn."""
    times: Times = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            times[name].append(start(name, side))
            print(name, times[name][-1], file=sys.stderr, flush=True)
    return times


def agreement(names: list[str]) -> dict[str, float]:
    """Return which share of labels is that of the whole picture at once."""
    reference = _labels_of("whole", SMALL)
    if not reference.exists():
        start("whole", SMALL)
    whole = np.load(reference)
    found = {}
    for name in names:
        start(name, SMALL)
        found[name] = float((np.load(_labels_of(name, SMALL)) == whole).mean())
    return found


def median(runs: list[dict[str, float]], key: str) -> float:
    """Return the median of a figure over rounds."""
    return statistics.median(run[key] for run in runs)


def speed(times: Times, name: str) -> float:
    """Return how many times as fast as the peer: the median of paired ratios."""
    pairs = zip(times[PEER], times[name], strict=True)
    return statistics.median(peer["seconds"] / own["seconds"] for peer, own in pairs)


def over_floor(runs: list[dict[str, float]]) -> float:
    """Return how many times as long as the network alone: the median of paired ratios."""
    return statistics.median(run["seconds"] / run["floor"] for run in runs)


def names_here(*, peer: bool = True) -> list[str]:
    """Return the ways that can be gone on this machine."""
    from importlib.util import find_spec

    from napari_specimen_seg.models.devices import has_bf16

    ours = [
        name
        for name, way in OURS.items()
        if (way.backend != "openvino" or find_spec("openvino")) and (way.precision != "bf16" or has_bf16())
    ]
    return ([PEER] if peer and find_spec("monai") else []) + ours


def ratios(rounds: int = 1, side: int = SMALL) -> dict[str, float]:
    """Return how many times as long as the network alone, and as fast as the peer; for the check."""
    times = measure(rounds, side, names_here())
    found = {f"predict, {name} / floor": over_floor(runs) for name, runs in times.items() if name != PEER}
    if PEER in times:
        found |= {f"{PEER} / predict, {name}": speed(times, name) for name in times if name != PEER}
    return found


def table(times: Times, agree: Mapping[str, float], side: int, rounds: int) -> str:
    """Return the figures as Markdown."""
    rows = []
    for name, runs in times.items():
        own = name in OURS
        rows.append(
            [
                name if own else f"{name}, {PEER_OVERLAP:.0%} of overlap",
                f"{median(runs, 'tile'):.0f}, {median(runs, 'computed'):.2f}" if own else f"{PEER_TILE}",
                f"{speed(times, name):.2f}" if PEER in times else "",
                OURS[name].goal if own else "",
                f"{over_floor(runs):.3f}" if own else "",
                f"{median(runs, 'extra'):.0f}",
                f"{agree[name]:.3%}",
                f"{median(runs, 'right'):.2%}",
                f"{median(runs, 'seconds'):.1f}",
            ]
        )
    head = [
        "way", "tile, pixels computed / picture", "speed", "goal", "predict / floor (goal 1.05)",
        "extra MB (goal 60)", "agrees with the whole picture", "right", "s",
    ]  # fmt: skip
    bf16 = any(OURS[name].precision == "bf16" for name in times if name in OURS)
    return "\n\n".join(
        [
            f"{drawn.ARCHITECTURE} {drawn.ENCODER}, {drawn.CLASSES} classes, {side} x {side}, each in fresh "
            f"processes, in turn, median of {rounds}. {machine()}."
            + ("" if bf16 else " This processor has no bf16."),
            markdown(head, rows),
            f"Agreement on {SMALL} x {SMALL}. Extra is the peak beyond model, picture and first tiles.",
        ]
    )


def main() -> None:
    """Measure and print; with ``--write`` also put the table into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--side", type=int, default=4096, help="pixels")
    parser.add_argument("--only", nargs="+", help="some of the ways")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--one", help="for the processes it starts")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(run_one(given.one, given.side, _labels_of(given.one, given.side))))
        return
    names = given.only or names_here()
    drawn.specimens(given.side)
    if "OpenVINO int8" in names:
        drawn.shrunk("int8")
    times = measure(given.rounds, given.side, names)
    text = table(times, agreement(names), given.side, given.rounds)
    print(text)
    if given.write:
        write_into(given.write, "prediction", text)


if __name__ == "__main__":
    main()
