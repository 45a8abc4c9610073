"""The one place where an ONNX file meets onnxruntime; needs no torch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..core.errors import ModelError, one_line

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MEMORY_WORDS = ("bad_alloc", "bad allocation", "failed to allocate", "out of memory")


def open_session(content: bytes, device: str, name: str) -> InferenceSession:
    """Hand a checked ONNX file to onnxruntime.

    Parameters
    ----------
    content : bytes
    device : {"cpu", "cuda"}
    name : str
        For messages.

    Returns
    -------
    onnxruntime.InferenceSession
    """
    ort = require_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what matters arrives as an error
    options.use_deterministic_compute = True
    # By name, because the default list may hold providers that send pictures elsewhere.
    providers = ["CUDAExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
    try:
        return ort.InferenceSession(content, options, providers=providers)
    except Exception as error:  # onnxruntime's errors have no common base
        raise ModelError(f"{name}: onnxruntime cannot open the network ({reason(error)})") from error


def require_onnxruntime() -> Any:
    """Import onnxruntime, or tell how to get it; it is told to report nothing to its makers."""
    # Read when it is imported: later it has already given this machine a number of its own.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            "ONNX models need two more packages", advice='Run: pip install "napari-specimen-seg[onnx]".'
        ) from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def reason(error: Exception) -> str:
    """Return why onnxruntime failed, on one line; says ``out of memory`` where that is the cause."""
    text = str(error).strip().partition("\n")[0]
    if any(word in text.lower() for word in MEMORY_WORDS):
        return f"out of memory: {text}"
    return one_line(text, 160)
