"""Labels to the formats of other programs, and back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ..core.classes import ClassMap
from ..core.errors import CancelledError, ReadError, WriteError, one_line
from ..core.exchange.sketch import Picture, Sketch
from ..core.files.atomic import atomic_text
from ..core.image import SpecimenImage, SpecimenLabels
from ..core.progress import Progress, Report, silent
from .jobs import stem_of
from .pictures import PictureFolder
from .results import FileResult, failed, gathered_warnings
from .sources import DOCUMENTS, Source, name_results, sources_of
from .workers import STAGE

Format: TypeAlias = Literal["coco", "label-studio", "geojson", "png", "tif"]

_TOGETHER = {"coco": "coco.json", "label-studio": "tasks.json"}
"""Formats with one file for all pictures, and what it is called in a folder."""

_BYTES_A_PIXEL = 40
"""About what finding all outlines of a picture takes."""


@dataclass(frozen=True, slots=True)
class ConvertRequest:
    """What is made of every file.

    Parameters
    ----------
    to : str
        The format.
    class_map : ClassMap, optional
        Instead of what the files say; classes of annotations are found in it by name.
    images : Path, optional
        The folder of the pictures: for their names, their sizes and how large a pixel is.
    objects : bool, optional
        Whether each region of a file of annotations gets a number of its own; as the labels were that it
        was made from, if left out.
    colors : bool
        Whether PNGs show the colours of the classes, instead of holding their ids.
    address : str
        For Label Studio: what stands before a picture's name.
    """

    to: Format
    class_map: ClassMap | None = None
    images: Path | None = None
    objects: bool | None = None
    colors: bool = False
    address: str = ""


def convert_files(
    paths: Sequence[Path],
    output: Path,
    request: ConvertRequest,
    *,
    overwrite: bool = False,
    report: Report = silent,
) -> Iterator[FileResult]:
    """Convert label files and files of annotations, one picture after the other.

    Parameters
    ----------
    paths : sequence of Path
        Label pictures; ``.json`` of COCO or Label Studio; ``.geojson``. Confidence pictures are skipped.
    output : Path
        A folder, or the name of the one file that is made.
    request : ConvertRequest
    overwrite : bool
        Whether existing files are replaced.
    report : callable
        Gets a `Progress` for every picture; may raise `CancelledError`, which passes through.

    Yields
    ------
    FileResult
        One for each picture, in the order of `paths`. One that fails does not end the rest.

    Raises
    ------
    WriteError
        If the file for all pictures exists, or cannot be written.
    ReadError
        If the folder of pictures has none.
    """
    pictures = None if request.images is None else PictureFolder(request.images)
    sources = sources_of(paths, request.class_map)
    convert = _Conversion(
        request, pictures, output, overwrite, len([s for s in sources if not s.problem]) == 1
    )
    if request.to in _TOGETHER:
        yield from _into_one(sources, convert, report)
        return
    name_results(sources)
    for source in _told(sources, report):
        yield source.problem or convert.to_file(source)


def written_file(output: Path, to: Format) -> Path | None:
    """Return the one file that all pictures go into, or None where each has its own."""
    if to not in _TOGETHER:
        return None
    return output if output.suffix.lower() in DOCUMENTS else output / _TOGETHER[to]


@dataclass(slots=True)
class _Conversion:
    """Converts one picture at a time."""

    request: ConvertRequest
    pictures: PictureFolder | None
    output: Path
    overwrite: bool
    alone: bool
    legend: dict[int, Any] = field(default_factory=dict)

    def to_file(self, source: Source) -> FileResult:
        """Write the file of one picture."""
        start = time.perf_counter()
        try:
            with gathered_warnings() as warnings:
                target = self._target(source)
                if target.exists() and target.samefile(source.path):
                    raise WriteError(
                        "the result would replace the labels themselves", advice="Choose another folder."
                    )
                self._write(target, *self.labels(source))
        except CancelledError:
            raise
        except Exception as error:
            return failed(source.shown, error)
        return FileResult(source.path, "done", (target,), "", tuple(warnings), time.perf_counter() - start)

    def labels(self, source: Source) -> tuple[SpecimenLabels, str]:
        """Return labels and the file name of their picture."""
        from ..core.files import read_labels

        if source.sketch is not None:
            return self._painted(source.sketch, source)
        labels = read_labels(source.path, self.request.class_map)
        if self.pictures is not None:
            return labels, self.pictures.of_labels(source.path, labels.provenance).name
        noted = labels.provenance.get("input")
        name = noted.get("name") if isinstance(noted, dict) else None
        return labels, str(name or source.path.name)

    def drawn(self, source: Source) -> Picture:
        """Return the regions of a picture, after its classes have joined the legend."""
        from ..core.exchange.sketch import drawn

        labels, name = self.labels(source)
        _refuse_too_large(labels)
        picture, class_map = drawn(labels, name)
        used = {region.class_id for region in picture.regions}
        self._join({item.id: item for item in class_map.foreground if item.id in used or labels.class_map})
        return picture

    def class_map(self) -> ClassMap:
        """Return the classes of all pictures so far."""
        from ..core.classes import LabelClass, free_color

        taken = {"#000000"}
        classes = [LabelClass(id=0, name="background", color="#000000")]
        for number in sorted(self.legend):
            item = self.legend[number]
            color = free_color(item.color, number, taken)
            taken.add(color)
            classes.append(item.model_copy(update={"color": color}))
        return ClassMap(classes=tuple(classes))

    def _join(self, classes: dict[int, Any]) -> None:
        names = {item.name: number for number, item in self.legend.items()}
        for number, item in classes.items():
            known = self.legend.get(number)
            if (known is not None and known.name != item.name) or names.get(item.name, number) != number:
                other = known.name if known is not None else f"number {names[item.name]}"
                raise ReadError(
                    f"its class {number} is {one_line(item.name)!r}, before it was {one_line(other)!r}",
                    advice="Give one class map for all, with --class-map.",
                )
        for number, item in classes.items():
            self.legend.setdefault(number, item)

    def _painted(self, sketch: Sketch, source: Source) -> tuple[SpecimenLabels, str]:
        from ..core.exchange.sketch import labels_of
        from ..core.files import read_image

        picture = _picture_for(sketch.name, self.pictures)
        image = None if picture is None else read_image(picture)
        size = sketch.size
        if image is not None:
            size = size or (image.height, image.width)
            _refuse_other_size(size, image)
        if size is None:
            raise ReadError(
                "how large its picture is, the file does not tell",
                advice="Name the folder of the pictures with --images.",
            )
        assert source.class_map is not None
        labels = labels_of(sketch, size, source.class_map, objects=self.request.objects)
        if image is not None and image.pixel_size_yx is not None:
            labels = labels.replace(spacing=image.pixel_size_yx, unit=image.unit)
        return labels, picture.name if picture is not None else sketch.name

    def _target(self, source: Source) -> Path:
        ending = {"geojson": ".geojson", "png": ".png", "tif": ".tif"}[self.request.to]
        if self.output.suffix.lower() in (ending, f"{ending}f") and not self.output.is_dir():
            if not self.alone:
                raise WriteError(
                    "it is one file, and there are several pictures",
                    path=self.output,
                    advice="Name a folder.",
                )
            return self.output
        return self.output / f"{source.stem}{ending}"

    def _write(self, target: Path, labels: SpecimenLabels, name: str) -> None:
        from ..core.files import write_color_labels, write_labels

        if self.request.to == "geojson":
            self._write_geojson(target, labels, name)
        elif self.request.colors:
            write_color_labels(target, labels, overwrite=self.overwrite)
        else:
            write_labels(target, labels, overwrite=self.overwrite)

    def _write_geojson(self, target: Path, labels: SpecimenLabels, name: str) -> None:
        from ..core.exchange.geojson import write_geojson
        from ..core.exchange.sketch import drawn

        _refuse_too_large(labels)
        picture, class_map = drawn(labels, name)
        with atomic_text(target, self.overwrite) as file:
            write_geojson(file, picture, class_map)


def _into_one(sources: list[Source], convert: _Conversion, report: Report) -> Iterator[FileResult]:
    """Write all pictures into one file; results are yielded when it is there."""
    from ..core.exchange.coco import write_coco
    from ..core.exchange.label_studio import write_tasks

    target = written_file(convert.output, convert.request.to)
    assert target is not None
    results: list[FileResult] = []
    if not any(source.problem is None for source in sources):
        yield from (source.problem for source in sources if source.problem)
        return
    _refuse_existing(_set_up_of(target) if convert.request.to == "label-studio" else [], convert)
    with suppress(_NothingDoneError):
        with atomic_text(target, convert.overwrite) as file:
            pictures = _pictures(sources, convert, results, report)
            if convert.request.to == "coco":
                write_coco(file, pictures, convert.class_map)
            else:
                write_tasks(file, pictures, convert.class_map, convert.request.address)
            if not any(result.status == "done" for result in results):
                raise _NothingDoneError
        if convert.request.to == "label-studio":
            _write_set_up(target, convert)
    yield from results


class _NothingDoneError(Exception):
    """Ends the writing of a file into which nothing was written."""


def _pictures(
    sources: list[Source], convert: _Conversion, results: list[FileResult], report: Report
) -> Iterator[Picture]:
    for source in _told(sources, report):
        if source.problem is not None:
            results.append(source.problem)
            continue
        start = time.perf_counter()
        try:
            with gathered_warnings() as warnings:
                picture = convert.drawn(source)
        except CancelledError:
            raise
        except Exception as error:
            results.append(failed(source.shown, error))
            continue
        seconds = time.perf_counter() - start
        results.append(FileResult(source.path, "done", (), "", tuple(warnings), seconds))
        yield picture


def _set_up_of(target: Path) -> list[Path]:
    """Return what Label Studio asks for beside its tasks, and the classes for the way back."""
    return [target.with_name(f"{target.stem}-{rest}") for rest in ("interface.xml", "classes.json")]


def _write_set_up(target: Path, convert: _Conversion) -> None:
    from ..core.exchange.label_studio import labeling_config
    from ..core.files import write_class_map

    interface, classes = _set_up_of(target)
    with atomic_text(interface, convert.overwrite) as file:
        file.write(labeling_config(convert.class_map()))
    write_class_map(classes, convert.class_map(), overwrite=convert.overwrite)


def _refuse_existing(paths: list[Path], convert: _Conversion) -> None:
    """Refuse before the work, not after it."""
    for path in paths:
        if path.exists() and not convert.overwrite:
            raise WriteError(
                "it exists already", path=path, advice="Choose another name, or allow overwriting."
            )


def _told(sources: Iterable[Source], report: Report) -> Iterator[Source]:
    sources = list(sources)
    for done, source in enumerate(sources):
        report(Progress(STAGE, done, len(sources)))
        yield source
    report(Progress(STAGE, len(sources), len(sources)))


def _picture_for(name: str, pictures: PictureFolder | None) -> Path | None:
    if pictures is None:
        return None
    found = pictures.like(name)
    if found is None:
        raise ReadError(
            "its picture was not found", advice=f"Let one picture be called {one_line(stem_of(Path(name)))}."
        )
    return found


def _refuse_other_size(size: tuple[int, int], image: SpecimenImage) -> None:
    if size != (image.height, image.width):
        raise ReadError(
            f"the file is about {size[0]} x {size[1]} pixels, its picture has {image.height} x {image.width}",
            advice="Name the folder of the pictures that were annotated.",
        )


def _refuse_too_large(labels: SpecimenLabels) -> None:
    import psutil

    need, free = labels.height * labels.width * _BYTES_A_PIXEL, psutil.virtual_memory().available
    if need > 0.9 * free:
        raise WriteError(
            f"finding its outlines needs {need / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free",
            advice="Convert a part of it, or on a larger machine.",
        )
