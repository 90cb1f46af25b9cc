"""The configuration of a run as it was written, and the environment in which it was made."""

from collections.abc import Iterator, Mapping
from typing import Any

from analysis.report.blocks import Block, Code, Table, Text
from analysis.report.markup import LONGEST_CELL
from archive_store.shown import shown

MOST_LINES = 5000  # of a configuration
MOST_CHARACTERS = 500_000


def configuration(text: str) -> list[Block]:
    """Return a configuration as code.

    Parameters
    ----------
    text
        YAML.
    """
    lines = text[:MOST_CHARACTERS].splitlines()
    code = Code("Configuration, YAML", lines[:MOST_LINES])
    if len(lines) <= MOST_LINES and len(text) <= MOST_CHARACTERS:
        return [code]
    return [code, Text("What follows is left out: it is too long for a page.")]


def environment(found: Mapping[str, Any]) -> Table:
    """Return an environment as a table, a row for each entry: ``fingerprint, libraries, numpy``.

    Parameters
    ----------
    found
        What ``environment.json`` holds.
    """
    rows = [(shown(", ".join(path)), value) for path, value in _entries(found)]
    return Table("Packages and machine", ("entry", "value"), rows)


def _entries(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the leaves of nested mappings and their paths; a list is one leaf."""
    pending = [(path, value)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, Mapping) and value:
            pending += [((*path, str(key)), value[key]) for key in sorted(value, key=str, reverse=True)]
        else:
            told = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield path, shown(told, LONGEST_CELL) or "-"
