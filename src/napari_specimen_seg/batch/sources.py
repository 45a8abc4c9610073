"""Label pictures and annotation documents as one list of what is to be converted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.classes import ClassMap
from ..core.errors import ReadError, SpecimenError
from ..core.exchange.sketch import Sketch
from ..core.files.confidence import is_confidence
from .jobs import plan_jobs
from .results import FileResult, failed

DOCUMENTS = (".json", ".geojson")
"""Suffixes of files that hold regions of pictures, not labels."""


@dataclass(slots=True)
class Source:
    """Labels that are to be converted: a file of their own, or a part of one.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        What the result is called after: the file, or the picture that a document names.
    sketch : Sketch, optional
        What the document says about that picture.
    class_map : ClassMap, optional
        Of the document.
    problem : FileResult, optional
        Why it cannot be used.
    stem : str
        What the name of its result begins with.
    """

    path: Path
    name: str
    sketch: Sketch | None = None
    class_map: ClassMap | None = None
    problem: FileResult | None = None
    stem: str = ""

    @property
    def shown(self) -> Path:
        """What a message is about: the file, or the picture that a document names."""
        return self.path if self.sketch is None else Path(self.name)


def name_results(sources: list[Source]) -> None:
    """Give each result a name of its own; pictures of documents are called as they are there."""
    usable = [source for source in sources if source.problem is None]
    names = [source.path.with_name(source.name) if source.sketch else source.path for source in usable]
    stems = {job.picture: job.stem for job in plan_jobs(dict.fromkeys(names), Path())}
    taken: set[Path] = set()
    for source, name in zip(usable, names, strict=True):
        source.stem = stems[name]
        if name in taken:
            error = ReadError(
                "it is annotated twice", advice="Convert the files one by one, into folders of their own."
            )
            source.problem = failed(source.shown, error)
        taken.add(name)


def sources_of(paths: Sequence[Path], class_map: ClassMap | None) -> list[Source]:
    """Read documents, and give them one class map where they have none of their own.

    Parameters
    ----------
    paths : sequence of Path
    class_map : ClassMap, optional
        For all.

    Returns
    -------
    list of Source
        In the order of the paths.
    """
    found: list[Source] = []
    colors: dict[str, str] = {}
    for path in paths:
        if is_confidence(path):
            message = "it holds confidence, not labels"
            found.append(Source(path, path.name, problem=FileResult(path, "skipped", message=message)))
        elif path.suffix.lower() not in DOCUMENTS:
            found.append(Source(path, path.name))
        else:
            found += _of_document(path, colors)
    bare = [s for s in found if s.sketch is not None and s.class_map is None]
    shared = _shared_map([s.sketch for s in bare if s.sketch], colors)
    for source in bare:
        source.class_map = shared
    if class_map is not None:
        for source in found:
            source.class_map = class_map
    return found


def _of_document(path: Path, colors: dict[str, str]) -> list[Source]:
    from ..core.exchange import coco, geojson, label_studio
    from ..core.exchange.documents import load

    try:
        content = load(path)
        if coco.is_coco(content):
            sketches, class_map = coco.read_coco(content, path)
            return [Source(path, sketch.name, sketch, class_map) for sketch in sketches]
        if geojson.is_geojson(content):
            sketch, named = geojson.read_geojson(content, path)
            colors.update({name: color for name, color in named.items() if name not in colors})
            return [Source(path, path.name, sketch)]
        sketches = label_studio.read_label_studio(content, path)
        return [Source(path, sketch.name, sketch) for sketch in sketches]
    except SpecimenError as error:
        return [Source(path, path.name, problem=failed(path, error))]


def _shared_map(sketches: list[Sketch], colors: dict[str, str]) -> ClassMap | None:
    from ..core.exchange.sketch import class_map_for

    return class_map_for(sketches, colors) if sketches else None
