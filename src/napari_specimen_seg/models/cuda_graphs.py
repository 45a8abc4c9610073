"""What a GPU does for a batch, recorded once and played back without Python between its kernels.

A small tile on a large GPU is computed faster than Python can ask for it. Recording is tried with the second
batch of a size, and used where it gives the same bits in less time; anything else leaves things as they were.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from typing import TypeAlias

import torch

Tensors: TypeAlias = tuple[torch.Tensor, ...]
Compute: TypeAlias = Callable[..., Tensors]

ENOUGH_GAIN = 0.97
"""A recording keeps all the memory that it computes in; below this share of the time it is worth that."""

_log = logging.getLogger(__name__)


class Recording:
    """The kernels of one function for inputs of one size.

    Parameters
    ----------
    compute : callable
        Takes and gives tensors on the GPU; must not look at their values.
    given : tuple of torch.Tensor

    Raises
    ------
    RuntimeError
        If it does something that cannot be recorded, or the GPU has no room for it.
    """

    def __init__(self, compute: Compute, given: Tensors) -> None:
        self._given = tuple(one.clone() for one in given)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads go on computing meanwhile; only what this one does must be recordable.
        self._graph.capture_begin(capture_error_mode="thread_local")
        try:
            self._answer = compute(*self._given)
        finally:
            self._graph.capture_end()

    def __call__(self, given: Tensors) -> Tensors:
        """Compute; the answer is overwritten by the next call."""
        for place, one in zip(self._given, given, strict=True):
            place.copy_(one)
        self._graph.replay()
        return self._answer


class Recorder:
    """Computes, from a recording where that pays. One for each thread, called in a stream of its own."""

    def __init__(self) -> None:
        self._key: Hashable = None
        self._seen = 0
        self._recording: Recording | None = None

    def __call__(self, key: Hashable, compute: Compute, given: Tensors) -> Tensors:
        """Compute.

        Parameters
        ----------
        key : hashable
            The same for calls that differ in values only. The recording of another key is given up.
        compute : callable
            As for `Recording`.
        given : tuple of torch.Tensor

        Returns
        -------
        tuple of torch.Tensor
            Valid until the next call.
        """
        if key != self._key:
            self._key, self._seen, self._recording = key, 0, None
        self._seen += 1
        if self._recording is not None:
            return self._recording(given)
        return self._tried(compute, given) if self._seen == 2 else compute(*given)

    def _tried(self, compute: Compute, given: Tensors) -> Tensors:
        """Compute as always, and see whether a recording gives the same in less time."""
        usual, wanted = _timed(lambda: compute(*given))
        try:
            made = Recording(compute, given)
            played, found = _timed(lambda: made(given))
        except RuntimeError as error:  # memory that is not there is one of these as well
            _log.info("not recorded: %s", str(error).partition("\n")[0])
            return wanted
        same = all(torch.equal(one, other) for one, other in zip(wanted, found, strict=True))
        _log.info("recorded: %.2f of the time, %s", played / usual, "same" if same else "other bits")
        if same and played < ENOUGH_GAIN * usual:
            self._recording = made
        return wanted


def _timed(compute: Callable[[], Tensors]) -> tuple[float, Tensors]:
    stream = torch.cuda.current_stream()
    stream.synchronize()
    begin = time.perf_counter()
    answer = compute()
    stream.synchronize()
    return time.perf_counter() - begin, answer
