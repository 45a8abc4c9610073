"""What people should know about a file that was read all the same."""

from __future__ import annotations

import warnings
from pathlib import Path

from ..errors import SpecimenWarning, one_line


def warn_about(path: Path, text: str) -> None:
    """Issue a `SpecimenWarning` of one line about a file, whatever its name holds."""
    warnings.warn(f"{one_line(path.name)}: {text}", SpecimenWarning, stacklevel=3)
