"""The options that a model needs and no others, folded away."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..core.input_settings import Tiles
from ..models.card import ModelCard, Softmax
from ..models.settings import PredictSettings
from .dock import button, fold
from .forms import SettingsForm


class ModelOptions(QWidget):
    """`PredictSettings` as a form under "More".

    Signals
    -------
    changed
        An option was changed.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.form = SettingsForm(PredictSettings)
        self.reset = button("Reset", self.on_reset, "Back to the model's own settings")
        content = QWidget()
        inner = QVBoxLayout(content)
        inner.setContentsMargins(12, 0, 0, 0)
        inner.addWidget(self.form)
        inner.addWidget(self.reset, 0, Qt.AlignmentFlag.AlignRight)
        self.more, self.content = fold("More", content)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.more)
        box.addWidget(self.content)
        self.form.changed.connect(self.changed)

    @property
    def settings(self) -> PredictSettings:
        """The settings as they stand; those that the model does not need have their defaults."""
        settings = self.form.settings()
        assert isinstance(settings, PredictSettings)
        return settings

    def show_model(self, card: ModelCard) -> None:
        """Show the options of a model; values of options that stay are kept."""
        names, choices, unset = options_of(card)
        self.form.show_fields(names, choices=choices, unset=unset)

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Set options by name; others are left as they are."""
        self.form.set_values(values)

    def on_reset(self) -> None:
        """Go back to the model's own settings."""
        self.form.reset()
        self.changed.emit()


def options_of(card: ModelCard) -> tuple[list[str], dict[str, list[str]], dict[str, str]]:
    """Return the settings that a model needs, what can be chosen here, and what stands for its own.

    Parameters
    ----------
    card : ModelCard

    Returns
    -------
    names : list of str
        Fields of `PredictSettings`.
    choices : dict
        Choices by field, where this version or machine has not all.
    unset : dict
        What a number shows for the model's own value.
    """
    names, unset = ["device", "precision"], {}
    geometry = card.preprocessing.geometry
    if isinstance(geometry, Tiles):
        names += ["tile", "blend"]
        unset["tile"] = f"model's own ({geometry.size})"
    if not isinstance(card.head, Softmax):
        names.append("threshold")
        unset["threshold"] = f"model's own ({card.head.threshold:g})"
    gpu = "mps" if sys.platform == "darwin" else "cuda"
    choices = {"device": ["auto", "cpu", gpu], "precision": ["auto", "fp32", "bf16"]}
    return [*names, "confidence", "instances"], choices, unset
