"""A question with buttons that say what will happen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from qtpy.QtWidgets import QMessageBox, QWidget

Role: TypeAlias = QMessageBox.ButtonRole


def ask_which(
    parent: QWidget, title: str, question: str, told: str, answers: Mapping[str, tuple[str, Role]]
) -> str:
    """Ask a question that stops everything else until it is answered.

    Parameters
    ----------
    parent : QWidget
        Over which it is shown.
    title, question, told : str
        Title, question, and what one should know to answer it.
    answers : mapping
        For each answer the text and role of its button. The first that accepts is what Enter chooses, the
        one that rejects what Escape does.

    Returns
    -------
    str
        The key of the answer; of the one that rejects if the window was closed.
    """
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle(title)
    box.setText(question)
    box.setInformativeText(told)
    buttons = {key: box.addButton(text, role) for key, (text, role) in answers.items()}
    box.setDefaultButton(next(buttons[key] for key in answers if answers[key][1] is Role.AcceptRole))
    rejecting = next(key for key in answers if answers[key][1] is Role.RejectRole)
    box.setEscapeButton(buttons[rejecting])
    box.exec()
    clicked = box.clickedButton()
    box.deleteLater()
    return next((key for key, button in buttons.items() if button is clicked), rejecting)
