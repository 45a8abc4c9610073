"""Train the two models that come with the package, from scratch, on a CPU.

    python tools/train_bundled_models.py beetle-parts --data ../shared/data/beetles9
    python tools/train_bundled_models.py nuclei --data ../shared/data/dsb2018

Weights start at random: nothing is downloaded. All pictures of `train` and `train_extra` are used for
learning; `val` is only measured, after the last epoch and with the weights as they are stored, so that
its scores are not the best of many. The two recipes are frozen here; general training is the plugin's.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import hashlib
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn import functional
from torchvision import tv_tensors
from torchvision.transforms import v2

from napari_specimen_seg.core.classes import PRESETS
from napari_specimen_seg.core.input_settings import ByDtype, ByPercentile, PadToSquare, Tiles
from napari_specimen_seg.core.preprocessing import Preprocessing
from napari_specimen_seg.core.resizing import resize, resize_nearest
from napari_specimen_seg.models.bundle import write_bundle
from napari_specimen_seg.models.card import Attribution, Binary, ModelCard, Softmax, Training
from napari_specimen_seg.models.network import build_network, load_weights

BUNDLED = Path(__file__).parents[1] / "src" / "napari_specimen_seg" / "models" / "bundled"

CARDS = {
    "beetle-parts": ModelCard(
        name="beetle-parts",
        description="Nine parts of a pinned ground beetle seen from above, one beetle a picture.",
        architecture="FPN",
        encoder="tu-resnet10t",
        options={"decoder_dropout": 0.1},
        class_map=PRESETS["beetle-parts"],
        head=Softmax(),
        preprocessing=Preprocessing(values=ByDtype(), geometry=PadToSquare(size=512)),
        license="CC-BY-4.0",
        training=Training(
            data="beetles9, hand-labelled photographs of pinned ground beetles from BeetleFlow",
            split="A specimen and its neighbour on the tray are always in one split.",
            attribution=(
                Attribution(
                    title="East et al. 2026, Beetles as Sentinel Taxa",
                    license="CC-BY-4.0",
                    doi="10.57967/hf/8716",
                ),
                Attribution(title="NEON Ground beetles DP1.10022.001", doi="10.48443/CD21-Q875"),
                Attribution(title="BeetleFlow", license="CC-BY-4.0", doi="10.5281/zenodo.21251293"),
            ),
            notes="Pins are not always drawn in the labels, and the tail is small and inconsistent: two "
            "people agree on it with an IoU of 0.17 only.",
        ),
    ),
    "nuclei": ModelCard(
        name="nuclei",
        description="Cell nuclei in fluorescence, brightfield and stained tissue pictures.",
        architecture="Unet",
        encoder="tu-resnet18",
        options={"encoder_depth": 4, "decoder_channels": (128, 64, 32, 16)},
        class_map=PRESETS["nuclei"],
        head=Binary(threshold=0.5),
        preprocessing=Preprocessing(
            values=ByPercentile(low=1.0, high=99.8), geometry=Tiles(size=1024, halo=64, fitted=True)
        ),
        license="CC0-1.0",
        training=Training(
            data="dsb2018, Data Science Bowl 2018 stage 1 (BBBC038) with the community's corrected masks",
            split="Tiles of one field never straddle splits.",
            attribution=(
                Attribution(
                    title="Caicedo et al. 2019, Nature Methods 16:1247 (BBBC038)",
                    license="CC0-1.0",
                    doi="10.1038/s41592-019-0612-7",
                ),
            ),
            notes="Where two nuclei touch, the pixels along their border were taught as background, so that "
            "neighbours come apart.",
        ),
    ),
}


@dataclass(frozen=True)
class Plan:
    """How one of the two is trained."""

    sizes: tuple[tuple[float, int], ...]  # (from this share of the epochs on, side in pixels)
    batch: int
    lr: float
    rotate: float
    scale: tuple[float, float]
    quarter_turns: float
    crops: int = 1


PLANS = {
    "beetle-parts": Plan(((0.0, 320), (0.45, 416), (0.8, 512)), 8, 2e-3, 25, (0.75, 1.25), 0.25),
    "nuclei": Plan(((0.0, 256),), 16, 2e-3, 180, (0.6, 1.7), 0.75, crops=2),
}


@dataclass
class Sample:
    """A picture (Y, X, 3), values 0 to 1 by the card's range; labels (Y, X); group for balance."""

    name: str
    picture: NDArray[np.float32]
    labels: NDArray[np.int64]
    weight: NDArray[np.float32]
    group: str = ""


def read_samples(name: str, folder: Path, split: str, card: ModelCard) -> Iterator[Sample]:
    """Yield the labelled pictures of a split, values scaled as the card says, size as it is."""
    groups = {}
    with (folder / split / "index.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            groups[row.get("id") or row["name"]] = row.get("stratum", "")
    for path in sorted((folder / split / "images").iterdir()):
        raw = np.asarray(Image.open(path))
        if name == "nuclei":
            ids = tifffile.imread(folder / split / "labels" / f"{path.stem}.tif").astype(np.int64)
            labels, weight = nuclei_target(ids)
        else:
            labels = np.asarray(Image.open(folder / split / "labels" / f"{path.stem}.png")).astype(np.int64)
            weight = np.ones(labels.shape, np.float32)
        plane = card.preprocessing.to_channels(raw)
        low, high = card.preprocessing.value_range(raw, name=path.stem)
        scaled = np.clip((plane.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1)
        yield Sample(path.stem, scaled, labels, weight, groups.get(path.stem, ""))


def shrunk(sample: Sample, side: int) -> Sample:
    """Return a sample no larger than `side`: augmenting the full scan is slow and gains nothing."""
    height, width = sample.labels.shape
    if max(height, width) <= side:
        return sample
    scale = side / max(height, width)
    size = round(height * scale), round(width * scale)
    picture = resize((sample.picture * 255).round().astype(np.uint8), *size).astype(np.float32) / 255
    return Sample(
        sample.name,
        picture,
        resize_nearest(sample.labels, *size),
        resize_nearest(sample.weight, *size),
        sample.group,
    )


def nuclei_target(ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return 0/1 labels with touching nuclei apart, and weights that make those borders count more."""
    padded = np.pad(ids, 1)
    touching = np.zeros(ids.shape, bool)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (0, 0), (2, 2), (0, 2), (2, 0)):
        other = padded[dy : dy + ids.shape[0], dx : dx + ids.shape[1]]
        touching |= (other > ids) & (ids > 0)  # one side only: a gap of one pixel
    labels = ((ids > 0) & ~touching).astype(np.int64)
    return labels, np.where(touching, 4.0, 1.0).astype(np.float32)


class Augment:
    """Flips, turns, shift, scale and rotation for both; colour, blur and noise for the picture."""

    def __init__(
        self, plan: Plan, mean: tuple[float, ...], std: tuple[float, ...], gray_share: float
    ) -> None:
        self.plan = plan
        self.color = v2.Compose(
            [
                v2.RandomApply([v2.ColorJitter(0.35, 0.35, 0.3, 0.04)], p=0.8),
                v2.RandomApply([v2.RandomGrayscale(1.0)], p=gray_share),
                v2.RandomApply([v2.GaussianBlur(5, (0.2, 1.5))], p=0.2),
            ]
        )
        self.mean = torch.tensor(mean)[:, None, None]
        self.std = torch.tensor(std)[:, None, None]

    def __call__(self, sample: Sample, side: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return a varied picture (3, side, side), its target and the weights of its pixels."""
        picture = torch.from_numpy(sample.picture).permute(2, 0, 1)
        picture = self.color(picture)
        if random.random() < 0.5:  # gamma: dim and saturated exposures
            picture = picture.clamp(0, 1) ** math.exp(random.uniform(-0.5, 0.5))
        if random.random() < 0.3:
            picture = picture + torch.randn_like(picture) * random.uniform(0.005, 0.05)
        picture = (picture - self.mean) / self.std
        inside = torch.ones(1, *picture.shape[1:])
        maps = torch.cat(
            [torch.from_numpy(sample.labels)[None].float(), torch.from_numpy(sample.weight)[None], inside]
        )
        image, mask = self.place(picture, tv_tensors.Mask(maps), side)
        if random.random() < self.plan.quarter_turns:
            turns = random.randint(1, 3)
            image, mask = torch.rot90(image, turns, (1, 2)), torch.rot90(mask, turns, (1, 2))
        if random.random() < 0.5:
            image, mask = image.flip(2), mask.flip(2)
        if random.random() < (0.5 if self.plan.quarter_turns > 0.5 else 0.1):
            image, mask = image.flip(1), mask.flip(1)
        return (
            image * mask[2:3],
            mask[0].long(),
            mask[1] * mask[2] if self.plan.crops > 1 else mask[1] * mask[2] + 0.2 * (1 - mask[2]),
        )

    def place(
        self, picture: torch.Tensor, maps: tv_tensors.Mask, side: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rotate, scale and shift onto a square of `side`; outside is the network's zero."""
        height, width = picture.shape[1:]
        base = side / max(height, width) if self.plan.crops == 1 else 1.0
        scale = base * math.exp(random.uniform(*(math.log(s) for s in self.plan.scale)))
        # The square is cut out of the picture at its own scale first: warping a whole field is slow.
        need = math.ceil(side / scale * 1.5)
        if self.plan.crops > 1:
            top, left = random.randint(0, max(0, height - need)), random.randint(0, max(0, width - need))
            picture = picture[:, top : top + need, left : left + need]
            maps = tv_tensors.Mask(maps[:, top : top + need, left : left + need])
            height, width = picture.shape[1:]
        bottom, right = max(0, side - height), max(0, side - width)
        picture, maps = (
            v2.functional.pad(picture, [0, 0, right, bottom]),
            v2.functional.pad(maps, [0, 0, right, bottom]),
        )
        full_h, full_w = picture.shape[1:]
        slack = 0.1 * side
        # v2's affine turns about the centre of the canvas: bring the picture's centre there first.
        shift = [
            round((full_w - width) / 2 + random.uniform(-slack, slack) / scale),
            round((full_h - height) / 2 + random.uniform(-slack, slack) / scale),
        ]
        angle = random.uniform(-self.plan.rotate, self.plan.rotate)
        picture = v2.functional.affine(picture, 0.0, shift, 1.0, [0.0, 0.0]) if any(shift) else picture
        maps = v2.functional.affine(maps, 0.0, shift, 1.0, [0.0, 0.0]) if any(shift) else maps
        shear = [random.uniform(-6, 6), random.uniform(-6, 6)]
        bilinear = v2.InterpolationMode.BILINEAR
        picture = v2.functional.affine(picture, angle, [0, 0], scale, shear, interpolation=bilinear)
        maps = v2.functional.affine(maps, angle, [0, 0], scale, shear)
        return v2.functional.center_crop(picture, [side, side]), v2.functional.center_crop(maps, [side, side])


def loss_of(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, classes: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy plus soft Dice over the classes that occur; float32 throughout."""
    logits = logits.float()
    if logits.shape[1] == 1:
        pixel = functional.binary_cross_entropy_with_logits(logits[:, 0], target.float(), reduction="none")
        share = torch.sigmoid(logits)
        truth = target[:, None].float()
    else:
        pixel = functional.cross_entropy(logits, target, weight=classes, reduction="none")
        share = logits.softmax(1)
        truth = functional.one_hot(target, logits.shape[1]).permute(0, 3, 1, 2).float()
    cross = (pixel * weight).sum() / weight.sum()
    seen = (weight > 0)[:, None]
    both = (share * truth * seen).sum((0, 2, 3))
    total = ((share + truth) * seen).sum((0, 2, 3))
    present = truth.sum((0, 2, 3)) > 0
    dice = 1 - (2 * both[present] + 1) / (total[present] + 1)
    return cross + (dice.mean() if present.any() else 0.0 * cross)


def confusion_of(card: ModelCard, network: nn.Module, samples: list[Sample]) -> NDArray[np.int64]:
    """Count truth x answer over whole pictures, each run as the card's geometry says."""
    count = len(card.class_map)
    matrix = np.zeros((count, count), np.int64)
    mean, std = (np.asarray(v, np.float32) for v in (card.preprocessing.mean, card.preprocessing.std))
    for sample in samples:
        height, width = sample.labels.shape
        place = card.preprocessing.placement(height, width)
        if isinstance(card.preprocessing.geometry, PadToSquare):
            x = np.zeros((3, *place.shape), np.float32)
            inner = resize((sample.picture * 255).round().astype(np.uint8), place.height, place.width) / 255
            rows, columns = (
                slice(place.top, place.top + place.height),
                slice(place.left, place.left + place.width),
            )
            x[:, rows, columns] = ((inner - mean) / std).transpose(2, 0, 1)
        else:
            x = ((sample.picture - mean) / std).transpose(2, 0, 1)
            x = np.pad(x, ((0, 0), (0, -height % 32), (0, -width % 32)), mode="reflect")
        with torch.inference_mode():
            y = network(torch.from_numpy(x)[None].contiguous(memory_format=torch.channels_last))[0].float()
        answer = (y[0] > 0).numpy().astype(np.int64) if y.shape[0] == 1 else y.argmax(0).numpy()
        if isinstance(card.preprocessing.geometry, PadToSquare):
            answer = resize_nearest(answer[rows, columns], height, width)
        answer = answer[:height, :width]
        matrix += np.bincount((sample.labels * count + answer).ravel(), minlength=count * count).reshape(
            count, count
        )
    return matrix


def scores_of(card: ModelCard, matrix: NDArray[np.int64]) -> dict[str, float]:
    """Return IoU and Dice per class, pooled over all pixels, and their mean without background."""
    hit = np.diag(matrix).astype(float)
    union = matrix.sum(0) + matrix.sum(1) - hit
    total = matrix.sum(0) + matrix.sum(1)
    iou, dice = hit / np.maximum(union, 1), 2 * hit / np.maximum(total, 1)
    scores = {"mean iou": iou[1:].mean(), "mean dice": dice[1:].mean()}
    for item, value, other in zip(card.class_map, iou, dice, strict=True):
        scores[f"iou {item.name}"] = value
        scores[f"dice {item.name}"] = other
    return {key: round(float(value), 4) for key, value in scores.items()}


def data_hash(folder: Path, splits: tuple[str, ...]) -> str:
    """Return one SHA-256 over names and contents of all pictures and labels used."""
    digest = hashlib.sha256()
    for split in splits:
        for kind in ("images", "labels"):
            for path in sorted((folder / split / kind).iterdir()):
                digest.update(f"{split}/{kind}/{path.name}\n".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def order_of(samples: list[Sample], crops: int) -> list[Sample]:
    """Return the samples of one epoch; groups with few pictures come oftener (square-root rule)."""
    counts = Counter(sample.group for sample in samples)
    weights = [counts[sample.group] ** -0.5 for sample in samples]
    if len(counts) == 1:
        chosen = samples * crops
        random.shuffle(chosen)
        return chosen
    return random.choices(samples, weights, k=len(samples) * crops)


def keep_large_buffers() -> None:
    """Keep glibc from giving big buffers back after every step, which costs a third of the time."""
    if sys.platform == "linux":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)
        libc.mallopt(-1, 2**31 - 1)


def seed_all(seed: int) -> None:
    """Seed everything random."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def rarity_of(samples: list[Sample], classes: int) -> torch.Tensor:
    """Return weights of the classes, mean 1 over pixels: the fourth root of their rarity."""
    pixels = sum(np.bincount(s.labels.ravel(), minlength=classes) for s in samples).astype(float)
    rarity = torch.tensor((pixels.sum() / pixels) ** 0.25, dtype=torch.float32)
    return rarity / float((rarity * torch.tensor(pixels / pixels.sum())).sum())


class Learner:
    """The network, its average, optimiser and schedule."""

    def __init__(self, card: ModelCard, plan: Plan, samples: list[Sample], epochs: int) -> None:
        self.plan = plan
        self.network = build_network(card).to(memory_format=torch.channels_last)
        self.averaged = torch.optim.swa_utils.AveragedModel(
            self.network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
        )
        decay = [p for p in self.network.parameters() if p.ndim > 1]
        rest = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": decay, "weight_decay": 0.03}, {"params": rest, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=plan.lr)
        steps = math.ceil(len(samples) * plan.crops / plan.batch) * epochs
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, plan.lr, total_steps=steps, pct_start=0.15, final_div_factor=200
        )
        self.rarity = rarity_of(samples, len(card.class_map))

    def step(self, batch: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> float:
        """Learn one batch; return its loss."""
        x, target, weight = (torch.stack(part) for part in zip(*batch, strict=True))
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(x.contiguous(memory_format=torch.channels_last))
        loss = loss_of(logits, target, weight, self.rarity)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.schedule.step()
        self.averaged.update_parameters(self.network)
        return float(loss.detach())

    def epoch(self, samples: list[Sample], augment: Augment, side: int) -> float:
        """Learn one epoch; return the mean loss."""
        self.network.train()
        order = order_of(samples, self.plan.crops)
        losses = [
            self.step([augment(sample, side) for sample in order[start : start + self.plan.batch]])
            for start in range(0, len(order), self.plan.batch)
        ]
        return sum(losses) / len(losses)


def train(name: str, folder: Path, epochs: int, seed: int, out: Path) -> None:
    """Train one of the two and write its model folder."""
    keep_large_buffers()
    seed_all(seed)
    card, plan = CARDS[name], PLANS[name]
    samples = [s for split in ("train", "train_extra") for s in read_samples(name, folder, split, card)]
    if isinstance(card.preprocessing.geometry, PadToSquare):
        samples = [shrunk(s, card.preprocessing.geometry.size * 5 // 4) for s in samples]
    held_out = list(read_samples(name, folder, "val", card))
    print(f"{len(samples)} pictures to learn from, {len(held_out)} to measure on", flush=True)
    learner = Learner(card, plan, samples, epochs)
    augment = Augment(plan, card.preprocessing.mean, card.preprocessing.std, 0.3 if name == "nuclei" else 0.1)
    begin = time.monotonic()
    for epoch in range(epochs):
        side = [size for share, size in plan.sizes if epoch >= share * epochs][-1]
        loss = learner.epoch(samples, augment, side)
        spent = (time.monotonic() - begin) / 60
        print(f"epoch {epoch + 1}/{epochs} side {side} loss {loss:.4f} minutes {spent:.1f}", flush=True)
        if (epoch + 1) % 10 == 0:
            print("  val", measured(card, stored(learner.averaged.module), held_out), flush=True)
    weights = stored(learner.averaged.module)
    scores = measured(card, weights, held_out)
    command = (
        f"python tools/train_bundled_models.py {name} --data {folder.name} --epochs {epochs} --seed {seed}"
    )
    training = card.training.model_copy(
        update={
            "pictures": len(samples),
            "split": f"{card.training.split} val: {len(held_out)} pictures, measured once at the end.",
            "data_sha256": data_hash(folder, ("train", "train_extra")),
            "command": command,
        }
    )
    card = card.model_copy(update={"training": training, "scores": {"val": scores}})
    write_bundle(out, card, weights, overwrite=True)
    print(f"wrote {out}: {sum(p.stat().st_size for p in out.iterdir()) / 1e6:.1f} MB", scores, flush=True)


def measured(card: ModelCard, weights: dict[str, torch.Tensor], held_out: list[Sample]) -> dict[str, float]:
    """Return the scores of weights as they are stored."""
    return scores_of(card, confusion_of(card, rebuilt(card, weights), held_out))


def stored(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights as they are stored: half precision, which halves the file and costs nothing."""
    return {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}


def rebuilt(card: ModelCard, weights: dict[str, torch.Tensor]) -> nn.Module:
    """Return a network with the stored weights, so that what is measured is what is shipped."""
    network = build_network(card)
    load_weights(network, weights, card.name)
    return network.to(memory_format=torch.channels_last).eval()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=sorted(CARDS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path)
    given = parser.parse_args()
    default = {"beetle-parts": 60, "nuclei": 40}[given.model]
    train(
        given.model,
        given.data,
        given.epochs or default,
        given.seed,
        given.out or BUNDLED / given.model,
    )
