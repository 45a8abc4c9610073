"""The same work on many files: one after the other, in several processes, or on a Dask cluster.

The processes are kept by hand and not by `concurrent.futures`, for two reasons. When one of them dies (the
system kills what takes too much memory), exactly its file has failed, the others go on and a new process
takes its place; a `ProcessPoolExecutor` gives up everything. And they can be stopped within a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..core.errors import CancelledError, DeviceError, SpecimenError
from ..core.parallel import cores
from ..core.processes import FreshContext
from ..core.progress import Progress, Report, silent
from ..training.buffers import keep_large_buffers
from .hush import hush_libraries

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

Task = TypeVar("Task")
Result = TypeVar("Result")

Work = Callable[[Task, Report], Result]
"""What is done with one file. Must be importable by name, and hand back its failures as results."""

Failed = Callable[[Task, SpecimenError], Result]
"""Makes the result of a file whose process died."""

POLL_SECONDS = 0.1
"""How often those who wait look whether they should stop."""

GRACE_SECONDS = 0.3
"""How long a process may go on after it was asked to stop, before it is made to."""

STAGE = "file"
"""The stage that is reported for every finished file."""


def run_here(tasks: Sequence[Task], work: Work[Task, Result], report: Report) -> Iterator[Result]:
    """Do one file after the other in this process.

    Parameters
    ----------
    tasks : sequence
    work : callable
        ``work(task, report)``; reports its own steps.
    report : callable
        Gets a `Progress` after every file too. May raise `CancelledError`.

    Yields
    ------
    object
        The results in the order of the tasks.
    """
    for done, task in enumerate(tasks):
        report(Progress(STAGE, done, len(tasks)))
        yield work(task, report)
    report(Progress(STAGE, len(tasks), len(tasks)))


def run_in_processes(
    tasks: Sequence[Task],
    work: Work[Task, Result],
    failed: Failed[Task, Result],
    report: Report,
    *,
    workers: int,
) -> Iterator[Result]:
    """Do several files at once, each in a process of its own with a fair share of the processor cores.

    Parameters
    ----------
    tasks : sequence
    work, failed : callable
    report : callable
        Called about ten times a second. If it raises, the processes are stopped within a second.
    workers : int
        The most processes.

    Yields
    ------
    object
        The results as they come.
    """
    pool = _Pool[Task, Result](work, failed, threads=max(1, cores() // workers))
    waiting = deque(tasks)
    done = 0
    try:
        report(Progress(STAGE, 0, len(tasks)))
        while waiting or pool.busy:
            while waiting and len(pool.busy) < workers:
                pool.give(waiting.popleft())
            for result in pool.results(POLL_SECONDS):
                done += 1
                yield result
            report(Progress(STAGE, done, len(tasks)))
    finally:
        pool.stop()


def run_on_cluster(
    tasks: Sequence[Task],
    work: Work[Task, Result],
    failed: Failed[Task, Result],
    report: Report,
    *,
    address: str,
) -> Iterator[Result]:
    """Do the files on the workers of a Dask cluster, which must see the same files by the same names.

    Parameters
    ----------
    tasks : sequence
    work, failed : callable
    report : callable
        If it raises, what has not begun yet is called off; what a worker is busy with, it finishes.
    address : str
        Of the scheduler: ``tcp://host:8786``.

    Yields
    ------
    object
        The results as they come.

    Raises
    ------
    DeviceError
        If distributed is not installed or nobody answers at the address.
    """
    client = _connect(address)
    try:
        futures = {client.submit(work, task, silent, pure=False): task for task in tasks}
        report(Progress(STAGE, 0, len(futures)))
        for done, future in enumerate(_as_finished(client, futures, report), start=1):
            task = futures[future]
            error = future.exception()
            yield future.result() if error is None else failed(task, _of_the_cluster(error))
            report(Progress(STAGE, done, len(futures)))
    finally:
        with suppress(Exception):
            client.cancel([f for f in futures if not f.done()])
        client.close(timeout=1)


# ----- processes


@dataclass(slots=True)
class _Pool(Generic[Task, Result]):
    """Processes that wait for work, and those that have some."""

    work: Work[Task, Result]
    failed: Failed[Task, Result]
    threads: int
    idle: list[_Member] = field(default_factory=list)
    busy: dict[_Member, Task] = field(default_factory=dict)
    context: FreshContext = field(default_factory=FreshContext)

    def give(self, task: Task) -> None:
        """Hand a task to an idle process, or to a new one."""
        member = self.idle.pop() if self.idle else _Member.start(self.context, self.threads)
        self.busy[member] = task
        with suppress(OSError):  # it has died; `results` finds that out
            member.pipe.send((self.work, task))

    def results(self, timeout: float) -> Iterator[Result]:
        """Yield what has come in, after waiting for `timeout` seconds at most."""
        owners: dict[Any, _Member] = {m.pipe: m for m in self.busy}
        owners |= {m.process.sentinel: m for m in self.busy}
        for member in {owners[ready] for ready in wait(list(owners), timeout)}:
            task = self.busy.pop(member)
            try:
                yield member.pipe.recv()
                self.idle.append(member)
            except (EOFError, OSError):
                member.pipe.close()
                member.process.join(1)  # the pipe may be closed a moment before the process has ended
                yield self.failed(task, _process_died(member.process.exitcode))

    def stop(self) -> None:
        """End all processes: they are asked, then told, then made to."""
        members = [*self.idle, *self.busy]
        for member in members:
            member.pipe.close()
        _join(members, GRACE_SECONDS)
        for end in ("terminate", "kill"):
            for member in members:
                if member.process.is_alive():
                    getattr(member.process, end)()
            _join(members, GRACE_SECONDS)


@dataclass(slots=True, eq=False)
class _Member:
    """A process of the pool, and the pipe to it. When the pipe is closed, the process ends."""

    process: BaseProcess
    pipe: Connection

    @classmethod
    def start(cls, context: FreshContext, threads: int) -> _Member:
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, threads), daemon=True)
        with _interrupts_held_back():
            process.start()
        there.close()
        return cls(process, here)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let a process begin deaf to Ctrl-C, which it would answer with a traceback while it starts up."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which lets interrupts in again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_all() -> None:
    """End the processes of all pools at once, for a program that must not wait."""
    children = multiprocessing.active_children()
    for child in children:
        child.terminate()
    for child in children:
        child.join(POLL_SECONDS)
        child.kill()


def _join(members: Sequence[_Member], seconds: float) -> None:
    end = time.monotonic() + seconds
    for member in members:
        member.process.join(max(0.0, end - time.monotonic()))


def _process_died(exit_code: int | None) -> SpecimenError:
    code = exit_code or 0
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    return DeviceError(
        f"its process {how}, probably because the memory was full",
        advice="Use fewer workers or smaller tiles.",
    )


def _serve(pipe: Connection, threads: int) -> None:
    """Be a process of the pool: take tasks until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, _leave)  # so that half-written files are removed on the way out
    hush_libraries()
    limit_threads(threads)
    keep_large_buffers()
    report = _Listener(pipe)
    with suppress(EOFError, OSError, CancelledError):
        while True:
            work, task = pipe.recv()
            pipe.send(work(task, report))


def _leave(*_: object) -> None:
    raise SystemExit(1)


@dataclass(frozen=True, slots=True)
class _Listener:
    """A report that goes nowhere, but stops the work when the other end of the pipe is closed."""

    pipe: Connection

    def __call__(self, _: Progress) -> None:
        if self.pipe.poll():  # nothing is sent during work: this is the end of the pipe
            raise CancelledError


def limit_threads(threads: int) -> None:
    """Make the number-crunching libraries that this process will load use so many threads each."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)


# ----- cluster


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise DeviceError(
            "a cluster needs the package distributed",
            advice="Install it with: pip install 'napari-specimen-seg[cluster]'.",
        ) from None
    try:
        return Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"no scheduler answers at {address} ({error})", advice="Start one with: dask scheduler."
        ) from error


def _as_finished(client: Any, futures: dict[Any, Any], report: Report) -> Iterator[Any]:
    from distributed import as_completed

    finished = as_completed(list(futures), loop=client.loop)
    while finished.count():
        yield from finished.next_batch(block=False)
        report(Progress("waiting", 0, 0))
        time.sleep(POLL_SECONDS)


def _of_the_cluster(error: BaseException) -> SpecimenError:
    if isinstance(error, SpecimenError):
        return error
    return DeviceError(f"the cluster gave up ({type(error).__name__}: {error})")
