"""Open mutated model files and look for anything but one line: a bounded job beside the tests.

    python tools/fuzz_legacy.py 100000 --jobs 4
    python tools/fuzz_legacy.py 20000 --jobs 1 --seeds ../shared/legacy_checkpoints/fixtures

Each file is a seed with some of its bytes changed: in the file as a whole, in the pickle alone (packed
again with the right checksums, so that the damage gets past the archive), or with opcodes and records put in.
Whatever is not a `SpecimenError`, takes longer than two seconds of computing or leaves a file behind is kept
in ``fuzz-failures`` and makes the exit code 1. The same numbers give the same files every time.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import random
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SECONDS = 2.0
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


def seeds(folder: Path | None) -> list[Seed]:
    """Return small files of each kind, and the pickles of a folder of look-alikes."""
    sys.path.insert(0, str(TESTS))
    made = [_seed(name, content) for name, content in _small_files()]
    for path in sorted(folder.glob("*.pickle.gz")) if folder is not None else []:
        pickle = gzip.decompress(path.read_bytes())
        made.append(_seed(path.name, _zipped((("archive/data.pkl", pickle), ("archive/version", b"3\n")))))
    return made


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


def run(first: int, count: int, folder: Path | None, keep: Path = KEPT) -> Counter[str]:
    """Open files number `first` and following, and count what they answered."""
    from napari_specimen_seg.core.errors import SpecimenError
    from napari_specimen_seg.models.importing import ImportOptions
    from napari_specimen_seg.models.legacy import import_checkpoint

    all_seeds = seeds(folder)
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(place, "m.pth")
        for number in range(first, first + count):
            chance = random.Random(number)
            seed = chance.choice(all_seeds)
            content = mutated(seed, chance)
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
            if time.process_time() - started > SECONDS:
                answer = "slow"
            if len(list(Path(place).iterdir())) > 1:
                answer = "file left"
            found[answer] += 1
            if answer in BAD:
                keep.mkdir(exist_ok=True)
                (keep / f"{number}-{answer.replace(' ', '-')}.bin").write_bytes(content)
    return found


BAD = ("crash", "slow", "two lines", "file left")


def main() -> int:
    """Run the job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seeds", type=Path, help="folder with look-alikes (*.pickle.gz)")
    given = parser.parse_args()
    step = 500
    starts = range(given.first, given.first + given.count, step)
    found: Counter[str] = Counter()
    with ProcessPoolExecutor(given.jobs) as pool:
        ends = given.first + given.count
        jobs = [pool.submit(run, start, min(step, ends - start), given.seeds) for start in starts]
        for done, job in enumerate(jobs, 1):
            found += job.result()
            print(
                f"\r{min(done * step, given.count)} files: {dict(found)}", end="", file=sys.stderr, flush=True
            )
    print(f"\n{sum(found.values())} files: {dict(found)}")
    return 1 if any(found[kind] for kind in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
