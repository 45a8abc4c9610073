"""Steps before and after the network as bioimage.io names them, to and from our preprocessing and head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ModelError, one_line
from ..core.input_settings import ByDtype, ByMoments, ByPercentile, ByRange, Geometry, ValueRange
from ..core.preprocessing import Preprocessing
from .bioimageio_rdf import Step
from .card import Head, ModelCard, Softmax
from .presets import ActivationName, channels_kind


@dataclass
class _Scaling:
    """What the steps so far do to a value v: ``gain * v + offset``, after `values` made it 0 to 1.

    Parameters
    ----------
    gain, offset : array
        (C,) float.
    values : ValueRange
    """

    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    values: ValueRange = field(default_factory=ByRange)

    @property
    def is_plain(self) -> bool:
        """Whether no step has changed a value yet, apart from one factor and one summand for all channels."""
        return isinstance(self.values, ByRange) and len(set(self.gain)) == 1 == len(set(self.offset))

    def apply(self, gain: Any, offset: Any) -> None:
        """Multiply, then add."""
        self.gain, self.offset = self.gain * gain, self.offset * gain + offset


# -- from bioimage.io ------------------------------------------------------------------------------


def preprocessing_from(
    steps: Iterable[Step], channels: int, dtype: str, geometry: Geometry, path: Path
) -> Preprocessing:
    """Return our preprocessing that gives the network the same numbers as these steps.

    Parameters
    ----------
    steps : iterable of Step
    channels : int
    dtype : str
        Of the pictures that the description expects.
    geometry : Geometry
    path : Path
        For messages.

    Returns
    -------
    Preprocessing

    Raises
    ------
    ModelError
        If a step is unknown, or cannot be said in our terms.
    """
    state = _Scaling(np.ones(channels), np.zeros(channels))
    for step in steps:
        name = _CALLED.get(step.name, step.name)
        if name not in _READERS:
            raise _cannot(step, path)
        try:
            fits = _READERS[name](state, step.arguments, channels)
        except (TypeError, ValueError, KeyError) as error:
            raise ModelError(f"step {one_line(step.name, 40)} is not valid ({error})", path=path) from error
        if not fits:
            raise _cannot(step, path)
    return _preprocessing(state, channels, dtype, geometry, path)


def _cannot(step: Step, path: Path) -> ModelError:
    return ModelError(
        f"the preprocessing step {one_line(step.name, 40)} cannot be taken over as it is used there",
        path=path,
        advice="Give --preprocessing to say how pictures are scaled.",
    )


def _preprocessing(
    state: _Scaling, channels: int, dtype: str, geometry: Geometry, path: Path
) -> Preprocessing:
    gain, values = state.gain, state.values
    if isinstance(values, ByRange) and dtype == "uint8":
        gain, values = gain * 255, ByDtype()  # the same for 8 bits, and right for deeper pictures too
    if not (gain > 0).all():
        raise ModelError("the preprocessing turns light and dark around, which is not known here", path=path)
    return Preprocessing(
        channels=channels_kind(channels),
        values=values,
        mean=tuple(float(m) for m in -state.offset / gain),
        std=tuple(float(s) for s in 1 / gain),
        geometry=geometry,
    )


def _scale_linear(state: _Scaling, given: Mapping[str, Any], channels: int) -> bool:
    state.apply(
        _by_channel(given.get("gain", 1.0), channels), _by_channel(given.get("offset", 0.0), channels)
    )
    return _axis_is_channel(given)


def _fixed(state: _Scaling, given: Mapping[str, Any], channels: int) -> bool:
    mean, std = _by_channel(given["mean"], channels), _by_channel(given["std"], channels)
    state.apply(1 / std, -mean / std)
    return _axis_is_channel(given)


def _zero_mean(state: _Scaling, given: Mapping[str, Any], channels: int) -> bool:
    if given.get("mode") == "fixed":
        return _fixed(state, given, channels)
    return _new_base(state, ByMoments(), given, channels)


def _scale_range(state: _Scaling, given: Mapping[str, Any], channels: int) -> bool:
    if given.get("reference_tensor") is not None:
        return False
    low, high = float(given.get("min_percentile", 0.0)), float(given.get("max_percentile", 100.0))
    return _new_base(state, ByPercentile(low=low, high=high, clip=False), given, channels)


def _new_base(state: _Scaling, values: ValueRange, given: Mapping[str, Any], channels: int) -> bool:
    """Start anew: scaling by the picture's own values undoes every plain factor and summand before it."""
    if not state.is_plain or state.gain[0] <= 0 or not _over_whole_picture(given, channels):
        return False
    state.values = values
    state.gain, state.offset = np.ones(channels), np.zeros(channels)
    return True


def _over_whole_picture(given: Mapping[str, Any], channels: int) -> bool:
    """Tell whether a step looks at all pixels and channels together, and at one picture at a time."""
    axes = given.get("axes")
    letters = {str(axis)[0] for axis in axes} if axes is not None else {"b", "c", "x", "y"}
    wanted = {"x", "y"} if channels == 1 else {"c", "x", "y"}
    return wanted <= letters and given.get("mode") in (None, "per_sample")


def _clip(state: _Scaling, given: Mapping[str, Any], channels: int) -> bool:
    del channels
    low, high = given.get("min"), given.get("max")
    untouched = (state.gain == 1).all() and (state.offset == 0).all()
    if isinstance(state.values, ByPercentile) and untouched and (low, high) == (0, 1):
        state.values = state.values.model_copy(update={"clip": True})
        return True
    return False


def _ensure_dtype(state: _Scaling, given: Mapping[str, Any], channels: int) -> bool:
    del state, channels
    return str(given.get("dtype")).startswith("float")


_READERS = {
    "scale_linear": _scale_linear,
    "fixed_zero_mean_unit_variance": _fixed,
    "zero_mean_unit_variance": _zero_mean,
    "scale_range": _scale_range,
    "clip": _clip,
    "ensure_dtype": _ensure_dtype,
}
_CALLED = {"scale_mean_variance": ""}


def _by_channel(value: Any, channels: int) -> NDArray[np.float64]:
    numbers = np.asarray(value, np.float64).ravel()
    if numbers.size not in (1, channels) or not np.isfinite(numbers).all():
        raise ValueError(f"{numbers.size} numbers for {channels} channels")
    return np.broadcast_to(numbers, (channels,)).copy()


def _axis_is_channel(given: Mapping[str, Any]) -> bool:
    return given.get("axis") in (None, "channel", "c")


@dataclass(frozen=True, slots=True)
class Ending:
    """What steps after the network say: the activation that follows it, and a threshold if there is one."""

    activation: ActivationName
    threshold: float | None = None


def ending_from(steps: Iterable[Step], path: Path) -> Ending:
    """Understand the steps after the network.

    Parameters
    ----------
    steps : iterable of Step
    path : Path
        For messages.

    Returns
    -------
    Ending

    Raises
    ------
    ModelError
        If one of them is something else than an activation or a threshold; custom code is refused.
    """
    activation: ActivationName = "none"
    threshold = None
    for step in steps:
        if step.name in ("sigmoid", "softmax") and activation == "none" and threshold is None:
            activation = "sigmoid" if step.name == "sigmoid" else "softmax"
        elif step.name == "binarize" and isinstance(step.arguments.get("threshold"), int | float):
            threshold = float(step.arguments["threshold"])
        elif step.name != "ensure_dtype":
            what = "code of its own" if step.name == "custom" else f"the step {one_line(step.name, 40)}"
            raise ModelError(f"refused: the package needs {what} after the network", path=path)
    return Ending(activation, threshold)


def with_threshold(head: Head, threshold: float | None) -> Head:
    """Return a head with another threshold, where it has one and it makes sense."""
    if threshold is None or isinstance(head, Softmax) or not 0 < threshold < 1:
        return head
    return head.model_copy(update={"threshold": threshold})


# -- to bioimage.io --------------------------------------------------------------------------------


def steps_of(preprocessing: Preprocessing) -> list[dict[str, Any]]:
    """Return the steps that give the network the same numbers as our preprocessing, for one picture.

    Parameters
    ----------
    preprocessing : Preprocessing
        Its geometry is not looked at: bioimage.io has no step for that.

    Returns
    -------
    list of dict
        With ``id`` and ``kwargs``.
    """
    axes = ["channel", "y", "x"]
    steps: list[dict[str, Any]] = []
    match preprocessing.values:
        case ByPercentile(low=low, high=high, clip=clip):
            arguments = {"axes": axes, "min_percentile": low, "max_percentile": high}
            steps.append({"id": "scale_range", "kwargs": arguments})
            if clip:
                steps.append({"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}})
        case ByMoments():
            steps.append({"id": "zero_mean_unit_variance", "kwargs": {"axes": axes}})
        case ByRange(low=low, high=high) if (low, high) != (0.0, 1.0):
            gain = 1 / (high - low)
            steps.append({"id": "scale_linear", "kwargs": {"gain": gain, "offset": -low * gain}})
        case ByDtype():
            steps.append({"id": "scale_linear", "kwargs": {"gain": 1 / 255}})
    mean, std = list(preprocessing.mean), list(preprocessing.std)
    if any(mean) or any(s != 1 for s in std):
        arguments = {"mean": mean, "std": std, "axis": "channel"}
        steps.append({"id": "fixed_zero_mean_unit_variance", "kwargs": arguments})
    return [*steps, {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}]


def steps_after(card: ModelCard) -> list[dict[str, Any]]:
    """Return the steps that turn the network's answer into probabilities.

    Softmax serves logarithms of probabilities too: they are scores like others.
    """
    if card.activation in ("sigmoid", "softmax"):
        return []
    name = "softmax" if isinstance(card.head, Softmax) else "sigmoid"
    return [{"id": name, "kwargs": {"axis": "channel"}}] if name == "softmax" else [{"id": name}]
