"""Which picture, prediction and second opinion belong to which label file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ReadError, one_line
from ..core.files import find_inputs
from ..core.files.dsb2018 import is_sample
from ..core.files.names import bare_name, name_key
from ..core.image import SpecimenImage, SpecimenLabels

CONFIDENCE = "_confidence"
"""How pictures end that say how sure a model was; they are no labels."""


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled picture.

    Parameters
    ----------
    name : str
        Unique within an evaluation.
    labels : Path
        The truth.
    image : Path, optional
        The picture.
    predictions : tuple of (str, Path)
        Masks that are there already, by the name of what made them.
    """

    name: str
    labels: Path
    image: Path | None = None
    predictions: tuple[tuple[str, Path], ...] = ()

    def prediction(self, name: str) -> Path | None:
        """Return the mask that this maker made, or None."""
        return dict(self.predictions).get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedCase(Case):
    """One labelled picture that is in memory already; `labels` is only what it is called in messages.

    Parameters
    ----------
    truth : SpecimenLabels
    picture : SpecimenImage, optional
    """

    truth: SpecimenLabels
    picture: SpecimenImage | None = None


@dataclass(frozen=True, slots=True)
class Cases:
    """What is to be compared.

    Parameters
    ----------
    cases : tuple of Case
        In natural order of the label files.
    problems : tuple of (Path, str)
        Label files that cannot be compared, and why.
    notes : tuple of str
        What a person should know: files that nothing belongs to.
    """

    cases: tuple[Case, ...]
    problems: tuple[tuple[Path, str], ...] = ()
    notes: tuple[str, ...] = ()


class Folder:
    """The files of a folder by the name of the picture that they belong to.

    Parameters
    ----------
    where : Path
        A folder, or a single file.
    what : str
        What is in it, for messages: ``"picture"``.
    """

    def __init__(self, where: Path, what: str) -> None:
        self.what = what
        self.where = where
        self._exact: dict[str, list[Path]] = defaultdict(list)
        self._bare: dict[str, list[Path]] = defaultdict(list)
        self._used: set[Path] = set()
        for path in labels_in(where):
            self._exact[name_key(path)].append(path)
            self._bare[bare_name(path)].append(path)

    def of(self, labels: Path) -> Path | str:
        """Return the file that belongs to a label file, or why there is none."""
        found = self._exact.get(name_key(labels)) or self._bare.get(bare_name(labels)) or []
        if len(found) == 1:
            self._used.add(found[0])
            return found[0]
        if not found:
            return f"its {self.what} was not found in {one_line(self.where)}"
        names = ", ".join(one_line(path.name) for path in found)
        return f"which {self.what} belongs to it is not clear: {names}"

    def unused(self) -> list[Path]:
        """Return the files that belong to no label file so far."""
        return [path for paths in self._exact.values() for path in paths if path not in self._used]


def find_cases(
    labels: Path,
    *,
    images: Path | None = None,
    predictions: Iterable[tuple[str, Path]] = (),
    seconds: Iterable[tuple[str, Path]] = (),
    needs_image: bool = False,
) -> Cases:
    """Find out what belongs to each label file.

    Parameters
    ----------
    labels : Path
        Folder of the truth.
    images : Path, optional
        Folder of the pictures.
    predictions : iterable of (str, Path)
        Folders of masks, each with a name; every label file must have one in each.
    seconds : iterable of (str, Path)
        Folders of further masks that not every label file needs to have: another person's.
    needs_image : bool
        Whether a label file without its picture is a problem, because a model has to see it.

    Returns
    -------
    Cases

    Raises
    ------
    ReadError
        If a folder does not exist or holds nothing that can be used.
    """
    makers = [(name, Folder(folder, "prediction")) for name, folder in predictions]
    others = [(name, Folder(folder, "second labels")) for name, folder in seconds]
    pictures = None if images is None else Folder(images, "picture")
    cases, problems = [], []
    for name, path in _named(labels_in(labels)):
        image = None if pictures is None else pictures.of(path)
        masks = [(maker, folder.of(path)) for maker, folder in makers]
        wrong = [mask for _, mask in masks if isinstance(mask, str)]
        masks += [(maker, folder.of(path)) for maker, folder in others]
        wrong += [image] if isinstance(image, str) and needs_image else []
        if wrong:
            problems.append((path, wrong[0]))
            continue
        found = tuple((maker, mask) for maker, mask in masks if isinstance(mask, Path))
        cases.append(Case(name, path, image if isinstance(image, Path) else None, found))
    notes = [_unused(folder) for _, folder in (*makers, *others)]
    return Cases(tuple(cases), tuple(problems), tuple(note for note in notes if note))


def labels_in(where: Path) -> list[Path]:
    """Return the label files that a folder holds; pictures of confidence are none.

    Raises
    ------
    ReadError
        If there is no such folder, or nothing in it.
    """
    found = find_inputs([where])
    stems = {path.stem for path in found}
    kept = [
        path
        for path in found
        if not (path.stem.endswith(CONFIDENCE) and path.stem.removesuffix(CONFIDENCE) in stems)
    ]
    if not kept:
        raise ReadError("there are no label files here", path=where, advice="Choose another folder.")
    return kept


def _named(paths: list[Path]) -> list[tuple[str, Path]]:
    """Give every label file a name of its own: that of its picture, or its whole file name."""
    names = [bare_name(path) for path in paths]
    return [
        (name if names.count(name) == 1 else path.name, path) for name, path in zip(names, paths, strict=True)
    ]


def _unused(folder: Folder) -> str:
    paths = folder.unused()
    if not paths:
        return ""
    more = f" and {len(paths) - 1} more have" if len(paths) > 1 else " has"
    return f"{one_line(paths[0].name)}{more} no labels to be compared with"


def sample_folder(path: Path) -> Path | None:
    """Return the sample in the layout of the Data Science Bowl 2018 that a picture is of, or None."""
    folder = path.parent.parent
    return folder if path.parent.name == "images" and folder.name == path.stem and is_sample(folder) else None
