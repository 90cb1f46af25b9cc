"""Replay: making a run again and comparing it, event by event, with what its journal says.

`replay` trains everything again from the seed; `decisions` re-derives the lifecycle and the competitions
from the journaled measurements, without training.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from archive_store.journal.chain import Event, numbered
from archive_store.journal.journal import Journal
from archive_store.journal.values import value_of
from archive_store.run_directory import RunDirectory
from qd.emitters.records import Emitted
from qd.lifecycle.trial import chosen_again
from qd.records import Census, Decision
from runs.calibration.segments import configurations
from runs.calibration.stored import calibrated, config_of, constants_of
from runs.config.reader import changed
from runs.config.schema import Config
from runs.errors import RunError, readable
from runs.launch import silent, started
from runs.machine.interruption import listening
from runs.machine.migration import check_unmoved
from runs.machine.scratch import scratch
from runs.observability.progress import Reporter
from runs.prepared import prepare
from runs.rounds.differences import Difference
from runs.rounds.ledger import Closed, Ledger
from runs.session import restore, sessions
from runs.workers.start import pool_of

# What `decisions` derives from censuses and from what came of emissions.
DERIVED = ("decision", "quarantine", "emission", "outcome", "early_stop", "summary")


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
    report
        Called with the progress; None: it is not reported.

    Returns
    -------
    Difference or None
        The first event that came out differently, if one did.

    Raises
    ------
    RunError
        If the run cannot be made again here: another environment or other data.
    """
    directory = RunDirectory.open(run)
    config = changed(config_of(directory), {**execution, "trials": 0.0})  # no digest depends on them
    prepared = prepare(config)
    with directory.journal() as journal:
        event = calibrated(directory, journal, config, prepared.data)
        parts = configurations(journal, config)
        last = _last(run, journal, until)
        check_unmoved(directory, journal, prepared.fingerprint, last)
        digests = journal.rounds()
        original = {round: list(journal.events(round)) for round in range(last + 1)}
        starved = _starved(value_of(event) for event in chain.from_iterable(original.values()))

    def compare(round: int, replayed: Sequence[Event], digest: str) -> None:
        _stop_at_difference(original[round], replayed)
        if digest != digests[round]:
            raise RunError(
                f"{run} has the events of its replay in round {round}, but journaled their digest as "
                f"{digests[round]}, not {digest}; the journal was altered"
            )

    with scratch() as folder:
        try:
            with (
                listening(),  # so that an interrupt is ours and not Ray's
                pool_of(prepared) as pool,
                started(
                    replace(prepared, config=parts[0][1]), folder / "run", pool, report or silent
                ) as again,
            ):
                journal = again.journal
                compare(0, list(journal.events(0)), journal.digest())

                def compare_round(round: Closed) -> None:
                    compare(round.round, numbered(round.round, round.items), journal.digest())

                ends = [since - 1 for since, _ in parts[1:] if since <= last]
                for each in sessions(parts, prepared, again.directory, journal, event)[: len(ends) + 1]:
                    restore(each.ledger, journal)
                    each.ledger.expect(starved)
                    each.attach(pool)
                    pool.configure(each.spec)
                    end = ends.pop(0) if ends else None
                    driver = each.driver(report=report, on_round=compare_round, begins=each.begins)
                    driver.run(until=last if end is None else end, states=end is not None)
        except _Differs as found:
            return found.difference
    return first_difference(original.get(config.rounds + 1, ()), ())


def decisions(run: Path, until: int | None = None) -> tuple[int, float, Difference | None]:
    """Derive every birth, death, freeze, emission and competition again from the journaled measurements.

    Returns
    -------
    count, seconds, difference
        How many single decisions were derived, in how many seconds (without reading the journal), and the first
        event that came out differently.
    """
    directory = RunDirectory.open(run)
    config = config_of(directory)
    with directory.journal() as journal:
        last = _last(run, journal, until)
        calibration = constants_of(calibrated(directory, journal, config), directory.blobs)
        rounds = [_journaled(config, round, list(journal.events(round))) for round in range(1, last + 1)]
        ledgers: dict[int, Ledger] = {}
        for since, settings in configurations(journal, config):
            if since <= last:
                ledgers[since] = Ledger(settings, calibration, since)
                restore(ledgers[since], journal, since - 1)
    started_at = time.perf_counter()
    count = 0
    difference: Difference | None = None
    for round, journaled in enumerate(rounds, 1):
        ledger = ledgers[max(since for since in ledgers if since <= round)]
        with readable(f"round {round} of the journal"):
            derived = _derived(ledger, journaled)
        count += sum(_weight(event) for event in derived)
        difference = first_difference(journaled.derived, derived)
        if (
            difference is None or difference.kind != "decision"
        ):  # what follows from a choice may be what differs
            with readable(f"round {round} of the journal"):
                difference = _chosen(config, ledger, journaled) or difference
        if difference is not None:
            break
    return count, time.perf_counter() - started_at, difference


@dataclass(frozen=True, slots=True)
class _Journaled:
    """The events of a round in the journal: the measurements, and what must follow from them."""

    censuses: list[Census]
    measured: list[Event]  # those of the censuses
    emitted: list[Emitted]
    starved: list[tuple[int, int]]  # round and organism
    derived: list[Event]


def _journaled(config: Config, round: int, events: Sequence[Event]) -> _Journaled:
    found = [value_of(event) for event in events]
    censuses = [value for value in found if isinstance(value, Census)]
    emitted = [value for value in found if isinstance(value, Emitted)]
    if [census.organism for census in censuses] != list(range(config.organism.count)):
        raise RunError(f"round {round} has not one census of each organism; the journal was altered")
    if any(len(record.measures) != len(config.measures) for each in censuses for record in each.records):
        raise RunError(f"round {round} has records of another number of measures; the journal was altered")
    measured = [event for event in events if event.kind == "census"]
    derived = [event for event in events if event.kind in DERIVED]
    return _Journaled(censuses, measured, emitted, _starved(found), derived)


def _starved(values: Iterable[Any]) -> list[tuple[int, int]]:
    """Return for which rounds of which organisms a machine had too little memory, which nothing else says."""
    return [
        (value.round, value.organism) for value in values if isinstance(value, Decision) and value.starved
    ]


def _chosen(config: Config, ledger: Ledger, journaled: _Journaled) -> Difference | None:
    """Return the first census in which something else was born than the gains of the trials say."""
    for census, event in zip(journaled.censuses, journaled.measured, strict=True):
        order = ledger.decision(census.organism, census.round)
        derived = chosen_again(order, census, config.lifecycle.only_gains)
        if derived != census:
            (again,) = numbered(event.round, [("census", derived)])
            return first_difference([event], [replace(again, seq=event.seq)])
    return None


def _derived(ledger: Ledger, journaled: _Journaled) -> list[Event]:
    """Derive the decisions, emissions, competitions and the summary of the next round."""
    ledger.expect(journaled.starved)
    for census in journaled.censuses:
        ledger.decision(census.organism, census.round)  # before the census of its own round is known
    for census in journaled.censuses:
        ledger.accept(census)
    ledger.emissions(ledger.closed + 1)
    for emitted in journaled.emitted:
        ledger.accept_emitted(emitted)
    if not ledger.complete():
        raise ValueError("it lacks what came of an emission")
    closed = ledger.close(validity=False)
    return numbered(closed.round, ((kind, value) for kind, value in closed.items if kind in DERIVED))


def _weight(event: Event) -> int:
    """Count a freeze check, and each birth (with its choice), death, child and competition that was considered."""
    if event.kind == "decision":
        value = event.value
        return 1 + len(value["births"]) + len(value["deaths"])
    if event.kind == "emission":
        return len(event.value["children"])
    return int(event.kind == "outcome")


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
