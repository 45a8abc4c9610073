"""Memory that a thread uses again and again, for what it looks at one block after the other.

Large arrays are given back to the system as soon as they are free, and getting them anew costs as much as
filling them, most of all where several threads do it at once.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Scratch(threading.local):
    """Arrays by name; each thread has its own, until it ends."""

    def __init__(self) -> None:
        self._held: dict[str, NDArray[np.uint8]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array with whatever is in it; the one that had this name before is taken back.

        Parameters
        ----------
        name : str
        shape : tuple of int
        dtype : dtype-like

        Returns
        -------
        array
        """
        kind = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        held = self._held.get(name)
        if held is None or held.size < size:
            held = self._held[name] = np.empty(size, np.uint8)
        return held[:size].view(kind).reshape(shape)
