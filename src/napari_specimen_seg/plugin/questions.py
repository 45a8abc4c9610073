"""What an importer asks, as a form: one line for each question, with the likely answers to choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit, QVBoxLayout, QWidget

from ..models.importing import ImportOptions, Question
from ..models.presets import explained
from .dock import button, primary, quiet, row, slim

HELP = {
    "classes": "background, leaf, stem",
    "name": "letters, digits, spaces and . _ -",
    "license": "optional, such as CC-BY-4.0",
}
"""What an empty line says."""

CHOOSE = "choose…"

ACTIVATIONS = {
    "none": "plain scores, of any size",
    "softmax": "shares of all classes, which add up to 1",
    "sigmoid": "a probability of each class by itself",
}

HEADS = {
    "softmax": "the class with the highest score; one channel is the background",
    "sigmoid": "every class above its threshold; the later class on top",
}

EXPLAINED: dict[str, Callable[[str], str]] = {
    "preprocessing": explained,
    "activation": lambda text: ACTIVATIONS.get(text, ""),
    "head": lambda text: HEADS.get(text, ""),
}
"""What an answer means, shown below it."""

ALWAYS = (Question("name", "What shall it be called?"), Question("license", "Its licence"))


class QuestionForm(QWidget):
    """Asks for what a file does not tell.

    Signals
    -------
    answered
        The person pressed Import.
    dismissed
        The person pressed Cancel.
    """

    answered = Signal()
    dismissed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fields: dict[str, QComboBox | QLineEdit] = {}
        self._known: dict[str, str] = {}
        self._lines = QWidget()
        self.go = primary("Import", self.answered.emit, "Go on with these answers")
        self.stop = button("Cancel", self.dismissed.emit, "Import nothing")
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.addWidget(self._lines)
        self._box.addLayout(row(self.go, self.stop))
        self.setVisible(False)

    def ask(self, questions: Iterable[Question], known: dict[str, str]) -> None:
        """Show questions, and those that are always asked.

        Parameters
        ----------
        questions : iterable of Question
        known : dict of str to str
            Answers so far, by field; they are shown where they are asked for, and kept where not.
        """
        self._known = dict(known)
        asked = {question.field: question for question in (*_open_first(questions), *ALWAYS)}
        self.fields = {name: self._field(question) for name, question in asked.items()}
        lines = QWidget()
        column = QVBoxLayout(lines)
        column.setContentsMargins(0, 0, 0, 0)
        for name, question in asked.items():
            column.addWidget(quiet(question.text))
            column.addWidget(self.fields[name])
            if name in EXPLAINED:
                column.addWidget(_explanation(self.fields[name], EXPLAINED[name]))
        self._box.replaceWidget(self._lines, lines)
        self._lines.deleteLater()
        self._lines = lines
        self.setVisible(True)
        next(iter(self.fields.values())).setFocus()

    def _field(self, question: Question) -> QComboBox | QLineEdit:
        value = self._known.get(question.field, "") or question.likely
        name = ImportOptions.model_fields[question.field].title or question.field
        if question.candidates:
            combo = slim(QComboBox())
            combo.addItems(list(question.candidates))
            combo.setEditable(question.field in ("preprocessing", "encoder", "classes", "architecture"))
            combo.setCurrentIndex(-1)  # nothing is chosen for the person, unless it is likely
            combo.setPlaceholderText(CHOOSE)
            if combo.isEditable():
                combo.lineEdit().setPlaceholderText(CHOOSE)
            combo.setCurrentText(value)
            combo.setAccessibleName(name)
            return combo
        line = QLineEdit(value)
        line.setPlaceholderText(HELP.get(question.field, ""))
        line.setAccessibleName(name)
        line.returnPressed.connect(self.answered.emit)
        return line

    def answers(self) -> dict[str, str]:
        """Return all answers that are not empty, by field of `ImportOptions`."""
        shown = {
            name: (field.currentText() if isinstance(field, QComboBox) else field.text()).strip()
            for name, field in self.fields.items()
        }
        return {name: value for name, value in {**self._known, **shown}.items() if value}


def _open_first(questions: Iterable[Question]) -> list[Question]:
    """Return what has no likely answer before what only has to be confirmed."""
    return sorted(questions, key=lambda question: bool(question.likely))


def _explanation(field: QComboBox | QLineEdit, explain: Callable[[str], str]) -> QLabel:
    """Return a line that says what the answer in a field means, as it changes."""
    label = quiet()
    label.setIndent(8)

    def show(text: str) -> None:
        label.setText(explain(text.strip()))
        label.setVisible(bool(label.text()))

    show(field.currentText() if isinstance(field, QComboBox) else field.text())
    (field.currentTextChanged if isinstance(field, QComboBox) else field.textChanged).connect(show)
    return label
