"""The place of a new run: free, and one that can be written to."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archive_store import durable
from archive_store.errors import WriteError
from archive_store.lock import check_free
from runs.errors import ConfigError, RunError, command

_JOURNAL = "journal.sqlite"  # what every run has; `archive_store.run_directory` would load NumPy too early


def check_place(out: Path) -> None:
    """Check before anything is computed that a run can be written there, and leave no trace.

    Raises
    ------
    ConfigError
        If something is there already, with the remedy that fits it, or nothing can be written.
    LockError
        If it is a run that another process is writing.
    """
    if os.path.lexists(out):
        check_free(out)
        raise ConfigError(_taken(out))
    check_outside_runs(out.parent, "--out")
    there = next(folder for folder in out.absolute().parents if folder.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".partial", dir=there):
            pass
    except OSError as error:
        raise ConfigError(
            f"a run cannot be written to {out}: {error.strerror}; choose another --out"
        ) from None


@contextmanager
def placed(out: Path) -> Iterator[Path]:
    """Make a folder to write to, which takes its name in the end or, on an error, leaves nothing.

    Raises
    ------
    ConfigError
        If something of that name has come to be there.
    RunError
        If the disk is full or fails.
    """
    partial = out.with_name(f".{out.name}.{os.getpid()}{durable.PARTIAL}")
    # A killed process may have had the same number: in a container it is the rule.
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        _take_name(partial, out)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, WriteError) and not out.exists():
            raise RunError(f"{out} cannot be written: {error.reason}; nothing was left there") from error
        raise


def _take_name(partial: Path, out: Path) -> None:
    try:
        durable.rename(partial, out)
    except WriteError:
        if partial.exists() and os.path.lexists(out):
            check_free(out)
            message = f"{out} exists already: another launch was faster; choose another --out"
            raise ConfigError(message) from None
        raise


def check_outside_runs(path: Path, option: str) -> None:
    """Refuse a place within a run's folder, which holds that run alone: `verify` would call it damaged.

    Raises
    ------
    ConfigError
        Naming the run, and the option that gave the place.
    """
    for folder in (path.absolute(), *path.absolute().parents):
        if (folder / _JOURNAL).is_file():
            raise ConfigError(f"{path} lies in the folder of the run {folder}; choose another {option}")


def _taken(out: Path) -> str:
    if (out / _JOURNAL).is_file():
        return f"{out} exists already; choose another --out, or go on with: {command('resume', out)}"
    if not out.is_dir():
        return f"{out} exists already and is no folder; choose another --out"
    what = "holds no run" if any(out.iterdir()) else "is empty"
    return f"{out} exists already and {what}; choose another --out, or remove it: a launch makes the folder itself"
