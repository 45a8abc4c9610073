"""The test that a bioimage.io package ships: a picture and the answer to it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ModelError, one_line
from ..core.progress import Progress, Report
from .bioimageio_rdf import Package, Tensor
from .bioimageio_steps import Ending, ending_from
from .importing import Draft, ImportOptions

if TYPE_CHECKING:
    import torch

MAX_TEST_BYTES = 200_000_000

TOLERANCE = 1e-3
"""How far an answer may be from the one that the package ships, relative to the largest of its values."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a description says, brought together: package, description, its input and its output."""

    package: Package
    description: Mapping[str, Any]
    picture: Tensor
    answer: Tensor

    @property
    def path(self) -> Path:
        """Where the package is, for messages."""
        return self.package.path


def reproduced(parts: Parts, draft: Draft, options: ImportOptions, report: Report) -> tuple[str, ...]:
    """Compute the test picture of the package and compare with its answer.

    Parameters
    ----------
    parts : Parts
    draft : Draft
    options : ImportOptions
        Where a person gave a preprocessing, a difference is told and not refused.
    report : callable

    Returns
    -------
    tuple of str
        What was found, for people.

    Raises
    ------
    ModelError
        If the answers differ, or the test is no test.
    """
    if parts.picture.test is None or parts.answer.test is None:
        return ("the package ships no test, so nothing was compared",)
    report(Progress("comparing with the test of the package", 0, 1))
    picture, wanted = (_array(parts, tensor) for tensor in (parts.picture, parts.answer))
    difference = _difference(draft, picture, wanted, parts)
    if difference <= TOLERANCE:
        return (f"reproduces the test of the package (differs by at most {difference:.1g})",)
    text = f"the answer differs from the test of the package by up to {difference:.2g}"
    if options.preprocessing is None:
        raise ModelError(
            text, path=parts.path, advice="Give --preprocessing if pictures are scaled otherwise."
        )
    return (text,)


def _array(parts: Parts, tensor: Tensor) -> NDArray[Any]:
    """Return a test array as (C, Y, X)."""
    assert tensor.test is not None
    try:
        content = parts.package.read(tensor.test, MAX_TEST_BYTES)
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        raise ModelError(f"{one_line(tensor.test, 80)} is no array", path=parts.path) from error
    letters = [axis.letter for axis in tensor.axes]
    if not isinstance(array, np.ndarray) or array.ndim != len(letters) or array.size > MAX_TEST_BYTES:
        raise ModelError(
            f"{one_line(tensor.test, 80)} does not have the axes that it should", path=parts.path
        )
    if "b" in letters:
        array = array.take(0, letters.index("b"))
        letters.remove("b")
    order = [letters.index(letter) for letter in "cyx" if letter in letters]
    flat: NDArray[Any] = array.transpose(order)
    return flat if "c" in letters else flat[None]


def _difference(draft: Draft, picture: NDArray[Any], wanted: NDArray[Any], parts: Parts) -> float:
    import torch

    from .onnx_read import network_of

    card = draft.card
    plane = np.moveaxis(picture, 0, -1)
    values = card.preprocessing.value_range(plane)
    batch = np.ascontiguousarray(card.preprocessing.normalise(plane, values)[None])
    with torch.inference_mode():
        answer = network_of(draft)(torch.from_numpy(batch))[0].float()
    answer = _ended(answer, ending_from(parts.answer.steps, parts.path))
    if tuple(answer.shape) != wanted.shape:
        raise ModelError(
            f"the answer has shape {tuple(answer.shape)}, the test of the package {wanted.shape}",
            path=parts.path,
        )
    scale = max(1.0, float(np.abs(wanted).max()))
    return float(np.abs(answer.numpy() - wanted.astype(np.float32)).max()) / scale


def _ended(answer: torch.Tensor, ending: Ending) -> torch.Tensor:
    if ending.activation == "sigmoid":
        answer = answer.sigmoid()
    elif ending.activation == "softmax":
        answer = answer.softmax(0)
    return answer if ending.threshold is None else (answer > ending.threshold).float()
