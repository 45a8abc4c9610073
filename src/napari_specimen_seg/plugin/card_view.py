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

OVERLAP = "Overlap of mask and truth: 1 is perfect, 0 none"
"""What IoU means, for those who have not met it."""

_SPLITS = {"val": "validation pictures", "validation": "validation pictures", "test": "test pictures"}
"""What scores were measured on; cards name it shortly."""

_PLAIN = {
    r"\bval:": "Validation:",
    r"\bare always in one split\b": "are kept together, to learn from or to validate on",
    r"\bnever straddle splits\b": "are kept together, to learn from or to validate on",
}
"""Words of cards that say little to people; cards are sealed, so that they are put differently here."""

_MOST_SCORES = 400
"""A card of somebody else may hold any number."""

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
        "Trained on": escape(" · ".join(filter(None, [training.data, _plain(training.split)]))),
        "Scores": "".join(_scores(card, split) for split in card.scores),
        "Notes": escape(_CHECKSUM.sub(r"\1…", training.notes)),
        "Licence": escape(card.license or "not stated"),
        "Data by": "<br>".join(_attribution(entry, link_color) for entry in training.attribution),
        "Version": escape(f"{card.version} · {card.network_name}"),
    }
    return "".join(
        f"<p>{f'<b>{head}</b> ' if head else ''}{body}</p>" for head, body in paragraphs.items() if body
    )


def _plain(text: str) -> str:
    """Return a text of a card in the words of the docks."""
    for words, plain in _PLAIN.items():
        text = re.sub(words, plain, text)
    return text


def _scores(card: ModelCard, split: str) -> str:
    """Return the scores on some pictures: a table of classes by measure, and in a line what fits none."""
    measures, cells, others = _sorted_scores(card, split)
    where = escape(_SPLITS.get(split, one_line(split, 40)))
    rows = ["mean", *(item.name for item in card.class_map)]
    shown = [row for row in rows if any((row, measure) in cells for measure in measures)]
    head = "".join(f'<td align="right">&nbsp;&nbsp;<b>{escape(_pretty(name))}</b></td>' for name in measures)
    body = "".join(_score_row(row, measures, cells) for row in shown)
    table = f"<table><tr><td></td>{head}</tr>{body}</table>{OVERLAP}." if shown else ""
    rest = " · ".join(f"{escape(_pretty(name))} {value:.2f}" for name, value in others.items())
    return f"on {where}{f'<br>{rest}' if rest else ''}{table}"


def _score_row(row: str, measures: list[str], cells: Mapping[tuple[str, str], float]) -> str:
    values = [cells.get((row, measure)) for measure in measures]
    texts = ("" if value is None else f"{value:.2f}" for value in values)
    return f"<tr><td>{escape(one_line(row, 40))}</td>" + "".join(
        f'<td align="right">&nbsp;&nbsp;{text}</td>' for text in texts
    ) + "</tr>"  # fmt: skip


def _sorted_scores(
    card: ModelCard, split: str
) -> tuple[list[str], dict[tuple[str, str], float], dict[str, float]]:
    """Return the measures, their values by row and measure, and the scores that are of no class."""
    names = {item.name for item in card.class_map}
    cells: dict[tuple[str, str], float] = {}
    others: dict[str, float] = {}
    for name, value in list(card.scores[split].items())[:_MOST_SCORES]:
        first, _, rest = name.partition(" ")
        if first == "mean" and rest:
            cells["mean", rest] = value
        elif rest in names:
            cells[rest, first] = value
        else:
            others[name] = value
    return list(dict.fromkeys(measure for _, measure in cells)), cells, others


def _pretty(name: str) -> str:
    return one_line(name, 40).replace("iou", "IoU").replace("dice", "Dice").replace("f1", "F1")


def _attribution(entry: Attribution, link_color: str) -> str:
    link = f"https://doi.org/{entry.doi}" if entry.doi else entry.url
    title = escape(entry.title)
    if link.startswith("https://"):
        title = f'<a href="{escape(link, quote=True)}" style="color: {link_color}">{title}</a>'
    return title + (f" ({escape(entry.license)})" if entry.license else "")
