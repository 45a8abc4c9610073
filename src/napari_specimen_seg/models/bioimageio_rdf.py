"""The description in a bioimage.io package, read without its own library and without trusting a word.

Formats 0.4 and 0.5 are brought to one form. Code that a package brings is never imported; files are taken
from inside the package only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ModelError, ReadError, one_line
from .archives import MAX_UNPACKED_BYTES, Archive, open_archive, safe_name
from .importing import RDF_NAMES

MAX_RDF_BYTES = 1_000_000
MAX_DEPTH = 40


class Package:
    """The files of a package: a folder, or a zip archive that was found harmless.

    Parameters
    ----------
    path : Path
        Of the folder or archive.
    archive : Archive, optional
    """

    def __init__(self, path: Path, archive: Archive | None = None) -> None:
        self.path = path
        self._archive = archive
        self._root = path if archive is None else None
        self._prefix = "" if archive is None else _prefix(archive.names)

    @property
    def names(self) -> list[str]:
        """Names of the files at the top."""
        if self._archive is not None:
            inner = (name.removeprefix(self._prefix) for name in self._archive.names)
            return [name for name in inner if "/" not in name]
        return [entry.name for entry in self.path.iterdir() if entry.is_file()]

    def read(self, source: str, limit: int = MAX_UNPACKED_BYTES) -> bytes:
        """Read a file that the description names.

        Parameters
        ----------
        source : str
            A name inside the package.
        limit : int
            The most bytes that it may have.

        Returns
        -------
        bytes

        Raises
        ------
        ModelError
            If the name leads outside of the package, or the file is missing, too large or a link.
        """
        refuse_outside(source, self.path)
        if self._archive is not None:
            return self._archive.read(self._prefix + source, limit)
        file = self.path / source
        if file.is_symlink() or not file.resolve().is_relative_to(self.path.resolve()):
            raise ModelError(f"refused: {one_line(source, 80)} is a link", path=self.path)
        try:
            if file.stat().st_size > limit:
                cause = f"{one_line(source, 80)} is larger than {limit / 1e6:.0f} MB"
                raise ModelError(cause, path=self.path)
            return file.read_bytes()
        except FileNotFoundError:
            raise ModelError(f"{one_line(source, 80)} is missing", path=self.path) from None
        except OSError as error:
            raise ReadError(f"cannot be read ({error.strerror or error})", path=file) from error


def refuse_outside(source: object, path: Path) -> None:
    """Refuse a source that is no plain name inside the package: nothing is fetched from elsewhere."""
    if not isinstance(source, str) or "://" in source or not safe_name(source):
        raise ModelError(
            f"refused: the package takes a file from elsewhere ({one_line(source, 80)})",
            path=path,
            advice="Download the whole package.",
        )


def _prefix(names: tuple[str, ...]) -> str:
    """Return the folder that all names share, where somebody zipped the folder instead of its content."""
    first = names[0].partition("/")[0] + "/" if names else ""
    return first if all(name.startswith(first) for name in names) else ""


@contextmanager
def open_package(path: Path) -> Iterator[Package]:
    """Open a package: a folder, the description in it, or a zip archive.

    Parameters
    ----------
    path : Path

    Yields
    ------
    Package
    """
    if path.is_dir():
        yield Package(path)
    elif path.suffix.lower() in (".yaml", ".yml"):
        yield Package(path.parent)
    else:
        with open_archive(path) as archive:
            yield Package(path, archive)


def read_description(package: Package) -> dict[str, Any]:
    """Read the YAML description of a package as plain values.

    Parameters
    ----------
    package : Package

    Returns
    -------
    dict

    Raises
    ------
    ModelError
        If it is missing, no YAML, or would make Python objects.
    """
    names = [n for n in package.names if n in RDF_NAMES or n.endswith(".bioimageio.yaml")]
    if not names:
        raise ModelError("the package holds no description (rdf.yaml)", path=package.path)
    data = _plain_yaml(package.read(names[0], MAX_RDF_BYTES), package.path)
    if not isinstance(data, dict) or not isinstance(data.get("weights"), dict):
        raise ModelError("the package describes no model (no weights)", path=package.path)
    return data


def _plain_yaml(content: bytes, path: Path) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Knows text, numbers, lists and mappings; no merge keys, which could grow without bound."""

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
                raise yaml.YAMLError("merge keys are not taken")

    try:
        return yaml.load(content, Loader)  # noqa: S506 (a SafeLoader)
    except yaml.constructor.ConstructorError as error:
        cause = f"refused: the description asks for objects ({_problem(error)})"
        raise ModelError(cause, path=path) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError, OverflowError) as error:
        raise ModelError(f"the description is not valid YAML ({_problem(error)})", path=path) from error


def _problem(error: Exception) -> str:
    return one_line(getattr(error, "problem", None) or error, 100)


# -- one form for both formats ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: ``b``, ``c``, ``y``, ``x`` or another letter; size fixed, or least size and step."""

    letter: str
    size: int | None = None
    step: int = 1
    least: int = 1
    halo: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A step of pre- or postprocessing: its name and arguments."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output: axes, number type, steps, and the test picture (or answer) of the package."""

    axes: tuple[Axis, ...]
    dtype: str
    steps: tuple[Step, ...]
    test: str | None

    def axis(self, letter: str) -> Axis | None:
        """Return the axis with this letter, or None."""
        return next((axis for axis in self.axes if axis.letter == letter), None)


LETTERS = {"batch": "b", "channel": "c", "index": "i", "time": "t", "space": "?"}


def tensors(description: Mapping[str, Any], which: str, path: Path) -> tuple[Tensor, ...]:
    """Return the inputs or outputs of a description.

    Parameters
    ----------
    description : mapping
        From `read_description`.
    which : {"inputs", "outputs"}
    path : Path
        For messages.

    Returns
    -------
    tuple of Tensor
    """
    entries = description.get(which)
    if not isinstance(entries, list) or not entries:
        raise ModelError(f"the description lacks {which}", path=path)
    tests = description.get(f"test_{which}") or [None] * len(entries)
    try:
        return tuple(_tensor(entry, which, test) for entry, test in zip(entries, tests, strict=True))
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        cause = f"the description of {which} is not valid ({one_line(error, 80)})"
        raise ModelError(cause, path=path) from error


def _tensor(entry: Mapping[str, Any], which: str, test: Any) -> Tensor:
    steps = entry.get("preprocessing" if which == "inputs" else "postprocessing") or []
    axes = entry["axes"]
    if isinstance(axes, str):
        made, dtype = _axes_04(entry), str(entry.get("data_type", "float32"))
    else:
        made = tuple(_axis(axis) for axis in axes)
        data = entry.get("data") or {}
        dtype = str((data[0] if isinstance(data, list) else data).get("type", "float32"))
        test = (entry.get("test_tensor") or {}).get("source")
    return Tensor(made, dtype, tuple(_step(step) for step in steps), test)


def _step(entry: Mapping[str, Any]) -> Step:
    return Step(str(entry.get("id", entry.get("name"))), dict(entry.get("kwargs") or {}))


def _axis(entry: Mapping[str, Any]) -> Axis:
    kind = str(entry["type"])
    letter = str(entry.get("id", kind)) if kind == "space" else LETTERS[kind]
    names = entry.get("channel_names") or ()
    names = tuple(str(name) for name in names) if isinstance(names, list) else ()
    halo = int(entry.get("halo") or 0)
    size = entry.get("size")
    if isinstance(size, int) and not isinstance(size, bool):
        return Axis(letter, size, halo=halo, names=names)
    if isinstance(size, dict) and "min" in size:
        return Axis(letter, None, int(size.get("step", 1)), int(size["min"]), halo, names)
    return Axis(letter, len(names) or None, halo=halo, names=names)


def _axes_04(entry: Mapping[str, Any]) -> tuple[Axis, ...]:
    letters, shape = str(entry["axes"]), entry.get("shape")
    halo = entry.get("halo") or [0] * len(letters)
    if isinstance(shape, list):
        return tuple(Axis(a, int(n), halo=int(h)) for a, n, h in zip(letters, shape, halo, strict=True))
    if isinstance(shape, dict) and "min" in shape:
        sizes = zip(letters, shape["min"], shape["step"], halo, strict=True)
        return tuple(
            Axis(a, None if step else int(least), int(step) or 1, int(least), int(h))
            for a, least, step, h in sizes
        )
    return tuple(Axis(a, halo=int(h)) for a, h in zip(letters, halo, strict=True))
