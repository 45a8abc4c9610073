"""Every setting of a training as a form in sections, with what differs from the recipe marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from ..core.errors import SpecimenError
from ..training.config import TrainConfig
from .dock import button, fold
from .forms import SettingsForm

Changes = dict[str, dict[str, Any]]
"""Values by group and field of `TrainConfig`."""

ELSEWHERE = {("data", "images"), ("data", "labels"), ("network", "start_from")}
"""Fields that have controls of their own in the dock."""

DATA = "Labels and split"

SECTIONS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    DATA: (("data", ()), ("run", ("seed",))),
    "Network and input": (("network", ()), ("input", ()), ("learn", ("head", "threshold"))),
    "Augmentation": (("augment", ()),),
    "Learning": (("learn", ()),),
    "Watching": (("learn", ("patience",)), ("run", ("loggers",))),
    "Output and machine": (("run", ()),),
}
"""Sections of the form: groups with their fields; () stands for all that no other section names."""

UNSET = {"ignore_id": "nothing: all is labelled", "background_id": "0"}

ARCHITECTURES = (
    "FPN", "Unet", "UnetPlusPlus", "MAnet", "Linknet", "PSPNet", "PAN", "DeepLabV3", "DeepLabV3Plus",
    "UPerNet", "Segformer", "DPT",
)  # fmt: skip
ENCODERS = (
    "resnet18", "resnet34", "resnet50", "se_resnext50_32x4d", "efficientnet-b0", "mobilenet_v2", "mit_b0",
    "tu-resnet10t", "tu-hrnet_w32", "tu-convnext_tiny",
)  # fmt: skip
CHOICES = {"architecture": ARCHITECTURES, "encoder": ENCODERS, "device": ("auto", "cpu", "cuda", "mps")}


def group_model(group: str) -> type[BaseModel]:
    """Return the settings class of a group of `TrainConfig`."""
    model = TrainConfig.model_fields[group].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return model


def fields_of(section: str) -> dict[str, list[str]]:
    """Return the fields of a section by group, in the order of the settings."""
    named = {(group, name) for parts in SECTIONS.values() for group, names in parts for name in names}
    found: dict[str, list[str]] = {}
    for group, names in SECTIONS[section]:
        every = group_model(group).model_fields
        rest = [name for name in every if (group, name) not in named | ELSEWHERE]
        found[group] = list(names) or rest
    return found


class Section(QWidget):
    """One section of the form: a button that folds it, and the fields of one or more groups.

    Parameters
    ----------
    title : str
        One of `SECTIONS`.

    Signals
    -------
    changed
        A value was changed.
    """

    changed = Signal()

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title
        self.forms: dict[str, SettingsForm] = {}
        content = QWidget()
        inner = QVBoxLayout(content)
        inner.setContentsMargins(10, 0, 0, 4)
        for group, names in fields_of(title).items():
            form = SettingsForm(group_model(group), resettable=True)
            form.show_fields(names, choices=CHOICES, unset=UNSET)
            form.changed.connect(self.changed)
            inner.addWidget(form)
            self.forms[group] = form
        self.toggle, self.content = fold(title, content)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addWidget(self.toggle)
        box.addWidget(self.content)

    def values(self) -> Changes:
        """Return all values of the section."""
        return {group: form.values() for group, form in self.forms.items()}

    def set_values(self, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Set those of `values` that are in this section, without telling."""
        with QSignalBlocker(self):
            for group, form in self.forms.items():
                form.set_values(values.get(group, {}))

    def mark(self, base: TrainConfig) -> int:
        """Mark what differs from a recipe; return how many fields do."""
        count = sum(len(form.mark_changes(dict(getattr(base, group)))) for group, form in self.forms.items())
        arrow = "▾" if self.toggle.isChecked() else "▸"
        self.toggle.setText(f"{arrow} {self.title}" + (f" ({count} changed)" if count else ""))
        return count


class TrainSettings(QWidget):
    """All sections, folded under "More" except those that the dock shows itself.

    Signals
    -------
    changed
        The person changed a value.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.base = TrainConfig()
        self.sections = {title: Section(title) for title in SECTIONS}
        self.reset_all = button("Reset", self.reset, "Back to the recipe's own settings")
        content = QWidget()
        inner = QVBoxLayout(content)
        inner.setContentsMargins(6, 0, 0, 0)
        inner.setSpacing(0)
        for title, section in self.sections.items():
            section.changed.connect(self._on_change)
            section.toggle.toggled.connect(lambda *_, each=section: each.mark(self.base))
            if title != DATA:
                inner.addWidget(section)
        inner.addWidget(self.reset_all, 0, Qt.AlignmentFlag.AlignRight)
        self.toggle, self.content = fold("More", content)
        self.toggle.toggled.connect(lambda *_: self.mark())
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addWidget(self.toggle)
        box.addWidget(self.content)
        self.show_base(TrainConfig(), keep=False)

    @property
    def data(self) -> Section:
        """The section about labels and split, which stands with the data in the dock."""
        return self.sections[DATA]

    @property
    def toggles(self) -> dict[str, QPushButton]:
        """The buttons that unfold the sections, by title."""
        return {title: section.toggle for title, section in self.sections.items()}

    def _on_change(self) -> None:
        self.mark()
        self.changed.emit()

    def mark(self) -> None:
        """Show what differs from the recipe."""
        count = sum(section.mark(self.base) for section in self.sections.values())
        arrow = "▾" if self.toggle.isChecked() else "▸"
        self.toggle.setText(f"{arrow} More" + (f" ({count} changed)" if count else ""))
        self.reset_all.setEnabled(count > 0)

    def show_base(self, base: TrainConfig, *, keep: bool) -> None:
        """Show other settings to start from.

        Parameters
        ----------
        base : TrainConfig
            Of a recipe, with the network of a model where there is one.
        keep : bool
            Whether what the person changed stays changed.
        """
        changes = self.changes() if keep else {}
        self.base = base
        self.set_values(changes)

    def set_values(self, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Show the base with some values changed."""
        for section in self.sections.values():
            section.set_values({group: dict(getattr(self.base, group)) for group in section.forms})
            section.set_values(values)
        self._on_change()

    def set(self, group: str, **values: Any) -> None:
        """Set fields of a group, as a person would."""
        for section in self.sections.values():
            section.set_values({group: values})
        self._on_change()

    def values(self) -> Changes:
        """Return all values.

        Raises
        ------
        SpecimenError
            If one of them cannot be meant.
        """
        found: Changes = {}
        for section in self.sections.values():
            for group, fields in section.values().items():
                found.setdefault(group, {}).update(fields)
        return found

    def changes(self) -> Changes:
        """Return what differs from the base; what cannot be read counts as not changed."""
        found: Changes = {}
        for section in self.sections.values():
            for group, form in section.forms.items():
                for name in form.mark_changes(dict(getattr(self.base, group))):
                    try:
                        found.setdefault(group, {})[name] = form.controls[name].get()
                    except SpecimenError:
                        continue
        return found

    def reset(self) -> None:
        """Go back to the base."""
        self.set_values({})
