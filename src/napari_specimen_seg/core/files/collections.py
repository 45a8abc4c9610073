"""Metadata of collections: COCO-style JSON with taxonomy, or a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ReadError
from ..exchange.coco import is_coco
from ..exchange.documents import load
from ..sampling import IMAGE

if TYPE_CHECKING:
    from pandas import DataFrame

PICTURE_COLUMNS = ("image", "file_name", "filename", "file", "path", "image_path", "picture")
"""Columns of a table that may name the picture; the first one there counts."""

_TABLES = (".csv", ".tsv", ".txt")


def read_collection(path: Path) -> tuple[DataFrame, Any]:
    """Read what is known of the pictures of a collection.

    Parameters
    ----------
    path : Path
        ``.json`` as COCO has it, where categories have ``family``, ``genus`` and so on; a picture belongs to
        the category of its first annotation. Or a table: ``.csv``, ``.tsv``.

    Returns
    -------
    table : pandas.DataFrame
        A row for each picture; the column ``image`` is its file. All else are its levels.
    content : object
        What is needed to write a part of it in the same form: the JSON document, or the table itself.

    Raises
    ------
    ReadError
        If it cannot be read, or has no pictures.
    """
    if path.suffix.lower() in _TABLES:
        table = _read_table(path)
        return _with_image(table, path), table
    content = load(path)
    if not is_coco(content):
        raise ReadError(
            "is no metadata that can be used",
            path=path,
            advice="Wanted is JSON with images, annotations and categories, or a .csv table.",
        )
    try:
        table = _of_coco(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise ReadError(f"is no metadata that can be used ({error!r})", path=path) from error
    if not len(table):
        raise ReadError("it has no pictures with a category", path=path)
    return table, content


def part_of(content: Any, table: DataFrame, rows: list[int]) -> Any:
    """Return the metadata of some pictures in the form of the whole.

    Parameters
    ----------
    content, table
        From `read_collection`.
    rows : list of int
        Positions in the table.

    Returns
    -------
    dict or pandas.DataFrame
        Of JSON all fields that are not about other pictures; categories that no picture has are left out.
    """
    if not isinstance(content, dict):
        return content.iloc[rows]
    ids = set(table.iloc[rows]["image_id"])
    annotations = [item for item in content["annotations"] if item["image_id"] in ids]
    used = {item["category_id"] for item in annotations}
    return {
        **content,
        "images": [item for item in content["images"] if item["id"] in ids],
        "annotations": annotations,
        "categories": [item for item in content["categories"] if item["id"] in used],
    }


def _read_table(path: Path) -> DataFrame:
    import pandas as pd

    try:
        with path.open(encoding="utf-8-sig") as file:
            head = file.readline()
        separator = max(",;\t", key=head.count)  # the first where there is none
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except OSError as error:
        raise ReadError(f"cannot be read ({error.strerror})", path=path) from error
    except ValueError as error:
        raise ReadError(f"is no table ({error})", path=path) from error


def _with_image(table: DataFrame, path: Path) -> DataFrame:
    name = next((column for column in PICTURE_COLUMNS if column in table.columns), None)
    if name is None or not len(table):
        raise ReadError(
            "no column names the pictures" if name is None else "it has no rows",
            path=path,
            advice=f"Call it {', '.join(PICTURE_COLUMNS[:3])} or path.",
        )
    return table if name == IMAGE else table.rename(columns={name: IMAGE})


def _of_coco(content: dict[str, Any]) -> DataFrame:
    import pandas as pd

    categories = {item["id"]: item for item in content["categories"]}
    first: dict[Any, Any] = {}
    for item in content["annotations"]:
        first.setdefault(item["image_id"], item["category_id"])
    rows = []
    for item in content["images"]:
        if item["id"] in first:
            kind = {k: v for k, v in categories[first[item["id"]]].items() if k != "id" and _is_plain(v)}
            own = {k: v for k, v in item.items() if k not in ("id", "file_name") and _is_plain(v)}
            rows.append({**own, **kind, IMAGE: str(item["file_name"]), "image_id": item["id"]})
    return pd.DataFrame(rows)


def _is_plain(value: object) -> bool:
    return isinstance(value, (str, int, float)) or value is None
