"""A few hundred mutated model files; ``tools/fuzz_legacy.py`` opens a hundred thousand."""

import importlib.util
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parent.parent / "tools" / "fuzz_legacy.py"


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_legacy", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_legacy"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("first", [0, 1_000_000, 2_000_000])
def test_mutated_files_are_one_line(fuzz, tmp_path, first):
    found = fuzz.run(first, 150, None, tmp_path / "kept").found

    assert found.total() == 150
    assert not [kind for kind in fuzz.BAD if found[kind]]
    assert not (tmp_path / "kept").exists()


def test_the_same_number_gives_the_same_file(fuzz):
    import random

    seed = fuzz.seeds(None)[0]

    assert fuzz.mutated(seed, random.Random(7)) == fuzz.mutated(seed, random.Random(7))
    assert fuzz.mutated(seed, random.Random(7)) != fuzz.mutated(seed, random.Random(8))


def test_seeds_themselves_are_read(fuzz, tmp_path):
    from napari_specimen_seg.models.legacy.files import open_contents

    for seed in fuzz.seeds(None):
        (tmp_path / "m.pth").write_bytes(seed.content)
        assert open_contents(tmp_path / "m.pth").foreign == ()
