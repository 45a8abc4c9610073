"""Keeps one library that torch loads from bringing napari down.

torchvision imports torch's compiler, which imports triton, which brings an LLVM of its own. Mesa's OpenGL
drivers (software rendering, AMD) have put theirs into the process by then, open to all; the two get mixed
up, and the process ends with a segmentation fault. Predicting needs no compiler, so triton is left out
where that would happen: torch then goes on as on a machine without it.
"""

from __future__ import annotations

import sys
from pathlib import Path

_MAPS = Path("/proc/self/maps")


def before_torch() -> None:
    """Call in napari's process before anything imports torch; costs nothing where there is no danger."""
    if "triton" not in sys.modules and "torch" not in sys.modules and mesa_llvm_is_loaded():
        # What None stands for cannot be imported: `import triton` raises ImportError, which torch expects.
        sys.modules["triton"] = None  # type: ignore[assignment]


def mesa_llvm_is_loaded() -> bool:
    """Tell whether a system's LLVM library is in this process. Linux only; elsewhere there is no triton."""
    try:
        return "/libLLVM" in _MAPS.read_text(errors="replace")
    except OSError:
        return False
