"""Class maps as files: JSON, and from other programs CSV and YAML.

Nothing in them is trusted: size, nesting and numbers are bounded, double keys refused, and YAML is taken
as text, so that nothing in it becomes an object, a date or an octal number.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

from ..classes import ClassMap, default_color
from ..errors import ClassMapError, ReadError
from .atomic import atomic

MAX_BYTES = 5 << 20
"""A class map with every id there is takes less."""

_MAX_YAML_BYTES = 1 << 20
_MAX_DEPTH = 8
_ADVICE = "Mend the class map and try again."
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")


def read_class_map(path: str | PathLike[str]) -> ClassMap:
    """Read a class map.

    Parameters
    ----------
    path : path-like
        ``.json``: ``{"classes": [{"id": 0, "name": "background", "color": "#000000"}, …]}``, or a mapping
        of names to ids, to which a background is added if it lacks one. ``.csv``: columns ``id``, ``name``
        and, if wanted, ``color``. ``.yaml`` or ``.yml``: as JSON. Classes without a colour get one.

    Returns
    -------
    ClassMap

    Raises
    ------
    ReadError
        If there is no such file.
    ClassMapError
        With one line that says what is wrong.

    Warns
    -----
    SpecimenWarning
        If names look alike or could be taken for formulas or markup.
    """
    path = Path(path)
    data = _read_bytes(path)
    parse = {".csv": _parse_csv, ".yaml": _parse_yaml, ".yml": _parse_yaml}.get(
        path.suffix.lower(), _parse_json
    )
    try:
        content = _classes_of(parse(data))
    except RecursionError as error:
        raise ClassMapError("it is nested too deeply", path=path, advice=_ADVICE) from error
    except (ValueError, csv.Error) as error:
        raise ClassMapError(error, path=path, advice=_ADVICE) from error
    return ClassMap.parse(content, source=str(path))


def write_class_map(path: str | PathLike[str], class_map: ClassMap, overwrite: bool = False) -> Path:
    """Write a class map as JSON.

    Parameters
    ----------
    path : path-like
        Ends in ``.json``.
    class_map : ClassMap
    overwrite : bool
        Whether an existing file is replaced.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    WriteError
        If it exists or cannot be written.
    ClassMapError
        If the name does not end in ``.json``.
    """
    path = Path(path)
    if path.suffix.lower() != ".json":
        raise ClassMapError("class maps are written as JSON", path=path, advice="End the name in .json.")
    text = json.dumps(class_map.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"
    with atomic(path, overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise ReadError("there is no such file", path=path, advice="Check the name.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ReadError(error.strerror or error, path=path, advice="Check that you may read it.") from error
    if len(data) > MAX_BYTES:
        raise ClassMapError("it is too large for a class map", path=path, advice="Choose another file.")
    return data


# -- what a file says, as plain lists and mappings -------------------------------------------------


def _parse_json(data: bytes) -> Any:
    text = data.decode(json.detect_encoding(data))
    try:
        return json.loads(text, object_pairs_hook=_no_key_twice, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None


def _no_key_twice(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} occurs twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number that a class map can hold")


def _parse_csv(data: bytes) -> Any:
    rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
    columns = [name.strip().lower() for name in rows.fieldnames or []]
    if not {"id", "name"} <= set(columns) <= {"id", "name", "color"} or len(set(columns)) < len(columns):
        raise ValueError(
            "its first line must name the columns id, name and, if wanted, color, with commas between"
        )
    rows.fieldnames = columns
    entries = []
    for row in rows:
        if None in row or None in row.values():
            raise ValueError(f"line {rows.line_num} does not have {len(columns)} values")
        entry: dict[str, Any] = {key: value for key, value in row.items() if key == "name" or value}
        entry["id"] = _whole_number(row["id"].strip())
        entries.append(entry)
    return {"classes": entries}


def _whole_number(text: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ValueError(f"the id {text!r} is not a whole number")
    return int(text)


def _parse_yaml(data: bytes) -> Any:
    import yaml

    if len(data) > _MAX_YAML_BYTES:
        raise ValueError("it is too large for a class map in YAML")
    try:
        _refuse_tricks(yaml.parse(data, Loader=yaml.BaseLoader))
        node = yaml.compose(data, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"it is not YAML: {error}") from None
    return _plain(node)


def _refuse_tricks(events: Iterable[Any]) -> None:
    """Refuse what a list of classes never needs, before anything is built from it."""
    import yaml

    depth = documents = 0
    for event in events:
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError("anchors and aliases are not allowed")
        if getattr(event, "tag", None):
            raise ValueError(f"the tag {event.tag!r} is not allowed")
        if documents > 1 or depth > _MAX_DEPTH:
            raise ValueError("it holds several documents" if documents > 1 else "it is nested too deeply")


def _plain(node: Any) -> Any:
    """Turn YAML nodes to lists, mappings, text and whole numbers, and nothing else."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        return _no_key_twice((str(_key(key)), _plain(value)) for key, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    text = "" if node is None else str(node.value)
    is_number = node is not None and node.style is None and _WHOLE_NUMBER.fullmatch(text)
    return int(text) if is_number else text


def _key(node: Any) -> str:
    import yaml

    if not isinstance(node, yaml.ScalarNode):
        raise ValueError("a key must be text")
    return str(node.value)


# -- the shapes of content that are understood -----------------------------------------------------


def _classes_of(content: Any) -> Any:
    """Bring names-to-ids into the form of our own files, and give every class a colour."""
    if not isinstance(content, dict):
        raise ValueError('it must hold {"classes": […]} or a mapping of names to ids')
    if "classes" not in content:
        content = _from_mapping(content)
    if not isinstance(content["classes"], list):
        raise ValueError("classes: it must be a list")
    return {**content, "classes": _with_colors(content["classes"])}


def _from_mapping(ids: dict[str, Any]) -> dict[str, Any]:
    entries = [{"id": class_id, "name": name} for name, class_id in ids.items()]
    if all(entry["id"] != 0 or isinstance(entry["id"], bool) for entry in entries):
        entries.insert(0, {"id": 0, "name": "background"})
    return {"classes": entries}


def _with_colors(entries: list[Any]) -> list[Any]:
    taken = {str(entry.get("color")).lower() for entry in entries if isinstance(entry, dict)}
    return [_with_color(entry, taken) for entry in entries]


def _with_color(entry: Any, taken: set[str]) -> Any:
    if not isinstance(entry, dict) or "color" in entry or "rgb" in entry or type(entry.get("id")) is not int:
        return entry
    color = "#000000" if entry["id"] == 0 else default_color(entry["id"])
    while color in taken:
        color = f"#{(int(color[1:], 16) + 1) % 0x1000000:06x}"
    taken.add(color)
    return {**entry, "color": color}
