"""A settings object as a form: one control per field, made from the field's type, title, help and bounds."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QWidget,
)

_RULES = ("ge", "gt", "le", "lt")
_FAR = 1e9


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
    kind, optional = plain_type(field.annotation)
    if get_origin(kind) is Literal:
        return _choice([str(c) for c in get_args(kind)] if choices is None else list(choices))
    if kind is bool:
        box = QCheckBox()
        return Control(box, box.isChecked, box.setChecked, box.toggled)
    if kind is int:
        return _number(QSpinBox(), field, 1, unset if optional else None)
    if kind is float:
        spin = QDoubleSpinBox()
        spin.setDecimals(max(2, round(-math.log10(Bounds.of(field, 0.01).step))))
        return _number(spin, field, 0.01, unset if optional else None)
    if kind is str:
        line = QLineEdit()
        return Control(line, line.text, line.setText, line.textChanged)
    raise TypeError(f"no control for a field of type {kind}")


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

    Signals
    -------
    changed
        A value was changed by the person.
    """

    changed = Signal()

    def __init__(self, model: type[BaseModel], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
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
        for name in names:
            self._add(name, (choices or {}).get(name), (unset or {}).get(name, ""))
        self.set_values({**self.defaults(), **{k: v for k, v in kept.items() if k in self._controls}})

    def _add(self, name: str, choices: Iterable[str] | None, unset: str) -> None:
        field = self._model.model_fields[name]
        control = make_control(field, choices=choices, unset=unset)
        title, help_text = field.title or name, field.description or ""
        control.widget.setToolTip(help_text)
        control.widget.setAccessibleName(title)
        control.changed.connect(lambda *_: self.changed.emit())
        if isinstance(control.widget, QCheckBox):
            control.widget.setText(title)
            self._rows.addRow(control.widget)
        else:
            label = QLabel(title)
            label.setToolTip(help_text)
            self._rows.addRow(label, control.widget)
        self._controls[name] = control

    @property
    def controls(self) -> Mapping[str, Control]:
        """The controls on screen, by field."""
        return self._controls

    def defaults(self) -> dict[str, Any]:
        """Return the model's own values of the fields on screen."""
        return {name: self._model.model_fields[name].default for name in self._controls}

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
