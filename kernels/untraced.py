"""Functions that `torch.compile` calls and does not trace into."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def untraced(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that compiled code is to call as it stands: the graph breaks there, and nothing else does.

    For what a tracer gets wrong: a probe of an operation that is cached, one whose stand-in for tracing refuses what
    the operation itself takes, sizes that are data. Differs from `torch.compiler.disable`, which loads the compiler
    (seconds) when the module is imported: here only a function that is being traced asks for it.
    """

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling():
            return torch.compiler.disable(function)(*args, **kwargs)
        return function(*args, **kwargs)

    return called
