"""Open mutated model files and look for anything but one line: a bounded job beside the tests.

    python tools/fuzz_legacy.py 100000 --jobs 4
    python tools/fuzz_legacy.py 20000 --jobs 1 --seeds ../shared/legacy_checkpoints/fixtures
    python tools/fuzz_legacy.py 3000 --whole

With ``--whole`` the seeds are small networks with all their weights, so that files get as far as the network
that is built of them; each takes a hundred times as long.

Each file is a seed with some of its bytes changed: in the file as a whole, in the pickle alone (packed
again with the right checksums, so that the damage gets past the archive), or with opcodes and records put in.
Whatever is not a `SpecimenError`, takes longer than two seconds of computing or leaves a file behind is kept
in ``fuzz-failures`` and makes the exit code 1; so is one that its process dies of. The same numbers give the
same files every time.
"""

from __future__ import annotations

import argparse
import faulthandler
import gzip
import io
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

SECONDS = 2.0
STUCK = 120.0  # seconds after which a process that does not come back is ended, with a trace
STEP = 500
KEPT = Path("fuzz-failures")
TESTS = Path(__file__).resolve().parents[1] / "tests"

INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b".",
    b"(",
    b"0",
    b"R",
    b"b",
    b"a",
    b"s",
    b"u",
    b"e",
    b"t",
    b"\x81",
)
RECORDS = (
    b"cos\nsystem\n",
    b"cos\nsystem\n)R",
    b"\x8c\x02os\x8c\x06system\x93",
    b"ctorch\nload\n",
    b"\x8d\xff\xff\xff\xff\xff\xff\xff\x0f",
    b"\x8b\xff\xff\xff\x7f",
    b"\x8a\xff" + b"\xff" * 255,
    b"I" + b"9" * 300 + b"\n",
    b"h\x00",
    b"j\xff\xff\xff\xff",
    b"Q",
    b"}",
    b"]",
    b"N",
)


@dataclass(frozen=True)
class Seed:
    """An honest file: its entries if it is an archive, else its bytes alone."""

    name: str
    entries: tuple[tuple[str, bytes], ...]
    content: bytes


def seeds(folder: Path | None, whole: bool = False) -> list[Seed]:
    """Return small files of each kind, and the pickles of a folder of look-alikes; or complete networks."""
    if whole:
        return [_seed(name, content) for name, content in _whole_files()]
    sys.path.insert(0, str(TESTS))
    made = [_seed(name, content) for name, content in _small_files()]
    for path in sorted(folder.glob("*.pickle.gz")) if folder is not None else []:
        pickle = gzip.decompress(path.read_bytes())
        made.append(_seed(path.name, _zipped((("archive/data.pkl", pickle), ("archive/version", b"3\n")))))
    return made


def _whole_files() -> Iterator[tuple[str, bytes]]:
    """Yield a complete network, pickled whole and as a state dict."""
    import segmentation_models_pytorch as smp
    import torch

    torch.manual_seed(0)
    network = smp.Unet("tu-mobilenetv3_small_050", encoder_weights=None, decoder_channels=(8,) * 5).half()
    for name, root in (("whole", network), ("weights", {"state_dict": network.state_dict()})):
        stream = io.BytesIO()
        torch.save(root, stream)
        yield name, stream.getvalue()


def _seed(name: str, content: bytes) -> Seed:
    if not content.startswith(b"PK"):
        return Seed(name, (), content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return Seed(name, tuple((entry, archive.read(entry)) for entry in archive.namelist()), content)


def _small_files() -> Iterator[tuple[str, bytes]]:
    import numpy as np
    from safetensors.numpy import save

    from legacy_forge import Called, File, Named

    names = ("encoder.conv1.weight", "decoder.blocks.0.conv2.0.weight", "segmentation_head.0.weight")
    arrays = {name: np.ones((2, 3, 3, 3), np.float32) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("zipped", "old"):
            file = File()
            state = file.state_dict(arrays, prefix="module.")
            root = {
                "epoch": 3,
                "state_dict": state,
                "classes": ["a", "b"],
                "note": Called(Named("pathlib", "Path")),
            }
            yield kind, getattr(file, kind)(root, Path(folder, "m")).read_bytes()
        file = File()
        yield "layer", file.zipped(_layer(file, arrays), Path(folder, "m")).read_bytes()
    yield "safetensors", save(arrays, metadata={"classes": "[]"})


def _layer(file: object, arrays: dict[str, object]) -> object:
    """Return a whole pickled network, three layers deep."""
    from legacy_forge import ORDERED, Called, Named

    inner = None
    for name, array in arrays.items():
        state = {
            "training": False,
            "_parameters": Called(ORDERED, pairs={"weight": file.tensor(array)}),  # type: ignore[attr-defined]
            "_buffers": Called(ORDERED),
            "_modules": Called(ORDERED, pairs={"0": inner} if inner is not None else {}),
            "padding": (1, 1),
            "name": f"u-{name}",
        }
        inner = Called(Named("torch.nn.modules.conv", "Conv2d"), state=state, new=True)
    head = {"_parameters": Called(ORDERED), "_buffers": Called(ORDERED)}
    return Called(
        Named("segmentation_models_pytorch.unet.model", "Unet"),
        state=head | {"_modules": Called(ORDERED, pairs={"segmentation_head": inner})},
        new=True,
    )


def _zipped(entries: tuple[tuple[str, bytes], ...]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data)
    return stream.getvalue()


# -- mutations -------------------------------------------------------------------------------------


def mutated(seed: Seed, chance: random.Random) -> bytes:
    """Return a changed file."""
    if seed.entries and chance.random() < 0.8:
        which = chance.randrange(len(seed.entries)) if chance.random() < 0.1 else 0
        entries = list(seed.entries)
        entries[which] = (entries[which][0], _changed(entries[which][1], chance))
        return _zipped(tuple(entries))
    return _changed(seed.content, chance)


def _changed(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        _change(changed, chance)
    return bytes(changed)


def _change(data: bytearray, chance: random.Random) -> None:
    at, end = chance.randrange(len(data) + 1), chance.randrange(1, 40)
    match chance.randrange(8):
        case 0 if at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        case 1 if at < len(data):
            data[at] = chance.randrange(256)
        case 2:
            data[at:at] = chance.choice(INTERESTING)
        case 3:
            data[at:at] = chance.choice(RECORDS)
        case 4:
            del data[at : at + end]
        case 5:
            other = chance.randrange(len(data) + 1)
            data[at:at] = data[other : other + end]
        case 6:
            data[at : at + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f"))
        case 7 if chance.random() < 0.2:
            del data[at:]


# -- trying ----------------------------------------------------------------------------------------


@dataclass
class Report:
    """What some files answered: counts, the slowest, and where the memory of the process was highest."""

    found: Counter[str] = field(default_factory=Counter)
    seconds: tuple[float, int] = (0.0, -1)
    megabytes: tuple[float, int] = (0.0, -1)

    def add(self, other: Report) -> None:
        """Take in what another process found."""
        self.found += other.found
        self.seconds = max(self.seconds, other.seconds)
        self.megabytes = max(self.megabytes, other.megabytes)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {kind}" for kind, count in self.found.most_common())
        return (
            f"{self.found.total()} files: {counts}; "
            f"slowest {self.seconds[0]:.2f} s (file {self.seconds[1]}), "
            f"most memory {self.megabytes[0]:.0f} MB (file {self.megabytes[1]})"
        )


def run(
    first: int,
    count: int,
    folder: Path | None,
    keep: Path = KEPT,
    notes: Path | None = None,
    whole: bool = False,
) -> Report:
    """Open files number `first` and following; `notes` gets a file that names the one being opened."""
    all_seeds = seeds(folder, whole)
    report = Report()
    note = notes / f"{first}" if notes is not None else None
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(first, first + count):
            content = content_of(number, all_seeds)
            if note is not None:
                note.write_text(f"{number} {os.getpid()}")  # before: a process that dies names its file
                faulthandler.dump_traceback_later(STUCK, exit=True)
            answer, seconds = _opened(Path(place), content)
            report.found[answer] += 1
            report.seconds = max(report.seconds, (seconds, number))
            report.megabytes = max(report.megabytes, (_megabytes(), number), key=lambda pair: pair[0])
            if answer in BAD:
                _keep(keep, number, answer, content)
    if note is not None:
        faulthandler.cancel_dump_traceback_later()
        note.unlink()
    return report


def content_of(number: int, all_seeds: list[Seed]) -> bytes:
    """Return the file of a number."""
    chance = random.Random(number)
    return mutated(chance.choice(all_seeds), chance)


def _opened(place: Path, content: bytes) -> tuple[str, float]:
    """Return what opening a file answered, and the seconds of computing that it took."""
    from napari_specimen_seg.core.errors import SpecimenError
    from napari_specimen_seg.models.importing import ImportOptions
    from napari_specimen_seg.models.legacy import import_checkpoint

    path = place / "m.pth"
    path.write_bytes(content)
    started = time.process_time()
    try:
        import_checkpoint(path, ImportOptions())
        answer = "imported"
    except SpecimenError as error:
        answer = type(error).__name__ if "\n" not in str(error) else "two lines"
    except BaseException:
        answer = "crash"
        traceback.print_exc()
    seconds = time.process_time() - started
    if seconds > SECONDS:
        answer = "slow"
    if len(list(place.iterdir())) > 1:
        answer = "file left"
    return answer, seconds


def _megabytes() -> float:
    """Return the most memory that this process has had so far."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0.0
    return next(int(line.split()[1]) for line in status.open() if line.startswith("VmHWM")) / 1024


def _keep(folder: Path, number: int, answer: str, content: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{number}-{answer.replace(' ', '-')}.bin").write_bytes(content)


BAD = ("crash", "slow", "two lines", "file left", "process died")


Source = tuple[Path | None, bool]
"""What `seeds` is given."""

# -- many processes --------------------------------------------------------------------------------


def run_all(parts: list[tuple[int, int]], jobs: int, source: Source) -> Report:
    """Open all files in several processes; one that dies is named, and the rest go on."""
    total = Report()
    with tempfile.TemporaryDirectory() as place:
        notes = Path(place)
        while parts:
            parts = _round(parts, jobs, source, notes, total)
    return total


def _round(
    parts: list[tuple[int, int]], jobs: int, source: Source, notes: Path, total: Report
) -> list[tuple[int, int]]:
    """Go through the parts; return those that a dead process left undone."""
    left = []
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_prepare) as pool:
        waiting = {
            pool.submit(run, first, count, source[0], KEPT, notes, source[1]): (first, count)
            for first, count in parts
        }
        for job in as_completed(waiting):
            try:
                total.add(job.result())
                print(f"\r{total}", end="", file=sys.stderr, flush=True)
            except BrokenExecutor:
                left.append(waiting[job])
    return [rest for part in sorted(left) for rest in _without_the_dead(part, source, notes, total)]


def _prepare() -> None:
    faulthandler.enable()


def _without_the_dead(
    part: tuple[int, int], source: Source, notes: Path, total: Report
) -> list[tuple[int, int]]:
    """Return what is left of a part; the file that its process died of is kept and not opened again.

    When one process dies, the others are ended with it: their file is tried alone, in a process of its own.
    """
    first, count = part
    note = notes / f"{first}"
    if not note.is_file():
        return [part]
    number = int(note.read_text().split()[0])
    note.unlink()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_prepare) as pool:
        try:
            pool.submit(run, number, 1, source[0], KEPT, notes, source[1]).result()
            return [part]
        except BrokenExecutor:
            (notes / f"{number}").unlink(missing_ok=True)
    print(f"\nthe process died of file {number}", file=sys.stderr)
    _keep(KEPT, number, "process died", content_of(number, seeds(*source)))
    total.found["process died"] += 1
    rest = [(first, number - first), (number + 1, first + count - number - 1)]
    return [(start, length) for start, length in rest if length]


def main() -> int:
    """Run the job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seeds", type=Path, help="folder with look-alikes (*.pickle.gz)")
    parser.add_argument("--whole", action="store_true", help="start from complete networks")
    given = parser.parse_args()
    # A time limit from outside would otherwise leave a count and no word.
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit("\nended from outside; the last count above is what was done")
    )
    end = given.first + given.count
    parts = [(start, min(STEP, end - start)) for start in range(given.first, end, STEP)]
    total = run_all(parts, given.jobs, (given.seeds, given.whole))
    print(f"\n{total}")
    return 1 if any(total.found[kind] for kind in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
