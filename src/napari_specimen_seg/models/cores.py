"""Computing on a CPU with every core, so that the answer does not depend on how many there are.

Inside a network sums are split among the cores that work on it, and where they are split decides the last
bits of an answer: enough to move single pixels between two classes. So every tile is computed by one core,
and as many tiles at once as there are cores. It is also faster as soon as other programs are busy, because no
core waits for another in the middle of a tile.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from ..core import parallel

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
        this process run on. The same within `lanes`.
    """
    torch = _torch()
    if torch is not None:
        return _torch_threads.usual(torch)
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if told.isdigit() and int(told) > 0:
        return int(told)
    return parallel.cores()


def _torch() -> Any:
    """Return torch where it is loaded. Asking must not load it: that takes a second."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "set_num_threads") else None


class _TorchThreads:
    """How many threads torch uses outside of `lanes`, of which several may be open at once.

    Threads that begin take over the number that was set last in any thread. So the usual one is set back
    when the last lanes close: sooner it would reach the threads of others, and whoever asked torch for the
    number while lanes are open would take theirs for the usual one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = self._usual = 0

    def usual(self, torch: Any) -> int:
        with self._lock:
            return self._usual if self._open else int(torch.get_num_threads())

    def begin(self, torch: Any) -> None:
        with self._lock:
            if not self._open:
                self._usual = int(torch.get_num_threads())
            self._open += 1

    def end(self, torch: Any) -> None:
        with self._lock:
            self._open -= 1
            if not self._open:
                torch.set_num_threads(self._usual)


_torch_threads = _TorchThreads()


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
        called off. Several may be open at once, also in one thread.
    """
    torch = _torch()
    if torch is None:
        pool = ThreadPoolExecutor(count, "tile")
    else:
        _torch_threads.begin(torch)
        pool = ThreadPoolExecutor(count, "tile", torch.set_num_threads, (1,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if torch is not None:
            _torch_threads.end(torch)


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
