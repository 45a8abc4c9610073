"""Computing on a CPU with every core, so that the answer does not depend on how many there are.

Inside a network sums are split among the cores that work on it, and where they are split decides the last
bits of an answer: enough to move single pixels between two classes. So every tile is computed by one core,
and as many tiles at once as there are cores. It is also faster as soon as other programs are busy, because no
core waits for another in the middle of a tile.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

FLOATS_PER_PIXEL = 256
"""What a network holds at once for a pixel of its input, as an estimate on the safe side."""


def cores() -> int:
    """Return how many cores this process may use.

    Returns
    -------
    int
        What torch was told where it is loaded, else ``OMP_NUM_THREADS``, else those that the system lets
        this process run on.
    """
    torch: Any = sys.modules.get("torch")  # asking must not load it: that takes a second
    if torch is not None and hasattr(torch, "get_num_threads"):
        return int(torch.get_num_threads())
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if told.isdigit() and int(told) > 0:
        return int(told)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def lanes(count: int) -> Iterator[ThreadPoolExecutor]:
    """Open threads that compute side by side, each with one core of its own.

    Parameters
    ----------
    count : int

    Yields
    ------
    ThreadPoolExecutor
        Where torch is loaded, it has one core in each of its threads. What has not begun at the end is
        called off.
    """
    torch: Any = sys.modules.get("torch")
    has_threads = torch is not None and hasattr(torch, "set_num_threads")
    before = torch.get_num_threads() if has_threads else 0
    begin = (torch.set_num_threads, (1,)) if has_threads else (None, ())
    pool = ThreadPoolExecutor(count, "tile", *begin)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if has_threads:  # threads that begin later take over the last number set
            torch.set_num_threads(before)


def one_core_each(
    function: Callable[[Item], Answer], items: Iterable[Item], count: int | None = None
) -> Iterator[Answer]:
    """Compute the answers for items in several threads, each of which uses one core.

    Parameters
    ----------
    function : callable
        Called in other threads. torch has one core in it.
    items : iterable
    count : int, optional
        How many threads; as many as there are `cores` if left out.

    Yields
    ------
    object
        The answers in the order of the items; at most `count` of them are computed ahead.
    """
    count = count or cores()
    waiting: deque[Future[Answer]] = deque()
    with lanes(count) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def cores_for(pixels: int, channels: int) -> int:
    """Return how many tiles to compute at once: one for each core, if the memory allows.

    Parameters
    ----------
    pixels : int
        Of one tile.
    channels : int
        The larger of input and output channels.

    Returns
    -------
    int
        At most so many that all together take a third of the free memory.
    """
    import psutil

    each = pixels * 4 * (FLOATS_PER_PIXEL + 2 * channels)
    return max(1, min(cores(), int(psutil.virtual_memory().available) // 3 // each))
