"""Memory that was freed and is still held."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # only glibc has it
        return None
    return found


def give_back() -> None:
    """Return memory that is free to the system.

    glibc keeps what threads have freed, for each thread apart; over a long run of many threads that grows
    to several times what is in use.
    """
    trim = _trim()
    if trim is not None:
        trim(0)
