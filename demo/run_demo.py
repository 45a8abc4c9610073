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
from contextlib import contextmanager, suppress
from importlib.resources import as_file, files
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "demo-output"
WINDOW_TIME = 120
"""Seconds after which a window on a virtual display is given up."""

WINDOWS = 2
"""How many pictures are shown."""

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
    show(pairs, prefix)
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
        with as_file(files("skimage.data") / "ihc.png") as shipped:  # a stained tissue section
            shutil.copyfile(shipped, tissue)
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
    printed = words if len(words) < 20 else [*words[:3], "…", *words[-3:]]
    print(f"\n$ specimen-seg {shlex.join(printed)}", flush=True)
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


def show(pairs: Pairs, prefix: str) -> None:
    """Show the first pictures with their masks in napari and keep pictures of its windows.

    With a display the windows stay until they are closed. Without one, or where it cannot be used, a
    virtual display takes its place; where there is none either, the masks are painted over the pictures.

    Parameters
    ----------
    pairs : list of (Path, Path)
        Picture and mask.
    prefix : str
        Of the names of the pictures of windows.
    """
    pairs = pairs[:WINDOWS]
    pngs = [OUTPUT / f"{prefix}napari-{mask.stem}.png" for _, mask in pairs]
    words = [sys.executable, str(ROOT / "demo/show_result.py")]
    for (picture, mask), png in zip(pairs, pngs, strict=True):
        png.unlink(missing_ok=True)
        words += ["--shows", str(picture), str(mask), str(png)]
    if has_display():
        stay = "CI" not in os.environ
        print("napari is open; close its windows to end." if stay else "Opening napari.", flush=True)
        subprocess.run([*words, *(["--stay"] if stay else [])], timeout=None if stay else WINDOW_TIME)
    if not pngs[-1].exists() and shutil.which("Xvfb"):
        # A display that hangs is one that does not work.
        with virtual_display() as environment, suppress(subprocess.TimeoutExpired):
            subprocess.run(words, env=environment, timeout=WINDOW_TIME)
    if pngs[-1].exists():
        print(f"Window: {', '.join(shown(png) for png in pngs)}")
    else:
        print("napari could not open a window: no display, and Xvfb or OpenGL is missing.")
        print(f"Painted instead: {', '.join(shown(paint_over(*pair)) for pair in pairs)}")


def has_display() -> bool:
    """Return whether there is a screen to open a window on."""
    on_linux = sys.platform.startswith("linux")
    return not on_linux or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def virtual_display() -> Iterator[dict[str, str]]:
    """Run Xvfb on a free number for as long as the context lasts; yield the environment to use it."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    # A Wayland screen that did not work must not be preferred to this one, whatever it is set to.
    others = {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"}
    try:
        with os.fdopen(read) as answer:
            number = answer.readline().strip()
        yield others | {"DISPLAY": f":{number}", "QT_QPA_PLATFORM": "xcb"}
    finally:
        server.terminate()
        server.wait()


def paint_over(picture: Path, mask: Path) -> Path:
    """Write a picture with its classes in colour over it, as PNG; return its path."""
    import numpy as np
    from PIL import Image

    from napari_specimen_seg import ClassMap, read_image, read_labels

    labels = read_labels(mask)
    colors = (labels.class_map or ClassMap.of_ids(np.unique(labels.data))).palette()[np.asarray(labels.data)]
    image = np.asarray(read_image(picture).data)
    image = image[..., :3] if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
    image = image.astype(np.float32) * (255 / max(1, int(image.max())))
    mixed = np.where(np.asarray(labels.data)[..., None] > 0, 0.5 * image + 0.5 * colors, image)
    path = OUTPUT / f"overlay-{mask.stem}.png"
    Image.fromarray(mixed.astype(np.uint8)).save(path)
    return path


if __name__ == "__main__":
    sys.exit(main())
