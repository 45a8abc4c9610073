"""Loading large libraries."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Let libraries be imported without looking for garbage meanwhile.

    Importing makes hundreds of thousands of objects that stay; Python looks through them again and again,
    which takes a quarter of the time that torch and its companions need to load.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
