"""The segments of a run: the rounds that it made under one configuration, until it went on under another.

A run that is extended, and one that is forked off another, goes on with other settings from some round on. That round
begins with an event ``segment`` that holds them, so that the digests from then on cover them, and the digests before
stay what they were. Until it is journaled the settings lie in the journal's `meta`, which a resume finds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archive_store.errors import UNREADABLE, JournalError
from archive_store.journal.journal import BASE, Journal
from archive_store.journal.values import checked
from qd.canonical import canonical

SEGMENT = "segment"  # kind of the event, and meta key of one that is still to come


@dataclass(frozen=True, slots=True)
class Segment:
    """Rounds that are made under one configuration."""

    since: int  # first round
    settings: Mapping[str, Any]  # what of the configuration digests cover


def segments(journal: Journal) -> list[Segment]:
    """Return the segments of a run in their order; most runs have one.

    Raises
    ------
    JournalError
        If what is to come next cannot be read.
    """
    base = json.loads(journal.meta(BASE) or "{}")
    found = [Segment(1, base.get("config", {}))]
    found += [Segment(event.round, checked(event)["config"]) for event in journal.events(kind=SEGMENT)]
    coming = pending(journal)
    return found if coming is None else [*found, Segment(coming[0], coming[1])]


def pending(journal: Journal) -> tuple[int, Mapping[str, Any], str] | None:
    """Return first round, settings and whole configuration (YAML) of a segment whose first round is still to come."""
    text = journal.meta(SEGMENT)
    if text is None:
        return None
    try:
        value = json.loads(text)
        since, settings, config = int(value["since"]), dict(value["settings"]), str(value["config"])
    except UNREADABLE:
        raise JournalError(
            f"journal {journal.path} does not say with which settings the run goes on, or went on last; restore "
            "it from a copy"
        ) from None
    return (since, settings, config) if since == (journal.last_round() or 0) + 1 else None


def put_pending(journal: Journal, settings: Mapping[str, Any], config: str) -> None:
    """Let a run go on under other settings after its last round.

    Parameters
    ----------
    journal
        Of the run, open for writing.
    settings
        What of the configuration digests cover.
    config
        All of it, as YAML.
    """
    since = (journal.last_round() or 0) + 1
    journal.put_meta(SEGMENT, canonical({"since": since, "settings": settings, "config": config}))
