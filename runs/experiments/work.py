"""What a process does for an experiment: calibrate for a seed, or carry one run from where it is to its end.

Both are given paths alone, and read the rest from the folder: they are called in processes of their own.
"""

import time
from collections.abc import Callable
from pathlib import Path

from archive_store.errors import LockError
from runs.config.reader import load
from runs.config.schema import Config
from runs.errors import ConfigError
from runs.experiments.yoking import timetable_of
from runs.launch import launch, silent, started
from runs.prepared import prepare
from runs.resume import resume
from runs.workers.start import pool_of

PATIENCE = 30  # seconds for a process whose driver was killed to end as well
INLINE = {"executor": "inline"}


def configured(arm: Path, seed: int, calibration: Path | None = None, yoke: Path | None = None) -> Config:
    """Return the configuration of a cell: its arm's, with seed, calibration and timetable, and one process.

    Parameters
    ----------
    arm
        File of the arm's configuration.
    seed
        Of the cell.
    calibration
        Directory of the run whose calibration it takes; None: it calibrates.
    yoke
        Directory of the finished run whose times of births and deaths it follows; None: it has its own.
    """
    options = {
        "seed": seed,
        "execution.executor": "inline",
        "calibration.from": calibration and str(calibration),
        "lifecycle.timetable": None if yoke is None else timetable_of(yoke),
    }
    return load(str(arm), options=options)


def calibrate(arm: Path, seed: int, out: Path) -> None:
    """Make a run directory that has round 0 alone, and no more than that.

    Parameters
    ----------
    arm
        File of the arm's configuration.
    seed
        Of the calibration.
    out
        The directory; one that is there already is left as it is.
    """

    def begin() -> None:
        if out.is_dir():
            return
        prepared = prepare(configured(arm, seed))
        with pool_of(prepared) as pool, started(prepared, out, pool, silent):
            pass

    _patiently(begin, out)


def carry_out(
    arm: Path,
    seed: int,
    calibration: Path,
    out: Path,
    accept_environment: bool = False,
    yoke: Path | None = None,
) -> None:
    """Launch the run of a cell, or resume it, so that it has ended afterwards.

    Parameters
    ----------
    arm
        File of the arm's configuration.
    seed
        Of the cell.
    calibration
        Directory of the run whose calibration it takes.
    out
        Directory of the run.
    accept_environment
        Whether a run is gone on with that another environment began.
    yoke
        Directory of the finished run whose times of births and deaths it follows; None: it has its own.
    """

    def go_on() -> None:
        if out.is_dir():
            resume(out, INLINE, accept_environment=accept_environment)
        else:
            launch(configured(arm, seed, calibration, yoke), out)

    _patiently(go_on, out)


def _patiently(work: Callable[[], object], out: Path) -> None:
    """Do a piece of work, again while a process that is about to end still writes there."""
    for _ in range(PATIENCE):
        was_there = out.is_dir()
        try:
            work()
            return
        except LockError:
            time.sleep(1.0)
        except ConfigError:
            if was_there or not out.is_dir():  # else that process was faster
                raise
    work()
