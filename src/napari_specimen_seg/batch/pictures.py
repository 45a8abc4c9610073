"""Which picture of a folder a file of labels or annotations belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import ReadError, one_line
from ..core.files.names import bare_name, name_key


class PictureFolder:
    """The pictures of a folder by name.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    ReadError
        If there is none.
    """

    def __init__(self, folder: Path) -> None:
        from ..core.files import find_inputs

        self._by_name: dict[str, list[Path]] = {}
        for path in find_inputs([folder]):
            self._by_name.setdefault(name_key(path), []).append(path)

    def of_labels(self, path: Path, provenance: Mapping[str, Any]) -> Path:
        """Return the picture that labels were made from: the one they note, else the one of their name.

        Parameters
        ----------
        path : Path
            Of the labels.
        provenance : mapping
            From the labels.

        Raises
        ------
        ReadError
            If there is none, or several.
        """
        source = provenance.get("input")
        noted = str(source.get("name")) if isinstance(source, Mapping) else None
        exact = None if noted is None else self.named(noted)
        if exact is not None:
            return exact
        found = self._by_name.get(name_key(path)) or self._by_name.get(bare_name(path)) or ()
        if len(found) == 1:
            return found[0]
        names = ", ".join(one_line(p.name) for p in found)
        raise ReadError(
            f"which picture it belongs to is not clear: {names}" if found else "its picture was not found",
            path=path,
            advice=f"Let exactly one picture be called {one_line(bare_name(path))}.",
        )

    def named(self, name: str) -> Path | None:
        """Return the picture of exactly this file name, if there is one."""
        found = self._by_name.get(name_key(Path(name)), ())
        return next((path for path in found if path.name == name), None)

    def like(self, name: str) -> Path | None:
        """Return the picture of this file name, else the only one with another suffix."""
        found = self._by_name.get(name_key(Path(name)), ())
        exact = self.named(name) or self.named(Path(name).stem)  # leaf.jpg.geojson is about leaf.jpg
        return exact or (found[0] if len(found) == 1 else None)
