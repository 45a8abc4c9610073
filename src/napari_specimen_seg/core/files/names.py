"""How the files of a picture are called: its own name, and what marks a file as its labels."""

from __future__ import annotations

import unicodedata
from pathlib import Path

LABEL_ENDINGS = (
    "_mask", "_masks", "_label", "_labels", "-mask", "-masks", "-label", "-labels", ".mask", " labels",
)  # fmt: skip
"""What may stand behind a picture's name in the name of its labels."""


def name_key(path: Path) -> str:
    """Return a file's name as it is compared: without suffix, accents composed as on every system.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        Without ``.ome`` too: ``a.ome.tif`` is called ``a``.
    """
    stem = path.stem
    stem = stem[: -len(".ome")] if stem.lower().endswith(".ome") else stem
    return unicodedata.normalize("NFC", stem)


def bare_name(path: Path) -> str:
    """Return what is compared of a file's name: without suffix, without what marks it as labels."""
    stem = name_key(path)
    ending = next((e for e in LABEL_ENDINGS if stem.endswith(e) and len(stem) > len(e)), "")
    return stem.removesuffix(ending)
