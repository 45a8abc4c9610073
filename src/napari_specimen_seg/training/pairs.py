"""Which picture belongs to which mask, for every layout that people keep their labels in."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from ..core.errors import ReadError
from ..core.files import find_inputs
from ..core.files.names import LABEL_ENDINGS, name_key
from .coco import read_coco
from .config import DataSettings
from .pair import Pair, PairList

MASK_ENDINGS = ("", *LABEL_ENDINGS)
"""What may stand behind a picture's stem in the name of its mask; nothing at all, first."""


def find_pairs(data: DataSettings) -> PairList:
    """Pair pictures and masks as the settings say.

    Parameters
    ----------
    data : DataSettings
        `images` may be a folder, a CSV list with columns ``image`` and ``labels``, or a folder in the
        competition's layout; `labels` a folder or a COCO file.

    Returns
    -------
    PairList

    Raises
    ------
    ReadError
        If nothing can be paired, or a list is not readable.
    """
    if data.images is None:
        raise ReadError("no pictures were given", advice="Choose a folder of pictures.")
    if not data.images.exists():
        raise ReadError("does not exist", path=data.images)
    if data.images.suffix.lower() == ".csv":
        found = _from_list(data.images)
    elif (data.images / "stage1_train").is_dir() or _is_competition(data.images):
        found = _from_competition(data.images)
    elif data.labels is None:
        found = _from_folders(data.images, data.images)
    elif data.labels.suffix.lower() == ".json":
        found = read_coco(data.labels, data.images)
    else:
        found = _from_folders(data.images, data.labels)
    if not found.pairs:
        why = f" ({found.problems[0][0].name}: {found.problems[0][1]})" if found.problems else ""
        raise ReadError(
            f"no picture has a mask{why}",
            path=data.images,
            advice="Masks are called like their picture, or <picture>_mask.",
        )
    found.pairs.sort(key=lambda pair: pair.name)
    return found


def _by_stem(paths: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found[name_key(path)].append(path)
    return found


def _from_folders(images: Path, labels: Path) -> PairList:
    """Pair by stem; a doubly matched picture or mask is a problem and never paired at random."""
    masks = _by_stem(find_inputs([labels]))
    pictures = _by_stem(find_inputs([images]))
    result = PairList()
    used: set[Path] = set()
    for stem, paths in pictures.items():
        if images == labels and _is_mask_name(stem, pictures):
            continue
        fitting = [
            mask
            for ending in MASK_ENDINGS
            for mask in masks.get(stem + ending, [])
            if not (images == labels and mask in paths)
        ]
        used.update(fitting)
        if len(paths) > 1:
            names = ", ".join(p.name for p in paths[1:])
            result.problems.append((paths[0], f"{len(paths)} pictures share this name ({names})"))
        elif not fitting:
            result.problems.append((paths[0], "has no mask"))
        elif len(fitting) > 1:
            names = ", ".join(p.name for p in fitting)
            result.problems.append((paths[0], f"has {len(fitting)} masks ({names})"))
        else:
            result.pairs.append(Pair(paths[0].stem, paths[0], (fitting[0],)))
    if images != labels:
        for paths in masks.values():
            result.problems += [(path, "is a mask without a picture") for path in paths if path not in used]
    return result


def _is_mask_name(stem: str, stems: dict[str, list[Path]]) -> bool:
    return any(
        stem.endswith(ending) and stem.removesuffix(ending) in stems for ending in MASK_ENDINGS if ending
    )


def _is_competition(folder: Path) -> bool:
    first = next((p for p in sorted(folder.iterdir()) if p.is_dir()), None) if folder.is_dir() else None
    return first is not None and (first / "images").is_dir() and (first / "masks").is_dir()


def _from_competition(folder: Path) -> PairList:
    """Read ``<ID>/images/<ID>.png`` and ``<ID>/masks/*.png``, one object a mask."""
    root = folder / "stage1_train" if (folder / "stage1_train").is_dir() else folder
    result = PairList()
    for item in sorted(p for p in root.iterdir() if p.is_dir()):
        pictures = find_inputs([item / "images"]) if (item / "images").is_dir() else []
        masks = find_inputs([item / "masks"]) if (item / "masks").is_dir() else []
        if len(pictures) == 1 and masks:
            result.pairs.append(Pair(item.name, pictures[0], tuple(masks)))
        else:
            result.problems.append((item, f"holds {len(pictures)} pictures and {len(masks)} masks"))
    return result


def _from_list(path: Path) -> PairList:
    """Read a CSV with columns ``image`` and ``labels``; paths are relative to the file."""
    result = PairList()
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not {"image", "labels"} <= set(reader.fieldnames or ()):
            raise ReadError("a list of pairs needs the columns image and labels", path=path)
        for row in reader:
            picture, mask = path.parent / (row["image"] or ""), path.parent / (row["labels"] or "")
            missing = next((p for p in (picture, mask) if not p.is_file()), None)
            if missing:
                result.problems.append((missing, "is named in the list but does not exist"))
            else:
                result.pairs.append(Pair(picture.stem, picture, (mask,)))
    return result
