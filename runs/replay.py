"""Replay: making a run again and comparing it, event by event, with what its journal says.

`replay` trains everything again from the seed; `decisions` re-derives the lifecycle and the competitions
from the journaled measurements, without training.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from archive_store.chain import Event, numbered
from archive_store.encoding import decode
from archive_store.journal import Journal
from archive_store.run_directory import RunDirectory
from qd.records import Census, read
from runs.calibration import Calibration
from runs.config_reader import read_config
from runs.errors import RunError
from runs.launch import Reporter, changed, check_environment, pool_of, prepare, silent, started
from runs.ledger import Closed, Ledger


@dataclass(frozen=True, slots=True)
class Difference:
    """The first event that a replay made differently; None stands for an event that one of them lacks."""

    round: int
    seq: int
    kind: str
    organism: int | None
    journaled: str | None  # canonical JSON
    replayed: str | None


DERIVED = ("decision", "outcome", "validity", "summary")  # what follows from censuses


class _Differs(Exception):
    def __init__(self, difference: Difference) -> None:
        super().__init__(f"round {difference.round}, event {difference.seq}")
        self.difference = difference


def replay(
    run: Path, until: int | None, execution: Mapping[str, Any], report: Reporter | None = None
) -> Difference | None:
    """Train a run again from its configuration and seed, in a scratch directory, and compare every round.

    Parameters
    ----------
    run
        The directory of a run, finished or not.
    until
        Last round to compare; None for the last one journaled.
    execution
        Keys of the ``execution:`` section to use instead of the run's own.

    Raises
    ------
    RunError
        If the run cannot be made again here: another environment or other data.
    """
    directory = RunDirectory.open(run)
    config = changed(read_config(directory.config_path), execution)
    prepared = prepare(config)
    check_environment(directory, prepared)
    with directory.journal() as journal:
        last = _last(run, journal, until)
        original = {round: list(journal.events(round)) for round in range(last + 1)}

    def compare(closed: Closed) -> None:
        _stop_at_difference(original[closed.round], numbered(closed.round, closed.items))

    with tempfile.TemporaryDirectory(prefix="plasmodia-replay-") as scratch:
        try:
            with pool_of(prepared) as pool, started(
                prepared, Path(scratch) / "run", pool, report or silent
            ) as again:
                _stop_at_difference(original[0], list(again.journal.events(0)))
                again.driver(report or silent, compare).run(until=last)
        except _Differs as found:
            return found.difference
    return None


def decisions(run: Path, until: int | None = None) -> tuple[int, float, Difference | None]:
    """Derive every birth, death, freeze and competition again from the journaled measurements.

    Returns
    -------
    count, seconds, difference
        How many single decisions were derived, in what time (reading the journal apart), and the first
        event that came out differently.
    """
    directory = RunDirectory.open(run)
    config = read_config(directory.config_path)
    with directory.journal() as journal:
        last = _last(run, journal, until)
        rounds = [list(journal.events(round)) for round in range(last + 1)]
    ledger = Ledger(config, _calibration(directory, rounds[0]))
    started_at = time.perf_counter()
    count = 0
    for events in rounds[1:]:
        derived, number = _derived(ledger, events)
        count += number
        difference = first_difference([event for event in events if event.kind in DERIVED], derived)
        if difference is not None:
            return count, time.perf_counter() - started_at, difference
    return count, time.perf_counter() - started_at, None


def _derived(ledger: Ledger, events: Sequence[Event]) -> tuple[list[Event], int]:
    """Derive the events of a round from its censuses; give those that were derived, and how many decisions they hold."""
    censuses = [read(Census, event.value) for event in events if event.kind == "census"]
    for census in censuses:
        ledger.decision(census.organism, census.round)  # before the census of its own round is known
    for census in censuses:
        ledger.accept(census)
    derived = [event for event in numbered(censuses[0].round, ledger.close().items) if event.kind in DERIVED]
    return derived, sum(_weight(event) for event in derived)


def _weight(event: Event) -> int:
    """Count a freeze check, and each birth, death and competition that was considered."""
    if event.kind == "decision":
        value = event.value
        return 1 + len(value["births"]) + len(value["deaths"])
    return int(event.kind == "outcome")


def _calibration(directory: RunDirectory, events: Sequence[Event]) -> Calibration:
    event = events[0].value
    return Calibration.read(event, decode(directory.blobs.get(event["centroids"]))[0]["centroids"])


def _last(run: Path, journal: Journal, until: int | None) -> int:
    last = journal.last_round()
    if last is None:
        raise RunError(f"{run} has no committed round yet; look again later")
    return last if until is None else min(until, last)


def _stop_at_difference(journaled: Sequence[Event], replayed: Sequence[Event]) -> None:
    difference = first_difference(journaled, replayed)
    if difference is not None:
        raise _Differs(difference)


def first_difference(journaled: Sequence[Event], replayed: Sequence[Event]) -> Difference | None:
    """Find the first place where two lists of events of one round differ."""
    for ours, theirs in zip_longest(journaled, replayed):
        if ours is None or theirs is None or ours.body != theirs.body:
            present = ours or theirs
            return Difference(
                round=present.round,
                seq=present.seq,
                kind=present.kind,
                organism=present.organism,
                journaled=None if ours is None else ours.body,
                replayed=None if theirs is None else theirs.body,
            )
    return None
