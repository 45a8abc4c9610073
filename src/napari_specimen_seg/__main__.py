"""``python -m napari_specimen_seg`` is ``specimen-seg``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
