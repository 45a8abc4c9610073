"""A pickle interpreter that imports nothing and calls nothing.

Opcodes are decoded with the tables of the standard library's `pickletools` and carried out on a stack of
plain values. Where Python's own unpickler would import a global, a `Name` is put on the stack; where it
would call something, a `Call`. Every loop is bounded by the number of opcodes, every length by what is left
of the file.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable
from typing import Any

from ...core.errors import one_line
from .findings import Findings, PickleError, from_outside
from .records import Call, Group, Name, Storage, Table, Value

MAX_PICKLE_BYTES = 64_000_000
"""The weights lie outside of the pickle; the largest honest ones seen have 2 MB."""

MAX_OPCODES = 1_000_000
"""A whole network of 2,000 layers with its optimizer needs about 300,000."""


def read_pickle(stream: io.BytesIO, findings: Findings) -> Value:
    """Interpret one pickle without importing or calling anything.

    Parameters
    ----------
    stream : io.BytesIO
        Left behind the pickle's end.
    findings : Findings
        Gets what would have been called.

    Returns
    -------
    Value

    Raises
    ------
    PickleError
        If the pickle is broken or beyond the bounds.
    """
    machine = _Machine(findings)
    try:
        return machine.run(stream)
    except (ValueError, IndexError, KeyError, OverflowError, TypeError, MemoryError, struct.error) as error:
        raise PickleError(f"the pickle in it is broken ({one_line(error, 120)})") from error


Handler = Callable[["_Machine", Any], None]

_CODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}

_PUSHED = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
"""Opcodes whose argument is the value."""

_HANDLERS: dict[str, Handler] = {}


def _handles(*names: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        _HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return keep


class _Machine:
    """The stack, the marks and the memo of one pickle."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.stack: list[Value] = []
        self.below: list[list[Value]] = []
        self.memo: dict[int, Value] = {}

    def run(self, stream: io.BytesIO) -> Value:
        for _ in range(MAX_OPCODES):
            opcode = _CODES.get(stream.read(1))
            if opcode is None:
                raise PickleError("the pickle in it ends too early, or is none")
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in ("GLOBAL", "INST"):  # pickletools reads these otherwise than the unpickler does
                argument: Any = Name(_line(stream), _line(stream))
            else:
                argument = opcode.arg.reader(stream) if opcode.arg is not None else None
            if name in _PUSHED:
                self.stack.append(argument)
                continue
            handler = _HANDLERS.get(name)
            if handler is None:
                raise PickleError(f"refused: the pickle in it uses {name}, which no model file does")
            handler(self, argument)
        raise PickleError(f"the pickle in it has more than {MAX_OPCODES} steps")

    def pop_mark(self) -> list[Value]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def pop_tuple(self) -> tuple[Value, ...]:
        args = self.stack.pop()
        if not isinstance(args, tuple):
            raise PickleError("the pickle in it calls something with no list of arguments")
        return args

    def push_call(self, function: Value, args: tuple[Value, ...], kwargs: Value = None) -> None:
        """Put on the stack what stands for a call."""
        if isinstance(function, Name) and function.dotted in _RECONSTRUCTORS and args:
            function, args = args[0], ()
        made: Table | Call | None = _plain_table(function, args) if kwargs is None else None
        if made is None:
            self.findings.note_call(function)
            made = Call(function, args, kwargs)
        self.stack.append(made)


_RECONSTRUCTORS = {"copyreg._reconstructor", "copy_reg._reconstructor"}
_TABLES = {"collections.OrderedDict", "builtins.dict", "__builtin__.dict"}


def _plain_table(function: Value, args: tuple[Value, ...]) -> Table | None:
    """Return the dictionary that a call stands for, if it is that."""
    if not isinstance(function, Name) or function.dotted not in _TABLES:
        return None
    if not args:
        return Table()
    pairs = args[0]
    if len(args) > 1 or not isinstance(pairs, list):
        return None
    if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        return None
    return Table([(pair[0], pair[1]) for pair in pairs])


def _line(stream: io.BytesIO) -> str:
    line = stream.readline(1000)
    if not line.endswith(b"\n"):
        raise PickleError("the pickle in it names something of endless length, or ends too early")
    return line[:-1].decode("utf-8", "surrogateescape")


# -- plain values ----------------------------------------------------------------------------------


@_handles("PROTO")
def _proto(_: _Machine, version: int) -> None:
    if version > 5:
        raise PickleError(f"the pickle in it has protocol {version}, newer than any known")


@_handles("FRAME")
def _nothing(_: _Machine, __: Any) -> None:
    """Frames only tell how to buffer."""


def _constant(value: Value) -> Handler:
    return lambda machine, _: machine.stack.append(value)


_HANDLERS.update({"NONE": _constant(None), "NEWTRUE": _constant(True), "NEWFALSE": _constant(False)})


# -- the stack and the memo ------------------------------------------------------------------------


@_handles("MARK")
def _mark(machine: _Machine, _: Any) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


@_handles("POP")
def _pop(machine: _Machine, _: Any) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


@_handles("POP_MARK")
def _pop_mark(machine: _Machine, _: Any) -> None:
    machine.pop_mark()


@_handles("DUP")
def _dup(machine: _Machine, _: Any) -> None:
    machine.stack.append(machine.stack[-1])


@_handles("PUT", "BINPUT", "LONG_BINPUT")
def _put(machine: _Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


@_handles("MEMOIZE")
def _memoize(machine: _Machine, _: Any) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


@_handles("GET", "BINGET", "LONG_BINGET")
def _get(machine: _Machine, index: int) -> None:
    machine.stack.append(machine.memo[index])


# -- containers ------------------------------------------------------------------------------------


@_handles("EMPTY_TUPLE")
def _empty_tuple(machine: _Machine, _: Any) -> None:
    machine.stack.append(())


@_handles("TUPLE")
def _tuple(machine: _Machine, _: Any) -> None:
    items = machine.pop_mark()
    machine.stack.append(tuple(items))


def _short_tuple(length: int) -> Handler:
    def handler(machine: _Machine, _: Any) -> None:
        if len(machine.stack) < length:
            raise IndexError("stack too short")
        machine.stack[-length:] = [tuple(machine.stack[-length:])]

    return handler


_HANDLERS.update({f"TUPLE{length}": _short_tuple(length) for length in (1, 2, 3)})


@_handles("EMPTY_LIST")
def _empty_list(machine: _Machine, _: Any) -> None:
    machine.stack.append([])


@_handles("LIST")
def _list(machine: _Machine, _: Any) -> None:
    items = machine.pop_mark()
    machine.stack.append(items)


@_handles("APPEND")
def _append(machine: _Machine, _: Any) -> None:
    item = machine.stack.pop()
    _items_of(machine.stack[-1]).append(item)


@_handles("APPENDS")
def _appends(machine: _Machine, _: Any) -> None:
    items = machine.pop_mark()
    _items_of(machine.stack[-1]).extend(items)


@_handles("EMPTY_SET")
def _empty_set(machine: _Machine, _: Any) -> None:
    machine.stack.append(Group())


@_handles("FROZENSET")
def _frozenset(machine: _Machine, _: Any) -> None:
    items = machine.pop_mark()
    machine.stack.append(Group(items))


@_handles("ADDITEMS")
def _add_items(machine: _Machine, _: Any) -> None:
    items = machine.pop_mark()
    group = machine.stack[-1]
    if not isinstance(group, Group):
        raise PickleError("refused: the pickle in it adds members to something that is no set")
    group.items.extend(items)


@_handles("EMPTY_DICT")
def _empty_dict(machine: _Machine, _: Any) -> None:
    machine.stack.append(Table())


@_handles("DICT")
def _dict(machine: _Machine, _: Any) -> None:
    items = machine.pop_mark()
    machine.stack.append(Table(_pairs(items)))


@_handles("SETITEM")
def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _pairs_of(machine.stack[-1]).append((key, value))


@_handles("SETITEMS")
def _set_items(machine: _Machine, _: Any) -> None:
    items = machine.pop_mark()
    _pairs_of(machine.stack[-1]).extend(_pairs(items))


def _pairs(items: list[Value]) -> list[tuple[Value, Value]]:
    if len(items) % 2:
        raise PickleError("the pickle in it has a key without a value")
    return list(zip(items[::2], items[1::2], strict=True))


def _items_of(value: Value) -> list[Value]:
    if isinstance(value, list):
        return value
    if isinstance(value, Call) and not _makes_tensor(value):
        return value.items
    raise PickleError("refused: the pickle in it appends to something that is no list")


def _pairs_of(value: Value) -> list[tuple[Value, Value]]:
    if isinstance(value, (Table, Call)) and not _makes_tensor(value):
        return value.pairs
    raise PickleError("refused: the pickle in it sets keys of something that is no dictionary")


def _makes_tensor(value: Value) -> bool:
    return isinstance(value, Call) and value.name.startswith("torch._utils._rebuild")


# -- what an unpickler would import and call ---------------------------------------------------------


@_handles("GLOBAL")
def _global(machine: _Machine, name: Name) -> None:
    machine.stack.append(name)


@_handles("STACK_GLOBAL")
def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise PickleError("refused: the pickle in it names something by other means than text")
    machine.stack.append(Name(module, name))


@_handles("REDUCE")
def _reduce(machine: _Machine, _: Any) -> None:
    args = machine.pop_tuple()
    machine.push_call(machine.stack.pop(), args)


@_handles("NEWOBJ")
def _new_object(machine: _Machine, _: Any) -> None:
    args = machine.pop_tuple()
    machine.push_call(machine.stack.pop(), args)


@_handles("NEWOBJ_EX")
def _new_object_ex(machine: _Machine, _: Any) -> None:
    kwargs = machine.stack.pop()
    args = machine.pop_tuple()
    empty = isinstance(kwargs, Table) and not kwargs.pairs
    machine.push_call(machine.stack.pop(), args, None if empty else kwargs)


@_handles("OBJ")
def _object(machine: _Machine, _: Any) -> None:
    function, *args = machine.pop_mark()
    machine.push_call(function, tuple(args))


@_handles("INST")
def _instance(machine: _Machine, name: Name) -> None:
    args = machine.pop_mark()
    machine.push_call(name, tuple(args))


@_handles("BUILD")
def _build(machine: _Machine, _: Any) -> None:
    state = machine.stack.pop()
    target = machine.stack[-1]
    if isinstance(target, Name):
        machine.findings.calls.setdefault(f"{target}.__setstate__", None)
    elif not isinstance(target, (Call, Table)) or _makes_tensor(target):
        raise PickleError("refused: the pickle in it sets the state of something that is no object")
    elif target.state is not None:
        raise PickleError("refused: the pickle in it sets the state of an object twice")
    else:
        target.state = state


@_handles("BINPERSID")
def _persistent(machine: _Machine, _: Any) -> None:
    found = from_outside(machine.stack.pop())
    if isinstance(found, Storage):
        machine.findings.note_storage(found)
    machine.stack.append(found)
