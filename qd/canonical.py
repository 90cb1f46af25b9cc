"""One text per value: the JSON that digests are taken of and that the journal stores.

Keys sorted, no spaces, ASCII, floats by ``repr``, ``-0.0`` made ``0.0``, non-finite floats as the
strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``. Equal values give equal bytes on every machine;
nothing is ever hashed through pickle.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

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
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _plain_float(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("canonical JSON needs string keys; " f"{value!r} has others")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    raise TypeError(f"canonical JSON has no form for {type(value).__name__}; use numbers, strings, lists, dicts")


def _plain_float(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value + 0.0  # turns -0.0 into 0.0


def canonical(value: Any) -> str:
    """Write the canonical JSON of a value."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def number(value: float | str) -> float:
    """Read a float back from canonical JSON, where non-finite ones are strings."""
    return NON_FINITE[value] if isinstance(value, str) else float(value)


def sha256(data: bytes | str) -> str:
    """Give the SHA-256 of bytes (or of a text in ASCII) as 64 hexadecimal digits."""
    return hashlib.sha256(data.encode("ascii") if isinstance(data, str) else data).hexdigest()
