"""Errors that the user can do something about: one clear sentence each, with its exit status."""

import shlex
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from archive_store.errors import UNREADABLE

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
    """Return on one line what was raised and where: ``ZeroDivisionError: division by zero (mine.py, line 12)``."""
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rpartition('/')[2]}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{f': {text}' if text else ''}{where}"


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
