"""What a pickle becomes here: plain values, and records of what it would have named, called and stored.

A record does nothing. A `Name` is two strings, a `Call` is the note that a file asked for a function to be
called, a `Storage` says where numbers lie in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Value: TypeAlias = Any
"""None, bool, int, float, str, bytes, tuple, list, or one of the records below."""


@dataclass(frozen=True, slots=True)
class Name:
    """A global that a pickle names, such as ``collections.OrderedDict``; never looked up."""

    module: str
    name: str

    @property
    def dotted(self) -> str:
        """Module and name as one would write them."""
        return f"{self.module}.{self.name}"

    def __str__(self) -> str:
        """Return the dotted name; where letters only look like ASCII, also what they are."""
        text = self.dotted
        return text if text.isascii() else f"{text} ({ascii(text)[1:-1]})"


@dataclass(slots=True, eq=False)
class Call:
    """A call that a pickle asks for, and what it would have done to the result.

    Parameters
    ----------
    function : Name or Value
        What would be called; anything but a `Name` is the result of another record.
    args : tuple
    kwargs : Table, optional
    state : Value
        What would have been given to ``__setstate__`` or ``__dict__``; None if nothing was.
    items : list
        What would have been appended.
    pairs : list of tuple
        Keys and values that would have been set.
    """

    function: Value
    args: tuple[Value, ...] = ()
    kwargs: Value = None
    state: Value = None
    items: list[Value] = field(default_factory=list)
    pairs: list[tuple[Value, Value]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The dotted name of what would be called; empty if it is no name."""
        return self.function.dotted if isinstance(self.function, Name) else ""


@dataclass(slots=True, eq=False)
class Table:
    """A dictionary, ordered or not. Keys may be records, so they are kept in pairs and never hashed.

    Parameters
    ----------
    pairs : list of tuple
        In the order of the file; of equal keys the last one counts.
    state : Value
        Attributes of an ordered dictionary, such as the metadata of a state dict.
    """

    pairs: list[tuple[Value, Value]] = field(default_factory=list)
    state: Value = None

    def texts(self) -> dict[str, Value]:
        """Return those entries whose keys are text."""
        return {key: value for key, value in self.pairs if isinstance(key, str)}

    def get(self, key: str) -> Value:
        """Return the value of a key that is text; None if there is none."""
        return next(
            (value for name, value in reversed(self.pairs) if isinstance(name, str) and name == key), None
        )

    def values(self) -> Iterator[Value]:
        """Iterate over all values."""
        return (value for _, value in self.pairs)


@dataclass(slots=True, eq=False)
class Group:
    """A set; members may be records."""

    items: list[Value] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Storage:
    """A row of numbers in the file, or a part of one.

    Parameters
    ----------
    dtype : str
        As torch calls it: ``float32``, ``int64``; ``bytes`` where only the tensor knows.
    key : str
        Under which the file has it.
    numel : int
        Of the whole row (bytes where the type is ``bytes``).
    offset : int
        Where this part begins, in elements.
    """

    dtype: str
    key: str
    numel: int
    offset: int = 0


def state_table(value: Value) -> Table | None:
    """Return the attributes of an object record, also where slots come with them."""
    state = value.state if isinstance(value, Call) else None
    if isinstance(state, tuple) and len(state) == 2:
        state = state[0]
    return state if isinstance(state, Table) else None
