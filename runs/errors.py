"""Errors that the user can do something about: one clear sentence each, with its exit status."""

import os
import shlex
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archive_store.errors import UNREADABLE

ROOT = Path(__file__).parents[1]
# Where no code of the user's is: our packages, Python's own, and what has no file; what is installed is told by name.
ELSEWHERE = (
    *(
        f"{ROOT / name}{os.sep}"
        for name in ("analysis", "archive_store", "kernels", "organisms", "qd", "runs")
    ),
    *(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib")),
    "<",
)
INSTALLED = ("site-packages", "dist-packages")
RAISED = (Exception, SystemExit)  # what a user's code may end with; an interrupt is nobody's fault


class PlasmodiaError(Exception):
    """One sentence: what was wrong, where, and what would be right."""

    exit_status = 1


class ConfigError(PlasmodiaError):
    """The configuration or the command line cannot be used; nothing was written."""

    exit_status = 2


class RunError(PlasmodiaError):
    """A run cannot go on; what is on disk stays usable."""


class Stopped(PlasmodiaError):
    """A run was stopped on request; all that it had computed is on disk."""

    exit_status = 3


def command(*words: object) -> str:
    """Return a command of ours as a shell takes it: ``plasmodia resume 'my run'``."""
    return shlex.join(["plasmodia", *map(str, words)])


def told(error: BaseException) -> str:
    """Return on one line what was raised and where: ``ZeroDivisionError: division by zero (mine.py, line 12)``.

    The place is the last line of the user's own, whatever of ours or of a library it called; without one, the last.
    """
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    users = [frame for frame in frames if is_users(frame.filename)]
    where = "".join(f" ({Path(each.filename).name}, line {each.lineno})" for each in (users or frames)[-1:])
    if isinstance(error, SyntaxError) and error.filename:
        where = ""  # which its text has
    return f"{type(error).__name__}{f': {text}' if text else ''}{where}"


def is_users(filename: str) -> bool:
    """Whether a traceback's file is of the user's own code, and not ours, Python's or of an installed library."""
    return not filename.startswith(ELSEWHERE) and not any(name in Path(filename).parts for name in INSTALLED)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn decoding errors (`archive_store.errors.UNREADABLE`) into a `RunError`.

    Raises
    ------
    RunError
        Naming what cannot be read, and why.
    """
    try:
        yield
    except UNREADABLE as error:
        raise RunError(
            f"{what} cannot be read ({type(error).__name__}: {error}); it is of another run or another version"
        ) from error
