"""What a frozen encoder answers to a fixed set of varied pictures, kept for the epochs that follow."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.temporary import temporary_folder
from ..models.cores import cores, lanes
from .dataset import Samples
from .frozen import Features, size_of
from .loader import Key

MEMORY_SHARE, DISK_SHARE = 0.4, 0.5
"""Parts of the free memory, and of the free disk space for temporary files, that features may take."""

Kept = tuple[Features, Tensor]


class FeatureStore:
    """Answers of an encoder by sample; computed when first asked for.

    Parameters
    ----------
    network : torch.nn.Module
        Its encoder must not change while the store is used.
    samples : Samples
    device : torch.device
    wrap : callable
        Gives the context to compute in, such as autocast.
    """

    def __init__(
        self, network: nn.Module, samples: Samples, device: torch.device, wrap: Callable[[], Any]
    ) -> None:
        encoder = network.encoder
        assert isinstance(encoder, nn.Module)
        self._network, self._encoder = network, encoder
        self._samples = samples
        self._device, self._wrap = device, wrap
        self._memory: dict[Key, Kept] = {}
        self._room = int(_free_memory() * MEMORY_SHARE)
        self._files: dict[Key, Path] = {}
        self._folder: Path | None = None
        self._disk = 0
        self._used: list[bool] | None = None

    def batch(self, keys: Sequence[Key]) -> tuple[Features, Tensor]:
        """Return features and targets of a batch.

        Parameters
        ----------
        keys : sequence of Key

        Returns
        -------
        features : tuple of torch.Tensor
            (N, C, Y, X) each, on the device.
        target : torch.Tensor
            (N, Y, X) int64, on the device.
        """
        missing = [key for key in keys if key not in self._memory and key not in self._files]
        made = dict(zip(missing, self._compute(missing), strict=True)) if missing else {}
        kept = [made[key] if key in made else self._found(key) for key in keys]
        for key, value in made.items():
            self._keep(key, value)
        levels = zip(*(features for features, _ in kept), strict=True)
        features = tuple(_joined(level).to(self._device) for level in levels)
        return features, torch.stack([target for _, target in kept]).to(self._device)

    def _compute(self, keys: Sequence[Key]) -> list[Kept]:
        """Compute samples one by one, each on one core, so that the answer depends on nothing but the key."""
        if self._used is None:
            self._used = used_levels(self._network, self._samples[keys[0]][0][None].to(self._device))
        if self._device.type != "cpu":
            return [self._of(key) for key in keys]
        with lanes(cores()) as pool:
            return list(pool.map(self._of, keys))

    def _of(self, key: Key) -> Kept:
        picture, target = self._samples[key]
        placed = picture[None].to(self._device).contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), self._wrap():
            answer = self._encoder(placed)
        assert self._used is not None
        pairs = zip(answer, self._used, strict=True)
        return tuple((level if used else _hollow(level)).cpu() for level, used in pairs), target

    def _keep(self, key: Key, value: Kept) -> None:
        size = size_of(tuple(level for level in value[0] if not _is_hollow(level)))
        if size <= self._room:
            self._room -= size
            self._memory[key] = value
            return
        if self._folder is None:
            self._folder = temporary_folder(self)
            self._disk = int(shutil.disk_usage(self._folder).free * DISK_SHARE)
        if size <= self._disk:
            self._disk -= size
            self._write(key, value)

    def _write(self, key: Key, value: Kept) -> None:
        from safetensors.torch import save_file

        assert self._folder is not None
        features, target = value
        path = self._folder / f"{len(self._files)}.safetensors"
        shapes = {f"{n}": torch.tensor(level.shape) for n, level in enumerate(features) if _is_hollow(level)}
        full = {f"{n}": level.contiguous() for n, level in enumerate(features) if not _is_hollow(level)}
        save_file(
            {**full, **{f"hollow {n}": s for n, s in shapes.items()}, "target": target.contiguous()}, path
        )
        self._files[key] = path

    def _found(self, key: Key) -> Kept:
        if key in self._memory:
            return self._memory[key]
        from safetensors.torch import load_file

        content = load_file(self._files[key])
        target = content.pop("target")
        numbers = sorted(content, key=lambda name: int(name.removeprefix("hollow ")))
        return tuple(
            torch.zeros(()).expand(content[n].tolist()) if n.startswith("hollow") else content[n]
            for n in numbers
        ), target


def used_levels(network: nn.Module, picture: Tensor) -> list[bool]:
    """Tell which of the encoder's answers the rest of a network looks at.

    Parameters
    ----------
    network : torch.nn.Module
    picture : torch.Tensor
        (1, C, Y, X): any input.

    Returns
    -------
    list of bool
        One for each level, the finest first.
    """
    from .frozen import answering

    encoder = network.encoder
    assert isinstance(encoder, nn.Module)
    mode = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            levels = encoder(picture)
        probes = [level.detach().clone().requires_grad_() for level in levels]
        with torch.enable_grad(), answering(encoder, lambda _: probes):
            slopes = torch.autograd.grad(network(picture).sum(), probes, allow_unused=True)
        return [slope is not None for slope in slopes]
    finally:
        for module, training in mode.items():
            module.training = training


def _hollow(level: Tensor) -> Tensor:
    """Return zeros of the same shape that take no memory."""
    return torch.zeros((), dtype=level.dtype).expand(level.shape)


def _is_hollow(level: Tensor) -> bool:
    return level.untyped_storage().nbytes() <= level.element_size() < level.nelement()


def _joined(levels: Sequence[Tensor]) -> Tensor:
    first = levels[0]
    if _is_hollow(first):
        return first.expand(len(levels), *first.shape[1:])
    return torch.cat(list(levels))


def _free_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().available)
