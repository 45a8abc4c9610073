"""One real run of each training recipe, by the command line: what it took and what came of it."""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .harness import machine, markdown, write_into

BEETLES, NUCLEI = "beetles9/train", "dsb2018/train"


@dataclass(frozen=True, slots=True)
class Run:
    """What a recipe is run on, how many of its pictures, epochs, options, changed settings, and why these."""

    data: str
    pictures: int
    epochs: int
    options: tuple[str, ...] = ()
    settings: str = ""
    why: str = ""


BEETLE_CLASSES = ("--class-map", "{data}/beetles9/classes.json", "--kind", "classes")
RUNS = {
    "fish-traits": Run(
        "beetles9/val",
        30,
        60,
        (*BEETLE_CLASSES, "--from", "beetle-parts"),
        why="Pinned beetles in place of fish, in nine classes. The recipe freezes an encoder that has "
        "learned from ImageNet; here the one of *beetle-parts* stands for it, which has not seen these "
        "pictures. From random weights, with all layers of its own se_resnext50_32x4d learning from 32 "
        "other pictures, mean IoU was 0.07 after 8 epochs in 10 minutes.",
    ),
    "herbarium": Run(
        BEETLES,
        60,
        5,
        ("--kind", "binary", "--split", "random"),
        "[learn]\nfrozen_epochs = 1\n",
        why="Pinned beetles against their ground, all parts as one.",
    ),
    "embryo-gray": Run(NUCLEI, 200, 24, why="Nuclei of the 2018 Data Science Bowl as grey pictures."),
    "balanced": Run(
        BEETLES, 100, 15, BEETLE_CLASSES, why="Beetle parts, four classes by two pictures a batch."
    ),
    "nuclei-unet": Run(NUCLEI, 100, 15, why="Nuclei of the 2018 Data Science Bowl."),
    "nuclei-hrnet": Run(NUCLEI, 40, 15, why="The same with the larger network."),
}


def first_pictures(folder: Path, count: int, few: Path) -> Path:
    """Copy the first pictures by name, with their labels, so that an epoch takes about a minute."""
    for picture in sorted((folder / "images").iterdir())[:count]:
        for source in (picture, *(folder / "labels").glob(f"{picture.stem}.*")):
            target = few / source.parent.name / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return few


def run_recipe(name: str, data: Path, out: Path, minutes: float) -> dict[str, object]:
    """Run a recipe by the command line, asked to stop after some minutes; return what came of it.

    Empty if not even one epoch was over in that time.
    """
    run = RUNS[name]
    shown = ["specimen-seg", "train", "--recipe", name]
    if run.settings:
        settings = out.with_suffix(".toml")
        settings.write_text(f'recipe = "{name}"\n{run.settings}', encoding="utf-8")
        shown = ["specimen-seg", "train", "--config", str(settings)]
    few = first_pictures(data / run.data, run.pictures, out.with_name("pictures"))
    shown += ["--images", f"{few}/images", "--labels", f"{few}/labels"]
    shown += [option.format(data=data) for option in run.options]
    shown += ["--epochs", str(run.epochs), "-o", str(out)]
    begin = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", "napari_specimen_seg", *shown[1:]]) as child:
        while child.poll() is None:
            time.sleep(0.5)
            if time.monotonic() - begin > 60 * minutes:
                (out / "stop").touch()  # as "Stop and keep" does it
    if not (out / "card.json").is_file():
        return {}
    with (out / "history.csv").open(encoding="utf-8") as file:
        history = list(csv.DictReader(file))
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    return {
        "command": shlex.join(shown).replace(f"{out.parent}/", "").replace(f"{data}/", ""),
        "settings": run.settings,
        "why": f"{run.why} The first {run.pictures} pictures of `{run.data}`, in a folder of their own.",
        "minutes": (time.monotonic() - begin) / 60,
        "epochs": len(history),
        "best": max(range(len(history)), key=lambda i: float(history[i]["mean_iou"])) + 1,
        "scores": card["scores"]["validation"],
        "pictures": card["training"]["pictures"],
        "split": card["training"]["split"],
        "network": f"{card['architecture']}, {card['encoder']}"
        + ("" if "--from" in run.options else ", from random weights"),
    }


def report(name: str, told: dict[str, object]) -> str:
    """Return the Markdown of a run."""
    scores = told["scores"]
    assert isinstance(scores, dict)
    rows = [[key, f"{value:.3f}"] for key, value in scores.items()]
    config = f'\n\nwith\n\n```toml\nrecipe = "{name}"\n{told["settings"]}```' if told["settings"] else ""
    return "\n\n".join(
        [
            f"{told['why']} {told['network']}; {told['pictures']} pictures to learn from; "
            f"{told['split']}. {told['epochs']} epochs in {told['minutes']:.1f} minutes, the best was epoch "
            f"{told['best']}. {machine()}.",
            f"```sh\n{told['command']}\n```{config}",
            f"![Loss and score of {name} by epoch](../images/recipe-{name}.png)",
            markdown(["score on validation", "value"], rows),
        ]
    )


def main() -> None:
    """Run recipes one after the other and write what came of each as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with beetles9 and dsb2018")
    parser.add_argument("--only", choices=sorted(RUNS), action="append")
    parser.add_argument("--minutes", type=float, default=8.0, help="for each recipe")
    parser.add_argument("--write", type=Path, help="page for the reports; pictures go to ../images beside it")
    given = parser.parse_args()
    for name in given.only or RUNS:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / name
            told = run_recipe(name, given.data, out, given.minutes)
            if not told:
                print(f"{name}: no epoch was over in {given.minutes:g} minutes", flush=True)
                continue
            text = report(name, told)
            print(text, flush=True)
            if given.write:
                write_into(given.write, f"run {name}", text)
                _small(out / "curves.png", given.write.parent.parent / "images" / f"recipe-{name}.png")


def _small(source: Path, target: Path) -> None:
    from PIL import Image

    picture = Image.open(source).convert("RGB")
    picture.thumbnail((720, 320))
    picture.quantize(32).save(target, optimize=True)


if __name__ == "__main__":
    main()
