"""Batches of samples: made side by side by as many cores as there are, in a fixed order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future

import torch
from torch import Tensor

from ..core.processes import FreshContext
from ..models.cores import cores, lanes
from .config import TrainConfig
from .dataset import Samples, _mix, epoch_order

Key = tuple[int, int, int]
"""Epoch or view, position, picture: what a sample of `Samples` is a function of."""

Sample = tuple[Tensor, Tensor]


class Batches:
    """The batches of one epoch, split among processes.

    Parameters
    ----------
    samples : Samples
    config : TrainConfig
    epoch, rank, world : int
    views : int
        If positive, pictures are shown in so many fixed variations, a different one in each epoch.
    """

    def __init__(
        self,
        samples: Samples,
        config: TrainConfig,
        epoch: int,
        rank: int,
        world: int,
        *,
        views: int = 0,
    ) -> None:
        size = config.learn.batch_size
        order = list(epoch_order(samples.counts, config, epoch))
        keys = _fixed(order, epoch % views) if views else [(epoch, n, name) for n, name in enumerate(order)]
        batches = [keys[i : i + size] for i in range(0, len(keys), size)]
        if size > 1 and len(batches) > 1 and len(batches[-1]) == 1:  # little for batch norm to learn from
            batches.pop()
        even = len(batches) // world * world or len(batches)
        self.batches: list[list[Key]] = batches[rank:even:world] or batches[:1]
        self.done = 0

    def __iter__(self) -> Iterator[list[Key]]:
        """Yield lists of indices for `Samples`, from where an earlier run stopped on."""
        while self.done < len(self.batches):
            self.done += 1
            yield self.batches[self.done - 1]
        self.done = 0

    def state_dict(self) -> dict[str, int]:
        """Return how many batches were given out; goes into checkpoints."""
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the batches that an earlier run learned from."""
        self.done = state["done"]

    def __len__(self) -> int:
        """Return the number of batches, those that are skipped included."""
        return len(self.batches)


def _fixed(order: list[int], view: int) -> list[Key]:
    """Name samples so that a picture's first, second, … showing in an epoch is always the same one."""
    seen: dict[int, int] = {}
    keys = []
    for number in order:
        keys.append((view, _mix(seen.get(number, 0), number), number))
        seen[number] = seen.get(number, 0) + 1
    return keys


class Loader:
    """Yields batches of samples, ready for the network.

    Parameters
    ----------
    samples : Samples
    batches : Batches
    ahead : int
        How many batches are made while one is learned from; 0 where learning needs the same cores.
    workers : int
        If positive, so many processes make them, instead of threads.
    """

    def __init__(self, samples: Samples, batches: Batches, ahead: int = 0, workers: int = 0) -> None:
        self.samples = samples
        self.batches = batches
        self.ahead = ahead
        self.workers = workers
        self.given = 0

    def __iter__(self) -> Iterator[Sample]:
        """Yield pictures (N, C, Y, X) and targets (N, Y, X), from where an earlier run stopped on."""
        for batch in self._by_processes() if self.workers else self._by_threads():
            self.given += 1
            yield batch
        self.given = 0

    def _by_processes(self) -> Iterator[Sample]:
        yield from torch.utils.data.DataLoader(
            self.samples,
            batch_sampler=self.batches,
            num_workers=self.workers,
            multiprocessing_context=FreshContext(),
        )

    def _by_threads(self) -> Iterator[Sample]:
        waiting: deque[list[Future[Sample]]] = deque()
        with lanes(cores()) as pool:
            for keys in self.batches:
                waiting.append([pool.submit(self.samples.__getitem__, key) for key in keys])
                if len(waiting) > self.ahead:
                    yield _joined(waiting.popleft())
            while waiting:
                yield _joined(waiting.popleft())

    def __len__(self) -> int:
        """Return the number of batches of the epoch."""
        return len(self.batches)

    def state_dict(self) -> dict[str, int]:
        """Return how many batches were given out; goes into checkpoints."""
        return {"done": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the batches that an earlier run learned from."""
        self.given = state["done"]
        self.batches.load_state_dict(state)


def _joined(futures: list[Future[Sample]]) -> Sample:
    pictures, targets = zip(*(future.result() for future in futures), strict=True)
    return torch.stack(pictures), torch.stack(targets)
