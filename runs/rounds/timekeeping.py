"""The times and the memory of a round, for the journal's tables that no digest covers, and for who records them."""

from collections.abc import Callable, Mapping, Sequence

from archive_store.journal.journal import WALL, Incident, Timing
from archive_store.journal.timed import BYTES, DRIVER, EMIT, HELD, IDLE, MEMORY, ORDER, STORE, WRITE
from qd.canonical import canonical
from runs.machine.clock import Clock, moment
from runs.machine.memory import peak_memory
from runs.observability.measured import Committed, Recorder
from runs.workers.jobs import Done
from runs.workers.occupancy import Occupancy


class Timekeeper:
    """Times the commits of a run.

    Parameters
    ----------
    clock
        Monotonic seconds, the dispatcher's.
    occupancy
        How long workers were idle.
    workers
        Returns the names of those that are there.
    recorder
        Is told of every commit.
    """

    def __init__(
        self, clock: Clock, occupancy: Occupancy, workers: Callable[[], Sequence[str]], recorder: Recorder
    ) -> None:
        self._clock = clock
        self._occupancy = occupancy
        self._workers = workers
        self._recorder = recorder
        self._committed = clock()  # when the last round was
        self._begun = self._stored = self._committed
        self._late: list[Timing] = []  # known only after their round was committed

    def begin(self) -> None:
        """Note that a round begins to be stored."""
        self._begun = self._clock()

    def timings(self, answers: Mapping[int, Done], chunks: Mapping[int, Done]) -> list[Timing]:
        """Return what took how long up to now, when all of a round is stored, and what is late of the round before."""
        now = self._stored = self._clock()
        of_driver = [
            Timing(None, WALL, now - self._committed, DRIVER),
            Timing(None, STORE, now - self._begun, DRIVER),
        ]
        self._committed = now
        idle = self._occupancy.idle(self._workers())
        return [
            *of_driver,
            *(Timing(None, IDLE, seconds, worker) for worker, seconds in sorted(idle.items())),
            *(row for organism, done in answers.items() for row in self._of_order(done, organism, "")),
            *(row for _, done in sorted(chunks.items()) for row in self._of_order(done, None, EMIT)),
            *self._late,
        ]

    def end(self, round: int, timings: Sequence[Timing], memory: Mapping[str, int]) -> None:
        """Note that a round is committed, and tell of it.

        Parameters
        ----------
        round
            The round.
        timings, memory
            What the journal was given.
        """
        ended = self._clock()
        self._late = [Timing(None, WRITE, ended - self._stored, DRIVER, round)]
        self._recorder.committed(
            Committed(round, self._begun, self._stored, ended, (*timings, *self._late), memory)
        )

    def late(self) -> list[Timing]:
        """Return what the journal has not been given yet, once."""
        late, self._late = self._late, []
        return late

    def _of_order(self, done: Done, organism: int | None, prefix: str) -> list[Timing]:
        named = dict(done.report.seconds)
        if done.sent is not None and done.answered is not None:
            named |= {ORDER: done.answered - done.sent, HELD: self._stored - done.answered}
        return [Timing(organism, f"{prefix}{name}", seconds, done.worker) for name, seconds in named.items()]


def memory_of(done: Sequence[Done]) -> dict[str, int]:
    """Return the bytes that this process, and those who answered, have had resident at most, by worker."""
    found = {DRIVER: peak_memory()}
    for each in done:
        if each.report.memory is not None:
            found[each.worker] = max(each.report.memory, found.get(each.worker, 0))
    return found


def incident_of(round: int, memory: Mapping[str, int]) -> Incident:
    """Return the row that says so."""
    return Incident(
        moment(), round, None, MEMORY, canonical({"what": "resident at most", BYTES: dict(memory)})
    )
