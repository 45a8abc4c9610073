"""Processes that start with a fresh Python, and never run the program that started them again."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

_starting = threading.Lock()


@contextmanager
def _main_without_a_file() -> Iterator[None]:
    """Let a process begin without the file of `__main__`, which it would import under another name.

    A person's script would run a second time in every process, and begin the same work again unless its
    author knew to guard it. Nothing of ours lives there, so nothing is lost. The module itself stays as it
    is: other threads may be running its code.
    """
    with _starting:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = _Faceless(main)
        try:
            yield
        finally:
            sys.modules["__main__"] = main


class _Faceless(ModuleType):
    """Has all that a module has but what tells where it came from."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__(module.__name__)  # which sets __spec__ to None
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if name == "__file__":
            raise AttributeError(name)
        return getattr(self._module, name)


class _Process(SpawnProcess):
    """A process of the standard library that does not know of the `__main__` of its parent."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802 - the standard library asks for this name
        with _main_without_a_file():
            return SpawnProcess._Popen(process_obj)


class FreshContext(SpawnContext):
    """What `multiprocessing.get_context("spawn")` gives, but `__main__` is not imported again.

    What is handed to a process must be importable by name from a module other than `__main__`.
    """

    Process = _Process
