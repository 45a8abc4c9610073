"""Threads for work that leaves Python's lock: decoding, hashing, compressing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")

MAX_THREADS = 16
"""More decode no faster: the memory is what they wait for then."""


def cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def do_all(work: Callable[[Item], object], items: Iterable[Item]) -> None:
    """Do a piece of work for every item, several at once, in no particular order.

    All callers share the same threads, so that reading in many threads (as dask does) does not start more
    of them than there are cores. `work` must not call this function.

    Parameters
    ----------
    work : callable
    items : iterable
        Taken as they are needed: few are held at a time.

    Raises
    ------
    Exception
        The first that `work` raises; the items that have not begun by then are left out.
    """
    rest = iter(items)
    running: list[Future[object]] = [_pool().submit(work, item) for item in islice(rest, 2 * _threads())]
    try:
        for item in rest:
            running.pop(0).result()
            running.append(_pool().submit(work, item))
        for future in running:
            future.result()
    finally:
        for future in running:
            future.cancel()


def _threads() -> int:
    return min(cores(), MAX_THREADS)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_threads(), "decode")
