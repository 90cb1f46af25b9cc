"""The time line of a run out of its journal, which holds durations alone (`archive_store.journal.timed`)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archive_store import durable
from archive_store.errors import WriteError
from archive_store.journal.journal import WALL, Journal, Timing
from archive_store.journal.timed import DRIVER, EMIT, HELD, ORDER, STORE, WRITE
from archive_store.reading import Run
from runs.errors import ConfigError, RunError
from runs.observability.measured import Committed, Ordered
from runs.observability.trace.chrome import document
from runs.observability.trace.spans import Span, of_commit, of_order
from runs.workers.jobs import ADVANCE
from runs.workers.jobs import EMIT as EMIT_JOB


@dataclass(slots=True)
class _Rows:
    """What the journal has of one order."""

    job: str
    number: int
    worker: str
    seconds: dict[str, float] = field(default_factory=dict)


def spans_of(journal: Journal) -> Iterator[Span]:
    """Yield the spans of a run, in seconds of work since its calibration began; pauses before resumes are left out.

    Raises
    ------
    RunError
        If the journal has no such times: an older version wrote it.
    """
    by_round: dict[int, list[Timing]] = {}
    for row in journal.timings():
        by_round.setdefault(row.round or 0, []).append(row)
    passed, found = 0.0, 0
    for round, rows in sorted(by_round.items()):
        begun = passed
        passed += sum(row.seconds for row in rows if row.organism is None and row.name == WALL)
        if round == 0:
            yield Span("calibration", DRIVER, begun, passed, (("round", 0), ("worker", DRIVER)))
            continue
        for order in _orders(rows):
            span = _ordered(order, round, passed)
            if span is not None:
                found += 1
                yield of_order(span)
        of_driver = {row.name: row.seconds for row in rows if row.worker == DRIVER}
        if STORE in of_driver:
            stored, written = of_driver[STORE], of_driver.get(WRITE, 0.0)
            yield of_commit(Committed(round, passed - stored, passed, passed + written))
    if not found:
        raise RunError(
            f"{journal.path} does not say when orders were sent; a version wrote it that did not measure that yet"
        )


def export_trace(run: Run, to: Path) -> Path:
    """Write the spans of a run to a new file in Chrome's trace event format, and return its path.

    Raises
    ------
    ConfigError
        If the name does not end in .json, or there is something of that name.
    RunError
        If the run has no such times, or the file cannot be written.
    """
    if to.suffix != ".json":
        raise ConfigError(f"--trace must be a file that ends in .json, not {to}")
    if to.exists() or to.is_symlink():
        raise ConfigError(f"{to} exists already; give another --trace")
    with run.directory.journal() as journal:
        data = document(spans_of(journal))
    try:
        durable.make_directory(to.absolute().parent)
        durable.write(to, data)
    except (WriteError, OSError) as error:
        reason = error.reason if isinstance(error, WriteError) else error.strerror
        raise RunError(f"{to} cannot be written: {reason}; choose another --trace") from error
    return to


def _orders(rows: Sequence[Timing]) -> Iterator[_Rows]:
    """Yield the orders of a round: rows of an organism are one order, and each name comes once in those of a chunk."""
    organisms: dict[int, _Rows] = {}
    chunks: list[_Rows] = []
    for row in rows:
        if row.organism is not None:
            organisms.setdefault(row.organism, _Rows(ADVANCE, row.organism, row.worker)).seconds[row.name] = (
                row.seconds
            )
        elif row.name.startswith(EMIT):
            name = row.name.removeprefix(EMIT)
            if not chunks or name in chunks[-1].seconds:
                chunks.append(_Rows(EMIT_JOB, len(chunks), row.worker))
            chunks[-1].seconds[name] = row.seconds
    yield from (*organisms.values(), *chunks)


def _ordered(rows: _Rows, round: int, stored: float) -> Ordered | None:
    seconds = dict(rows.seconds)
    length, held = seconds.pop(ORDER, None), seconds.pop(HELD, None)
    if length is None or held is None:
        return None  # its answer came after it had been given up
    answered = stored - held
    return Ordered(rows.job, round, rows.number, rows.worker, 1, answered - length, answered, seconds)
