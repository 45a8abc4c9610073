"""Which file is made from which picture, so that no two pictures ever share one."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.files.confidence import CONFIDENCE

_MAX_NAME_BYTES = 255
_MAX_PARENTS = 8


@dataclass(frozen=True, slots=True)
class PredictJob:
    """One picture and the files that are made from it.

    Parameters
    ----------
    picture : Path
        What is segmented.
    folder : Path
        Where the files go.
    stem : str
        What their names begin with.
    """

    picture: Path
    folder: Path
    stem: str

    @property
    def labels(self) -> Path:
        """The label picture."""
        return self._file(".tif")

    @property
    def provenance(self) -> Path:
        """What made it."""
        return self._file(".json")

    @property
    def confidence(self) -> Path:
        """How sure the model was of every pixel."""
        return self._file(f"{CONFIDENCE}.tif")

    @property
    def unfinished(self) -> Path:
        """The folder, hidden, in which the labels of a huge picture are made; gone when they are done."""
        return self._file(".unfinished.zarr", before=".")

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Every file that may be made."""
        return (self.labels, self.provenance, self.confidence)

    def _file(self, ending: str, before: str = "") -> Path:
        return self.folder / (before + _cut(self.stem, _MAX_NAME_BYTES - len(before + ending)) + ending)


def plan_jobs(pictures: Iterable[Path], folder: Path, *, confidence: bool = False) -> tuple[PredictJob, ...]:
    """Give every picture the stem of its results: its own, or a longer one where two are the same.

    ``a/x.png`` and ``b/x.png`` become ``a_x`` and ``b_x``, ``x.png`` and ``x.jpg`` in one folder
    ``x_png`` and ``x_jpg``; the names depend on the set of pictures alone, not on their order. Names that
    differ only in case or in how accents are encoded count as the same, as they do on many disks.

    Parameters
    ----------
    pictures : iterable of Path
        In the order of the work; each once.
    folder : Path
        Where all results go.
    confidence : bool
        Whether there are confidence pictures too, which must stay apart from the labels of a picture
        that is called ``x_confidence``.

    Returns
    -------
    tuple of PredictJob
        In the order of `pictures`.
    """
    pictures = tuple(pictures)
    suffixes = ("", CONFIDENCE) if confidence else ("",)
    groups: defaultdict[str, list[Path]] = defaultdict(list)
    for picture in sorted(pictures):
        groups[_key(stem_of(picture))].append(picture)
    stems: dict[Path, str] = {}
    taken: set[str] = set()
    # Pictures whose stem is their own come first: nobody else's longer name may take it from them.
    for group in sorted(groups.values(), key=len):
        chosen = next(names for names in _namings(group) if _are_free(names, taken, suffixes))
        stems.update(zip(group, chosen, strict=True))
        taken.update(_key(name + suffix) for name in chosen for suffix in suffixes)
    return tuple(PredictJob(picture, folder, stems[picture]) for picture in pictures)


def stem_of(path: Path) -> str:
    """Return the name of a picture without its suffix; ``.ome.tif`` and the like are one suffix."""
    return path.stem[: -len(".ome")] if path.stem.lower().endswith(".ome") else path.stem


def _namings(group: list[Path]) -> Iterator[list[str]]:
    """Propose names for pictures with the same stem: from the shortest to one that is always free."""
    same_folder = len({path.parent for path in group}) < len(group)
    for parents in range(_MAX_PARENTS):
        yield [_spelled(path, parents, with_suffix=same_folder) for path in group]
    yield [f"{stem_of(path)}-{_short_hash(str(path.absolute()))}" for path in group]


def _spelled(path: Path, parents: int, *, with_suffix: bool) -> str:
    above = path.absolute().parent.parts[1:]
    ending = path.name[len(stem_of(path)) :].replace(".", "_") if with_suffix else ""
    return "_".join([*above[max(0, len(above) - parents) :], stem_of(path)]) + ending


def _are_free(names: list[str], taken: set[str], suffixes: Sequence[str]) -> bool:
    wanted = [_key(name + suffix) for name in names for suffix in suffixes]
    return len(set(wanted)) == len(wanted) and taken.isdisjoint(wanted)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _short_hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def _cut(stem: str, limit: int) -> str:
    """Cut a name that is too long for a disk; what is left stays as different as it was."""
    if len(os.fsencode(stem)) <= limit:
        return stem
    end = f"-{_short_hash(stem)}"
    return os.fsencode(stem)[: limit - len(end)].decode(errors="ignore") + end
