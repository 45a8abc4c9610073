"""Processes of their own, and the script of a person who did not guard it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fake_model import CLASSES, load, write_model
from napari_specimen_seg.batch import plan_jobs, predict_files
from napari_specimen_seg.core.errors import SpecimenError
from napari_specimen_seg.core.files import read_labels
from napari_specimen_seg.core.processes import FreshContext

SCRIPT = """
import sys
from pathlib import Path

from fake_model import load
from napari_specimen_seg.batch import plan_jobs, predict_files

folder = Path(sys.argv[1])
with (folder / "begun.txt").open("a") as file:
    file.write("once\\n")
jobs = plan_jobs(sorted(folder.glob("*.tif")), folder / "out")
for result in predict_files(jobs, str(folder / "model"), workers=2, load=load):
    print(result.status)
"""


@pytest.mark.parametrize("how", ["file", "module"])
def test_a_script_without_a_guard_runs_once(tmp_path, how):
    write_model(tmp_path / "model")
    for name in ("a", "b", "c"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.array([[0, 10], [200, 250]], np.uint8))
    (tmp_path / "unguarded.py").write_text(SCRIPT)
    command = ["-m", "unguarded"] if how == "module" else ["unguarded.py"]
    done = subprocess.run(
        [sys.executable, *command, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.stdout.split(), done.stderr) == (["done"] * 3, "")
    assert (tmp_path / "begun.txt").read_text() == "once\n"
    assert read_labels(tmp_path / "out" / "a.tif").data.tolist() == [[0, 1], [2, 2]]
    assert read_labels(tmp_path / "out" / "a.tif").class_map == CLASSES


def main_facts(pipe):
    main = sys.modules["__main__"]
    pipe.send((getattr(main, "__file__", None), getattr(sys.modules.get("__mp_main__"), "__file__", None)))


def test_a_process_has_no_main_of_its_parent_and_the_parent_keeps_its_own():
    main = sys.modules["__main__"]
    here, there = FreshContext().Pipe()
    process = FreshContext().Process(target=main_facts, args=(there,))
    process.start()
    assert here.poll(60)
    assert here.recv() == (None, None)
    process.join()
    assert sys.modules["__main__"] is main


def test_a_loader_that_processes_cannot_import_is_refused(tmp_path, monkeypatch):
    def own_load(name):
        return load(name)

    monkeypatch.setattr(own_load, "__module__", "__main__")
    write_model(tmp_path / "model")
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(tmp_path / name, np.zeros((2, 2), np.uint8))
    jobs = plan_jobs(sorted(tmp_path.glob("*.tif")), tmp_path / "out")
    with pytest.raises(SpecimenError, match="own_load stands in the script itself"):
        list(predict_files(jobs, str(tmp_path / "model"), workers=2, load=own_load))
