"""What the user's modules import of what is not installed: source that a run depends on as much as on theirs.

It is read off the source, so that what a function imports when it is called counts too, and the answer is the same in
every process, whatever was loaded there before. Nothing is imported.
"""

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator, Set
from functools import cache
from pathlib import Path

from runs.errors import INSTALLED, ConfigError
from runs.machine.source_digest import PACKAGES

_STANDARD = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))


def with_imports(modules: Iterable[str]) -> tuple[str, ...]:
    """Return the top-level names of modules and of all that they import, directly or not, of the user's own.

    Parameters
    ----------
    modules
        Names such as ``"package.module"``; they count wherever they lie.
    """
    waiting = [prefix for name in sorted(modules) for prefix in _prefixes(name)]
    found, seen = {_top(name) for name in waiting}, set(waiting)
    while waiting:
        for name in _imported(waiting.pop()):
            for prefix in _prefixes(name):
                if prefix not in seen and is_users(prefix):
                    seen.add(prefix)
                    found.add(_top(prefix))
                    waiting.append(prefix)
    return tuple(sorted(found))


def is_users(name: str) -> bool:
    """Return whether there is a module of this name that is neither Python's, nor installed, nor one of ours."""
    top = _top(name)
    if top in PACKAGES or top in sys.stdlib_module_names:
        return False
    file, _ = _found(name) or (None, [])
    if file is None:  # there is none, or but a folder, such as one of results, that is called like a module
        return False
    outermost, folders = _found(top) or (None, [])
    places = [folder.parent for folder in folders] or ([outermost.parent] if outermost else [])
    return bool(places) and not any(_is_installed(place) for place in places)


def check_named(modules: Collection[str], before: Set[str]) -> None:
    """Refuse modules of the user's own that were loaded by others and are not among what those import.

    Parameters
    ----------
    modules
        What `with_imports` returned; where it is empty nothing is looked at.
    before
        Names of all modules that were loaded before those were.

    Raises
    ------
    ConfigError
        Naming the first one.
    """
    for name in sorted(sys.modules.keys() - before) if modules else ():
        if _top(name) not in modules and is_users(name):
            raise ConfigError(
                f"the module {name!r} was loaded by {', '.join(modules)} under a name that is computed, so that its "
                "source would be no part of the run; name it in an import statement there"
            )


def _top(name: str) -> str:
    return name.partition(".")[0]


@cache
def _is_installed(place: Path) -> bool:
    """Return whether modules in a folder are Python's own or came with an installer, which keeps notes there."""
    return (
        place.name in INSTALLED
        or any(place.is_relative_to(standard) for standard in _STANDARD)
        or any(place.glob("*.dist-info"))
    )


def _prefixes(name: str) -> list[str]:
    """Return ``a``, ``a.b`` and ``a.b.c`` for ``a.b.c``: all are imported with it."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _found(name: str) -> tuple[Path | None, list[Path]] | None:
    """Find the file of a module, if it has one, and the folders in which modules lie that are within it.

    `importlib.util.find_spec` would import the packages that it is in.
    """
    top, *inner = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module that was not loaded from a file, such as __main__
        return None
    if spec is None or spec.name != top:  # what __main__ is called besides
        return None
    file = Path(spec.origin) if spec.has_location and spec.origin else None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    for part in inner:
        packages = [folder / part for folder in folders if (folder / part).is_dir()]
        files = [package / "__init__.py" for package in packages]
        files += [folder / f"{part}.py" for folder in folders]
        file = next((file for file in files if file.is_file()), None)
        folders = [file.parent] if file and file.name == "__init__.py" else [] if file else packages
        if file is None and not folders:
            return None
    return file, folders


def _imported(name: str) -> Iterator[str]:
    """Yield the absolute names of all that may be modules in the import statements of a module."""
    file, folders = _found(name) or (None, [])
    if file is not None and file.suffix == ".py":
        yield from _statements(file, name if folders else name.rpartition(".")[0])


def _statements(file: Path, package: str) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # whoever imports it will hear of it
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = _absolute(module or "", level, package)
                yield base
                yield from (f"{base}.{each.name}" for each in names)
            case ast.Call(
                func=ast.Name(id=called) | ast.Attribute(attr=called),
                args=[ast.Constant(value=str(text)), *_],
            ):
                if called in ("import_module", "__import__"):
                    yield text


def _absolute(module: str, level: int, package: str) -> str:
    outer = package.split(".")[: len(package.split(".")) - level + 1] if level else []
    return ".".join([*outer, *([module] if module else [])])
