"""Spans in Chrome's trace event format, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

A worker is a process of its own there, and so is the driver. While it grows, a file lacks its closing bracket, which
both programs allow: a trace of a run that was killed can be opened too.

Source: "Trace Event Format", the JSON array format, events of the phases X (complete) and M (metadata).
"""

import errno
import json
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from pathlib import Path

from archive_store.journal.timed import DRIVER
from runs.observability.trace.spans import Span

MOST_FILES = 1000  # traces in a folder: one each time that a run is gone on with
Event = dict[str, object]


class Lanes:
    """Numbers the lanes in the order in which they come; the driver's is the first."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def events(self, span: Span) -> Iterator[Event]:
        """Yield the events of a span and its parts, and before them the name of a lane that is new."""
        for lane in (DRIVER, span.lane):
            if lane not in self._numbers:
                self._numbers[lane] = len(self._numbers)
                yield from _named(self._numbers[lane], lane)
        yield from _events(span, self._numbers[span.lane])


def document(spans: Iterator[Span]) -> bytes:
    """Return a whole trace."""
    lanes = Lanes()
    lines = [_line(event) for span in spans for event in lanes.events(span)]
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode("ascii")


class ChromeFile:
    """A trace that is written while a run goes on, one event a line.

    Parameters
    ----------
    name
        Of the file; if there is one, ``trace-2.json`` and so on.
    tell
        Called with a sentence the first time that the file cannot be written: a run goes on all the same.
    """

    def __init__(self, name: str, tell: Callable[[str], None]) -> None:
        self._name = name
        self._tell = tell
        self._lanes = Lanes()
        self._before: list[Span] = []  # spans from before there was a folder
        self._file: TextIOWrapper | None = None
        self._empty = True
        self._failed = False

    def begin(self, folder: Path) -> None:
        """Make the file in this folder, and the folder."""
        try:
            self._file = _new(folder, self._name)
            self._file.write("[\n")
        except OSError as error:
            self._fail(error)
        for span in self._before:
            self.take(span)
        self._before.clear()

    def take(self, span: Span) -> None:
        """Write a span and its parts."""
        if self._file is None:
            if not self._failed:
                self._before.append(span)
            return
        text = ",\n".join(map(_line, self._lanes.events(span)))
        try:
            self._file.write(text if self._empty else f",\n{text}")
        except OSError as error:
            self._fail(error)
        self._empty = False

    def flush(self) -> None:
        """Hand to the system what was written."""
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                self._fail(error)

    def close(self) -> None:
        """End the file."""
        if self._file is not None:
            try:
                self._file.write("\n]\n")
                self._file.close()
            except OSError as error:
                self._fail(error)
            self._file = None

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            self._tell(f"the trace {self._name} cannot be written: {error.strerror}; the run goes on")
        self._failed, self._file = True, None


def _new(folder: Path, name: str) -> TextIOWrapper:
    folder.mkdir(exist_ok=True)
    if folder.is_symlink():  # whoever made it may mean another place than this run
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is a symbolic link")
    stem = name.removesuffix(".json")
    for number in range(1, MOST_FILES):
        path = folder / (name if number == 1 else f"{stem}-{number}.json")
        try:
            return path.open("x", encoding="ascii")
        except FileExistsError:
            continue
    raise FileExistsError(errno.EEXIST, f"there are {MOST_FILES - 1} traces of that name")


def _named(number: int, lane: str) -> Iterator[Event]:
    yield {"ph": "M", "name": "process_name", "pid": number, "tid": 0, "args": {"name": lane}}
    yield {"ph": "M", "name": "process_sort_index", "pid": number, "tid": 0, "args": {"sort_index": number}}
    what = "commits" if lane == DRIVER else "orders"
    yield {"ph": "M", "name": "thread_name", "pid": number, "tid": 0, "args": {"name": what}}


def _events(span: Span, number: int) -> Iterator[Event]:
    begin, end = (round(1e6 * seconds, 3) for seconds in (span.begin, span.end))
    yield {
        "ph": "X",
        "name": span.name,
        "cat": "plasmodia",
        "pid": number,
        "tid": 0,
        "ts": begin,
        "dur": round(max(0.0, end - begin), 3),
        "args": dict(span.attributes),
    }
    for part in span.parts:
        yield from _events(part, number)


def _line(event: Event) -> str:
    return json.dumps(event, separators=(",", ":"), allow_nan=False)
