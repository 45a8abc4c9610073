"""Options that several commands share, and options made from the fields of a settings object."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

import click

from ..batch.commands import option_name

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from ..core.image import PixelSize

Command = TypeVar("Command", bound=Callable[..., Any])

if TYPE_CHECKING:
    _Type: TypeAlias = click.ParamType[Any]
else:  # older versions of click know no type arguments
    _Type = click.ParamType

as_json = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the results for machines: one JSON object, and nothing else.",
)

output_folder = click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the results.",
)

overwrite = click.option("--overwrite", is_flag=True, help="Replace results that exist.")


def images(text: str) -> Callable[[Command], Command]:
    """Return the option for the folder of the pictures."""
    return click.option(
        "--images",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        metavar="DIR",
        help=text,
    )


def class_map(
    text: str = "Names of the classes, instead of those in the label files.",
) -> Callable[[Command], Command]:
    """Return the option for a file of classes."""
    return click.option(
        "--class-map",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE",
        help=text,
    )


def inputs(metavar: str) -> Callable[[Command], Command]:
    """Return the argument for files, folders and globs; at least one."""
    return click.argument("inputs", metavar=f"{metavar}...", nargs=-1, required=True)


class PixelSizeType(_Type):
    """The edge of a pixel, or height x width where pixels are not square: ``0.02``, ``0.02x0.03``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> PixelSize:
        """Return a number, or (height, width)."""
        try:
            sizes = tuple(float(part) for part in str(value).split("x"))
        except ValueError:
            sizes = ()
        if len(sizes) not in (1, 2) or not all(math.isfinite(size) and size > 0 for size in sizes):
            self.fail(f"{value!r} is not a pixel size; give a number above zero, such as 0.02", param, ctx)
        return sizes[0] if len(sizes) == 1 else (sizes[0], sizes[1])


class UnitType(_Type):
    """A unit of length, however it is spelled."""

    name = "unit"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the one spelling that is used throughout."""
        from ..core.image import unit_name

        try:
            unit = unit_name(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if unit == "pixel":
            self.fail("give a unit of length: nm, um, mm, cm, m or inch", param, ctx)
        return unit


pixel_size = click.option(
    "--pixel-size",
    type=PixelSizeType(),
    metavar="F",
    help="Edge of a pixel, instead of what the file says; with --unit. "
    "Where pixels are not square: height x width, such as 0.02x0.03.",
)


def unit(text: str) -> Callable[[Command], Command]:
    """Return the option for the unit."""
    return click.option("--unit", type=UnitType(), metavar="UNIT", help=text)


def refuse_unit_alone(pixel_size: PixelSize | None, unit: str | None, *, unit_may_stand_alone: bool) -> None:
    """Refuse a pixel size without its unit: a guess would be wrong by a thousand.

    Raises
    ------
    click.UsageError
        If one of the two is missing.
    """
    if pixel_size is not None and unit is None:
        raise click.UsageError("--pixel-size needs its unit; add --unit mm (or um, cm, ...)")
    if unit is not None and pixel_size is None and not unit_may_stand_alone:
        raise click.UsageError("--unit is the unit of --pixel-size; give both")


def from_settings(
    settings: type[BaseModel], *, leave_out: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Return a decorator that gives a command one option for each field of a settings object.

    Choices, bounds, help and defaults are those of the field, as they are in the dock.

    Parameters
    ----------
    settings : type of pydantic.BaseModel
    leave_out : collection of str
        Fields that get no option.

    Returns
    -------
    callable
    """

    def decorate(command: Command) -> Command:
        for name, field in reversed(settings.model_fields.items()):
            if name not in leave_out:
                command = _option(name, field)(command)
        return command

    return decorate


def _option(name: str, field: FieldInfo) -> Callable[[Command], Command]:
    kind = _click_type(field)
    if kind is bool:
        return click.option(
            option_name(name), name, is_flag=True, default=field.default, help=field.description
        )
    return click.option(
        option_name(name),
        name,
        type=kind,
        default=field.default,
        show_default=field.default is not None,
        metavar=_METAVARS.get(type(kind)),
        help=field.description,
    )


_METAVARS: dict[type, str] = {click.IntRange: "N", click.FloatRange: "F"}


def _click_type(field: FieldInfo) -> Any:
    annotation = field.annotation
    if get_origin(annotation) in (UnionType, Union):
        annotation = next(part for part in get_args(annotation) if part is not NoneType)
    if get_origin(annotation) is Literal:
        return click.Choice([str(choice) for choice in get_args(annotation)])
    bounds = {
        key: getattr(item, key)
        for item in field.metadata
        for key in ("gt", "ge", "lt", "le")
        if hasattr(item, key)
    }
    kinds: dict[Any, Any] = {int: click.IntRange, float: click.FloatRange}
    if annotation in kinds:
        return kinds[annotation](
            min=bounds.get("gt", bounds.get("ge")),
            max=bounds.get("lt", bounds.get("le")),
            min_open="gt" in bounds,
            max_open="lt" in bounds,
        )
    return annotation
