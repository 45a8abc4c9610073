"""What a person labelled on an open picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ReadError, size_text
from ..core.image import SpecimenImage


@dataclass(frozen=True, slots=True)
class Lesson:
    """A picture and the pixels of it that a person labelled.

    Parameters
    ----------
    image : SpecimenImage
        One plane.
    labels : array
        (Y, X): class ids.
    known : array
        (Y, X) bool: where a person vouches for the label.
    """

    image: SpecimenImage
    labels: NDArray[Any]
    known: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = self.image.height, self.image.width
        if self.image.planes():
            raise ReadError(f"{self.image.name} is a stack", advice="Learn from single planes.")
        if self.labels.shape != shape or self.known.shape != shape:
            raise ReadError(
                f"{self.image.name}: the labels have {size_text(self.labels.shape)} pixels, "
                f"the picture {size_text(shape)}"
            )

    @classmethod
    def sparse(
        cls,
        image: SpecimenImage,
        labels: NDArray[Any],
        ignore_id: int | None = 0,
        background_id: int | None = None,
    ) -> Self:
        """Make a lesson of strokes.

        Parameters
        ----------
        image : SpecimenImage
        labels : array
            (Y, X): class ids.
        ignore_id : int, optional
            Label of the pixels that nobody labelled; None: all are labelled.
        background_id : int, optional
            Label of strokes on the background where `ignore_id` is 0.
        """
        known = np.ones(labels.shape, bool) if ignore_id is None else labels != ignore_id
        if background_id is not None:
            labels = np.where(labels == background_id, 0, labels)
        return cls(image, labels, known)

    @classmethod
    def corrected(cls, image: SpecimenImage, labels: NDArray[Any], answer: NDArray[Any]) -> Self:
        """Make a lesson of corrections: what differs from the model's answer, erased pixels as background.

        Parameters
        ----------
        image : SpecimenImage
        labels, answer : array
            (Y, X): class ids after and before a person's corrections.
        """
        return cls(image, labels, labels != answer)
