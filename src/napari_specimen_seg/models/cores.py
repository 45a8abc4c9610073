"""Computing on a CPU with every core, so that the answer does not depend on how many there are.

Inside a network sums are split among the cores that work on it, and where they are split decides the last
bits of an answer: enough to move single pixels between two classes. So every tile is computed by one core,
and as many tiles at once as there are cores. It is also faster as soon as other programs are busy, because no
core waits for another in the middle of a tile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

FLOATS_PER_PIXEL = 256
"""What a network holds at once for a pixel of its input, as an estimate on the safe side."""


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
        How many threads; as many as torch would use if left out.

    Yields
    ------
    object
        The answers in the order of the items; at most `count` of them are computed ahead.
    """
    import torch

    before = torch.get_num_threads()
    count = count or before
    waiting: deque[Future[Answer]] = deque()
    with ThreadPoolExecutor(count, "tile", torch.set_num_threads, (1,)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            torch.set_num_threads(before)  # threads that begin later take over the last number set


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
    import torch

    each = pixels * 4 * (FLOATS_PER_PIXEL + 2 * channels)
    return max(1, min(torch.get_num_threads(), int(psutil.virtual_memory().available) // 3 // each))
