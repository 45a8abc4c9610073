"""Controls for settings that are more than one number or word: pairs, weights, lists, files, kinds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from qtpy.QtCore import QObject, QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QGridLayout,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ..core.classes import PRESETS, ClassMap
from ..core.errors import SpecimenError, validation_line
from .boxes import NumberBox
from .dock import button, row, slim
from .forms import Control, SettingsForm, plain_type

FROM_MASKS, FROM_FILE = "from the masks", "file…"

NARROW = "QAbstractSpinBox { min-width: 36px; padding: 1px 4px; }"
"""Napari's boxes leave room for buttons, which these have not."""

KINDS = {
    "dtype": "as stored",
    "percentile": "by percentiles",
    "moments": "by mean and deviation",
    "range": "a given range",
    "tiles": "tiles at its own scale",
    "resize": "stretched",
    "pad": "padded to a square",
}
"""What kinds of ranges and sizes are called."""


def composite(field: FieldInfo, title: str) -> Control | None:
    """Return the control for a field whose type is made of others; None if it has no such type.

    Parameters
    ----------
    field : FieldInfo
    title : str
        For messages.

    Returns
    -------
    Control or None
    """
    kind, _ = plain_type(field.annotation)
    if field.discriminator is not None:
        return _union(field, title)
    if kind is Path:
        return _path(title)
    if kind is ClassMap:
        return _class_map()
    if get_origin(kind) is dict:
        names = get_args(kind)[0]
        return _weights(get_args(names)) if get_origin(names) is Literal else _json(title)
    if get_origin(kind) is tuple:
        first, *others = get_args(kind)
        return _several(get_args(first)) if others == [...] else _pair(field, first)
    return None


class _Told(QObject):
    """A signal for controls of several widgets."""

    changed = Signal()


def _several(names: Iterable[str]) -> Control:
    """Any of some names: a box for each."""
    holder, told = QWidget(), _Told()
    boxes = {name: QCheckBox(name) for name in names}
    lines = QVBoxLayout(holder)
    lines.setContentsMargins(0, 0, 0, 0)
    lines.setSpacing(2)
    told.setParent(holder)
    for box in boxes.values():
        lines.addWidget(box)
        box.toggled.connect(lambda *_: told.changed.emit())

    def put(value: Iterable[str]) -> None:
        for name, box in boxes.items():
            box.setChecked(name in tuple(value))

    return Control(holder, lambda: tuple(n for n, b in boxes.items() if b.isChecked()), put, told.changed)


def _pair(field: FieldInfo, kind: Any) -> Control:
    """Two numbers that count together, or none: a box in front of them."""
    holder, told, on = QWidget(), _Told(), QCheckBox()
    told.setParent(holder)
    numbers = [QSpinBox() if kind is int else NumberBox() for _ in range(2)]
    for number in numbers:
        number.setRange(1 if kind is int else 0, 100_000)
        number.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        number.valueChanged.connect(lambda *_: told.changed.emit())
        number.setEnabled(False)
    extra = field.json_schema_extra
    example: Any = extra.get("example") if isinstance(extra, dict) else None
    for number, value in zip(numbers, example or (1, 1), strict=True):
        number.setValue(value)

    def turn(checked: bool) -> None:
        for number in numbers:
            number.setEnabled(checked)
        told.changed.emit()

    on.toggled.connect(turn)
    holder.setLayout(row(on, *numbers, stretch=1))
    holder.setStyleSheet(NARROW)

    def put(value: Any) -> None:
        on.setChecked(value is not None)
        for number, part in zip(numbers, value or (), strict=False):
            number.setValue(part)

    return Control(
        holder, lambda: tuple(n.value() for n in numbers) if on.isChecked() else None, put, told.changed
    )


def _weights(names: Iterable[str]) -> Control:
    """Names that are added up with weights: a box and a number for each."""
    holder, told, grid = QWidget(), _Told(), QGridLayout()
    told.setParent(holder)
    grid.setContentsMargins(12, 0, 0, 0)
    grid.setVerticalSpacing(2)
    parts: dict[str, tuple[QCheckBox, QDoubleSpinBox]] = {}
    for line, name in enumerate(names):
        box, number = QCheckBox(name.replace("_", " ")), NumberBox()
        number.setRange(0.01, 1000)
        number.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        number.setSingleStep(0.1)
        number.setValue(1)
        number.setEnabled(False)
        number.setAccessibleName(f"Weight of {name}")
        box.toggled.connect(number.setEnabled)
        box.toggled.connect(lambda *_: told.changed.emit())
        number.valueChanged.connect(lambda *_: told.changed.emit())
        grid.addWidget(box, line, 0)
        grid.addWidget(number, line, 1)
        grid.setColumnStretch(1, 1)
        parts[name] = box, number
    holder.setLayout(grid)
    holder.setProperty("wide", True)
    holder.setStyleSheet(NARROW)

    def put(value: dict[str, float]) -> None:
        for name, (box, number) in parts.items():
            box.setChecked(name in value)
            number.setValue(value.get(name, 1.0))

    def get() -> dict[str, float]:
        return {name: number.value() for name, (box, number) in parts.items() if box.isChecked()}

    return Control(holder, get, put, told.changed)


def _json(title: str) -> Control:
    """Further arguments by name, as JSON."""
    line = QLineEdit()
    line.setPlaceholderText('none, or {"name": value}')

    def get() -> dict[str, Any]:
        try:
            found = json.loads(line.text() or "{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise SpecimenError(
                f"{title}: {line.text()!r} is no list of names and values",
                advice='Write {"name": value}, or nothing.',
            )
        return found

    return Control(line, get, lambda v: line.setText(json.dumps(v) if v else ""), line.textChanged)


def _path(title: str) -> Control:
    """Return a line and a button for a file, or none."""
    holder, line = QWidget(), QLineEdit()
    line.setPlaceholderText("none")

    def ask() -> None:
        found, _ = QFileDialog.getOpenFileName(holder, title, line.text())
        if found:
            line.setText(found)

    holder.setLayout(row(line, button("…", ask, f"Choose: {title}")))

    def get() -> Path | None:
        return Path(line.text().strip()).expanduser() if line.text().strip() else None

    return Control(holder, get, lambda v: line.setText("" if v is None else str(v)), line.textChanged)


class _ClassMapBox(QComboBox):
    """Presets, files, or what the masks themselves say."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        slim(self)
        self._maps: list[ClassMap | None] = [None, *PRESETS.values()]
        self.addItems([FROM_MASKS, *PRESETS, FROM_FILE])
        self._last = 0
        self.activated.connect(self._on_activated)
        self.currentIndexChanged.connect(self._on_index)

    def _on_index(self, index: int) -> None:
        if 0 <= index < len(self._maps):
            self._last = index
            self.changed.emit()

    def _on_activated(self, index: int) -> None:
        if index < len(self._maps):
            return
        path, _ = QFileDialog.getOpenFileName(self, "Class map", "", "Class maps (*.json *.csv *.yaml *.yml)")
        self.setCurrentIndex(self._last)
        if path:
            self.choose(Path(path))

    def choose(self, path: Path) -> None:
        """Take the classes of a file; one line in a notification if it cannot be read."""
        from napari.utils.notifications import show_error

        from ..core.files import read_class_map

        try:
            self.put(read_class_map(path), path.name)
        except SpecimenError as error:
            show_error(str(error))

    def get(self) -> ClassMap | None:
        """Return the chosen classes."""
        return self._maps[self._last]

    def put(self, value: Any, name: str = "") -> None:
        """Choose classes; others than those on offer are added to the list."""
        wanted = None if value is None else ClassMap.model_validate(value)
        if wanted not in self._maps:
            with QSignalBlocker(self):
                self.insertItem(len(self._maps), name or f"{len(wanted or ())} classes")
            self._maps.append(wanted)
        self.setCurrentIndex(self._maps.index(wanted))


def _class_map() -> Control:
    box = _ClassMapBox()
    return Control(box, box.get, box.put, box.changed)


class _UnionBox(QWidget):
    """One of several kinds of settings, with the fields of the chosen one below."""

    changed = Signal()

    def __init__(self, kinds: dict[str, type[BaseModel]]) -> None:
        super().__init__()
        self.kinds = kinds
        self.combo = slim(QComboBox())
        self.forms: dict[str, SettingsForm] = {}
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(2)
        box.addWidget(self.combo)
        for name, kind in kinds.items():
            self.combo.addItem(KINDS.get(name, name), name)
            self.combo.setItemData(self.combo.count() - 1, (kind.__doc__ or "").splitlines()[0], 3)
            form = SettingsForm(kind)
            form.show_fields([field for field in kind.model_fields if field != "kind"])
            form.changed.connect(self.changed)
            form.setVisible(False)
            self.forms[name] = form
            box.addWidget(form)
        self.combo.currentIndexChanged.connect(lambda _: self._on_kind())
        self._on_kind()

    def _on_kind(self) -> None:
        chosen = self.combo.currentData()
        for name, form in self.forms.items():
            form.setVisible(name == chosen and bool(form.controls))
        self.changed.emit()

    def content(self) -> dict[str, Any]:
        """Return kind and values."""
        chosen = self.combo.currentData()
        return {"kind": chosen, **self.forms[chosen].values()}

    def put(self, value: BaseModel) -> None:
        """Choose the kind of a value and show its fields."""
        values = dict(value)
        with QSignalBlocker(self):
            self.forms[values["kind"]].set_values(values)
            self.combo.setCurrentIndex(self.combo.findData(values["kind"]))
        self.changed.emit()


def _union(field: FieldInfo, title: str) -> Control:
    kinds = {kind.model_fields["kind"].default: kind for kind in get_args(field.annotation)}
    wanted: Any = Annotated[field.annotation, Field(discriminator="kind")]
    adapter: TypeAdapter[Any] = TypeAdapter(wanted)
    box = _UnionBox(kinds)

    def get() -> Any:
        try:
            return adapter.validate_python(box.content())
        except ValidationError as error:
            raise SpecimenError(f"{title}: {validation_line(error)}") from error

    return Control(box, get, lambda value: box.put(adapter.validate_python(value)), box.changed)


def word_or_number(words: Iterable[str]) -> Control:
    """Return the control for one of some words, or a whole number that is typed.

    Parameters
    ----------
    words : iterable of str

    Returns
    -------
    Control
    """
    combo = suggestions(words)

    def get() -> str | int:
        text = combo.currentText().strip()
        return int(text) if text.isascii() and text.isdigit() else text

    return Control(combo, get, lambda value: combo.setCurrentText(str(value)), combo.currentTextChanged)


def suggestions(words: Iterable[str]) -> QComboBox:
    """Return a box that offers words and takes others."""
    combo = slim(QComboBox())
    combo.setEditable(True)
    combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
    combo.addItems(list(words))
    return combo


def text_with_suggestions(words: Iterable[str]) -> Control:
    """Return the control for a text for which some words are offered."""
    combo = suggestions(words)
    get: Callable[[], str] = lambda: str(combo.currentText()).strip()  # noqa: E731
    return Control(combo, get, combo.setCurrentText, combo.currentTextChanged)
