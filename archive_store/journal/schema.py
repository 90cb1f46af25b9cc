"""The tables of a journal, and the refusal of a file with any others: views and triggers of strangers run as code."""

import re
import sqlite3
from pathlib import Path

from archive_store.errors import JournalError

# `mark` tells which event of an altered round was changed; the round's digest does not need it.
# `elite` and `metric` are views, so that nothing is written twice and can disagree.
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE round (round INTEGER PRIMARY KEY, digest TEXT NOT NULL);
CREATE TABLE event (
    round INTEGER NOT NULL, seq INTEGER NOT NULL, organism INTEGER, kind TEXT NOT NULL,
    body TEXT NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (round, seq));
CREATE INDEX event_kind ON event (kind, round, seq);
CREATE TABLE state (
    organism INTEGER NOT NULL, round INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (organism, round));
CREATE TABLE timing (
    round INTEGER NOT NULL, organism INTEGER, name TEXT NOT NULL, seconds REAL NOT NULL,
    worker TEXT NOT NULL);
CREATE TABLE incident (
    at TEXT NOT NULL, round INTEGER, organism INTEGER, kind TEXT NOT NULL, body TEXT NOT NULL);
CREATE VIEW elite AS SELECT cell, round, seq, objective, genome, component FROM (
    SELECT round, seq, json_extract(body, '$.cell') AS cell,
        json_extract(body, '$.candidate.objective') AS objective,
        json_extract(body, '$.candidate.genome') AS genome,
        json_extract(body, '$.candidate.component') AS component,
        row_number() OVER (PARTITION BY json_extract(body, '$.cell') ORDER BY round DESC, seq DESC) AS place
    FROM event WHERE kind = 'outcome' AND json_extract(body, '$.status') <> 'reject') WHERE place = 1;
CREATE VIEW metric AS SELECT event.round AS round, entry.key AS name, entry.value AS value
    FROM event, json_each(event.body) AS entry
    WHERE event.kind = 'summary' AND entry.type IN ('integer', 'real') AND entry.key <> 'round';
"""
_STATEMENT = re.compile(r"CREATE (TABLE|INDEX|VIEW) (\w+)(?: ON (\w+))?.*", re.DOTALL)
_OWN = re.compile(r"sqlite_autoindex_(meta|event|state)_1")  # SQLite's indexes of primary keys


def check(database: sqlite3.Connection, path: Path) -> None:
    """Refuse a journal whose tables, indexes and views are not exactly ours.

    Raises
    ------
    JournalError
        Names the first that is not ours, or is missing.
    """
    found = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT 100").fetchall()
    ours = {entry[1]: entry for entry in map(_entry, SCHEMA.strip().split(";\n"))}
    strange = [row for row in found if row != ours.get(row[1]) and not _is_own(*row)]
    missing = sorted(ours.keys() - {row[1] for row in found})
    if strange or missing:
        kind, name = strange[0][:2] if strange else ("table", missing[0])
        what = f"another {kind} {name!r:.80} than" if strange else f"no {name}, unlike"
        raise JournalError(
            f"journal {path} has {what} the journals that this version writes; it is damaged or a stranger's: "
            "restore it from a copy"
        )


def _entry(statement: str) -> tuple[str, str, str, str]:
    """Return type, name, table and text of a statement, as SQLite notes them."""
    text = statement.rstrip(";\n")
    found = _STATEMENT.fullmatch(text)
    assert found is not None, "a statement of the schema makes a table, an index or a view"
    kind, name, table = found.groups()
    return kind.lower(), name, table or name, text


def _is_own(kind: object, name: object, table: object, text: object) -> bool:
    own = _OWN.fullmatch(str(name))
    return own is not None and (kind, table, text) == ("index", own[1], None)
