"""The public names of a package, each imported when it is first used (PEP 562).

A package lists them once, in its ``__init__``, as imports that type checkers and editors follow but Python does not
execute (``as`` marks a name as public for them):

    if TYPE_CHECKING:
        from organisms.experts.config import MoEConfig as MoEConfig
    else:
        __all__, __getattr__, __dir__ = exports(__name__)

So ``import organisms.experts`` loads none of these modules, and ``from organisms.experts import MoEConfig`` loads one.
"""

import ast
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

from kernels.suggestion import did_you_mean

Exports: TypeAlias = tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]


def exports(package: str) -> Exports:
    """Return ``__all__``, ``__getattr__`` and ``__dir__`` for a package that is being imported.

    The public names are those that ``from module import Name as Name`` binds in an ``if TYPE_CHECKING:`` block of its
    source. A name that is not among them raises an AttributeError that lists them and suggests the nearest.
    """
    module = sys.modules[package]
    modules = _public_names(inspect.getsource(module))

    def get(name: str) -> Any:
        if name not in modules:
            public = f"has no attribute {name!r}; its public names are {', '.join(modules)}"
            raise AttributeError(f"module {package!r} {public}{did_you_mean(name, modules)}")
        value = getattr(importlib.import_module(modules[name]), name)
        setattr(module, name, value)  # from here on it is found without this function
        return value

    def names() -> list[str]:
        return sorted({*vars(module), *modules})

    return list(modules), get, names


def _public_names(source: str) -> dict[str, str]:
    """Return the public names in alphabetical order, each with its module."""
    blocks = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    imports = [
        (alias.name, statement.module)
        for block in blocks
        if ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom) and statement.module
        for alias in statement.names
        if alias.asname == alias.name
    ]
    return dict(sorted(imports))
