"""Where Python finds modules: our own packages where this one lies, and those in the working directory last of all.

A file ``random.py`` or a folder ``analysis`` in the folder in which a command happens to be started, which may be a
stranger's, never takes the place of what is installed.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from runs.machine.source_digest import PACKAGES, ROOT


@dataclass(frozen=True, slots=True)
class _OurOwn(MetaPathFinder):
    """Finds the six packages in one place."""

    place: str

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(fullname, [self.place]) if fullname in PACKAGES else None


def ours_first() -> None:
    """Find the six packages beside the one that is running, whatever else is called like them.

    Where the installation is an editable one, they would else be looked for after all that is on the path.
    """
    finder = _OurOwn(str(ROOT))
    if finder not in sys.meta_path:
        sys.meta_path.insert(0, finder)


def working_directory_last() -> None:
    """Find modules in the working directory too, after all others: for commands that run a user's code."""
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.append(folder)
