"""Computes an ONNX network once, on noise, in a process of its own: nothing is lost if it never answers.

Run as ``python -m napari_specimen_seg.models.onnx_trial FILE NAME TYPE SIZE…``; writes JSON to stdout.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ..core.errors import ModelError, one_line
from ..core.progress import Progress, Report

MAX_SECONDS = 120.0
MAX_BYTES = 8_000_000_000
"""Of memory; a network that needs more for one tile is of no use here."""

POLL_SECONDS = 0.05


def try_out(
    path: Path, name: str, dtype: str, shape: tuple[int, ...], output: str, report: Report
) -> dict[str, Any]:
    """Compute the network of a checked file once and tell what came out.

    Parameters
    ----------
    path : Path
        A file that `check_onnx` found harmless.
    name, dtype, shape : str, str, tuple of int
        Of the input.
    output : str
        Of the output.
    report : callable
        Asked while it computes; may raise `CancelledError`.

    Returns
    -------
    dict
        ``shape``, ``low``, ``high`` and ``finite`` of the answer to noise of mean 0 and deviation 1.

    Raises
    ------
    ModelError
        If it fails, takes longer than `MAX_SECONDS` or more memory than `MAX_BYTES`.
    """
    words = [sys.executable, "-m", __name__, str(path.absolute()), name, output, dtype, *map(str, shape)]
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        try:
            _watch(child, path, report)
            answer = child.stdout.read() if child.stdout else ""
        finally:
            child.kill()
    try:
        told = json.loads(answer.splitlines()[-1])
    except (IndexError, ValueError):
        raise ModelError("the network cannot be computed: onnxruntime ended", path=path) from None
    if "error" in told:
        raise ModelError(f"the network cannot be computed ({told['error']})", path=path)
    return dict(told)


def _watch(child: subprocess.Popen[str], path: Path, report: Report) -> None:
    """Wait for a child; end it when it takes too long or too much."""
    import psutil

    start = time.monotonic()
    while child.poll() is None:
        report(Progress("trying the network", 0, 0))
        if time.monotonic() - start > MAX_SECONDS:
            raise ModelError(f"the network did not answer within {MAX_SECONDS:.0f} seconds", path=path)
        try:
            used = psutil.Process(child.pid).memory_info().rss
        except psutil.Error:
            used = 0
        if used > min(MAX_BYTES, 0.8 * (psutil.virtual_memory().available + used)):
            raise ModelError("the network needs more memory than there is", path=path)
        time.sleep(POLL_SECONDS)


def main(words: list[str]) -> dict[str, Any]:
    """Compute once.

    Parameters
    ----------
    words : list of str
        File, input, output, number type and shape.

    Returns
    -------
    dict
        As `try_out`, or ``error``.
    """
    import numpy as np

    from .onnx_session import open_session

    path, name, output, dtype, *sizes = words
    noise = np.random.default_rng(0).standard_normal([int(size) for size in sizes])
    values = (noise * 40 + 128).clip(0, 255) if dtype == "uint8" else noise
    try:
        session = open_session(Path(path).read_bytes(), "cpu", "trial")
        answer = np.asarray(session.run([output], {name: values.astype(dtype)})[0])
        numbers = answer.astype(np.float64)
        return {
            "shape": list(answer.shape),
            "dtype": str(answer.dtype),
            "low": float(np.nanmin(numbers)) if numbers.size else 0.0,
            "high": float(np.nanmax(numbers)) if numbers.size else 0.0,
            "finite": bool(np.isfinite(numbers).all()),
        }
    except Exception as error:  # onnxruntime's errors have no common base
        return {"error": one_line(str(error).strip().partition("\n")[0], 200)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
