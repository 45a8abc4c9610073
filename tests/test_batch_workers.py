"""The work functions are at the top of the file because other processes import them from here."""

import multiprocessing
import os
import threading
import time

import pytest

from napari_specimen_seg.batch import workers
from napari_specimen_seg.core.errors import CancelledError, SpecimenError
from napari_specimen_seg.core.progress import Progress, silent


def double(task, report):
    report(Progress("tile", 0, 1))
    return 2 * task


def pid_and_threads(task, report):
    time.sleep(0.05)
    return os.getpid(), os.environ["OMP_NUM_THREADS"]


def die_of_thirteen(task, report):
    if task == 13:
        os._exit(9)
    return task


def go_on_for_long(task, report):
    while True:
        time.sleep(0.05)
        report(Progress("tile", 0, 0))


def be_deaf(task, report):
    time.sleep(60)


def as_text(task, error: SpecimenError):
    return f"{task}: {error}"


def test_here_results_come_in_order_with_a_report_for_each():
    seen = []
    assert list(workers.run_here([1, 2, 3], double, seen.append)) == [2, 4, 6]
    assert [p.done for p in seen if p.stage == workers.STAGE] == [0, 1, 2, 3]


def test_processes_do_all_tasks_and_share_the_processor(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 8)
    found = list(workers.run_in_processes(range(6), pid_and_threads, as_text, silent, workers=2))
    pids, threads = zip(*found, strict=True)
    assert len(found) == 6
    assert os.getpid() not in pids
    assert len(set(pids)) == 2
    assert set(threads) == {"4"}


def test_a_process_that_dies_fails_its_own_task_only():
    found = list(workers.run_in_processes([1, 13, 2, 3], die_of_thirteen, as_text, silent, workers=2))
    texts = [item for item in found if isinstance(item, str)]
    assert sorted(item for item in found if isinstance(item, int)) == [1, 2, 3]
    assert len(texts) == 1
    assert texts[0].startswith("13: its process ended with code 9")


@pytest.mark.parametrize("work", [go_on_for_long, be_deaf])
def test_processes_are_gone_soon_after_a_stop(work):
    started = threading.Event()

    def report(progress: Progress) -> None:
        if started.is_set():
            raise CancelledError
        if progress.stage == workers.STAGE:
            time.sleep(1.0)
            started.set()

    with pytest.raises(CancelledError):
        list(workers.run_in_processes([1, 2], work, as_text, report, workers=2))
    assert multiprocessing.active_children() == []
