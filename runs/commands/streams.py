"""The standard streams of a command: data on stdout, messages on stderr, and what to do where one is missing."""

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

import typer

_LEFT = (errno.EPIPE, errno.EIO)  # a pipe without a reader, and a terminal that was closed


def prepare() -> None:
    """Open the standard streams that the process was started without, and let stdout take any text.

    Where a descriptor was closed (``2>&-``), the next file that is opened would have its number, and be written to.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number, which is this stream's own.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")  # as stderr does


def say(value: str | Path, nl: bool = True) -> None:
    """Write a text to stdout, or a path in the bytes that it has in the file system.

    If nobody is there any more (``| head -1``), the command goes on to its end in silence.
    """
    try:
        typer.echo(os.fsencode(value) if isinstance(value, Path) else value, nl=nl)
    except OSError as error:
        if error.errno not in _LEFT:
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def warn(message: str) -> None:
    """Write a sentence to stderr, if anybody is left to read it."""
    with suppress(OSError):
        typer.echo(f"plasmodia: {message}", err=True)


@contextmanager
def messages_only() -> Iterator[None]:
    """Send to stderr what is written to stdout meanwhile: by a user's code, by libraries, and by their processes."""
    stdout = os.dup(1)
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        ctypes.CDLL(None).fflush(None)  # what C has kept
        os.dup2(stdout, 1)
        os.close(stdout)
