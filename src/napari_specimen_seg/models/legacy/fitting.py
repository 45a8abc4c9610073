"""Weights into the network of a card: older names, other depths, layers that differ, strictly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...core.errors import ModelError
from ..card import ModelCard
from ..importing import Assumption, Question
from ..network import build_network, refuse_enormous
from ..repairs import Repair
from . import fastai
from .attributes import Comparison, compare
from .decoders import free_options
from .mapping import name_today, names_today
from .recognise import Recognition

if TYPE_CHECKING:
    import torch

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Fit:
    """How a file's weights go into a network.

    Parameters
    ----------
    card : ModelCard
        With the options and repairs that fit best.
    names : dict of str to str
        Name in the file to name today, of all weights that are used.
    comparison : Comparison, optional
        Of the layers, if the whole network was pickled.
    notes : tuple of str
    assumed : tuple of Assumption
    """

    card: ModelCard
    names: dict[str, str]
    comparison: Comparison | None
    notes: tuple[str, ...]
    assumed: tuple[Assumption, ...] = ()

    @property
    def agreement(self) -> str:
        """How many of the layers agree, as a sentence; empty if only weights were stored."""
        found = self.comparison
        if found is None:
            return ""
        total = found.layers + len(found.unmatched)
        changed = len({repair.layer for repair in found.repairs} | {d.layer for d in found.differences})
        agree = found.layers - changed
        return f"{agree} of {total} layers agree in every setting that the file stored"


@dataclass(frozen=True, slots=True)
class _Trial:
    card: ModelCard
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    other_shape: tuple[str, ...]
    comparison: Comparison | None

    @property
    def faults(self) -> int:
        found = self.comparison
        layers = len(found.repairs) + len(found.differences) if found is not None else 0
        return 1000 * (len(self.missing) + len(self.other_shape)) + 10 * len(self.extra) + layers


def fit(found: Recognition, card: ModelCard, shapes: Shapes) -> Fit:
    """Find the settings with which a network takes a file's weights, and mend what differs otherwise.

    Parameters
    ----------
    found : Recognition
    card : ModelCard
    shapes : mapping of str to tuple of int
        Of the weights, by their names in the file; folded already.

    Returns
    -------
    Fit

    Raises
    ------
    ModelError
        If the weights do not fit, naming some that do not.
    """
    names = _names(found, shapes)
    refuse_enormous(card, sum(math.prod(shape) for shape in shapes.values()))
    trials = (_try(found, variant, names, shapes) for variant in _variants(found, card))
    best: _Trial | None = None
    for trial in trials:
        if best is None or trial.faults < best.faults:
            best = trial
        if best.faults == 0:
            break
    assert best is not None
    _refuse_misfit(best, found)
    used = {name: today for name, today in names.items() if name not in best.extra}
    known = best.comparison
    repairs = known.repairs if known is not None else _old_padding(best.card, found)
    fitted = best.card.model_copy(update={"repairs": tuple(repairs) or None})
    assumed = () if known is not None else _padding_assumed(best.card, found)
    made = Fit(fitted, used, known, (), assumed)
    return replace(made, notes=(*filter(None, [made.agreement]), *_notes(best)))


def _names(found: Recognition, shapes: Shapes) -> dict[str, str]:
    if found.family == "fastai":
        original = {name: ref.shape for name, ref in found.network.tensors.items()}
        layout = fastai.layout_of(original)
        return {name: fastai.path_today(name, original, layout) for name in shapes}
    return names_today(shapes, found.architecture, found.encoder)


def _variants(found: Recognition, card: ModelCard) -> Iterator[ModelCard]:
    """Yield the card with every value of what weights alone do not tell, the likeliest first."""
    choices: dict[str, list[Any]] = {}
    if found.family == "smp" and "encoder_depth" not in card.options:
        usual = 3 if found.architecture == "PSPNet" else 5
        known = [found.depth] if found.depth is not None and found.whole else [usual, 5, 4, 3]
        choices["encoder_depth"] = [None if depth == usual else depth for depth in dict.fromkeys(known)]
    free = free_options(found.architecture)
    if found.whole and "encoder_output_stride" in free and "encoder_output_stride" not in card.options:
        choices["encoder_output_stride"] = [None, *free["encoder_output_stride"][1:]]
    for values in itertools.product(*choices.values()):
        extra = {key: value for key, value in zip(choices, values, strict=True) if value is not None}
        yield card.model_copy(update={"options": {**card.options, **extra}})


def _try(found: Recognition, card: ModelCard, names: Mapping[str, str], shapes: Shapes) -> _Trial:
    try:
        network = skeleton(card)
    except ModelError:
        if card.options.get("encoder_depth") is None:
            raise
        return _Trial(card, ("",) * 10_000, (), (), None)  # this encoder has no such depth
    built = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    present = set(names.values())
    missing = tuple(n for n in built if n not in present and not n.endswith("num_batches_tracked"))
    extra = tuple(old for old, new in names.items() if new not in built)
    other = tuple(old for old, new in names.items() if new in built and built[new] != shapes[old])
    layer = found.network.layer
    skip = fastai.has_no_counterpart if found.family == "fastai" else None
    comparison = compare(layer, network, _paths(found), skip) if layer is not None else None
    return _Trial(card, missing, extra, other, comparison)


def _paths(found: Recognition) -> Callable[[str], str]:
    if found.family == "fastai":
        shapes = {name: ref.shape for name, ref in found.network.tensors.items()}
        layout = fastai.layout_of(shapes)
        return lambda path: fastai.path_today(path, shapes, layout)
    return lambda path: name_today(path, found.architecture, found.encoder)


def skeleton(card: ModelCard) -> torch.nn.Module:
    """Build a network without memory for its weights where its encoder allows that.

    Parameters
    ----------
    card : ModelCard

    Returns
    -------
    torch.nn.Module
        For its names, shapes and settings only.
    """
    import torch

    try:
        with torch.device("meta"):
            return build_network(card)
    except (ModelError, NotImplementedError):
        return build_network(card)


def _refuse_misfit(trial: _Trial, found: Recognition) -> None:
    deeper = _is_deeper_encoder(trial)
    extra = () if deeper else trial.extra
    parts = [
        _count(trial.missing, "missing"),
        _count(extra, "left over"),
        _count(trial.other_shape, "of another shape"),
    ]
    wrong = [part for part in parts if part]
    if wrong:
        raise ModelError(
            f"its weights do not fit {found.architecture} with encoder {found.encoder}: {'; '.join(wrong)}",
            path=found.path,
            advice="Give the right --architecture and --encoder.",
        )


def _count(names: tuple[str, ...], what: str) -> str:
    return (
        f"{len(names)} are {what} ({', '.join(names[:2])}{', …' if len(names) > 2 else ''})" if names else ""
    )


def _is_deeper_encoder(trial: _Trial) -> bool:
    """Tell whether all that is left over are stages of the encoder below those that the network uses.

    Older versions kept the whole encoder whatever its depth.
    """
    shallow = trial.card.options.get("encoder_depth", 3 if trial.card.architecture == "PSPNet" else 5) != 5
    return shallow and all(name.startswith("encoder.") for name in trial.extra)


def _notes(trial: _Trial) -> Iterator[str]:
    if trial.extra:
        yield f"{len(trial.extra)} weights of encoder stages that the network does not use were left out"
    result = trial.comparison
    if result is None:
        return
    if result.repairs:
        first = result.repairs[0]
        yield (
            f"{len(result.repairs)} settings of layers differ from today's library and were restored "
            f"({first.layer}.{first.setting} = {first.value}{', …' if len(result.repairs) > 1 else ''})"
        )
    for difference in result.differences[:3]:
        yield f"not restored: {difference}"
    if len(result.differences) > 3:
        yield f"not restored: {len(result.differences) - 3} more settings"


# -- efficientnet before version 0.3 ---------------------------------------------------------------


SIDES = {"b1": 240, "b2": 260, "b3": 300, "b4": 380, "b5": 456, "b6": 528, "b7": 600}
"""Side of the pictures that each EfficientNet was made for (Tan & Le 2019, arXiv:1905.11946)."""


def _old_padding(card: ModelCard, found: Recognition) -> list[Repair]:
    """Restore the padding of segmentation-models-pytorch 0.2, if the person says that it is of that version.

    It padded every layer as if it saw the full picture; later versions pad for the size that arrives there.
    """
    side = _side(card)
    if not side or not found.told.get("version", "").startswith("0.2"):
        return []
    return list(_padding_repairs(skeleton(card), side))


def _padding_assumed(card: ModelCard, found: Recognition) -> tuple[Assumption, ...]:
    if not _side(card) or found.told.get("version"):
        return ()
    now, then = f"{card.encoder}@0.3", f"{card.encoder}@0.2"
    question = Question(
        "encoder", "Was it trained with segmentation-models-pytorch before 0.3, or later?", (now, then), now
    )
    text = (
        "trained with segmentation-models-pytorch 0.3 or later, which weights alone do not tell: before, "
        "this encoder was padded otherwise, and masks differ a little"
    )
    return (Assumption(question, text),)


def _side(card: ModelCard) -> int:
    """Return the side of the pictures that an EfficientNet of that library was made for; 0 for others."""
    name = card.encoder
    return SIDES.get(name.removeprefix("efficientnet-"), 0) if name.startswith("efficientnet-") else 0


def _padding_repairs(network: torch.nn.Module, side: int) -> Iterator[Repair]:
    for path, layer in network.named_modules():
        inner: Any = getattr(layer, "static_padding", None)
        if inner is None:
            continue
        outer: Any = layer
        kernel, stride = outer.kernel_size[0], outer.stride[0]
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        wanted = (total // 2, total - total // 2) * 2
        if tuple(getattr(inner, "padding", (0, 0, 0, 0))) != wanted:
            yield Repair(layer=f"{path}.static_padding", setting="padding", value=wanted)
