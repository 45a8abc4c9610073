"""Keeping what libraries tell programmers off a screen that is meant for people."""

from __future__ import annotations

import logging
import sys
import warnings


def hush_libraries() -> None:
    """Ignore warnings and log lines of libraries in this process, unless Python was asked to show them.

    Warnings of this program, which are meant for people, still come.
    """
    if sys.warnoptions:
        return
    from ..core.errors import SpecimenWarning

    warnings.simplefilter("ignore")
    warnings.simplefilter("always", SpecimenWarning)
    # Without any handler Python prints log lines from "warning" up by itself.
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())
