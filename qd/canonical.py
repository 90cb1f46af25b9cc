"""Canonical JSON: the one text of a value that digests are taken of and that the journal stores.

Keys sorted, no spaces, ASCII, floats by ``repr``, ``-0.0`` made ``0.0``, non-finite floats as the
strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``. Equal values give equal bytes on every machine;
nothing is ever hashed through pickle.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
# Metadata key of a dataclass field that came later: it is left out while it has its default, so that values
# without it keep the text, and the digests, that they had before.
LATER = "later"
_PLAIN = frozenset({type(None), bool, int, str})  # types whose values are plain already
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def plain(value: Any) -> Any:
    """Reduce a value to what JSON has: dict, list, str, int, float, bool and None.

    Dataclasses become objects by field name, NumPy scalars Python numbers, tuples and arrays lists.
    Named tuples become lists: a component id is ``[organism, born, slot]``.

    Raises
    ------
    TypeError
        For anything without an order of its own (a set, say) or without a meaning in JSON.
    """
    return _form(type(value))(value)  # type: ignore[arg-type]  # mypy does not know that types are hashable


@cache
def _form(kind: type) -> Callable[[Any], Any]:
    """Return the function that reduces values of a type."""
    if dataclasses.is_dataclass(kind):
        fields = dataclasses.fields(kind)
        names = tuple(field.name for field in fields)
        later = {field.name: field.default for field in fields if field.metadata.get(LATER)}
        return lambda value: {
            name: item if type(item := getattr(value, name)) in _PLAIN else plain(item)
            for name in names
            if name not in later or getattr(value, name) != later[name]
        }
    if issubclass(kind, np.generic):
        return lambda value: plain(value.item())
    if issubclass(kind, np.ndarray):
        return lambda value: plain(value.tolist())
    forms: Mapping[Any, Callable[[Any], Any]] = {
        (type(None), bool, str): lambda value: value,
        int: int,
        float: _float,
        Mapping: _mapping,
        (list, tuple): lambda value: [item if type(item) in _PLAIN else plain(item) for item in value],
    }
    for kinds, form in forms.items():
        if issubclass(kind, kinds):
            return form
    raise TypeError(f"canonical JSON has no form for {kind.__name__}; use numbers, strings, lists, dicts")


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return value + 0.0  # turns -0.0 into 0.0
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    if not all(isinstance(key, str) for key in value):
        raise TypeError(f"canonical JSON needs string keys; {value!r} has others")
    return {key: plain(item) for key, item in value.items()}


def canonical(value: Any) -> str:
    """Return the canonical JSON of a value."""
    return written(plain(value))


def written(value: Any) -> str:
    """Return the canonical JSON of a value that `plain` has reduced."""
    return _ENCODER.encode(value)


def number(value: float | str) -> float:
    """Read a float back from canonical JSON, where non-finite ones are strings."""
    return NON_FINITE[value] if isinstance(value, str) else float(value)


def sha256(data: bytes | str) -> str:
    """Return the SHA-256 of bytes (or of a text in ASCII) as 64 hexadecimal digits."""
    return hashlib.sha256(data.encode("ascii") if isinstance(data, str) else data).hexdigest()
