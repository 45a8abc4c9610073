"""Make this checkout ready to run: Qt's system libraries, a virtual environment, the package in it.

Called by the Makefile, and of use alone: ``python3 tools/setup.py --extras dev``. It needs nothing but
the standard library of Python 3.11, looks at what is there before it does anything, and takes a moment
when nothing is to be done.
"""

from __future__ import annotations  # so that an older Python gets as far as the message

import argparse
import ctypes
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

LIBRARIES = {
    # What Qt's own files from the package index leave to the system; found with ldd on them.
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11.so.6": "libx11-6",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxkbcommon.so.0": "libxkbcommon0",
}
"""Without these Qt does not load at all: file to look for, and the Debian package that has it."""

WINDOW_LIBRARIES = {
    "libX11-xcb.so.1": "libx11-xcb1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
"""Without these it loads but opens no window."""


def main() -> None:
    """Set everything up, or stop with one line that says what is in the way."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where the environment goes")
    options.add_argument("--extras", default="pyqt6", help="extras of pyproject.toml, with commas")
    options.add_argument("--virtual-display", action="store_true", help="also Xvfb, if there is no display")
    arguments = options.parse_args()
    if sys.platform.startswith("linux"):
        provide_libraries(virtual_display=arguments.virtual_display and not has_display())
    python = provide_environment(arguments.venv)
    install_package(python, arguments.venv, arguments.extras)


# -- the system's libraries ------------------------------------------------------------------------------


def has_display() -> bool:
    """Return whether a screen is there to open a window on."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def is_loadable(library: str) -> bool:
    """Return whether the dynamic loader finds a library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing_packages(libraries: dict[str, str]) -> list[str]:
    """Return the Debian packages of those libraries that the machine lacks."""
    return [package for library, package in libraries.items() if not is_loadable(library)]


def provide_libraries(*, virtual_display: bool) -> None:
    """Install what Qt needs of the system, or say what it is.

    Parameters
    ----------
    virtual_display : bool
        Whether to look for Xvfb too.
    """
    needed = missing_packages(LIBRARIES)
    useful = missing_packages(WINDOW_LIBRARIES)
    if virtual_display and not shutil.which("Xvfb"):
        useful.append("xvfb")
    if not needed + useful or apt_install(needed + useful):
        return
    names = " ".join(needed + useful)
    hint = f"Install with: sudo apt-get install {names}   (or what these are called on your system)"
    if needed:
        stop(f"Qt needs system libraries that this machine lacks and that you may not install. {hint}")
    print(f"Note: napari will not open a window here. {hint}")


def apt_install(packages: list[str]) -> bool:
    """Install Debian packages if this user may.

    Parameters
    ----------
    packages : list of str

    Returns
    -------
    bool
        Whether they are installed now.
    """
    if not shutil.which("apt-get"):
        return False
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]  # -n: never ask for a password
    if prefix and not (shutil.which("sudo") and run_quietly([*prefix, "true"])):
        return False
    print(f"Installing system packages: {' '.join(packages)}", flush=True)
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]
    run_quietly([*apt, "update"])  # if that fails an older list may do: the install decides
    return run_quietly([*apt, "install", "--no-install-recommends", *packages])


def run_quietly(command: list[str]) -> bool:
    """Run a program without input and output; return whether it did well."""
    null = subprocess.DEVNULL
    return subprocess.run(command, stdin=null, stdout=null, stderr=null).returncode == 0


# -- the environment -------------------------------------------------------------------------------------


def provide_environment(folder: Path) -> Path:
    """Return the Python of the virtual environment, made anew if it is absent or broken.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Path
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if works(python):
        return python
    print(f"Making the environment {folder.name} with Python {sys.version.split()[0]}", flush=True)
    command = [sys.executable, "-m", "venv", "--clear", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode and apt_install([f"python{sys.version_info.major}.{sys.version_info.minor}-venv"]):
        made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode or not works(python):
        stop(
            f"{sys.executable} cannot make a virtual environment: {(made.stderr + made.stdout).strip()}\n"
            "On Debian and Ubuntu: sudo apt-get install python3-venv"
        )
    return python


def works(python: Path) -> bool:
    """Return whether an environment's Python runs, is new enough and has pip."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([python, "-c", check], capture_output=True).returncode == 0
    except OSError:
        return False


# -- the package -----------------------------------------------------------------------------------------


def install_package(python: Path, folder: Path, extras: str) -> None:
    """Install this checkout into the environment, editable, unless it is there already.

    Parameters
    ----------
    python : Path
        Of the environment.
    folder : Path
        The environment.
    extras : str
        With commas between.
    """
    project = read_project()
    state = hashlib.sha256(json.dumps(project, sort_keys=True).encode()).hexdigest()
    wanted = with_inner(set(extras.split(",")), project["project"]["optional-dependencies"])
    stamp = folder / "specimen-setup.json"
    before = json.loads(stamp.read_text("utf-8")) if stamp.is_file() else {}
    have = set(before.get("extras", ())) if before.get("project") == state else set()
    if wanted <= have:
        return
    print("Installing the package and its libraries (about 6 GB with PyTorch, some minutes) …", flush=True)
    began = time.monotonic()
    pip_install(python, folder / "setup.log", f"{ROOT}[{extras}]")
    stamp.write_text(json.dumps({"project": state, "extras": sorted(wanted | have)}), "utf-8")
    print(f"Installed in {time.monotonic() - began:.0f} s.", flush=True)


def read_project() -> dict[str, Any]:
    """Return the tables of pyproject.toml that decide the installation; settings of linters do not."""
    import tomllib

    tables = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return {name: tables[name] for name in ("build-system", "project")}


def with_inner(extras: set[str], declared: dict[str, list[str]]) -> set[str]:
    """Return extras together with those that they name in turn, as `dev` names `test`."""
    inner = {
        name
        for extra in extras
        for line in declared.get(extra, ())
        if (found := re.match(r"napari-specimen-seg\[(.*)\]", line))
        for name in found[1].split(",")
    }
    return extras | (with_inner(inner, declared) if inner else set())


def pip_install(python: Path, log: Path, target: str) -> None:
    """Run pip; what it prints goes to a log, and the log's end is shown if it fails.

    Parameters
    ----------
    python, log : Path
    target : str
        What to install.
    """
    # Not compiling at once saves a minute: most of what is installed is never imported.
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--no-compile",
        "--progress-bar",
        "off",
        "--editable",
        target,
    ]
    with log.open("w", encoding="utf-8") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT).returncode
    if code:
        tail = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-15:])
        stop(f"{tail}\npip could not install the package; the whole log is in {log}")


def stop(message: str) -> None:
    """End with a message and exit code 1."""
    sys.exit(f"setup: {message}")


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - this very check is why it may run on an older one
        stop(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; set PYTHON=… to another")
    main()
