"""Folders for what is too large for the memory; gone when nobody needs them any more."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path


def scratch_folder(owner: object) -> Path:
    """Make a temporary folder that is removed when its owner is.

    Parameters
    ----------
    owner : object
        Whoever reads and writes in it.

    Returns
    -------
    Path
    """
    folder = Path(tempfile.mkdtemp(prefix="specimen-seg-"))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder
