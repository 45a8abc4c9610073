"""A settings object as a form: one control per field, made from the field's type, title, help and bounds."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QWidget,
)

from ..core.errors import SpecimenError
from .boxes import NumberBox, guard_wheel, let_shrink

_RULES = ("ge", "gt", "le", "lt")
_FAR = 1e9
LABEL_WIDTH = 112


@dataclass(frozen=True, slots=True)
class Control:
    """A widget for one field.

    Parameters
    ----------
    widget : QWidget
        What is shown.
    get, set : callable
        Read and write its value, as the field holds it.
    changed : signal
        Emitted when the person changes it.
    """

    widget: QWidget
    get: Callable[[], Any]
    set: Callable[[Any], None]
    changed: Any


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and greatest value of a number, inclusive, and how far one click goes."""

    low: float
    high: float
    step: float

    @classmethod
    def of(cls, field: FieldInfo, step: float) -> Bounds:
        """Read them from a field; exclusive bounds are moved by one step.

        A field may say ``json_schema_extra={"step": 64}`` where single steps make no sense.
        """
        rules = {
            name: getattr(rule, name) for rule in field.metadata for name in _RULES if hasattr(rule, name)
        }
        extra = field.json_schema_extra
        wanted = extra.get("step", step) if isinstance(extra, dict) else step
        step = wanted if isinstance(wanted, (int, float)) else step
        low = rules.get("ge", rules["gt"] + step if "gt" in rules else -_FAR)
        high = rules.get("le", rules["lt"] - step if "lt" in rules else _FAR)
        return cls(low, high, step)


def plain_type(annotation: Any) -> tuple[Any, bool]:
    """Return a field's type without None, and whether None is allowed.

    Parameters
    ----------
    annotation : type
        Such as ``int | None``.

    Returns
    -------
    (type, bool)
    """
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return kinds[0], len(kinds) < len(get_args(annotation))
    return annotation, False


def make_control(field: FieldInfo, *, choices: Iterable[str] | None = None, unset: str = "") -> Control:
    """Make the control for a field.

    Parameters
    ----------
    field : FieldInfo
        Of a pydantic model; a choice, bool, int, float or str, which may be None.
    choices : iterable of str, optional
        Only these of a choice, for example the devices that there are.
    unset : str
        What a number that may be None shows for None.

    Returns
    -------
    Control

    Raises
    ------
    TypeError
        If the field's type has no control.
    """
    from . import controls

    kind, optional = plain_type(field.annotation)
    made = controls.composite(field, field.title or "")
    if made is not None:
        return made
    if get_origin(kind) is Literal and len(get_args(field.annotation)) > 1 and _has_number(field):
        return controls.word_or_number([str(c) for c in get_args(kind)])
    if get_origin(kind) is Literal:
        return _choice([str(c) for c in get_args(kind)] if choices is None else list(choices))
    if kind is bool:
        box = QCheckBox()
        return Control(box, box.isChecked, box.setChecked, box.toggled)
    if kind is int:
        return _number(QSpinBox(), field, 1, unset if optional else None)
    if kind is float:
        spin = NumberBox()
        step = Bounds.of(field, 0.01).step
        spin.setDecimals(max(4, round(-math.log10(step))))
        if step < 0.001:  # steps as small as that lead nowhere from a number a thousand times as large
            spin.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        return _number(spin, field, 0.01, unset if optional else None)
    if kind is str and choices is not None:
        return controls.text_with_suggestions(choices)
    if kind is str:
        line = QLineEdit()
        return Control(line, line.text, line.setText, line.textChanged)
    raise TypeError(f"no control for a field of type {kind}")


def _has_number(field: FieldInfo) -> bool:
    kinds = [getattr(kind, "__origin__", kind) for kind in get_args(field.annotation)]
    return int in kinds


def _choice(choices: list[str]) -> Control:
    combo = QComboBox()
    combo.addItems(choices)
    return Control(combo, combo.currentText, combo.setCurrentText, combo.currentTextChanged)


def _number(spin: Any, field: FieldInfo, step: float, unset: str | None) -> Control:
    """Set up a number box. Where None is allowed, its lowest position stands for None."""
    bounds = Bounds.of(field, step)
    cast = int if isinstance(spin, QSpinBox) else float
    spin.setSingleStep(cast(bounds.step))
    if unset is None:
        spin.setRange(cast(bounds.low), cast(bounds.high))
        return Control(spin, spin.value, spin.setValue, spin.valueChanged)
    spin.setRange(cast(bounds.low - bounds.step), cast(bounds.high))
    spin.setSpecialValueText(unset or "automatic")

    def get() -> Any:
        return None if spin.value() == spin.minimum() else max(cast(bounds.low), round(spin.value(), 6))

    def put(value: Any) -> None:
        spin.setValue(spin.minimum() if value is None else cast(value))

    return Control(spin, get, put, spin.valueChanged)


class SettingsForm(QWidget):
    """The fields of a pydantic model as a form.

    Parameters
    ----------
    model : type of BaseModel
        Its fields have titles, descriptions, bounds and defaults.
    parent : QWidget, optional
        Of the form.
    resettable : bool
        Whether `mark_changes` shows a button beside each change that takes it back.

    Signals
    -------
    changed
        A value was changed by the person.
    """

    changed = Signal()

    def __init__(
        self, model: type[BaseModel], parent: QWidget | None = None, *, resettable: bool = False
    ) -> None:
        super().__init__(parent)
        self._model = model
        self._resettable = resettable
        self._marks: dict[str, tuple[QWidget, QToolButton]] = {}
        self._labels: dict[str, QLabel] = {}
        self._controls: dict[str, Control] = {}
        self._rows = QFormLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)

    def show_fields(
        self,
        names: Iterable[str],
        *,
        choices: Mapping[str, Iterable[str]] | None = None,
        unset: Mapping[str, str] | None = None,
    ) -> None:
        """Show these fields and no others; values of those that stay are kept.

        Parameters
        ----------
        names : iterable of str
            Fields of the model, in their order on screen.
        choices : mapping, optional
            For choice fields: the values on offer.
        unset : mapping, optional
            For numbers that may be None: what is shown for None.
        """
        kept = self.values()
        while self._rows.rowCount():
            self._rows.removeRow(0)
        self._controls = {}
        self._marks, self._labels = {}, {}
        for name in names:
            self._add(name, (choices or {}).get(name), (unset or {}).get(name, ""))
        self.set_values({**self.defaults(), **{k: v for k, v in kept.items() if k in self._controls}})

    def _add(self, name: str, choices: Iterable[str] | None, unset: str) -> None:
        field = self._model.model_fields[name]
        control = make_control(field, choices=choices, unset=unset)
        title, help_text = field.title or name.replace("_", " ").capitalize(), field.description or ""
        control.widget.setToolTip(help_text)
        control.widget.setAccessibleName(title)
        control.changed.connect(lambda *_: self.changed.emit())
        guard_wheel(control.widget)
        let_shrink(control.widget)
        shown = self._with_reset(name, control) if self._resettable else control.widget
        if isinstance(control.widget, QCheckBox):
            control.widget.setText(title)
            self._rows.addRow(shown)
        else:
            label = QLabel(title)
            label.setToolTip(help_text)
            if self._resettable:
                label.setMinimumWidth(LABEL_WIDTH)  # several forms stand under each other
                label.setWordWrap(True)
            if control.widget.property("wide"):
                self._rows.addRow(label)
                self._rows.addRow(shown)
                self._labels[name] = label
            else:
                self._rows.addRow(label, shown)
        self._controls[name] = control

    def _with_reset(self, name: str, control: Control) -> QWidget:
        """Put a button beside a control that takes a change back; hidden while there is none."""
        holder, undo = QWidget(), QToolButton()
        undo.setText("↺")
        undo.setAutoRaise(True)
        undo.setFixedWidth(20)
        undo.setVisible(False)
        line = QHBoxLayout(holder)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(2)
        line.addWidget(control.widget, 1)
        line.addWidget(undo)
        self._marks[name] = control.widget, undo
        return holder

    def mark_changes(self, base: Mapping[str, Any]) -> list[str]:
        """Show which values differ from others, and let each be taken back.

        Parameters
        ----------
        base : mapping
            Values by field, as the model holds them.

        Returns
        -------
        list of str
            The fields that differ.
        """
        changed = [name for name in self._controls if name in base and self._differs(name, base[name])]
        for name, (widget, undo) in self._marks.items():
            label = self._labels.get(name) or self._rows.labelForField(widget.parentWidget()) or widget
            font = label.font()
            font.setBold(name in changed)
            label.setFont(font)
            undo.setVisible(name in changed)
            if name in changed:
                undo.setToolTip(f"Back to {_shown(base[name])}")
                undo.clicked.disconnect() if undo.property("bound") else None
                undo.clicked.connect(lambda *_, n=name, v=base[name]: self._controls[n].set(v))
                undo.setProperty("bound", True)
        return changed

    def _differs(self, name: str, value: Any) -> bool:
        try:
            found = self._controls[name].get()
        except SpecimenError:
            return True
        if isinstance(value, float) and isinstance(found, float):
            return not math.isclose(value, found, rel_tol=1e-6, abs_tol=1e-9)
        return bool(found != value)

    @property
    def controls(self) -> Mapping[str, Control]:
        """The controls on screen, by field."""
        return self._controls

    def defaults(self) -> dict[str, Any]:
        """Return the model's own values of the fields on screen."""
        fields = self._model.model_fields
        return {
            name: fields[name].default
            for name in self._controls
            if fields[name].default is not PydanticUndefined
        }

    def values(self) -> dict[str, Any]:
        """Return the values of the fields on screen."""
        return {name: control.get() for name, control in self._controls.items()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Set those of `values` that are on screen."""
        for name, control in self._controls.items():
            if name in values:
                control.set(values[name])

    def reset(self) -> None:
        """Go back to the model's own values."""
        self.set_values(self.defaults())

    def settings(self) -> BaseModel:
        """Return the model with these values; fields that are not on screen have their defaults.

        Raises
        ------
        pydantic.ValidationError
            If the values do not fit the model.
        """
        return self._model(**self.values())


def _shown(value: Any) -> str:
    """Return a value for people."""
    if value is None or value == "":
        return "none"
    return "on" if value is True else "off" if value is False else str(value)
