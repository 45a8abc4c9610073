"""Memory that is kept between steps instead of being given back and asked for again."""

from __future__ import annotations

import sys

M_MMAP_MAX, M_TRIM_THRESHOLD, M_ARENA_MAX = -4, -1, -8
"""Parameters of glibc's mallopt(3)."""


def keep_large_buffers() -> None:
    """Keep glibc from giving large buffers back after every step, which costs a third of the time.

    For processes of our own that learn or predict, never for napari's: the setting holds for the whole
    process, and cannot be taken back. Does nothing where there is no glibc.
    """
    if sys.platform != "linux":
        return
    import ctypes

    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_ARENA_MAX, 1)  # what one thread gave back another can use: a fifth of the memory
    except (OSError, AttributeError):
        return
