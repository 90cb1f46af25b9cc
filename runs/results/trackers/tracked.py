"""What a tracker is given of a run: numbers by round, settings, digests and pictures."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archive_store.journal.journal import Incident
from archive_store.journal.timed import MEMORY
from archive_store.reading import Run
from archive_store.shown import shown
from runs.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

NAMED = 12  # characters of a digest in a name
LONGEST = 200  # characters of a setting
Setting = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Point:
    """What is known of a round."""

    round: int
    at: float | None  # when it was committed, in seconds since 1970; None: the journal does not say
    values: Mapping[str, float]  # finite ones, by name


@dataclass(frozen=True, slots=True)
class Tracked:
    """A run, finished or live."""

    identity: str  # the same for its whole life: its name and the digest of its round 0
    name: str
    settings: Mapping[str, Setting]  # by key path
    tags: Mapping[str, str]
    points: Sequence[Point]
    pictures: Mapping[str, bytes]  # PNG files by name


def tracked(run: Run) -> Tracked:
    """Return what there is of a run.

    Raises
    ------
    RunError
        If no round is committed yet.
    """
    with run.directory.journal() as journal:
        first, last = journal.rounds().get(0, ""), journal.last_round()
        digest = "" if last is None else journal.digest(last)
        told = journal.incidents(MEMORY)
    if not last:
        raise RunError(f"{run.directory.path} has no finished round yet; export it later")
    name = shown(str(run.config.get("name", run.directory.path.name)), LONGEST)
    tags = {
        "digest": shown(digest),
        "rounds": str(last),
        "revision": shown(str(run.environment.get("revision")), LONGEST),
    }
    return Tracked(
        identity=f"{_file_name(name)}-{_file_name(first[:NAMED])}",
        name=name,
        settings=dict(_flat(run.config)),
        tags=tags,
        points=list(_points(run, _moments(told))),
        pictures=_pictures(run.directory.path),
    )


def _points(run: Run, moments: Mapping[int, float]) -> Iterator[Point]:
    found: dict[int, dict[str, float]] = {}
    for prefix, frame in (("run", run.rounds()), ("validity", run.validity()), ("seconds", _seconds(run))):
        numeric = frame.select_dtypes("number").drop(columns="round")
        for round, (_, row) in zip(frame["round"].tolist(), numeric.iterrows(), strict=True):
            values = {f"{prefix}/{shown(str(name), LONGEST)}": float(value) for name, value in row.items()}
            kept = {name: value for name, value in values.items() if math.isfinite(value)}
            found.setdefault(int(round), {}).update(kept)
    for round, values in sorted(found.items()):
        yield Point(round, moments.get(round), values)


def _seconds(run: Run) -> "pd.DataFrame":
    """Return the seconds of each round by what was timed, summed over organisms and workers: a row a round."""
    return (
        run.timings()
        .pivot_table(index="round", columns="name", values="seconds", aggfunc="sum")
        .reset_index()
    )


def _moments(told: Sequence[Incident]) -> dict[int, float]:
    found = {}
    for each in told:
        try:
            found[each.round or 0] = datetime.fromisoformat(each.at).timestamp()
        except ValueError:
            continue  # a moment is no result: without it a tracker shows rounds alone
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Setting]]:
    for key, value in values.items():
        path = f"{prefix}{shown(str(key), LONGEST)}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}.")
        elif isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
            yield path, value
        else:
            yield path, shown(value if isinstance(value, str) else json.dumps(value, default=str), LONGEST)


def _pictures(folder: Path) -> dict[str, bytes]:
    """Return the pictures that were drawn of the run, those that can be read."""
    plots = folder / "plots"
    if not plots.is_dir():
        return {}
    found = [path for path in sorted(plots.glob("*.png")) if path.is_file() and not path.is_symlink()]
    return {path.stem: path.read_bytes() for path in found}


def _file_name(text: str) -> str:
    return "".join(each if each.isascii() and (each.isalnum() or each in "._-") else "_" for each in text)
