"""Where the time goes for one 4096 x 4096 picture, from file to table."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .harness import in_turn, machine, markdown, peak_memory, ratio, write_into
from .prediction import floor_of

SIDE = 4096


def picture() -> NDArray[np.uint8]:
    """Return real stained tissue, repeated to 4096 x 4096 x 3 uint8."""
    from skimage.data import immunohistochemistry

    tissue = immunohistochemistry()
    return np.tile(tissue, (SIDE // tissue.shape[0], SIDE // tissue.shape[1], 1))


def stages(name: str, rounds: int, folder: Path) -> str:
    """Time every stage and return the table as Markdown."""
    import imagecodecs
    import tifffile

    from napari_specimen_seg import load_model, measure, read_image, read_labels, write_labels
    from napari_specimen_seg.core.instances import separate

    pixels = picture()
    tifffile.imwrite(folder / "p.tif", pixels, tile=(512, 512), compression="deflate", photometric="rgb")
    (folder / "p.png").write_bytes(imagecodecs.png_encode(pixels, level=6))
    (folder / "p.jpg").write_bytes(imagecodecs.jpeg8_encode(pixels, level=90))
    predictor = load_model(name)
    image = read_image(folder / "p.tif")
    image = image.replace(data=np.asarray(image.data))
    prediction = predictor.predict(image)
    class_map = prediction.class_map
    write_labels(folder / "labels.tif", prediction.labels, class_map)

    works: dict[str, Any] = {
        "read PNG": lambda: np.asarray(read_image(folder / "p.png").data),
        "read PNG, Pillow alone": lambda: np.asarray(Image.open(folder / "p.png")),
        "read JPEG": lambda: np.asarray(read_image(folder / "p.jpg").data),
        "read JPEG, Pillow alone": lambda: np.asarray(Image.open(folder / "p.jpg")),
        "read TIFF (tiles, deflate)": lambda: np.asarray(read_image(folder / "p.tif").data),
        "range of values": lambda: predictor.card.preprocessing.value_range(image.data),
        "predict (all of the picture)": lambda: predictor.predict(image),
        "forward alone, same input pixels": floor(predictor, image),
        "separate objects": lambda: separate(prediction.labels, class_map),
        "write labels": lambda: write_labels(
            folder / "again.tif", prediction.labels, class_map, overwrite=True
        ),
        "read labels": lambda: np.asarray(read_labels(folder / "labels.tif").data),
        "measure per class": lambda: measure(prediction.labels, class_map, 0.5, "um"),
        "measure per object": lambda: measure(prediction.labels, class_map, 0.5, "um", per="object"),
    }
    Image.MAX_IMAGE_PIXELS = None
    times = in_turn(works, rounds)
    base = "predict (all of the picture)"
    rows = [[name, f"{np.median(times[name]):.2f}", f"{ratio(times, name, base):.3f}"] for name in works]
    extra = peak_memory(works[base])
    over_floor = ratio(times, base, "forward alone, same input pixels")
    return "\n\n".join(
        [
            f"`{predictor.card.name}` on {SIDE} x {SIDE} RGB, float32, median of {rounds}. {machine()}.",
            markdown(["stage", "s", "relative to predict"], rows),
            f"Predict takes {over_floor:.2f} times as long as the network alone on the same number of "
            f"input pixels, and {extra:.0f} MB beyond model and picture.",
        ]
    )


def floor(predictor: Any, image: Any) -> Any:
    """Return a function that runs only the network, on as many tiles as a prediction needs."""
    plan = predictor.plan(image)
    alone = floor_of(predictor, plan)
    return lambda: alone(len(plan.tiles))


def main() -> None:
    """Measure and print; with ``--write`` also put the table into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = stages(given.model, given.rounds, Path(folder))
    print(text)
    if given.write:
        write_into(given.write, "stages", text)


if __name__ == "__main__":
    main()
