"""Compare ratios with those that were stored, and fail where one became clearly worse.

python -m benchmarks.check               # all; exits with 1 after a regression
python -m benchmarks.check --only prediction labels
python -m benchmarks.check --store       # keep what this run found as the new ones
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from .harness import markdown

STORED = Path(__file__).with_name("ratios.json")

SCRIPTS: dict[str, tuple[str, ...]] = {
    "prediction": ("/ floor",),
    "reading": (),
    "labels": ("areas of",),
    "startup": ("",),
    "training": ("/ bare", "share"),
}
"""Scripts that have a function ``ratios() -> dict of str to float``, and what the names of those of their
ratios hold that are better when small; the others are better when large."""

TOLERANCE = 0.25
"""How much worse a ratio may be: other programs do not fall on both of its sides quite alike."""


def is_small_better(script: str, name: str) -> bool:
    """Tell whether a ratio is better when it is smaller."""
    return any(part in name for part in SCRIPTS[script])


def change(script: str, name: str, new: float, old: float) -> float:
    """Return how much worse a ratio became: 0.1 is ten per cent worse, negative is better."""
    return (new / old if is_small_better(script, name) else old / new) - 1


def compare(
    found: Mapping[str, Mapping[str, float]], stored: Mapping[str, Mapping[str, float]]
) -> tuple[list[list[str]], bool]:
    """Return the rows of a table, and whether nothing became worse than `TOLERANCE`."""
    rows, fine = [], True
    for script, figures in found.items():
        for name, new in figures.items():
            old = stored.get(script, {}).get(name)
            worse = 0.0 if old is None else change(script, name, new, old)
            fine = fine and worse <= TOLERANCE
            said = "new" if old is None else ("worse" if worse > TOLERANCE else "")
            rows.append([script, name, f"{new:.2f}", "" if old is None else f"{old:.2f}", said])
    return rows, fine


def main() -> int:
    """Measure, compare, and store where asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    parser.add_argument("--store", action="store_true")
    given = parser.parse_args()
    stored = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
    found = {name: import_module(f".{name}", __package__).ratios() for name in given.only}
    rows, fine = compare(found, stored)
    print(markdown(["script", "ratio", "now", "stored", ""], rows))
    if given.store:
        STORED.write_text(json.dumps({**stored, **found}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
