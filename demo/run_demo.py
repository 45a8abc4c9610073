"""The main job on two pictures, as a person would do it: segment, measure, look.

``make demo`` calls this. Segmenting and measuring are the public commands, printed before they run so
that each can be copied and changed. With ``SPECIMEN_IMAGES=FOLDER`` your own pictures are taken instead
of the samples, with ``SPECIMEN_MODEL=NAME`` another model than `beetle-parts` for them.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "demo-output"
WINDOW_TIME = 120
"""Seconds after which a window on a virtual display is given up."""

Jobs = dict[str, Path]
"""Model name -> the picture, or folder of pictures, that it segments."""

Pairs = list[tuple[Path, Path]]
"""Picture and mask."""


def main() -> int:
    """Run the demo; return 0, or 1 if some picture failed."""
    own = os.environ.get("SPECIMEN_IMAGES")
    prefix = "own-" if own else ""
    masks, table = OUTPUT / f"{prefix}masks", OUTPUT / f"{prefix}areas.csv"
    OUTPUT.mkdir(exist_ok=True)
    jobs = own_pictures(Path(own).expanduser()) if own else sample_pictures(OUTPUT / "pictures")
    results = [segment(pictures, model, masks) for model, pictures in jobs.items()]
    pairs = [pair for found, _ in results for pair in found]
    if not pairs:
        sys.exit("demo: no picture could be segmented; the lines above say why")
    labels = [mask for _, mask in pairs]
    code = specimen_seg("measure", *labels, "-o", table, "--overwrite").returncode
    print(f"\nMasks:  {shown(masks)}\nTable:  {shown(table)}", flush=True)
    show(pairs, OUTPUT / f"{prefix}napari.png")
    return max(code, *(code for _, code in results))


# -- which pictures ------------------------------------------------------------------------------------


def sample_pictures(folder: Path) -> Jobs:
    """Write the two sample pictures where they are not yet, and say which model is for which.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Jobs
    """
    tissue, sheet = folder / "tissue.png", folder / "specimen-sheet.tif"
    folder.mkdir(exist_ok=True)
    if not tissue.exists():
        from skimage.data import data_dir  # a stained tissue section that scikit-image ships

        shutil.copyfile(Path(data_dir) / "ihc.png", tissue)
    if not sheet.exists():
        from napari_specimen_seg.core.sample_sheet import write_sheet

        write_sheet(sheet)
    return {"nuclei": tissue, "beetle-parts": sheet}


def own_pictures(folder: Path) -> Jobs:
    """Return the person's own folder with the model that they asked for."""
    if not folder.is_dir():
        sys.exit(f"demo: SPECIMEN_IMAGES: {folder} is not a folder")
    model = os.environ.get("SPECIMEN_MODEL", "beetle-parts")
    print(f"Your pictures in {folder}, with the model {model} (SPECIMEN_MODEL=NAME for another)")
    return {model: folder}


# -- the public commands -------------------------------------------------------------------------------


def segment(pictures: Path, model: str, masks: Path) -> tuple[Pairs, int]:
    """Segment a picture or a folder of them.

    Parameters
    ----------
    pictures, masks : Path
    model : str

    Returns
    -------
    pairs : list of (Path, Path)
        Picture and mask, of those that succeeded now or before.
    code : int
        The exit code.
    """
    done = specimen_seg("predict", pictures, "-m", model, "-o", masks, "--json")
    results = json.loads(done.stdout or '{"results": []}')["results"]
    return [(Path(r["path"]), Path(r["outputs"][0])) for r in results if r["outputs"]], done.returncode


def specimen_seg(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Print and run one command; keep what it prints as results."""
    words = [shown(a) if isinstance(a, Path) else a for a in arguments]
    print(f"\n$ specimen-seg {shlex.join(words)}", flush=True)
    began = time.monotonic()
    done = subprocess.run([tool("specimen-seg"), *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    print(f"  {time.monotonic() - began:.0f} s", flush=True)
    return done


def tool(name: str) -> str:
    """Return the path of a program of this environment."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    return found or sys.exit(f"demo: {name} is not installed here; run `make demo`")


def shown(path: Path) -> str:
    """Return a path as short as it can be said."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


# -- the window ----------------------------------------------------------------------------------------


def show(pairs: Pairs, picture: Path) -> None:
    """Show pictures and masks in napari and keep a picture of its window.

    With a display the window stays until it is closed. Without one, or where it cannot be used, a
    virtual display takes its place, and where that is absent, napari draws into memory.

    Parameters
    ----------
    pairs : list of (Path, Path)
        Picture and mask.
    picture : Path
        PNG to write.
    """
    picture.unlink(missing_ok=True)
    words = [sys.executable, str(ROOT / "demo/show_result.py"), str(picture)]
    words += [str(path) for pair in pairs[:2] for path in pair]
    with ExitStack() as stack:
        for name, environment in displays(stack):
            stay = name == "display" and "CI" not in os.environ
            with suppress(subprocess.TimeoutExpired):  # a display that hangs is one that does not work
                subprocess.run(
                    [*words, *(["--stay"] if stay else [])],
                    env=os.environ | environment,
                    timeout=None if stay else WINDOW_TIME,
                )
            if picture.exists():
                print(f"Window: {shown(picture)}" + NOTES.get(name, ""))
                return
    sys.exit("demo: napari could not open a window here; masks and table are complete")


NOTES = {"memory": "  (without Xvfb or OpenGL: the docks are drawn, the picture is not)"}


def displays(stack: ExitStack) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the ways to open a window, best first, with the environment of each."""
    on_linux = sys.platform.startswith("linux")
    if not on_linux or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        yield "display", {}
    if on_linux and shutil.which("Xvfb"):
        yield "virtual", stack.enter_context(virtual_display())
    yield "memory", {"QT_QPA_PLATFORM": "offscreen"}


@contextmanager
def virtual_display() -> Iterator[dict[str, str]]:
    """Run Xvfb on a free number for as long as the context lasts."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as answer:
            number = answer.readline().strip()
        yield {"DISPLAY": f":{number}", "WAYLAND_DISPLAY": "", "QT_QPA_PLATFORM": "xcb"}
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
