"""Values read back from JSON by the types of their fields, each checked: its kind, its range, its length.

A reader takes what JSON has (`qd.canonical`) and returns the value or raises a `ValueError` that says where in the
value it is wrong. Nothing is converted that canonical JSON would have written otherwise.
"""

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from qd.canonical import LATER, NON_FINITE

T = TypeVar("T")
Reader = Callable[[Any], Any]

LARGEST = 1e150  # in size, of what is drawn or compared: squares of it are still finite
LONGEST_TEXT = 10_000  # characters
LONGEST_LIST = 100_000  # items
LARGEST_COUNT = 2**63 - 1  # what SQLite and NumPy hold
_SHOWN = 40  # characters of a value that is wrong


@dataclass(frozen=True, slots=True)
class Within:
    """The finite range of a number."""

    low: float
    high: float


Share = Annotated[float, Within(0.0, 1.0)]
Finite = Annotated[float, Within(-LARGEST, LARGEST)]
Positive = Annotated[float, Within(0.0, LARGEST)]


@cache
def reader(kind: Any) -> Reader:
    """Return the reader of a type: of a number, a text, a tuple, a choice, a dataclass, or one of these or None.

    Raises
    ------
    TypeError
        If values of the type are not read.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if origin is Annotated:
        return _within(reader(parts[0]), parts[1])
    if origin is Literal:
        return _choice(parts)
    if origin in (Union, types.UnionType):
        return _or_none(*(part for part in parts if part is not types.NoneType))
    if origin is tuple:
        return _many(reader(parts[0])) if parts[1:] == (...,) else _each(parts, lambda *items: items)
    if isinstance(kind, type) and issubclass(kind, tuple):  # a named one
        return _each(tuple(get_type_hints(kind).values()), kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return _object(kind)
    raise TypeError(f"values of {kind} are not read back")


def _number(value: Any) -> float:
    if isinstance(value, str) and value in NON_FINITE:
        return NON_FINITE[value]
    if (type(value) is float and math.isfinite(value)) or (
        type(value) is int and abs(value) <= LARGEST_COUNT
    ):
        return float(value)
    raise _wrong(value, "a number")


def _count(value: Any) -> int:
    if type(value) is int and 0 <= value <= LARGEST_COUNT:
        return value
    raise _wrong(value, f"a whole number from 0 to {LARGEST_COUNT}")


def _flag(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise _wrong(value, "true or false")


def _text(value: Any) -> str:
    if type(value) is str and len(value) <= LONGEST_TEXT:
        # Half a character, which JSON can hold, becomes a question mark: it can be neither printed nor a column.
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    raise _wrong(value, f"a text of at most {LONGEST_TEXT} characters")


_SIMPLE: Mapping[Any, Reader] = {float: _number, int: _count, bool: _flag, str: _text}


def _within(read: Reader, bounds: Within) -> Reader:
    def ranged(value: Any) -> Any:
        found = read(value)
        if bounds.low <= found <= bounds.high:
            return found
        raise _wrong(value, f"from {bounds.low:g} to {bounds.high:g}")

    return ranged


def _choice(known: tuple[Any, ...]) -> Reader:
    def choice(value: Any) -> Any:
        if isinstance(value, str) and value in known:
            return value
        raise _wrong(value, f"one of {', '.join(known)}")

    return choice


def _or_none(kind: Any) -> Reader:
    read = reader(kind)
    return lambda value: None if value is None else read(value)


def _many(read: Reader) -> Reader:
    def many(value: Any) -> tuple[Any, ...]:
        return tuple(_item(read, index, item) for index, item in enumerate(_list(value)))

    return many


def _each(kinds: tuple[Any, ...], make: Callable[..., Any]) -> Reader:
    readers = tuple(reader(kind) for kind in kinds)

    def each(value: Any) -> Any:
        if len(_list(value)) != len(readers):
            raise _wrong(value, f"a list of {len(readers)}")
        return make(
            *(_item(read, index, item) for index, (read, item) in enumerate(zip(readers, value, strict=True)))
        )

    return each


def _object(kind: Any) -> Reader:
    hints = get_type_hints(kind, include_extras=True)
    known = [(each.name, reader(hints[each.name]), bool(each.metadata.get(LATER))) for each in fields(kind)]

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _wrong(value, "an object")
        found = {}
        for name, of_field, later in known:
            if name in value:
                try:
                    found[name] = of_field(value[name])
                except ValueError as error:
                    raise ValueError(f"{name}{_deeper(error)}") from None
            elif not later:
                raise ValueError(f"{name} is missing")
        return kind(**found)

    return read


def _list(value: Any) -> list[Any]:
    if isinstance(value, list) and len(value) <= LONGEST_LIST:
        return value
    raise _wrong(value, f"a list of at most {LONGEST_LIST}")


def _item(read: Reader, index: int, value: Any) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"[{index}]{_deeper(error)}") from None


def _wrong(value: Any, wanted: str) -> ValueError:
    return ValueError(f" is {_shown(value)} and must be {wanted}")


def _shown(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    if isinstance(value, int) and abs(value) > LARGEST_COUNT:
        return "a number of more than 63 bits"
    text = repr(value[:_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _deeper(error: ValueError) -> str:
    """Return what comes after the name of a field: a space belongs before a word, none before a place within it."""
    text = str(error)
    return text if text[:1] in " [" else f".{text}"
