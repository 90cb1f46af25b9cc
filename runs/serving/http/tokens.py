"""Tokens of a request as the model reads them, and back: symbols, numbers, vectors of numbers."""

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from runs.config.problems import shown
from runs.models.signature import Signature
from runs.serving.generation import Refused, Token

TOO_LARGE = 413


def tokens_of(
    values: Sequence[Any], signature: Signature, most: int, name: str = "tokens"
) -> tuple[Token, ...]:
    """Return the tokens of a request.

    Parameters
    ----------
    values
        As JSON has them.
    signature
        Of the model: whole numbers in [0, features); or vectors of `features` numbers, or numbers where that is 1.
    most
        Tokens that are taken.
    name
        What sentences call them.

    Raises
    ------
    Refused
        For the first that is no token of the model; if they are too many, or none.
    """
    if not values:
        raise Refused(422, f"{name} must be at least one token")
    if len(values) > most:
        raise Refused(TOO_LARGE, f"{name} are {len(values)}, but at most {most} are read")
    read = _symbol if signature.tokens == "discrete" else _vector
    return tuple(read(value, signature.features, f"{name}[{at}]") for at, value in enumerate(values))


def plain(tokens: Sequence[Token], *, flat: bool) -> list[Any]:
    """Return tokens as JSON has them: `flat` numbers where a vector has one, as the client sent them."""
    return [
        token if isinstance(token, int) else _short(token[0]) if flat else [_short(each) for each in token]
        for token in tokens
    ]


def _short(number: float) -> float:
    """Return the number of the fewest digits that is the same in float32: 0.1 comes back as it was sent."""
    return float(str(np.float32(number)))


def is_flat(values: Sequence[Any]) -> bool:
    """Whether tokens were sent as numbers, and not as vectors."""
    return not isinstance(values[0], list)


def _symbol(value: Any, vocabulary: int, where: str) -> int:
    if type(value) is not int or not 0 <= value < vocabulary:
        raise Refused(
            422, f"{where} must be a symbol, a whole number from 0 to {vocabulary - 1}, not {_told(value)}"
        )
    return value


def _vector(value: Any, features: int, where: str) -> tuple[float, ...]:
    numbers = [value] if features == 1 and not isinstance(value, list) else value
    if not isinstance(numbers, list) or len(numbers) != features:
        wanted = "a number" if features == 1 else f"a list of {features} numbers"
        raise Refused(422, f"{where} must be {wanted}, not {_told(value)}")
    return tuple(_number(number, where) for number in numbers)


def _number(value: Any, where: str) -> float:
    """Return a number as float32 has it."""
    if type(value) not in (int, float):
        raise Refused(422, f"{where} must hold numbers, not {_told(value)}")
    try:
        (single,) = struct.unpack("f", struct.pack("f", value))
    except (OverflowError, struct.error):
        single = math.inf
    if not math.isfinite(single):
        raise Refused(422, f"{where} must be finite in float32, up to 3.4e38, and {_told(value)} is not")
    return float(single)


def _told(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else shown(value)
