"""Differences between two JSON values, and between an event and its replay: where they are, and side by side."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archive_store.shown import shown
from qd.canonical import plain

MISSING = "(missing)"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first event that a replay made differently; None stands for an event that one of them lacks."""

    round: int
    seq: int
    kind: str
    organism: int | None
    journaled: str | None  # canonical JSON
    replayed: str | None


def differences(first: Any, second: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield path and both JSON texts of everything in which two plain values differ, in order of path.

    Parameters
    ----------
    first, second
        Values as JSON has them.
    path
        Where they lie in a larger value, such as ``records[3]``.
    """
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in sorted({*first, *second}):
            below = f"{path}.{key}" if path else str(key)
            yield from _present(first, second, key in first, key in second, key, below)
    elif isinstance(first, list) and isinstance(second, list):
        for index in range(max(len(first), len(second))):
            inside = index < len(first), index < len(second)
            yield from _present(first, second, *inside, index, f"{path}[{index}]")
    elif first != second or type(first) is not type(second):
        yield path, json.dumps(first), json.dumps(second)


def _present(
    first: Any, second: Any, in_first: bool, in_second: bool, key: Any, path: str
) -> Iterator[tuple[str, str, str]]:
    if in_first and in_second:
        yield from differences(first[key], second[key], path)
    else:
        yield (
            path,
            json.dumps(first[key]) if in_first else MISSING,
            json.dumps(second[key]) if in_second else MISSING,
        )


def difference_of(first: Any, second: Any, measures: Sequence[str] = ()) -> str:
    """Return the path of the first place where two records differ.

    Parameters
    ----------
    first, second
        Records (`qd.records`) of one class.
    measures
        Names of the measures, which are added to a path that leads to one.
    """
    path = next((path for path, _, _ in differences(plain(first), plain(second))), "")
    place = re.search(r"measures\[(\d+)\]", path)
    return f"{path} ({measures[int(place[1])]})" if place and measures else path


def side_by_side(difference: Difference) -> str:
    """Return the journaled and the replayed event in two columns, a line for each value that differs."""
    rows = [("", "journaled", "replayed")]
    if difference.journaled is None or difference.replayed is None:
        rows.append(("event", difference.journaled or MISSING, difference.replayed or MISSING))
    else:
        rows += differences(json.loads(difference.journaled), json.loads(difference.replayed))
    keys, left = (max(len(_cut(row[column])) for row in rows) for column in (0, 1))
    lines = [f"{_cut(key):<{keys}}  {_cut(one):<{left}}  {_cut(two)}".rstrip() for key, one, two in rows]
    return "\n".join([named(difference), *lines])


def named(difference: Difference) -> str:
    """Return what identifies the event: its round, its place in the round, its kind and its organism."""
    whose = "" if difference.organism is None else f" of organism {difference.organism}"
    return f"round {difference.round}, event {difference.seq} ({difference.kind}{whose})"


def _cut(text: str, width: int = 72) -> str:
    return shown(text, width)
