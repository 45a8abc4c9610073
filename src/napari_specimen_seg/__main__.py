"""``python -m napari_specimen_seg`` is ``specimen-seg``."""

import atexit
import logging
import os
import sys

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
    if not codes or "torch" not in sys.modules or "coverage" in sys.modules:
        return  # an error is told by Python, and without torch it takes no time to end as usual
    code = codes[0]
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # as it is where there is no console
                stream.flush()
        except (OSError, ValueError):  # what was to be read is cut off, as on a full disk
            code = code or 1
    logging.shutdown()  # asked to be called after this
    os._exit(code)


if __name__ == "__main__":
    sys.exit(run())
