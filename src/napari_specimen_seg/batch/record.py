"""The file beside a mask that says what made it: enough to skip it, to doubt it, or to make it again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field

from ..core.errors import one_line
from ..core.image import PixelSize
from ..core.provenance import (
    EngineUsed,
    InputUsed,
    ModelUsed,
    read_provenance_as,
    sha256_of,
    write_provenance,
)
from ..models.library import list_models
from ..models.settings import PredictSettings

Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Part(BaseModel):
    # What a newer version adds must not make a mask impossible to repeat.
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class GivenPixelSize(_Part):
    """A pixel size that was given instead of the picture's own: height and width in `unit`."""

    size: tuple[Length, Length]
    unit: str


class FilesUsed(_Part):
    """Where things were, seen from the folder of the record, and the SHA-256 of what was made, by name."""

    picture: str
    model: str
    sha256: dict[str, str] = {}


class RunRequest(_Part):
    """What is to be done with a picture: what a mask has to agree with to count as finished.

    Parameters
    ----------
    input_name : str
        Of the picture's file.
    input_sha256, card_sha256 : str
        Of the picture's file and of the model's card.
    settings : PredictSettings
    pixel_size : GivenPixelSize, optional
    """

    input_name: str
    input_sha256: str
    card_sha256: str
    settings: PredictSettings
    pixel_size: GivenPixelSize | None = None


class RunRecord(_Part):
    """What made a mask, as read from the file beside it: `core.provenance.Provenance` and what repeats it.

    Parameters
    ----------
    input, model, settings, engine, versions
        As in the mask itself.
    pixel_size : GivenPixelSize, optional
    files : FilesUsed, optional
        Missing in what stands in the mask itself.
    """

    format: Literal[1] = 1
    input: InputUsed
    model: ModelUsed
    settings: PredictSettings
    engine: EngineUsed
    versions: dict[str, str] = {}
    pixel_size: GivenPixelSize | None = None
    files: FilesUsed = FilesUsed(picture="", model="")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record.

        Raises
        ------
        ReadError
            If there is none, or it is not one.
        """
        return read_provenance_as(path, cls)

    def settings_then(self) -> PredictSettings:
        """Return the settings with what ``auto`` meant then, so that the same happens elsewhere.

        Some models bring what computes them along, as onnxruntime; that cannot be chosen and stays as it is.
        """
        engine = self.engine.model_dump()
        if engine["backend"] not in get_args(PredictSettings.model_fields["backend"].annotation):
            del engine["backend"]
        return PredictSettings.model_validate(self.settings.model_dump() | engine)

    def differences(self, request: RunRequest) -> list[str]:
        """Say in what a request differs from what was done; empty if in nothing."""
        found = []
        if self.input.sha256 != request.input_sha256:
            found.append(f"it was made from another picture ({one_line(self.input.name, 80)})")
        if self.model.card_sha256 != request.card_sha256:
            found.append(f"it was made by another model ({one_line(self.model.name, 80)})")
        then, now = self.settings.model_dump(), request.settings.model_dump()
        found += [f"{name} was {then[name]}, is {now[name]}" for name in now if then[name] != now[name]]
        if self.pixel_size != request.pixel_size:
            found.append("another pixel size was given")
        return found


def given_pixel_size(pixel_size: PixelSize | None, unit: str | None) -> GivenPixelSize | None:
    """Return the record of a pixel size that a person gave, or None if none was given."""
    if pixel_size is None:
        return None
    sizes = pixel_size if isinstance(pixel_size, tuple) else (pixel_size, pixel_size)
    return GivenPixelSize(size=sizes, unit=unit or "pixel")


def write_record(
    path: Path,
    provenance: Mapping[str, Any],
    *,
    picture: Path,
    model: str,
    results: Sequence[Path],
    overwrite: bool = False,
) -> None:
    """Write the provenance of a mask beside it, with what is needed to make it again.

    Parameters
    ----------
    path : Path
    provenance : mapping
        What stands in the mask too.
    picture : Path
        Noted as seen from the folder of `path`: where they are near, that names no user and no machine.
    model : str
        Name or folder of the model; a folder is noted as the picture is.
    results : sequence of Path
        What was made; noted by name with checksums.
    overwrite : bool

    Raises
    ------
    WriteError
        If it exists and `overwrite` is false, or cannot be written.
    """
    files = FilesUsed(
        picture=_seen_from(path.parent, picture),
        model=model if is_name(model) else _seen_from(path.parent, Path(model)),
        sha256={result.name: sha256_of(result) for result in results},
    )
    write_provenance(path, {**provenance, "files": files.model_dump()}, overwrite)


def is_name(model: str) -> bool:
    """Tell whether a model is given by its name, not by its folder."""
    return any(entry.name == model for entry in list_models())


def _seen_from(folder: Path, path: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()
