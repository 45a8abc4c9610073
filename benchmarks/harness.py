"""Timing in turn, memory at its peak, and tables that find their own place in a page."""

from __future__ import annotations

import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Work = Callable[[], object]


def in_turn(works: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Time each work once a round, after one round that does not count.

    Parameters
    ----------
    works : mapping of str to callable
    rounds : int

    Returns
    -------
    dict of str to list of float
        Seconds, one per round.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for count in range(-1, rounds):
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            if count >= 0:
                times[name].append(time.perf_counter() - begin)
    return times


def ratio(times: Mapping[str, Sequence[float]], name: str, base: str) -> float:
    """Return the median over rounds of how much longer `name` took than `base`."""
    return statistics.median(a / b for a, b in zip(times[name], times[base], strict=True))


def peak_memory(work: Work) -> float:
    """Return how many megabytes beyond those held before `work` needs at its peak; Linux only, else nan."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return float("nan")
    before = _status("VmRSS:")
    work()
    return _status("VmHWM:") - before


def _status(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    return float("nan")


def machine() -> str:
    """Say on what the figures were made."""
    import os

    import torch

    return (
        f"{platform.system()}, {os.cpu_count()} cores ({torch.backends.cpu.get_cpu_capability()}), "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def write_into(page: Path, name: str, text: str) -> None:
    """Put `text` between ``<!-- name -->`` and ``<!-- /name -->`` of a page, or at its end."""
    marks = f"<!-- {name} -->", f"<!-- /{name} -->"
    block = f"{marks[0]}\n{text}\n{marks[1]}"
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    pattern = re.compile(re.escape(marks[0]) + ".*?" + re.escape(marks[1]), re.DOTALL)
    found = pattern.search(old)
    new = old[: found.start()] + block + old[found.end() :] if found else f"{old.rstrip()}\n\n{block}\n"
    page.write_text(new.lstrip("\n"), encoding="utf-8")
