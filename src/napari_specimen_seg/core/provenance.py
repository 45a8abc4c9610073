"""What made a mask: model, settings, engine, picture and program versions; no time, so that it repeats."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .classes import ClassMap
from .errors import ReadError, validation_line
from .files.atomic import atomic

PACKAGES = ("napari-specimen-seg", "torch", "segmentation-models-pytorch", "timm", "numpy")
"""The packages that a mask depends on."""

_BACKENDS = {"openvino": ("openvino",), "onnxruntime": ("onnxruntime",)}
_MAX_BYTES = 4_000_000

Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]

Kind = TypeVar("Kind", bound=BaseModel)


class _Part(BaseModel):
    # What a newer version adds must not make a mask unreadable.
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class ModelUsed(_Part):
    """The model: its name, and the checksums of its card and of its weights."""

    name: str
    version: str = ""
    card_sha256: Sha256 = ""
    sha256: Sha256 = ""


class EngineUsed(_Part):
    """What computed, after ``auto`` was resolved."""

    device: str
    backend: str
    precision: str


class InputUsed(_Part):
    """The picture: file name without folders, checksum of the file, and shape of the array."""

    name: str
    sha256: Sha256 = ""
    shape: tuple[int, ...] = ()


class Provenance(_Part):
    """What made a mask.

    Parameters
    ----------
    model, engine, input
        What was used.
    settings : mapping
        The fields of `models.settings.PredictSettings`, as chosen.
    class_map : str
        `class_map_id` of the classes.
    versions : mapping of str to str
        Of Python and `PACKAGES`.
    """

    format: Literal[1] = 1
    model: ModelUsed
    settings: dict[str, Any] = {}
    engine: EngineUsed
    input: InputUsed
    class_map: Sha256 = ""
    versions: dict[str, str] = {}


def provenance_of(
    described: Mapping[str, Any],
    picture: str | PathLike[str],
    *,
    sha256: str | None = None,
    shape: tuple[int, ...] = (),
    class_map: ClassMap | None = None,
) -> dict[str, Any]:
    """Put together what made a mask, as plain values that can go into any file.

    Parameters
    ----------
    described : mapping
        ``model``, ``settings`` and ``engine``, as a prediction carries them.
    picture : path-like
        The file that was segmented. Only its name is kept: folders say who works where.
    sha256 : str, optional
        Of the file, where it is known already.
    shape : tuple of int
        Of the picture.
    class_map : ClassMap, optional
        The classes of the mask.

    Returns
    -------
    dict
        The fields of `Provenance`, and what else `described` holds.

    Raises
    ------
    ReadError
        If the picture cannot be read to compute its checksum.
    """
    path = Path(picture)
    backend = str(described.get("engine", {}).get("backend", ""))
    found = Provenance.model_validate(
        {
            **described,
            "input": {"name": path.name, "sha256": sha256 or sha256_of(path), "shape": shape},
            "class_map": class_map_id(class_map) if class_map else "",
            "versions": package_versions((*PACKAGES, *_BACKENDS.get(backend, ()))),
        }
    )
    return {**described, **found.model_dump(mode="json")}


def class_map_id(class_map: ClassMap) -> str:
    """Return the SHA-256 of a class map: the same for the same names, ids, colours and order."""
    text = json.dumps(class_map.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of the packages that are installed, without importing them."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def sha256_of(path: str | PathLike[str]) -> str:
    """Return the SHA-256 of a file; of a folder (OME-Zarr), that of its files' names and SHA-256s.

    Raises
    ------
    ReadError
        If it cannot be read.
    """
    path = Path(path)
    try:
        if not path.is_dir():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()
        for inner in sorted(p for p in path.rglob("*") if p.is_file()):
            name = inner.relative_to(path).as_posix()
            digest.update(f"{name}\0{sha256_of(inner)}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()
    except OSError as error:
        raise ReadError(error.strerror or error, path=path, advice="Check that you may read it.") from error


def write_provenance(
    path: str | PathLike[str], provenance: Provenance | Mapping[str, Any], overwrite: bool = False
) -> Path:
    """Write provenance as JSON; the same provenance gives the same bytes.

    Parameters
    ----------
    path : path-like
    provenance : Provenance or mapping
        Plain values; may hold more than `Provenance` has.
    overwrite : bool

    Returns
    -------
    Path

    Raises
    ------
    WriteError
        If it exists and `overwrite` is false, or cannot be written.
    """
    content = provenance.model_dump(mode="json") if isinstance(provenance, Provenance) else dict(provenance)
    with atomic(path, overwrite) as temporary:
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        temporary.write_bytes(text.encode("ascii"))
    return Path(path)


def read_provenance(path: str | PathLike[str]) -> Provenance:
    """Read what `write_provenance` wrote.

    Raises
    ------
    ReadError
        If there is no such file, or it is not one.
    """
    return read_provenance_as(path, Provenance)


def read_provenance_as(path: str | PathLike[str], kind: type[Kind]) -> Kind:
    """Read a provenance file that holds more than `Provenance` has.

    Parameters
    ----------
    path : path-like
    kind : type of pydantic.BaseModel
        What it is to become.

    Raises
    ------
    ReadError
        If there is no such file, or it is not one.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ReadError("it is too large for a provenance file", path=path)
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ReadError(error.strerror or error, path=path) from error
    except (ValidationError, RecursionError) as error:
        why = validation_line(error) if isinstance(error, ValidationError) else "nested too deeply"
        raise ReadError(
            f"it is not a provenance file ({why})",
            path=path,
            advice="Give the .json file that predict left beside a mask.",
        ) from error
