"""A training step: the plain loop against what this program does, as ratios from runs in turn.

Every variant is a process of its own, because what the allocator was told cannot be taken back, and so that
memory is that of the variant alone. Pictures and weights are random: the time does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from .harness import machine, markdown, write_into

MODELS = {"FPN se_resnext50": ("FPN", "se_resnext50_32x4d"), "Unet resnet34": ("Unet", "resnet34")}
SIDE, BATCH, WARM = 512, 4, 2
BUSY = "SPECIMEN_SEG_BENCHMARK_BUSY"

PLAIN, OURS, FROZEN, CACHED = "plain loop", "all layers", "encoder frozen", "features kept"
GOALS = {
    ("FPN se_resnext50", OURS): 3.2, ("FPN se_resnext50", FROZEN): 7.0, ("FPN se_resnext50", CACHED): 12.7,
    ("Unet resnet34", OURS): 3.1, ("Unet resnet34", FROZEN): 5.2, ("Unet resnet34", CACHED): 7.0,
}  # fmt: skip
"""What a prototype reached on two cores with bf16."""


def _clock() -> float:
    return time.process_time() if BUSY in os.environ else time.perf_counter()


def main() -> None:
    """Measure and print; write the tables where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="page for the tables")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=sorted(MODELS))
    parser.add_argument(
        "--busy", action="store_true", help="one core, its own time: for machines with other work"
    )
    parser.add_argument("--child", nargs=2, metavar=("MODEL", "VARIANT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.busy:
        os.environ[BUSY] = "1"
    if given.child:
        print(json.dumps(child(*given.child)))
        return
    figures = measure(given.rounds, [given.only] if given.only else list(MODELS))
    text = report(figures)
    print(text)
    if given.write:
        write_into(given.write, "training", text)


def measure(rounds: int = 2, names: list[str] | None = None) -> dict[str, float]:
    """Return the figures by name, ``"Unet resnet34: all layers"`` and so on; larger ratios are better.

    Ratios are times of the plain loop over those of the variant, median over rounds; `` MB`` is the peak.
    """
    figures: dict[str, float] = {}
    for name in names or list(MODELS):
        told: dict[str, list[dict[str, float]]] = {}
        for _ in range(rounds):
            for variant in (PLAIN, OURS, FROZEN, CACHED):
                told.setdefault(variant, []).append(_in_process(name, variant))
        for variant, runs in told.items():
            pairs = zip(told[PLAIN], runs, strict=True)
            figures[f"{name}: {variant}"] = statistics.median(a["step"] / b["step"] for a, b in pairs)
            figures[f"{name}: {variant} ms"] = statistics.median(run["step"] for run in runs) * 1000
            figures[f"{name}: {variant} MB"] = statistics.median(run["memory"] for run in runs)
    figures |= _in_process("Unet resnet34", "loop")
    return figures


def ratios() -> dict[str, float]:
    """Return the ratios that `benchmarks.check` compares: those of the smaller network, in one round."""
    found = measure(1, ["Unet resnet34"])
    kept = {name: value for name, value in found.items() if not name.endswith((" ms", " MB"))}
    kept.pop(f"Unet resnet34: {PLAIN}")
    kept["lightning / bare"] = kept.pop("lightning")
    return kept


def report(figures: dict[str, float]) -> str:
    """Return the figures as Markdown."""
    rows = []
    for key, ratio in figures.items():
        if not key.endswith((" ms", " MB")) and ": " in key:
            name, variant = key.split(": ")
            goal = GOALS.get((name, variant))
            memory = figures[f"{key} MB"]
            rows.append(
                [
                    name,
                    variant,
                    f"{figures[f'{key} ms']:.0f}",
                    f"{ratio:.2f}",
                    f"{goal or 1.0}",
                    f"{memory:.0f}",
                ]
            )
    head = ["network", "what learns", "ms a step", "times as fast", "goal", "peak MB"]
    return "\n\n".join(
        [
            f"Batch {BATCH} at {SIDE} x {SIDE}, 10 classes{_how()}. {machine()}.",
            markdown(head, rows),
            f"Lightning's step takes {figures['lightning']:.3f} times as long as the bare one (goal 1.05). "
            f"Reading and varying samples is {100 * figures['data share']:.1f} % of an epoch with all layers "
            f"and {100 * figures['data share frozen']:.1f} % with a frozen encoder (goal 5 %).",
        ]
    )


def _how() -> str:
    return ", one core by its own time, because the machine had other work" if BUSY in os.environ else ""


def _in_process(name: str, variant: str) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.training", "--child", name, variant]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


# ----- in a process of its own


def child(name: str, variant: str) -> dict[str, float]:
    """Measure one variant in this process."""
    if BUSY in os.environ:
        import torch

        torch.set_num_threads(1)
    if variant == "loop":
        return loop()
    if variant != PLAIN:
        from napari_specimen_seg.training.buffers import keep_large_buffers

        keep_large_buffers()
    step = plain_step(name) if variant == PLAIN else our_step(name, variant)
    return {"step": _median(step), "memory": _peak()}


def _median(step: Callable[[], object], count: int = 3) -> float:
    times = []
    for number in range(count + WARM):
        begin = _clock()
        step()
        if number >= WARM:
            times.append(_clock() - begin)
    return statistics.median(times)


def _peak() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def _batch() -> tuple[Any, Any]:
    import torch

    generator = torch.Generator().manual_seed(0)
    picture = torch.randn(BATCH, 3, SIDE, SIDE, generator=generator)
    return picture, torch.randint(10, (BATCH, SIDE, SIDE), generator=generator)


def plain_step(name: str) -> Callable[[], None]:
    """Return a step of the loop that everybody writes first: 32 bits, nothing else."""
    import segmentation_models_pytorch as smp
    import torch

    architecture, encoder = MODELS[name]
    network = smp.create_model(architecture, encoder, encoder_weights=None, classes=10).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    picture, target = _batch()

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(network(picture), target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def task_for(name: str, **learn: object) -> Any:
    """Return the task of a run with the settings that a person gets, on drawn pictures."""
    from PIL import Image

    from napari_specimen_seg.training.config import TrainConfig
    from napari_specimen_seg.training.run import prepare

    folder = tempfile.TemporaryDirectory()
    rng = np.random.default_rng(0)
    for number in range(10):
        for kind, content in (
            ("images", rng.integers(0, 255, (SIDE, SIDE, 3))),
            ("labels", np.kron(rng.integers(0, 10, (16, 16)), np.ones((SIDE // 16,) * 2))),
        ):
            (Path(folder.name) / kind).mkdir(exist_ok=True)
            Image.fromarray(content.astype(np.uint8)).save(Path(folder.name) / kind / f"{number}.png")
    architecture, encoder = MODELS[name]
    config = TrainConfig().changed(
        {
            "data": {"images": Path(folder.name) / "images", "labels": Path(folder.name) / "labels"},
            "network": {"architecture": architecture, "encoder": encoder},
            "learn": {"batch_size": BATCH, "losses": {"cross_entropy": 1.0}, "epochs": 1, **learn},
        }
    )
    job = prepare(config)
    folder.cleanup()
    return job.make_task()


def our_step(name: str, variant: str) -> Callable[[], None]:
    """Return a step as a run does it, without Lightning around it."""
    import torch

    from napari_specimen_seg.training.feature_store import FeatureStore
    from napari_specimen_seg.training.frozen import decoded
    from napari_specimen_seg.training.precision import autocast

    task = task_for(name, freeze_encoder=variant != OURS)
    network = task.network.train()
    if variant != OURS:
        network.encoder.requires_grad_(False).eval()
    optimizer = task.make_optimizer()
    picture, target = _batch()
    keys = [(0, position, position % 8) for position in range(BATCH)]
    device = torch.device("cpu")
    store = (
        FeatureStore(network, task.samples, device, lambda: autocast("cpu")) if variant == CACHED else None
    )

    def step() -> None:
        truth = target
        with autocast("cpu") or nullcontext():
            if store is None:
                output = network(picture.contiguous(memory_format=torch.channels_last))
            else:
                features, truth = store.batch(keys)
                output = decoded(network, features, 3, truth.shape)
        task.loss(output, truth).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def loop() -> dict[str, float]:
    """Compare Lightning's step with the bare one, and the making of samples with both, in turn."""
    import torch

    from napari_specimen_seg.training.buffers import keep_large_buffers
    from napari_specimen_seg.training.loader import Loader

    keep_large_buffers()
    bare, frozen = our_step("Unet resnet34", OURS), our_step("Unet resnet34", FROZEN)
    task = task_for("Unet resnet34", epochs=1)
    batches = _Repeated([(0, n, n % 8) for n in range(BATCH)], 4)
    begin = _clock()
    for _ in Loader(task.samples, batches):  # type: ignore[arg-type]
        pass
    data = (_clock() - begin) / 4
    ratios, times, times_frozen = [], [], []
    picture, target = _batch()
    timer = _timer()
    trainer = _trainer(task, timer)
    task.train_dataloader = lambda: _Repeated((picture, target), 12)
    trainer.limit_val_batches = 0
    bare()
    for number in range(4):
        begin = _clock()
        bare()
        times.append(_clock() - begin)
        if number < 2:
            begin = _clock()
            frozen()
            times_frozen.append(_clock() - begin)
    timer.between = lambda: _timed(bare, times)
    trainer.fit(task)
    ratios = [a / b for a, b in zip(timer.steps[2:], times[-len(timer.steps[2:]) :], strict=True)]
    step, step_frozen = statistics.median(times), min(times_frozen)
    del torch
    return {
        "lightning": statistics.median(ratios),
        "data share": data / (data + step),
        "data share frozen": data / (data + step_frozen),
    }


class _Repeated:
    """The same batch several times."""

    def __init__(self, item: Any, count: int) -> None:
        self.item, self.count = item, count

    def __iter__(self) -> Any:
        return iter([self.item] * self.count)

    def __len__(self) -> int:
        return self.count


def _timed(work: Callable[[], object], times: list[float]) -> None:
    begin = _clock()
    work()
    times.append(_clock() - begin)


def _timer() -> Any:
    import lightning.pytorch as pl

    class Timer(pl.Callback):
        """Times from batch to batch, with something else in between."""

        def __init__(self) -> None:
            self.steps: list[float] = []
            self.between: Callable[[], object] = lambda: None
            self.begin = _clock()

        def on_train_batch_end(self, *_: object) -> None:
            self.steps.append(_clock() - self.begin)
            self.between()
            self.begin = _clock()

    return Timer()


def _trainer(task: Any, timer: Any) -> Any:
    from napari_specimen_seg.training.checkpoints import Keeper
    from napari_specimen_seg.training.loop import make_trainer

    folder = Path(tempfile.mkdtemp())
    keeper = Keeper(folder / "run", task.config)
    trainer = make_trainer(task, keeper, lambda _: None, lambda: False)
    trainer.callbacks.append(timer)
    return trainer


if __name__ == "__main__":
    main()
