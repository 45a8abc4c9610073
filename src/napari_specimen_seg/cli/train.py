"""``specimen-seg train``."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..training.config import TrainConfig
    from ..training.events import Event

_EPILOG = """\b
Examples:
  specimen-seg train --images photos --labels masks -o my-model
  specimen-seg train --images photos --labels masks -o my-model --recipe herbarium --epochs 5
  specimen-seg train --images photos --labels masks -o better --from beetle-parts
  specimen-seg train -o my-model --config train.toml --resume
  specimen-seg train --images photos --labels strokes -o better --from nuclei --instant 10 --ignore-id 0

Ctrl-C stops and keeps the best model so far; --resume goes on later.
"""

HURRY_SECONDS = 0.6
"""How long a batch may go on after the wish to stop."""

_SETTINGS = (
    ("--architecture", "network", "architecture", str, "Network: FPN, Unet, UnetPlusPlus, Segformer, …"),
    ("--encoder", "network", "encoder", str, "Encoder: resnet34, tu-hrnet_w32, …"),
    ("--epochs", "learn", "epochs", int, "Epochs."),
    ("--lr", "learn", "lr", float, "Learning rate."),
    ("--batch-size", "learn", "batch_size", int, "Pictures a batch."),
    ("--seed", "run", "seed", int, "Seed of everything random."),
    ("--device", "run", "device", str, "Lightning's accelerator: auto, cpu, cuda, mps."),
    ("--devices", "run", "devices", str, "Lightning's devices: a number, or numbers of GPUs such as 0,1."),
    ("--nodes", "run", "nodes", int, "Machines that train together."),
    ("--strategy", "run", "strategy", str, "Lightning's strategy, such as ddp."),
    ("--kind", "data", "kind", str, "Kind of masks: auto, classes, binary, colors, instances."),
    ("--ignore-id", "data", "ignore_id", int, "Label value that means 'not labelled'."),
    ("--background-id", "data", "background_id", int, "Label value of strokes on the background."),
    ("--split", "data", "split", str, "random, column or group."),
    ("--metadata", "data", "metadata", Path, "CSV with a row per picture, for --split."),
    ("--column", "data", "column", str, "Column that says 1 for pictures kept for validation."),
    ("--group", "data", "group", str, "Column, or pattern in the name, of the specimen."),
)
"""Options that set one field: option, group and field of `TrainConfig`, type, help."""


def settings_options(command: Any) -> Any:
    """Give a command the options that change the settings of a training."""
    for option, group, field, kind, text in reversed(_SETTINGS):
        name = f"{group}_{field}"
        command = click.option(
            option, name, type=click.Path(path_type=Path) if kind is Path else kind, help=text
        )(command)
    for option, text in (
        ("--labels", "Folder of the masks, or a COCO file."),
        ("--images", "Folder or list."),
    ):
        command = click.option(option, type=click.Path(path_type=Path), help=text)(command)
    command = click.option("--class-map", type=click.Path(path_type=Path), help="Class map file.")(command)
    command = click.option("--from", "start_from", help="Model to learn on from.")(command)
    command = click.option(
        "--pretrained", is_flag=True, help="Begin with ImageNet weights, fetched where they are missing."
    )(command)
    command = click.option("--recipe", help="Named settings to start from.")(command)
    return click.option("--config", type=click.Path(path_type=Path), help="Settings file (TOML).")(command)


@click.command("train", epilog=_EPILOG, short_help="Train a model on labelled pictures.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="MODEL_DIR",
    help="The model folder to make.",
)  # fmt: skip
@settings_options
@click.option("--resume", is_flag=True, help="Go on with the unfinished run in MODEL_DIR.")
@click.option(
    "--progress",
    type=click.Choice(["text", "json"]),
    default="text",
    help="json: one event a line on stdout.",
)
@click.option(
    "--log",
    "loggers",
    type=click.Choice(["tensorboard", "wandb"]),
    multiple=True,
    help="Write logs for this program too; may be given twice.",
)
@click.option(
    "--instant",
    type=click.FloatRange(0.5, 3600),
    metavar="SECONDS",
    help="Learn for so many seconds from strokes on a few pictures; the encoder of --from stays as it is.",
)
@click.option(
    "--instant-steps",
    type=click.IntRange(1, 1_000_000),
    metavar="NUMBER",
    help="As --instant, but so many steps, however long they take: the same strokes give the same model.",
)
def command(
    output: Path,
    resume: bool,
    progress: str,
    instant: float | None,
    instant_steps: int | None,
    **given: Any,
) -> int:
    """Train a model on labelled pictures.

    Leaves a model folder that needs nothing else to predict: use it with "predict -m MODEL_DIR".
    """
    from ..training.buffers import keep_large_buffers
    from ..training.checkpoints import SETTINGS
    from ..training.config import TrainConfig

    if instant is not None and instant_steps is not None:
        raise click.UsageError("--instant says how long, --instant-steps how much; give one of them")
    if resume and given["config"] is None and (output / SETTINGS).is_file():
        given["config"] = output / SETTINGS
    config = config_of(TrainConfig(), given)
    keep_large_buffers()
    stop = threading.Event()
    show = _Show(json=progress == "json")
    with _signals_stop(stop):
        if instant is not None or instant_steps is not None:
            return _instant(config, output, instant or 0.0, instant_steps, show, stop)
        from ..training.run import run_training

        card = run_training(config, output, show, resume=resume, stop=stop, hurry=HURRY_SECONDS)
    return 0 if card is not None else 1


def _instant(
    config: TrainConfig,
    output: Path,
    seconds: float,
    steps: int | None,
    show: _Show,
    stop: threading.Event,
) -> int:
    """Learn for seconds, or so many steps; nothing is left if it is stopped."""
    from ..core.errors import WriteError
    from ..training.checkpoints import is_free
    from ..training.instant_run import run_instant

    if not is_free(output, resume=False):  # said here, because this command has no --overwrite
        raise WriteError("the folder is not empty", path=output, advice="Choose another.")
    run_instant(config, output, seconds, show, stop.is_set, steps=steps)
    return 0


def config_of(config: TrainConfig, given: dict[str, Any]) -> TrainConfig:
    """Return the settings that the options ask for: file, recipe and model first, then single fields.

    Raises
    ------
    click.UsageError
        If a recipe is not known.
    SpecimenError
        If a value is not allowed.
    """
    from ..core.files import read_class_map
    from ..training.config import TrainConfig
    from ..training.recipes import RECIPES
    from ..training.start import taken_over

    if given["config"] is not None:
        config = TrainConfig.from_toml(given["config"])
    if given["recipe"]:
        if given["recipe"] not in RECIPES:
            raise click.UsageError(f"recipe {given['recipe']!r} is not known; there are {', '.join(RECIPES)}")
        config = RECIPES[given["recipe"]]
    if given["start_from"]:
        config = taken_over(config, given["start_from"])
    changes: dict[str, dict[str, Any]] = {}
    for _, group, field, _, _ in _SETTINGS:
        value = given[f"{group}_{field}"]
        if value is not None:
            changes.setdefault(group, {})[field] = value
    for field in ("images", "labels"):
        if given[field] is not None:
            changes.setdefault("data", {})[field] = given[field]
    if given["pretrained"]:
        changes.setdefault("network", {})["pretrained"] = True
    if given.get("loggers"):
        changes.setdefault("run", {})["loggers"] = given["loggers"]
    if given["class_map"] is not None:
        changes.setdefault("data", {})["class_map"] = read_class_map(given["class_map"])
    return config.changed(changes)


class _Show:
    """Prints events, for people or as JSON lines."""

    def __init__(self, *, json: bool) -> None:
        self.json = json

    def __call__(self, event: Event) -> None:
        if self.json:
            print(event.to_json(), flush=True)
        else:
            line = _line_of(event)
            if line:
                print(line, file=sys.stderr, flush=True)


def _line_of(event: Event) -> str | None:
    from ..training.events import EpochEnded, Finished, Noted, Started

    match event:
        case Started():
            return (
                f"{event.learn} pictures to learn from, {event.validate} to validate on, "
                f"{len(event.classes)} classes, {event.device} {event.precision}"
            )
        case EpochEnded():
            mark = " (best)" if event.best else ""
            return (
                f"epoch {event.epoch}: loss {event.loss:.4f}, validation {event.validation_loss:.4f}, "
                f"mean IoU {event.mean_iou:.3f}{mark}"
            )
        case Noted():
            return event.text
        case Finished():
            return f"model: {event.folder}"
        case _:
            return None


@contextmanager
def _signals_stop(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C, or being told to end, stop after the current batch; a second time ends at once.

    Training stays in the main thread: torch does not survive the end of a process whose backward passes
    ran elsewhere.
    """
    pressed: list[int] = []

    def answer(number: int, frame: object) -> None:
        del frame
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)
        print("stopping after this batch; once more to leave at once", file=sys.stderr, flush=True)
        stop.set()

    before = {number: signal.signal(number, answer) for number in (signal.SIGINT, signal.SIGTERM)}
    with _woken(stop):
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _woken(stop: threading.Event) -> Iterator[None]:
    """Set the event as soon as a signal comes, though the main thread may be deep in a backward pass.

    Python answers signals in its main thread, between two of its own steps: seconds later where that
    computes a large batch.
    """
    here, there = socket.socketpair()
    there.setblocking(False)

    def listen() -> None:
        with here:
            if here.recv(1):
                stop.set()

    earlier = signal.set_wakeup_fd(there.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=listen, name="signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(earlier)
        there.close()  # ends the thread
