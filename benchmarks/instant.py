"""Instant learning: how long a round takes, and what it does for pixels that nobody labelled.

Strokes are drawn as a person would: short ones in the middle of the largest wrong regions, and one in every
class that was right. The score counts the pixels that were not drawn on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .harness import machine, markdown, write_into

SIDE = 1024
SETS = {"beetle-parts": "beetles9/val", "nuclei": "dsb2018/val"}


def main() -> None:
    """Measure and print; write the table where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with beetles9 and dsb2018")
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    text = report([row for name in SETS for row in rounds(name, given.data, given.pictures)])
    print(text)
    if given.write:
        write_into(given.write, "instant", text)


def rounds(name: str, data: Path, count: int) -> list[list[Any]]:
    """Return model, picture, seconds, steps, part drawn on, and mean IoU before and after one round."""
    from napari_specimen_seg.training.buffers import keep_large_buffers
    from napari_specimen_seg.training.instant import InstantSession
    from napari_specimen_seg.training.lesson import Lesson

    keep_large_buffers()
    rows = []
    pictures = sorted((data / SETS[name] / "images").iterdir())
    for path in pictures[:: max(1, len(pictures) // count)][:count]:
        session = InstantSession(name)
        image, truth = labelled(path)
        before = session.predict(image).labels
        known = strokes(truth, before)
        begin = time.perf_counter()
        (answer,) = session.learn([Lesson(image, truth, known)])
        seconds = time.perf_counter() - begin
        scores = [mean_iou(truth, labels, known) for labels in (before, answer.labels)]
        rows.append([name, path.stem[:12], seconds, session.steps, 100 * known.mean(), *scores])
    return rows


def report(rows: list[list[Any]]) -> str:
    """Return the table as Markdown."""
    head = ["model", "picture", "s", "steps", "% drawn on", "mean IoU before", "after"]
    cells = [[m, p, f"{s:.1f}", f"{n}", f"{k:.1f}", f"{a:.3f}", f"{b:.3f}"] for m, p, s, n, k, a, b in rows]
    return "\n\n".join(
        [
            f"Validation pictures brought to {SIDE} pixels; one round of strokes, everything included but "
            f"reading the model. Mean over classes and pixels that were not drawn on. {machine()}.",
            markdown(head, cells),
        ]
    )


def labelled(path: Path) -> tuple[Any, NDArray[np.uint8]]:
    """Return a picture and its truth, the longer side brought to `SIDE`."""
    from napari_specimen_seg.core.image import SpecimenImage

    picture = Image.open(path).convert("RGB")
    mask = np.asarray(Image.open(next((path.parent.parent / "labels").glob(f"{path.stem}.*"))))
    if "dsb2018" in str(path):
        mask = mask > 0
    size = tuple(round(n * SIDE / max(picture.size)) for n in picture.size)
    pixels = np.asarray(picture.resize((size[0], size[1]), Image.Resampling.BICUBIC))
    labels = Image.fromarray(mask.astype(np.uint8)).resize((size[0], size[1]), Image.Resampling.NEAREST)
    return SpecimenImage(pixels, name=path.stem), np.asarray(labels)


def strokes(truth: NDArray[np.uint8], answer: NDArray[Any], count: int = 5) -> NDArray[np.bool_]:
    """Return where a person would draw."""
    import cc3d
    from scipy import ndimage

    known = np.zeros(truth.shape, bool)
    wrong = cc3d.connected_components(
        np.where(truth != answer, truth.astype(np.int32) + 1, 0), connectivity=4
    )
    sizes = np.bincount(wrong.ravel())
    sizes[0] = 0
    for number in np.argsort(sizes)[::-1][:count]:
        if sizes[number] >= 30:
            known |= _stroke(ndimage.distance_transform_edt(wrong == number), 40)
    for name in np.unique(truth):
        rest = (truth == name) & (answer == name) & ~known
        if rest.sum() >= 200:
            known |= _stroke(ndimage.distance_transform_edt(rest), 15)
    return known


def _stroke(depth: NDArray[np.float64], reach: int) -> NDArray[np.bool_]:
    """Return the middle of a region near its deepest point, given the depth of every pixel in it."""
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    drawn = np.zeros(depth.shape, bool)
    near = slice(max(0, y - reach), y + reach), slice(max(0, x - reach), x + reach)
    drawn[near] = depth[near] >= max(1.0, min(4.0, 0.6 * depth.max()))
    return drawn


def mean_iou(truth: NDArray[Any], answer: NDArray[Any], known: NDArray[np.bool_]) -> float:
    """Return the mean IoU over classes beside background, of pixels that were not drawn on."""
    truth, answer = truth[~known], answer[~known]
    found = []
    for name in np.union1d(truth, answer):
        if name:
            union = ((truth == name) | (answer == name)).sum()
            found.append(((truth == name) & (answer == name)).sum() / union)
    return float(np.mean(found))


if __name__ == "__main__":
    main()
