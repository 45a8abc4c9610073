"""Truth and predictions from files, in the form in which they are compared."""

from __future__ import annotations

from pathlib import Path

from ..core.classes import ClassMap
from ..core.files import read_labels
from ..core.image import SpecimenLabels
from .pairs import sample_folder


def read_mask(path: Path, class_map: ClassMap | None = None) -> SpecimenLabels:
    """Read labels of any kind: class ids, object numbers, colours, or a mask for each nucleus.

    Parameters
    ----------
    path : Path
        As `pairs.labels_in` finds them.
    class_map : ClassMap, optional
        What ids or colours mean in files that do not say so themselves.

    Returns
    -------
    SpecimenLabels

    Raises
    ------
    ReadError
        If it cannot be read, or has no labels.
    """
    from ..core.files.labels import is_specimen_labels

    path = sample_folder(path) or path
    # What a file of ours says of its ids holds; names are what it is matched by later.
    return read_labels(path, None if is_specimen_labels(path) else class_map)
