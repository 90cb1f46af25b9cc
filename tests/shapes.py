"""Checks the shapes and dtypes in the signatures of the packages while tests run.

Only annotations with an array type of jaxtyping are checked: the others are mypy's business, and a test may
pass a stand-in for them.
"""

from collections.abc import Callable
from typing import Any, get_args

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray

INTS_ARE_FLOATS = BeartypeConf(is_pep484_tower=True)


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function in a check of those arguments and results that have a shape."""
    hints = {name: hint for name, hint in function.__annotations__.items() if has_shape(hint)}
    if not hints:
        return function
    function.__annotations__ = hints
    return beartype(function, conf=INTS_ARE_FLOATS)


def has_shape(hint: Any) -> bool:
    """Say whether an array type of jaxtyping is somewhere in an annotation."""
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    inner = hint if isinstance(hint, list) else get_args(hint)  # a list: the arguments of a Callable
    return any(has_shape(part) for part in inner)
