"""Fill the documentation's tables from the code, so that they cannot tell something else.

MkDocs calls `on_page_markdown` for every page; a line ``<!-- table: NAME -->`` is replaced by the table
that the function of that name in `TABLES` makes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    import click


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page with its tables filled in.

    Parameters
    ----------
    markdown : str
        The page as written.

    Returns
    -------
    str

    Raises
    ------
    KeyError
        If a page asks for a table that there is not.
    """
    return re.sub(r"<!-- table: ([a-z-]+) -->", lambda found: TABLES[found[1]](), markdown)


def rows(head: Iterable[str], body: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table."""
    lines = [
        list(head),
        *([str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in body),
    ]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measurements() -> str:
    """Return what can be measured: column, meaning, unit, tables."""
    from napari_specimen_seg.core.measurements import MEASUREMENTS

    units = {0: "–", 1: "length", 2: "area"}
    return rows(
        ("column", "is called", "what it is", "unit", "in the tables per"),
        ((f"`{m.name}`", m.title, m.help, units[m.power], ", ".join(m.per)) for m in MEASUREMENTS),
    )


def presets() -> str:
    """Return the class maps that come with the package."""
    from napari_specimen_seg.core.classes import PRESETS

    return "\n\n".join(
        f"### {name}\n\n" + rows(("id", "name", "colour"), ((c.id, c.name, swatch(c.color)) for c in classes))
        for name, classes in PRESETS.items()
    )


def swatch(color: str) -> str:
    """Return a colour's code with a patch of it."""
    return f'<span style="color:{color}; -webkit-text-stroke: 1px gray">■</span> `{color}`'


def models() -> str:
    """Return what the bundled models' cards say."""
    from napari_specimen_seg.models.bundle import read_card
    from napari_specimen_seg.models.library import BUNDLED

    cards = [read_card(folder) for folder in sorted(BUNDLED.iterdir()) if (folder / "card.json").is_file()]
    return "\n\n".join(model(card) for card in cards)


def model(card: Any) -> str:
    """Return one card as a section."""
    training = card.training
    sources = "; ".join(source_line(source) for source in training.attribution)
    about = [
        ("network", card.network_name),
        ("trained on", " ".join(sentence(part) for part in (training.data, training.split) if part)),
        ("licence of the weights", card.license or "not stated"),
        ("sources", sources),
        ("made by", f"`{training.command}`"),
    ]
    scores = [f"Scores on {split}:\n\n{score_table(values)}" for split, values in card.scores.items()]
    parts = [f"### {card.name}", card.description, rows(("", ""), about), *scores, training.notes]
    return "\n\n".join(part for part in parts if part)


def sentence(text: str) -> str:
    """Return text with a full stop at its end."""
    return text.rstrip(". ") + "."


def score_table(scores: dict[str, float]) -> str:
    """Return scores called ``iou legs`` and ``mean iou`` as a table with a row per class and for the mean."""
    named = {
        name.replace("mean ", "") + " mean" if "mean " in name else name: v for name, v in scores.items()
    }
    kinds = list(dict.fromkeys(name.partition(" ")[0] for name in named))
    classes = list(dict.fromkeys(name.partition(" ")[2] for name in named))
    body = ((c, *(f"{named[f'{k} {c}']:.3f}" if f"{k} {c}" in named else "" for k in kinds)) for c in classes)
    return rows(("class", *kinds), body)


def source_line(source: Any) -> str:
    """Return where data came from, in one line."""
    link = f"[doi:{source.doi}](https://doi.org/{source.doi})" if source.doi else source.url
    return ", ".join(part for part in (source.title, source.license, link) if part)


def settings() -> str:
    """Return what may be chosen for a prediction."""
    from napari_specimen_seg.models.settings import PredictSettings

    return fields_of(PredictSettings)


def recipes() -> str:
    """Return the named settings for training."""
    from napari_specimen_seg.training.recipes import RECIPES

    return rows(
        ("recipe", "network", "a picture meets it as", "learns for"),
        (
            (
                f"`{name}`",
                f"{r.network.architecture} with {r.network.encoder}",
                f"{r.input.channels}, {way_of(r.input.geometry)}",
                f"{r.learn.epochs} epochs at {r.learn.lr:g}",
            )
            for name, r in RECIPES.items()
        ),
    )


WAYS: dict[str, Callable[[Any], str]] = {
    "tiles": lambda g: f"tiles of {g.size} pixels",
    "resize": lambda g: f"stretched to {g.height} x {g.width}",
    "pad": lambda g: f"padded to a square of {g.size}",
}
"""How a picture's size meets the network's, in words."""


def way_of(geometry: Any) -> str:
    """Return how a picture's size meets the network's, in words."""
    return WAYS[geometry.kind](geometry)


def training() -> str:
    """Return every setting of a training, by section."""
    from napari_specimen_seg.training.config import TrainConfig

    sections = {name: field.default for name, field in TrainConfig.model_fields.items() if name != "recipe"}
    return "\n\n".join(section_of(name, type(default)) for name, default in sections.items())


def section_of(name: str, kind: type[BaseModel]) -> str:
    """Return a section of settings: what it is about, and its fields."""
    about = inspect.cleandoc(kind.__doc__ or "").splitlines()[0]
    return f"### {name}\n\n{about}\n\n{fields_of(kind)}"


def default_of(value: Any) -> str:
    """Return a default as it is written in a settings file."""
    if value is None or value == "":
        return ""
    kind = getattr(value, "kind", None)
    shown = way_of(value) if kind in WAYS else value if kind is None else kind
    return f"`{shown}`"


def fields_of(kind: type[BaseModel]) -> str:
    """Return the fields of a settings object."""
    return rows(
        ("setting", "default", "what it does"),
        (
            (
                f"`{name}`",
                default_of(field.default),
                ". ".join(filter(None, (field.title, field.description))),
            )
            for name, field in kind.model_fields.items()
        ),
    )


def commands() -> str:
    """Return every command with its arguments, options and examples, as its own help tells them."""
    import click

    from napari_specimen_seg.cli import program

    return "\n\n".join(command_section(program, click.Context(program, info_name="specimen-seg"), ""))


def command_section(group: click.Group, context: click.Context, words: str) -> Iterator[str]:
    """Yield the sections of a group's commands, and of theirs."""
    import click

    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        yield f"## {words}{name}\n\n{paragraphs(command.help)}"
        yield f"```text\n{command.get_usage(inner).removeprefix('Usage: ')}\n```"
        yield rows(("option", "default", "what it does"), (option_row(o, inner) for o in options_of(command)))
        if command.epilog:
            yield paragraphs(command.epilog)
        if isinstance(command, click.Group):
            yield from command_section(command, inner, f"{words}{name} ")


def options_of(command: click.Command) -> list[click.Option]:
    """Return a command's options."""
    import click

    return [p for p in command.params if isinstance(p, click.Option)]


def option_row(option: click.Option, context: click.Context) -> tuple[str, str, str]:
    """Return an option's spelling, default and help."""
    spelled = ", ".join(f"`{name}`" for name in option.opts)
    value = "" if option.is_flag else f" `{option.make_metavar(context)}`"
    default = "required" if option.required else f"`{option.default}`" if option.show_default else ""
    return spelled + value, default, option.help or ""


def paragraphs(text: str | None) -> str:
    """Return a click help text as Markdown; what click keeps line by line becomes a block."""
    parts = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(block(part) if part.startswith("\b") else part for part in parts)


def block(part: str) -> str:
    """Return a passage that click keeps line by line: its heading, and the lines as they are."""
    head, *lines = part.removeprefix("\b\n").splitlines()
    return f"{head}\n\n```sh\n{chr(10).join(line.strip() for line in lines)}\n```" if lines else head


def evaluation() -> str:
    """Return what may be chosen for an evaluation."""
    from napari_specimen_seg.evaluation.settings import EvaluateSettings

    return fields_of(EvaluateSettings)


TABLES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "measurements": measurements,
    "presets": presets,
    "recipes": recipes,
    "models": models,
    "settings": settings,
    "training": training,
    "evaluation": evaluation,
}
"""Name in the page -> what makes it."""
