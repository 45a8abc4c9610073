"""What tifffile says in its log of files that it reads all the same.

It leaves out pages and tags whose place is beyond the end of the file, and goes on with the rest. To people
that would be a stack with fewer planes, or a picture with other colours.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PAGES_LOST = re.compile(
    r"invalid page offset|invalid offset to first page|missing required tags|index out of range"
    r"|incorrect Strip|incorrect Tile|metadata invalid or corrupted|does not match page shape"
)
_TAG_LOST = re.compile(r"TiffTag (\d+) .*invalid (?:value offset|data type)")
_TAGS_NEEDED = frozenset(
    (
        *(256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 284, 317),
        *(320, 322, 323, 324, 325, 330, 332, 338, 339, 347, 530),
    )
)
"""Tags that say where the pixels are and what they mean."""


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []
        self.thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.thread == self.thread and is_serious(text):
            self.heard.append(text)


def is_serious(message: str) -> bool:
    """Whether a message means that pixels, planes or their meaning are lost."""
    tag = _TAG_LOST.search(message)
    return int(tag[1]) in _TAGS_NEEDED if tag else bool(_PAGES_LOST.search(message))


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Collect serious messages of tifffile from this thread, and keep all of them from the screen."""
    logger = logging.getLogger("tifffile")
    listener = _Listener()
    logger.addHandler(listener)
    try:
        yield listener.heard
    finally:
        logger.removeHandler(listener)
