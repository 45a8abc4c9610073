"""A model card for people: what it finds, what it learned from, how good it is, what may be done with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from ..core.errors import one_line
from ..models.card import Attribution, ModelCard
from .legend import Legend

_HEADLINES = ("mean iou", "iou", "mean dice", "dice", "f1")
"""Which score stands for a model in one line, the first that it has."""

_CHECKSUM = re.compile(r"\b([0-9a-f]{16})[0-9a-f]{48}\b")
"""Too long for a line of a dock."""


class CardView(QWidget):
    """Shows one model card."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._card: ModelCard | None = None
        self.legend = Legend()
        self.text = QLabel()
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.text.setWordWrap(True)
        self.text.setOpenExternalLinks(True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        box = QVBoxLayout(self)
        box.setContentsMargins(8, 0, 0, 0)
        box.addWidget(self.legend)
        box.addWidget(self.text)

    def show_card(self, card: ModelCard) -> None:
        """Show a card.

        Parameters
        ----------
        card : ModelCard
        """
        self.legend.show_classes(card.class_map)
        for made in self.legend.buttons.values():
            made.setToolTip("")
            made.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)  # to read, not to click
        self._card = card
        self._write()

    def changeEvent(self, event: Any) -> None:
        """Write the links in the colour of another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and self._card is not None:
            self._write()

    def _write(self) -> None:
        # Qt's own link blue cannot be read on a dark theme, and style sheets have no word for links.
        color = self.text.palette().color(QPalette.ColorRole.WindowText).name()
        if self._card is not None:
            self.text.setText(card_html(self._card, link_color=color))


def summary(card: ModelCard, *, trained: bool = True) -> str:
    """Return a model in one line: number of classes, what it learned from, its main score.

    Parameters
    ----------
    card : ModelCard
    trained : bool
        Whether to say how many pictures it learned from.

    Returns
    -------
    str
        Such as ``"9 classes · trained on 224 pictures · mean IoU 0.81"``.
    """
    count = len(card.class_map.foreground)
    parts = ["1 class" if count == 1 else f"{count} classes"]
    if trained and card.training.pictures:
        parts.append(f"trained on {card.training.pictures} pictures")
    for scores in card.scores.values():
        name = next((name for name in _HEADLINES if name in scores), None)
        if name is not None:
            parts.append(f"{_pretty(name)} {scores[name]:.2f}")
            break
    if card.assumed:
        parts.append(f"{', '.join(card.assumed)} assumed")
    return " · ".join(parts)


def card_html(card: ModelCard, *, link_color: str = "inherit") -> str:
    """Return the card as rich text; everything in it is escaped, only web links can be clicked.

    Parameters
    ----------
    card : ModelCard
    link_color : str
        Of links, as HTML has it.

    Returns
    -------
    str
    """
    training = card.training
    paragraphs = {
        "": escape(card.description),
        "Assumed on import": "<br>".join(escape(text) for text in (card.assumed or {}).values()),
        "Trained on": escape(" · ".join(filter(None, [training.data, training.split]))),
        "Scores": "<br>".join(_scores(split, scores) for split, scores in card.scores.items()),
        "Notes": escape(_CHECKSUM.sub(r"\1…", training.notes)),
        "Licence": escape(card.license or "not stated"),
        "Data by": "<br>".join(_attribution(entry, link_color) for entry in training.attribution),
        "Version": escape(f"{card.version} · {card.network_name}"),
    }
    return "".join(
        f"<p>{f'<b>{head}</b> ' if head else ''}{body}</p>" for head, body in paragraphs.items() if body
    )


def _scores(split: str, scores: Mapping[str, float]) -> str:
    values = " · ".join(f"{escape(_pretty(name))} {value:.2f}" for name, value in list(scores.items())[:24])
    return f"{escape(one_line(split, 40))}: {values}"


def _pretty(name: str) -> str:
    return one_line(name, 40).replace("iou", "IoU").replace("dice", "Dice").replace("f1", "F1")


def _attribution(entry: Attribution, link_color: str) -> str:
    link = f"https://doi.org/{entry.doi}" if entry.doi else entry.url
    title = escape(entry.title)
    if link.startswith("https://"):
        title = f'<a href="{escape(link, quote=True)}" style="color: {link_color}">{title}</a>'
    return title + (f" ({escape(entry.license)})" if entry.license else "")
