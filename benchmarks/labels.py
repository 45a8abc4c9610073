"""Measuring and refining label pictures beside scikit-image and SciPy, and beside one read of the pixels."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .harness import in_turn, machine, markdown, peak_memory, ratio, write_into

SIDE, CLASSES = 4096, 12
OURS, PEER = "ours", "peer"


@dataclass(frozen=True)
class Case:
    """Two ways to the same result.

    Parameters
    ----------
    title : str
    peer_is : str
        Whom it is compared with.
    ours, peer : callable
    goal : float
        How many times as fast as the peer; where `at_most`, how many times its duration.
    rounds : int
    """

    title: str
    peer_is: str
    ours: Callable[[], object]
    peer: Callable[[], object]
    goal: float
    rounds: int
    at_most: bool = False


def label_picture(side: int = SIDE, seed: int = 0) -> NDArray[np.uint8]:
    """Return ellipses of 11 classes, some with holes or with another class inside, and specks."""
    from skimage.draw import ellipse

    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.uint8)
    for _ in range(side * side // 2400):
        kind = int(rng.integers(1, CLASSES))
        centre, radii = rng.integers(0, side, 2), rng.integers((6, 12), (31, 60))
        labels[ellipse(*centre, *radii, shape=labels.shape, rotation=rng.uniform(0, np.pi))] = kind
        if kind % 3 == 0:
            inside = 0 if kind % 2 else int(rng.integers(1, CLASSES))
            labels[ellipse(*centre, *(radii // 3 + 1), shape=labels.shape)] = inside
    for _ in range(side * side // 2800):
        (top, left), size = rng.integers(0, side, 2), rng.integers(1, 5, 2)
        labels[top : top + size[0], left : left + size[1]] = rng.integers(0, CLASSES)
    return labels


def _objects(labels: NDArray[Any], picture: NDArray[Any]) -> object:
    from napari_specimen_seg.core.regions import regions_of

    found = regions_of(labels, picture[..., None], parts=True, hulls=False)
    return found.area, found.centroid, found.box, found.perimeter, found.variances((1, 1)), found.mean


def _objects_by_skimage(labels: NDArray[Any], picture: NDArray[Any], *more: str) -> object:
    from skimage.measure import label, regionprops_table

    names = ("area", "centroid", "bbox", "perimeter", "eccentricity", "intensity_mean", *more)
    return regionprops_table(label(labels, background=0, connectivity=2), picture, properties=names)


def _small_by_skimage(labels: NDArray[Any], area: int) -> NDArray[Any]:
    from skimage.morphology import remove_small_objects

    out = np.zeros_like(labels)
    for kind in range(1, CLASSES):
        out[remove_small_objects(labels == kind, max_size=area - 1, connectivity=2)] = kind
    return out


def _holes_by_scipy(labels: NDArray[Any]) -> NDArray[Any]:
    from scipy.ndimage import binary_fill_holes

    out = labels.copy()
    for kind in range(1, CLASSES):
        out[binary_fill_holes(labels == kind) & (labels == 0)] = kind
    return out


def _split_by_skimage(labels: NDArray[Any]) -> int:
    """Cut objects as scikit-image's gallery does, class by class."""
    from scipy.ndimage import distance_transform_edt
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    count = 0
    for kind in range(1, CLASSES):
        mask = labels == kind
        distance = distance_transform_edt(mask)
        peaks = peak_local_max(distance, min_distance=8, labels=mask.astype(np.uint8))
        markers = np.zeros(labels.shape, np.int32)
        markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
        count += int(watershed(-distance, markers, mask=mask).max())
    return count


def cases(rounds: int) -> list[Case]:
    """Return everything that is timed."""
    from napari_specimen_seg import measure
    from napari_specimen_seg.core import refine
    from napari_specimen_seg.core.histogram import histogram
    from napari_specimen_seg.core.instances import separate

    labels = label_picture()
    picture = np.random.default_rng(1).integers(0, 256, labels.shape, dtype=np.uint8)
    large = np.tile(labels, (4, 4))  # does not fit into a processor's cache, so that a read is one of memory
    quarter = np.ascontiguousarray(labels[: SIDE // 2, : SIDE // 2])
    skimage, size = "scikit-image", f"{SIDE} x {SIDE}"
    return [
        Case(
            f"areas of {CLASSES} classes, {4 * SIDE} x {4 * SIDE}, in memory",
            "one read of the pixels",
            lambda: histogram(large),
            lambda: large.ravel().view(np.uint64).max(),
            8,
            3 * rounds,
            at_most=True,
        ),
        Case(
            f"objects: area, centroid, box, perimeter, eccentricity, mean; {size}",
            f"{skimage}: label, regionprops_table",
            lambda: _objects(labels, picture),
            lambda: _objects_by_skimage(labels, picture),
            25,
            rounds,
        ),
        Case(
            f"measure, per object, everything; {size}",
            f"{skimage}: the same, with axes and solidity",
            lambda: measure(labels, image=picture, per="object"),
            lambda: _objects_by_skimage(
                labels, picture, "solidity", "axis_major_length", "axis_minor_length"
            ),
            25,
            1,
        ),
        Case(
            f"remove specks, {size}",
            f"{skimage}, class by class",
            lambda: refine.remove_small(labels, 64),
            lambda: _small_by_skimage(labels, 64),
            15,
            rounds,
        ),
        Case(
            f"fill holes, {size}",
            "SciPy, class by class",
            lambda: refine.fill_holes(labels),
            lambda: _holes_by_scipy(labels),
            8,
            rounds,
        ),
        Case(
            f"cut touching objects, {SIDE // 2} x {SIDE // 2}",
            f"{skimage}, class by class",
            lambda: separate(quarter),
            lambda: _split_by_skimage(quarter),
            5,
            rounds,
        ),
    ]


def check_results() -> None:
    """Stop where fast and slow do not lead to the same."""
    from napari_specimen_seg.core import refine
    from napari_specimen_seg.core.histogram import histogram
    from napari_specimen_seg.core.regions import regions_of

    labels = label_picture(1024)
    assert (refine.remove_small(labels, 64) == _small_by_skimage(labels, 64)).all()
    differs = refine.fill_holes(labels) != labels
    assert (differs == (_holes_by_scipy(labels) != labels)).all()
    assert (histogram(labels) == np.bincount(labels.ravel(), minlength=256)).all()
    found = regions_of(labels, labels[..., None], parts=True)
    told: Any = _objects_by_skimage(labels, labels, "area_convex")
    assert (found.area == told["area"]).all()
    assert (found.convex_area == told["area_convex"]).all()
    np.testing.assert_allclose(found.perimeter, told["perimeter"])


def timed(rounds: int) -> list[tuple[Case, float, float]]:
    """Time every case.

    Returns
    -------
    list of (Case, float, float)
        How many times as fast as the peer (or as long as it, where `at_most`), and our seconds.
    """
    found = []
    for case in cases(rounds):
        times = in_turn({OURS: case.ours, PEER: case.peer}, case.rounds)
        pair = (OURS, PEER) if case.at_most else (PEER, OURS)
        found.append((case, ratio(times, *pair), float(np.median(times[OURS]))))
    return found


def ratios(rounds: int = 3) -> dict[str, float]:
    """Return, by what is done, how many times as fast it is as its peer; for reads, how many it takes."""
    return {case.title: factor for case, factor, _ in timed(rounds)}


def memory() -> list[list[str]]:
    """Return rows about the memory that measuring objects takes beyond the labels."""
    import dask.array as da

    from napari_specimen_seg.core.regions import regions_of

    labels = label_picture()
    picture = labels[..., None]
    regions_of(labels[:512], picture[:512], parts=True)
    rows = [
        [f"{SIDE} x {SIDE}, in memory", f"{peak_memory(lambda: regions_of(labels, picture, parts=True)):.0f}"]
    ]
    with tempfile.TemporaryDirectory() as folder:
        for times in (1, 4):
            store = str(Path(folder) / f"{times}.zarr")
            whole = da.from_array(labels, chunks=(1024, 1024))
            da.tile(whole, (times, times)).to_zarr(store)
            lazy = da.from_zarr(store)
            extra = peak_memory(lambda lazy=lazy: regions_of(lazy, parts=True))
            rows.append([f"{times * SIDE} x {times * SIDE}, zarr", f"{extra:.0f}"])
    return rows


def report(rounds: int) -> str:
    """Return the tables as Markdown."""
    check_results()
    rows = []
    for case, factor, seconds in timed(rounds):
        wanted = f"at most {case.goal:g} reads" if case.at_most else f"{case.goal:g}x"
        shown = f"{factor:.1f} reads" if case.at_most else f"{factor:.1f}x"
        rows.append([case.title, case.peer_is, shown, wanted, f"{1000 * seconds:.1f}"])
    return "\n\n".join(
        [
            f"Medians of {rounds} rounds. {machine()}.",
            markdown(["what", "beside", "ours", "goal", "ms"], rows),
            markdown(["measuring objects, all of them", "MB beyond the labels"], memory()),
        ]
    )


def main() -> None:
    """Measure and print; with ``--write`` also put the tables into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    text = report(given.rounds)
    print(text)
    if given.write:
        write_into(given.write, "labels", text)


if __name__ == "__main__":
    main()
