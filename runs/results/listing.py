"""The runs below a folder: what each is, how far it has come and what it came to."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archive_store.errors import LockError, StoreError
from archive_store.lock import check_free
from archive_store.run_directory import RunDirectory
from archive_store.shown import shown
from runs.config.problems import nearest
from runs.errors import ConfigError, RunError
from runs.results.columns import aligned
from runs.results.summary import identity, summarise

LONGEST = 200  # characters of a reason
WIDEST = 40  # characters of a cell


@dataclass(frozen=True, slots=True)
class Listed:
    """A run in a list; what is not known (yet) is None."""

    run: str  # its folder
    state: str  # finished, running, stopped or damaged
    seed: int | None = None
    arm: str | None = None  # births: archive, random, genes, clone or none
    task: str | None = None
    family: str | None = None
    rounds: int | None = None  # committed
    planned: int | None = None
    score: float | None = None  # test score of the best organism
    coverage: float | None = None
    qd_score: float | None = None
    bytes: int | None = None  # of all its files
    changed: str | None = None  # when its journal last was, ISO 8601 in UTC
    reason: str | None = None  # why it is damaged


KEYS = tuple(field.name for field in fields(Listed))


def runs_below(folder: Path) -> Iterator[Path]:
    """Yield the folders of runs in and below a folder, in the order of their names; links are not followed.

    Raises
    ------
    ConfigError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}; give one that holds runs, such as out")
    for place, folders, files in os.walk(folder):
        if {"journal.sqlite", "config.yaml"} <= set(files):
            folders.clear()
            yield Path(place)
        folders.sort()


def listed(folder: Path, sort: str = "run") -> list[Listed]:
    """Return the runs in and below a folder.

    Parameters
    ----------
    folder
        Where to look.
    sort
        A key of `KEYS`; numbers from the largest on, names in their order, and last those that have none.

    Raises
    ------
    ConfigError
        If there is no such folder or key.
    """
    if sort not in KEYS:
        raise ConfigError(f"--sort is {sort!r}; known are {', '.join(KEYS)}{nearest(sort, KEYS)}")
    found = [look(path) for path in runs_below(folder)]
    return sorted(found, key=lambda each: _place(getattr(each, sort)))


def look(path: Path) -> Listed:
    """Return what a list says of a run; one that cannot be read is damaged, and says why."""
    files = [each for each in path.rglob("*") if each.is_file() and not each.is_symlink()]
    known: dict[str, Any] = {
        "run": str(path),
        "bytes": sum(each.stat().st_size for each in files),
        "changed": _when(path),
    }
    try:
        directory = RunDirectory.open(path)
        config = directory.config()
        own = identity(config)
        known |= {name: own[name] for name in ("seed", "arm", "task", "family")}
        planned = config.get("rounds")
        known |= {"planned": planned if isinstance(planned, int) else None, "state": _state(directory)}
        summary = summarise(path)
    except RunError:  # no round is committed yet
        return Listed(**known, rounds=0)
    except StoreError as error:
        return Listed(**known | {"state": "damaged"}, reason=shown(str(error), LONGEST))
    return Listed(
        **known,
        rounds=summary.rounds,
        score=summary.best_accuracy,
        coverage=summary.coverage,
        qd_score=summary.qd_score,
    )


def table(runs: Sequence[Listed]) -> str:
    """Return a list as lines of columns, under the names of the columns; reasons of damage are below."""
    heads = (
        "run",
        "state",
        "seed",
        "arm",
        "task",
        "family",
        "rounds",
        "score",
        "coverage",
        "QD score",
        "MiB",
        "changed",
    )
    return "\n".join(
        [
            *aligned([heads, *map(_cells, runs)]),
            *(f"{each.run}: {each.reason}" for each in runs if each.reason),
        ]
    )


def plain(runs: Sequence[Listed]) -> list[dict[str, Any]]:
    """Return a list as JSON has it; what is not finite is None."""
    return [
        {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in row.items()
        }
        for row in map(asdict, runs)
    ]


def _cells(run: Listed) -> tuple[str, ...]:
    rounds = "" if run.rounds is None else f"{run.rounds}/{'?' if run.planned is None else run.planned}"
    numbers = ("" if value is None else f"{value:.4f}" for value in (run.score, run.coverage, run.qd_score))
    size = "" if run.bytes is None else f"{run.bytes / 2**20:.1f}"
    texts = (run.run, run.state, run.seed, run.arm, run.task, run.family, rounds)
    first = tuple(
        "" if text is None else shown(str(text), WIDEST if place else LONGEST)
        for place, text in enumerate(texts)
    )
    return (*first, *numbers, size, (run.changed or "")[:16].replace("T", " "))


def _place(value: Any) -> tuple[int, Any]:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return 2, 0
    return (0, -value) if isinstance(value, int | float) else (1, value)


def _state(directory: RunDirectory) -> str:
    if directory.finished():
        return "finished"
    try:
        check_free(directory.path)
    except LockError:
        return "running"
    return "stopped"


def _when(path: Path) -> str | None:
    files = [path / "journal.sqlite-wal", path / "journal.sqlite"]
    times = [each.stat().st_mtime for each in files if each.is_file()]
    return datetime.fromtimestamp(max(times), UTC).isoformat(timespec="seconds") if times else None
