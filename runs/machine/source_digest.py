"""Digests of source code: part of what a run's numbers depend on, wherever the files lie."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path, PurePath

from runs.errors import RunError

PACKAGES = ("qd", "kernels", "organisms", "archive_store", "runs", "analysis")
ROOT = Path(__file__).parents[2]  # where they lie
SUFFIXES = (".py", ".yaml")


def source_digests(modules: Iterable[str]) -> dict[str, str]:
    """Hash the source of each module's top-level package, or of its one file.

    ``digest = sha256(canonical JSON of {relative name: sha256(bytes)})`` over the .py and .yaml files,
    with names such as ``runs/tasks/text.py``; neither the place of the package nor the order in which a
    file system lists it matters. Nothing is imported.

    Parameters
    ----------
    modules
        Names such as ``"qd"`` or ``"package.module"``; of the latter, all of ``package`` counts, because
        a module may use its neighbours.

    Returns
    -------
    dict
        Digest by top-level name, sorted.

    Raises
    ------
    RunError
        If a module is not on Python's path, or it has no source that can be read.
    """
    return {name: _digest(name) for name in sorted(_top_level(modules))}


def sources(modules: Iterable[str] = ()) -> list[Path]:
    """Return the folders (or single files) of the six packages and of these modules' top-level packages.

    Raises
    ------
    RunError
        If a module is not on Python's path.
    """
    return [place for name in sorted(_top_level([*PACKAGES, *modules])) for place in _places(name)]


def _top_level(modules: Iterable[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def _digest(name: str) -> str:
    from qd.canonical import (  # loads NumPy, which must come after runs.machine.settings.prepare
        canonical,
        sha256,
    )

    try:
        files = {
            relative.as_posix(): sha256(path.read_bytes())
            for place in _places(name)
            for relative, path in _files(name, place)
        }
    except OSError as error:
        raise RunError(
            f"the source of the module {name!r} cannot be read, but is part of a run: {error}"
        ) from None
    if not files:
        raise RunError(f"the module {name!r} has no .py file, but its source is part of a run")
    return sha256(canonical(files))


def _places(name: str) -> list[Path]:
    if name in PACKAGES:
        return [ROOT / name]
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # a module that was not loaded from a file, such as __main__
        spec = None
    if spec is None:
        raise RunError(f"there is no module {name!r} on Python's path, but its source is part of a run")
    if spec.submodule_search_locations is not None:
        return [Path(place) for place in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.has_location and spec.origin else []


def _files(name: str, place: Path) -> list[tuple[PurePath, Path]]:
    """Return the source files of a place, each with its name relative to where the module was found."""
    if place.is_file():
        return [(PurePath(place.name), place)] if place.suffix in SUFFIXES else []
    found = [path for path in place.rglob("*") if path.suffix in SUFFIXES and path.is_file()]
    named = [(PurePath(name) / path.relative_to(place), path) for path in found]
    return [(relative, path) for relative, path in named if not _hidden(relative)]


def _hidden(relative: PurePath) -> bool:
    """Return whether an editor or a tool put the file there: .ipynb_checkpoints, .venv and the like."""
    return any(part.startswith(".") for part in relative.parts)
