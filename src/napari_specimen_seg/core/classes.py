"""Class names, ids and colours: the one table that runs from the model to the exported file."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from .errors import ClassMapError, SpecimenWarning, validation_line

if TYPE_CHECKING:  # whoever only reads a class map need not wait for numpy
    import numpy as np
    from numpy.typing import NDArray

MAX_ID = 65535
"""The largest class id: label files hold 8 or 16 bits a pixel."""

FORMULA_STARTS = tuple("=+-@\t\r＝＋－＠")
"""First characters that make a spreadsheet take a cell for a formula."""


def _clean_name(name: str) -> str:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("the name is not valid text (a lone surrogate)") from None
    if not name.strip():
        raise ValueError("the name is empty")
    return name


ClassName = Annotated[StrictStr, Field(max_length=200), AfterValidator(_clean_name)]
Color = Annotated[StrictStr, Field(pattern=r"^#[0-9a-f]{6}$")]


class LabelClass(BaseModel):
    """One class: the value in the mask, what it is called and how it is drawn.

    Parameters
    ----------
    id : int
        The pixel value, 0 to 65535; 0 is background.
    name : str
        What people call it.
    color : str
        ``#rrggbb``. A three-number ``rgb`` is read as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[StrictInt, Field(ge=0, le=MAX_ID)]
    name: ClassName
    color: Color

    @model_validator(mode="before")
    @classmethod
    def _read_rgb(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            data = dict(data)
            rgb = data.pop("rgb", None)
            if rgb is not None and "color" not in data:
                data["color"] = hex_color(rgb)
            if isinstance(data.get("color"), str):
                data["color"] = data["color"].lower()
        return data

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue, 0 to 255."""
        return (int(self.color[1:3], 16), int(self.color[3:5], 16), int(self.color[5:7], 16))


def hex_color(rgb: Any) -> str:
    """Return ``#rrggbb`` for three numbers of 0 to 255.

    Parameters
    ----------
    rgb : sequence of int
        Red, green, blue.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If these are not three whole numbers of 0 to 255.
    """
    values = list(rgb) if isinstance(rgb, (list, tuple)) else []
    if len(values) != 3 or not all(
        isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 255 for v in values
    ):
        raise ValueError(f"a colour is three whole numbers of 0 to 255, not {rgb!r}")
    return "#{:02x}{:02x}{:02x}".format(*values)


class ClassMap(BaseModel):
    """The classes of a label picture, in the order in which they are listed everywhere.

    Parameters
    ----------
    classes : tuple of LabelClass
        Unique ids, names and colours; one of them has id 0 and is the background.

    Raises
    ------
    pydantic.ValidationError
        If an id, name or colour occurs twice, or the background is missing. `ClassMap.parse` gives
        the same as a `ClassMapError`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: Annotated[tuple[LabelClass, ...], Field(min_length=1, max_length=MAX_ID + 1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        _refuse_twice("id", [str(c.id) for c in self.classes])
        _refuse_twice("name", [c.name for c in self.classes])
        _refuse_twice("colour", [c.color for c in self.classes])
        if all(c.id != 0 for c in self.classes):
            raise ValueError("the background is missing: one class must have id 0")
        return self

    @classmethod
    def parse(cls, data: Any, *, source: str | None = None) -> Self:
        """Build a class map from what a JSON file holds, and warn of names that may cause trouble.

        Parameters
        ----------
        data : object
            ``{"classes": [{"id": 0, "name": "background", "color": "#000000"}, …]}``.
        source : str, optional
            The file it came from, for the message.

        Returns
        -------
        ClassMap

        Raises
        ------
        ClassMapError
            With one line that says which entry is wrong and how.

        Warns
        -----
        SpecimenWarning
            If names differ only in case or accents' encoding, or could be taken for a formula or
            for markup.
        """
        try:
            class_map = cls.model_validate(data)
        except ValidationError as error:
            raise ClassMapError(
                validation_line(error), path=source, advice="Mend the class map and try again."
            ) from error
        for message in class_map.name_warnings():
            warnings.warn(message, SpecimenWarning, stacklevel=2)
        return class_map

    def name_warnings(self) -> list[str]:
        """Return what is odd about the names, one line each; empty if nothing is."""
        found = []
        seen: dict[str, str] = {}
        for item in self.classes:
            folded = unicodedata.normalize("NFKC", item.name).casefold().strip()
            if folded in seen:
                found.append(f"class names {seen[folded]!r} and {item.name!r} look alike")
            seen.setdefault(folded, item.name)
            if item.name.lstrip().lstrip("'").startswith(FORMULA_STARTS) or any(
                char in item.name for char in "<>\r\n\t"
            ):
                found.append(f"class name {item.name!r} holds characters that other programs may act upon")
        return found

    def __iter__(self) -> Iterator[LabelClass]:  # type: ignore[override]
        """Iterate over the classes in their order."""
        return iter(self.classes)

    def __len__(self) -> int:
        """Return the number of classes, background included."""
        return len(self.classes)

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids in the order of the classes."""
        return tuple(c.id for c in self.classes)

    @property
    def foreground(self) -> tuple[LabelClass, ...]:
        """The classes without the background."""
        return tuple(c for c in self.classes if c.id != 0)

    @property
    def background(self) -> LabelClass:
        """The class with id 0."""
        return next(c for c in self.classes if c.id == 0)

    def by_id(self, class_id: int) -> LabelClass | None:
        """Return the class with this id, or None."""
        return next((c for c in self.classes if c.id == class_id), None)

    def by_name(self, name: str) -> LabelClass | None:
        """Return the class with this name, or None."""
        return next((c for c in self.classes if c.name == name), None)

    def name_of(self, class_id: int) -> str:
        """Return the name of an id, or ``"label <id>"`` where the map does not have it."""
        found = self.by_id(class_id)
        return found.name if found else f"label {class_id}"

    @property
    def label_dtype(self) -> np.dtype[Any]:
        """uint8 if every id fits, else uint16."""
        import numpy as np

        return np.dtype(np.uint8 if max(self.ids) < 256 else np.uint16)

    def palette(self) -> NDArray[np.uint8]:
        """Return colours by id: (largest id + 1, 3) uint8, black where the map has no class."""
        import numpy as np

        table = np.zeros((max(self.ids) + 1, 3), np.uint8)
        for item in self.classes:
            table[item.id] = item.rgb
        return table

    def strangers(self, ids: NDArray[np.integer[Any]]) -> list[int]:
        """Return those of `ids` that the map does not have, sorted."""
        import numpy as np

        return sorted(set(np.asarray(ids).ravel().tolist()) - set(self.ids))

    @classmethod
    def of_ids(cls, ids: NDArray[np.integer[Any]] | list[int]) -> Self:
        """Make a map, ``label 1``, ``label 2`` and so on, for label values that came without one.

        Parameters
        ----------
        ids : array or list of int
            The values that occur; 0 is added if absent.

        Returns
        -------
        ClassMap
            With distinct colours that are the same for the same id every time.
        """
        import numpy as np

        wanted = sorted({int(i) for i in np.asarray(ids).ravel()} | {0})
        taken = {"#000000"}
        classes = [LabelClass(id=0, name="background", color="#000000")]
        for class_id in wanted[1:]:
            color = free_color(None, class_id, taken)
            taken.add(color)
            classes.append(LabelClass(id=class_id, name=f"label {class_id}", color=color))
        return cls(classes=tuple(classes))


def default_color(class_id: int) -> str:
    """Return a bright colour for an id; neighbouring ids get hues far apart (golden-ratio steps)."""
    import colorsys

    hue = (class_id * 0.61803398875) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.65 + 0.3 * (class_id % 2), 0.95 - 0.2 * (class_id % 3) / 2)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def free_color(wanted: object, class_id: int, taken: Collection[str]) -> str:
    """Return a colour that no class has yet: the one that is wanted, else one for the id.

    Parameters
    ----------
    wanted : object
        ``#rrggbb``, if it is a colour.
    class_id : int
    taken : collection of str
        Small letters.

    Returns
    -------
    str
    """
    text = str(wanted).lower()
    color = text if re.fullmatch(r"#[0-9a-f]{6}", text) else default_color(class_id)
    while color in taken:  # 24 bits are few enough for two ids to meet
        color = f"#{(int(color[1:], 16) + 1) % 0x1000000:06x}"
    return color


def _refuse_twice(what: str, values: list[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"the {what} {value!r} occurs twice")
        seen.add(value)


def _preset(*rows: tuple[str, str]) -> ClassMap:
    return ClassMap(
        classes=tuple(LabelClass(id=i, name=name, color=color) for i, (name, color) in enumerate(rows))
    )


PRESETS: dict[str, ClassMap] = {
    # The twelve traits and colours of the BGNN fish trait model; channel order is id order.
    "fish-traits": _preset(
        ("background", "#000000"),
        ("dorsal fin", "#fe0000"),
        ("adipose fin", "#00fe00"),
        ("caudal fin", "#0000fe"),
        ("anal fin", "#fefe00"),
        ("pelvic fin", "#00fefe"),
        ("pectoral fin", "#fe00fe"),
        ("head", "#fefefe"),
        ("eye", "#00fe66"),
        ("caudal fin ray", "#fe6666"),
        ("alt fin ray", "#fe66cc"),
        ("alt fin spine", "#fecc66"),
        ("trunk", "#007c7c"),
    ),
    "specimen": _preset(("background", "#000000"), ("specimen", "#3cb44b")),
    "nuclei": _preset(("background", "#000000"), ("nucleus", "#ff7f0e")),
    # Ids and names are those of the beetles9 labels; the colours are lighter than that data set's,
    # which are too dark to tell apart on a photograph of a black beetle.
    "beetle-parts": _preset(
        ("background", "#000000"),
        ("head", "#e6194b"),
        ("eyes", "#ffe119"),
        ("mouthparts", "#f032e6"),
        ("pronotum", "#f58231"),
        ("elytra", "#4363d8"),
        ("tail", "#46f0f0"),
        ("legs", "#3cb44b"),
        ("antennas", "#bfef45"),
        ("pin", "#fabed4"),
    ),
}
"""The class maps that come with the plugin, by name."""
