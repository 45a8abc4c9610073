"""What is wrong with labelled data, found before anything trains on it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..core.classes import ClassMap
from ..core.errors import SpecimenError
from ..core.files import read_image
from .config import TrainConfig
from .dataset import read_target
from .losses import IGNORE
from .pair import Pair, PairList


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the data that a person should see.

    Parameters
    ----------
    severity : {"error", "warning"}
        Errors must be mended before training.
    what : str
        In one line.
    files : tuple of Path
        The offenders; the last is the one to be mended.
    """

    severity: Literal["error", "warning"]
    what: str
    files: tuple[Path, ...] = ()


def inspect(
    found: PairList, learn: list[Pair], validate: list[Pair], config: TrainConfig, class_map: ClassMap
) -> list[Finding]:
    """Look at every pair and at the split.

    Parameters
    ----------
    found : PairList
    learn, validate : list of Pair
    config : TrainConfig
    class_map : ClassMap

    Returns
    -------
    list of Finding
        Errors first.
    """
    findings = _unpaired(found)
    pixels, broken = _count(learn + validate, config, class_map)
    findings += broken
    findings += _absent(pixels, learn, validate, class_map)
    findings += _twins(learn, validate)
    if len(validate) < 5:
        findings.append(
            Finding("warning", f"pictures for validation: only {len(validate)}, so scores will be rough")
        )
    return sorted(findings, key=lambda finding: finding.severity)


def check_data(
    found: PairList, learn: list[Pair], validate: list[Pair], config: TrainConfig, class_map: ClassMap
) -> list[str]:
    """Refuse data with errors; return the warnings, one line each.

    Raises
    ------
    SpecimenError
        With the first error and how many more there are.
    """
    findings = inspect(found, learn, validate, config, class_map)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        path = errors[0].files[-1] if errors[0].files else None
        what = errors[0].what.removeprefix(f"{path.name}: " if path else "")  # the path is told anyway
        raise SpecimenError(what + more, path=path)
    return [finding.what for finding in findings]


def _unpaired(found: PairList) -> list[Finding]:
    return [Finding("warning", f"{path.name} {why}", (path,)) for path, why in found.problems]


def _count(
    pairs: list[Pair], config: TrainConfig, class_map: ClassMap
) -> tuple[dict[str, np.ndarray], list[Finding]]:
    """Return labelled pixels by class for every pair that can be read, and what cannot."""
    pixels: dict[str, np.ndarray] = {}
    findings: list[Finding] = []
    for pair in pairs:
        try:
            image = read_image(pair.picture)
            target = read_target(pair, config.data, class_map, (image.height, image.width))
        except SpecimenError as error:
            path = error.path or pair.picture
            files = (path,) if path == pair.picture else (pair.picture, path)  # a mask is seen on its picture
            findings.append(Finding("error", f"{path.name}: {error.cause}", files))
            continue
        labelled = target[target != IGNORE]
        pixels[pair.name] = np.bincount(labelled.ravel(), minlength=len(class_map))
        if not len(labelled):
            findings.append(Finding("warning", f"{pair.picture.name} has no labelled pixel", (pair.picture,)))
    return pixels, findings


def _absent(
    pixels: dict[str, np.ndarray], learn: list[Pair], validate: list[Pair], class_map: ClassMap
) -> list[Finding]:
    """Name classes that are missing on one side of the split, and data with one class only."""
    findings = []
    sides = {"learn from": learn, "validate on": validate}
    totals = {
        side: sum((pixels[p.name] for p in pairs if p.name in pixels), np.zeros(len(class_map), np.int64))
        for side, pairs in sides.items()
    }
    for position, item in enumerate(class_map):
        missing = [side for side, total in totals.items() if not total[position]]
        if missing and item.id != 0:
            findings.append(Finding("warning", f"no picture to {' or to '.join(missing)} shows {item.name}"))
    if pixels and (totals["learn from"] > 0).sum() < 2:
        findings.append(
            Finding("error", "the masks to learn from hold one class only: nothing can be learned")
        )
    return findings


def _twins(learn: list[Pair], validate: list[Pair]) -> list[Finding]:
    """Find pictures that stand on both sides of the split, as the same file or nearly the same picture."""
    sides: dict[str, list[tuple[str, Pair]]] = defaultdict(list)
    prints: list[tuple[int, str, Pair]] = []
    for side, pairs in (("learn", learn), ("validate", validate)):
        for pair in pairs:
            sides[hashlib.sha256(pair.picture.read_bytes()).hexdigest()].append((side, pair))
            prints.append((_fingerprint(pair.picture), side, pair))
    findings = []
    same: set[str] = set()
    for members in sides.values():
        if len({side for side, _ in members}) > 1:
            names = [pair.picture for _, pair in members]
            same.update(pair.name for _, pair in members)
            findings.append(_twin("the same picture", names))
    held_out = [(p, pair) for p, side, pair in prints if side == "validate" and pair.name not in same]
    for code, side, pair in prints:
        if side != "learn" or pair.name in same or not 24 <= code.bit_count() <= 232:
            continue  # nearly black or plain pictures all look alike to this measure
        for other, twin in held_out:
            if (code ^ other).bit_count() <= 3:
                findings.append(_twin("nearly the same picture", [pair.picture, twin.picture]))
    return findings


def _twin(what: str, paths: list[Path]) -> Finding:
    names = ", ".join(path.name for path in paths)
    return Finding("warning", f"{what} is learned from and validated on: {names}", tuple(paths))


def _fingerprint(path: Path) -> int:
    """Return 256 bits that nearly agree for nearly the same picture: signs of horizontal differences.

    Source: the difference hash described by N. Krawetz (2013), at 16 x 16.
    """
    from PIL import Image

    from ..core.preprocessing import Preprocessing

    gray = Preprocessing(channels="gray", mean=(0.0,), std=(1.0,))
    try:
        plane = np.asarray(read_image(path).data)
        plane = gray.to_channels(plane)[..., 0].astype(np.float32)
    except SpecimenError:
        return int.from_bytes(hashlib.sha256(str(path).encode()).digest(), "big")
    small = np.asarray(Image.fromarray(plane).resize((17, 16), Image.Resampling.BOX))
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    return int("".join("1" if bit else "0" for bit in bits), 2)
