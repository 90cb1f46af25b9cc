"""A new journal that begins with the rounds of another: what a run goes on from that branches off it."""

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from archive_store.journal.journal import BASE, SCORE_NAME, Journal, Timing


def branched(journal: Journal, until: int, path: Path, kept: Collection[str]) -> Journal:
    """Return a new journal with the rounds of another up to one of them: the same events and digests.

    Parameters
    ----------
    journal
        The other.
    until
        Last round to take over.
    path
        Of the new file.
    kept
        Digests of the states that are there; the others are not named.
    """
    digests = journal.rounds()
    states: dict[int, dict[int, str]] = defaultdict(dict)
    timings: dict[int | None, list[Timing]] = defaultdict(list)
    for state in journal.states():
        if state.digest in kept:
            states[state.round][state.organism] = state.digest
    for timing in journal.timings():
        timings[timing.round].append(timing)
    new = Journal.create(path)
    try:
        for key in (BASE, SCORE_NAME):
            text = journal.meta(key)
            if text is not None:
                new.put_meta(key, text)
        for round in range(until + 1):
            events = list(journal.events(round))
            new.write_round(round, events, states[round], timings[round], digests[round])
    except BaseException:
        new.close()
        raise
    return new
