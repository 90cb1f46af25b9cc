"""Names of the user's own code: ``package.module:Name``, found by importing the module."""

import importlib
import pkgutil
import sys
from types import ModuleType
from typing import Any

from runs.config.problems import nearest
from runs.errors import RAISED, ConfigError, told
from runs.machine.imports import check_named, with_imports


def imported(path: str, setting: str) -> Any:
    """Import what ``package.module:Name`` names.

    Parameters
    ----------
    path
        The import path; ``Name`` is an attribute of the module.
    setting
        The setting that holds it, for messages: ``"task.name"``.

    Raises
    ------
    ConfigError
        If the path has another form, there is no such module or attribute, importing the module raises, or it loads
        another one that its source does not name.
    """
    module_name, _, attribute = path.partition(":")
    parts = [*module_name.split("."), attribute]
    if not all(part.isidentifier() for part in parts):
        raise ConfigError(f"{setting} is {path!r}; an import path has the form 'package.module:Name'")
    module = _module(module_name, path, setting)
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise ConfigError(
            f"{setting} is {path!r}, but the module {module_name!r} has no {attribute!r}"
            f"{nearest(attribute, public)}"
        )
    return getattr(module, attribute)


def _module(name: str, path: str, setting: str) -> ModuleType:
    before = frozenset(sys.modules)
    module = _imported(name, path, setting)
    if name not in before:
        check_named(with_imports([name]), before)
    return module


def _imported(name: str, path: str, setting: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if missing == name or name.startswith(f"{missing}."):
            raise ConfigError(
                f"{setting} is {path!r}, but there is no module {missing!r} on Python's path"
                f"{nearest(missing, _siblings(missing))}"
            ) from None
        raise ConfigError(f"{setting} is {path!r}, whose module needs {missing!r}: install it") from error
    except RAISED as error:
        raise ConfigError(f"{setting} is {path!r}, but importing its module raised {told(error)}") from error


def _siblings(name: str) -> list[str]:
    """List the modules that lie where this one was looked for."""
    parent, _, _ = name.rpartition(".")
    if not parent:
        return [module.name for module in pkgutil.iter_modules()]
    places = getattr(importlib.import_module(parent), "__path__", [])
    return [f"{parent}.{module.name}" for module in pkgutil.iter_modules(places)]
