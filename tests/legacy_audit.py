"""Opens every hostile model file while Python reports what happens; run as a program of its own.

    python legacy_audit.py BAD_INPUTS OUT_FOLDER

Prints a JSON list: one entry per item with what it answered, what was noticed, and seconds of computing.
"""

import json
import re
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import psutil

FAMILIES = ("model_ok", "model_rce", "model_dos", "model_broken", "model_semantic", "safetensors", "bundle")

HARMLESS = {
    "object.__getattr__",
    "object.__setattr__",
    "object.__delattr__",
    "os.listdir",
    "os.scandir",
    "sys._getframe",
    "builtins.id",
}


class Watch:
    """Keeps audit events while an item is open."""

    def __init__(self):
        self.item = None
        self.events = []

    def hook(self, event, args):
        if self.item is None or event in HARMLESS:
            return
        if event == "open" and str(args[0]) == str(self.item) and args[1] in ("r", "rb"):
            return
        self.events.append(f"{event} {str(args)[:200]}")


def main(bad: Path, out: Path) -> None:
    from napari_specimen_seg.core.errors import SpecimenError
    from napari_specimen_seg.models.importing import import_model
    from napari_specimen_seg.models.legacy import inspect_checkpoint

    items = json.loads((bad / "manifest.json").read_text("utf-8"))["items"]
    items = [item for item in items if item["path"].split("/")[0] in FAMILIES]
    watch = Watch()
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        for item in items[:1] + [i for i in items if i["path"].startswith(("safetensors", "bundle/rdf"))]:
            path = bad / item["path"]  # the program's own modules are imported when they are first needed
            with suppress(SpecimenError):
                inspect_checkpoint(path)
            with suppress(SpecimenError):
                import_model(path, out / "warm")
    sys.addaudithook(watch.hook)
    print(json.dumps([opened(i, bad / i["path"], out, watch, import_model, SpecimenError) for i in items]))


def opened(item, path, out, watch, import_model, known) -> dict:
    started = time.process_time()
    watch.item, watch.events = path, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            import_model(path, out / "model")
            answer, kind = "imported", "imported"
        except known as error:
            answer, kind = str(error), type(error).__name__
        except BaseException as error:
            answer, kind = repr(error), "crash"
    watch.item = None
    return {
        "id": item["id"],
        "answer": answer,
        "kind": kind,
        "warnings": [str(entry.message) for entry in caught],
        "events": watch.events,
        "seconds": time.process_time() - started,
        "megabytes": megabytes(),
        "torch": "torch" in sys.modules,
    }


def megabytes() -> float:
    """Return the most memory that this program had; that of its parent is not inherited as in getrusage."""
    status = Path("/proc/self/status")
    if status.is_file():
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1]) / 1024
    return psutil.Process().memory_info().rss / 1e6


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
