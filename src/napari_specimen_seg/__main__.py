"""``python -m napari_specimen_seg`` is ``specimen-seg``."""

import atexit
import os
import sys
from contextlib import suppress

from .cli import main


def run() -> int:
    """Be the process of a command: run it, and end as soon as all is done.

    Python looks through all that was ever loaded for garbage, three times, before it ends: after torch that
    takes more than a second. Here the process ends when all who asked for it have tidied up.

    Returns
    -------
    int
        As `cli.main`.
    """
    codes: list[int] = []
    atexit.register(_end, codes)  # the first who asks is the last who is called
    codes.append(main())
    return codes[0]


def _end(codes: list[int]) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if codes and "torch" in sys.modules:  # else it takes no time to end as usual
        os._exit(codes[0])


if __name__ == "__main__":
    sys.exit(run())
