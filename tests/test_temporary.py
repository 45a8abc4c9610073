"""Temporary folders go with their owners; what a killed process left goes later."""

import gc
import os
import subprocess
import sys
import time

import pytest

from napari_specimen_seg.core import temporary
from napari_specimen_seg.core.files.atomic import atomic


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(temporary.tempfile, "tempdir", str(tmp_path))
    temporary.remove_left_behind.cache_clear()
    yield tmp_path
    temporary.remove_left_behind.cache_clear()


class Owner:
    pass


def test_a_folder_goes_with_its_owner():
    owner = Owner()
    folder = temporary.temporary_folder(owner)
    (folder / "x").touch()
    assert folder.is_dir()
    del owner
    gc.collect()
    assert not folder.exists()


def aged(path, days):
    when = time.time() - days * 86400
    os.utime(path, (when, when))
    return path


def test_what_killed_processes_left_is_removed_later(place):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    old = place / f"specimen-seg-{gone.pid}-a"
    old.mkdir()
    (old / "x").touch()
    log = place / f"specimen-seg-{gone.pid}-b.log"
    log.touch()
    young = place / f"specimen-seg-{gone.pid}-c"
    young.mkdir()
    alive = place / f"specimen-seg-{os.getpid()}-d"
    alive.mkdir()
    other = place / "specimen-seg-notes"
    other.mkdir()
    for path in (old, log, alive, other):
        aged(path, 3)
    link = place / f"specimen-seg-{gone.pid}-e"
    link.symlink_to(other, target_is_directory=True)
    temporary.temporary_name()
    assert [path.exists() for path in (old, log, young, alive, other, link)] == [
        False,
        False,
        True,
        True,
        True,
        True,
    ]


def test_unfinished_files_of_killed_processes_too(place):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = place / f".part-{gone.pid}-0123456789ab.tif"
    fresh = place / f".part-{gone.pid}-ba9876543210.tif"
    theirs = place / ".part-of-my-thesis.tif"
    for path in (left, fresh, theirs):
        path.touch()
    for path in (left, theirs):
        aged(path, 3)
    with atomic(place / "x.txt") as draft:
        assert draft.name.startswith(f".part-{os.getpid()}-")
        draft.touch()
    assert [path.exists() for path in (left, fresh, theirs)] == [False, True, True]
