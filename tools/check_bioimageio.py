"""Check our bioimage.io packages with the zoo's own tools, in an environment made for it.

    python tools/check_bioimageio.py                 # packages made by the tests
    python tools/check_bioimageio.py my-package.zip  # packages of one's own

The newest ``bioimageio.core`` asks for a ``bioimageio.spec`` that does not work with the pydantic that this
program is tested with, so the two cannot be installed here. The environment lies over the one that runs this
(its torch and onnxruntime are used) and has the zoo's tools and an older pydantic of its own; making it takes
half a minute. Exit code 0 if every package is valid and reproduces its own test with every kind of weights.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

WANTED = ("bioimageio.core>=0.9", "pydantic<2.14")
ROOT = Path(__file__).resolve().parents[1]

CHECK = """
import sys
from bioimageio.core import test_description
from bioimageio.spec import load_description
wrong = 0
for path in sys.argv[1:]:
    package = load_description(path, perform_io_checks=True)
    found = {"format": package.validation_summary.status}
    for kind in ("onnx", "pytorch_state_dict"):
        if getattr(getattr(package, "weights", None), kind, None) is not None:
            found[kind] = test_description(package, weight_format=kind).status
    print(path, found)
    wrong += found.pop("format") not in ("valid-format", "passed") or set(found.values()) != {"passed"}
sys.exit(1 if wrong else 0)
"""


def environment(folder: Path) -> Path:
    """Make an environment over this one with the zoo's tools; return its Python."""
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    places = {"base": str(folder), "platbase": str(folder)}
    own = Path(sysconfig.get_path("purelib", "venv", places))
    # Last on the path, with the links in it: what is installed in the new environment goes before.
    over = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (own / "over.pth").write_text(over, encoding="utf-8")
    python = Path(
        sysconfig.get_path("scripts", "venv", places), "python.exe" if os.name == "nt" else "python"
    )
    subprocess.run([python, "-m", "pip", "install", "--quiet", *WANTED], check=True)
    return python


def main() -> int:
    """Make the environment and run the check in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packages", nargs="*", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        python = environment(Path(place, "environment"))
        homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "USERPROFILE"), place)
        if given.packages:
            words = ["-W", "ignore", "-c", CHECK, *map(str, given.packages)]
        else:
            words = ["-m", "pytest", "-q", "-k", "zoos_own_tools", str(ROOT / "tests" / "test_bioimageio.py")]
        return subprocess.run([python, *words], env={**os.environ, **homes}, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
