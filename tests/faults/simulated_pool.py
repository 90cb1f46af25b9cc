"""Workers, machines and time that exist in one thread: what happens to them is drawn from a seed.

The real driver and dispatcher run on this pool unchanged. Its clock moves only when somebody waits, to the next
thing that happens; so hours of timeouts pass at once. Which misfortunes a world knows at all is drawn too (swarm
testing, Groce et al. 2012): a world with every fault at once rarely gets far enough to meet a rare combination.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from runs.workers.jobs import Done, Failed, Gone, InputLost, Job, JobEvent, Lost

Work = Callable[..., tuple[Any, Any, Any]]  # of a job's arguments: report, payload, genomes

# What may become of an order, besides being answered.
FATES = (
    "straggles",  # answers after very long, perhaps too late
    "never arrives",
    "dies before",  # its worker, before the work is done
    "dies during",
    "dies after",  # answered; the next order finds a dead worker
    "hangs",
    "comes back",  # hangs, is replaced, and answers then
    "answers twice",
    "runs short",  # of memory; the worker lives
    "raises",  # something that does not come again
)
DISASTERS = ("a machine dies", "all but one go", "newcomers")


@dataclass(frozen=True, slots=True)
class Perils:
    """What a world knows of misfortune."""

    fates: tuple[str, ...]
    chance: float  # of a fate, for each order
    disasters: tuple[str, ...]
    every: float  # mean seconds between two disasters


def drawn_perils(draw: random.Random) -> Perils:
    """Draw a subset of all misfortunes, and how frequent they are."""
    return Perils(
        fates=tuple(fate for fate in FATES if draw.random() < 0.5),
        chance=draw.choice((0.0, 0.05, 0.15, 0.35)),
        disasters=tuple(one for one in DISASTERS if draw.random() < 0.5),
        every=draw.choice((15.0, 60.0, 300.0)),
    )


@dataclass(frozen=True, slots=True)
class _Handle:
    number: int


@dataclass(slots=True)
class _Worker:
    machine: int
    errand: tuple[Job, int] | None = None
    is_dead: bool = False  # and nobody has noticed


@dataclass(slots=True)
class SimulatedPool:
    """A pool of simulated workers on simulated machines.

    Parameters
    ----------
    work
        Does a job, without misfortune.
    draw
        Decides everything.
    size
        Workers at the beginning.
    machines
        Among which they are spread; what a worker answers is kept on its machine until that dies.
    timeout
        Seconds after which the dispatcher gives up on an answer; stragglers take about as long.
    now
        Virtual seconds, monotonic.
    ends_at
        Number of the wait in which the driver dies; None: it lives.
    """

    work: Work
    draw: random.Random
    perils: Perils
    size: int
    machines: int
    timeout: float
    now: float = 0.0
    ends_at: int | None = None
    happened: dict[str, int] = field(default_factory=dict)
    _workers: dict[str, _Worker] = field(default_factory=dict)
    _agenda: list[tuple[float, int, Callable[[], JobEvent | None]]] = field(default_factory=list)
    _data: dict[_Handle, tuple[Any, int]] = field(default_factory=dict)  # value and machine
    _count: int = 0
    _waits: int = 0

    def __post_init__(self) -> None:
        for _ in range(self.size):
            self._arrive()
        if self.perils.disasters:
            self._plan_disaster()

    @property
    def workers(self) -> list[str]:
        return list(self._workers)

    @property
    def idle(self) -> list[str]:
        return [name for name, worker in self._workers.items() if worker.errand is None]

    def clock(self) -> float:
        return self.now

    def submit(self, job: Job, attempt: int, worker: str) -> None:
        sent = self._workers[worker]
        assert sent.errand is None, "a busy worker was sent a job"
        sent.errand = (job, attempt)
        if sent.is_dead:
            self._in(0.1, lambda: self._die(worker))
            return
        try:
            arguments = [self.fetch(one) if isinstance(one, _Handle) else one for one in job.arguments]
        except Gone:
            self._in(1.0, lambda: self._starve(worker, job, attempt))
            return
        meets = self.perils.fates and self.draw.random() < self.perils.chance
        self._begin(
            worker, job, attempt, arguments, self.draw.choice(self.perils.fates) if meets else "answers"
        )

    def wait(self, seconds: float) -> list[JobEvent]:
        self._waits += 1
        if self._waits == self.ends_at:
            raise DriverDied
        until = self.now + seconds
        events: list[JobEvent] = []
        while self._agenda and self._agenda[0][0] <= until and not events:
            self.now, _, happen = heapq.heappop(self._agenda)
            events = [event for event in [happen()] if event is not None]
        if not events:
            self.now = until
        return events

    def replace(self, worker: str) -> None:
        del self._workers[worker]
        self._in(self.draw.expovariate(1 / 5), self._arrive)

    def fetch(self, handle: Any) -> Any:
        if not isinstance(handle, _Handle):
            return handle
        if handle not in self._data:
            raise Gone("it was lost with its machine")
        return self._data[handle][0]

    def _begin(self, worker: str, job: Job, attempt: int, arguments: list[Any], fate: str) -> None:
        self._note(fate)
        seconds = self.draw.lognormvariate(0.0, 1.0)
        if fate == "straggles":
            seconds = self.timeout * self.draw.uniform(0.5, 1.5)
        elif fate == "comes back":
            seconds = self.timeout * self.draw.uniform(1.0, 3.0)
        if fate in ("never arrives", "hangs"):
            return
        if fate in ("dies before", "dies during"):
            self._in(0.0 if fate == "dies before" else seconds, lambda: self._die(worker))
        elif fate == "runs short":
            self._in(seconds, lambda: self._free(worker, Lost(job, attempt, worker, "it ran out of memory")))
        elif fate == "raises":
            error = f"misfortune {self._count}"
            self._in(seconds, lambda: self._free(worker, Failed(job, attempt, worker, error)))
        else:
            machine = self._workers[worker].machine
            self._in(seconds, lambda: self._answer(worker, machine, job, attempt, arguments))
        if fate == "answers twice":
            self._in(2 * seconds, lambda: self._answer(worker, machine, job, attempt, arguments))
        elif fate == "dies after":
            self._in(seconds, lambda: self._mark_dead(worker))

    def _answer(self, worker: str, machine: int, job: Job, attempt: int, arguments: list[Any]) -> JobEvent:
        report, payload, genomes = self.work(*arguments)
        kept = self._keep(payload, machine), self._keep(genomes, machine)
        return self._free(worker, Done(job, attempt, report, *kept, worker))

    def _keep(self, value: Any, machine: int) -> _Handle:
        handle = _Handle(self._next())
        self._data[handle] = (value, machine)
        return handle

    def _free(self, worker: str, event: JobEvent) -> JobEvent:
        there = self._workers.get(worker)
        if there is not None and there.errand == (event.job, event.attempt):
            there.errand = None
        return event

    def _starve(self, worker: str, job: Job, attempt: int) -> JobEvent:
        self._note("starves")
        return self._free(worker, InputLost(job, attempt, worker, "its input was lost"))

    def _die(self, worker: str) -> JobEvent | None:
        if worker not in self._workers:
            return None  # it was given up before
        errand = self._workers[worker].errand
        self.replace(worker)
        return None if errand is None else Lost(*errand, worker, "its worker died")

    def _mark_dead(self, worker: str) -> None:
        if worker in self._workers:
            self._workers[worker].is_dead = True

    def _arrive(self) -> None:
        self._workers[f"worker-{self._next()}"] = _Worker(self.draw.randrange(self.machines))

    def _plan_disaster(self) -> None:
        self._in(self.draw.expovariate(1 / self.perils.every), self._disaster)

    def _disaster(self) -> None:
        kind = self.draw.choice(self.perils.disasters)
        self._note(kind)
        if kind == "a machine dies":
            machine = self.draw.randrange(self.machines)
            self._data = {handle: kept for handle, kept in self._data.items() if kept[1] != machine}
            self._end([name for name, worker in self._workers.items() if worker.machine == machine])
        elif kind == "all but one go":
            self._end(list(self._workers)[1:])
        else:
            for _ in range(self.draw.randint(1, self.size)):
                self._arrive()
        self._plan_disaster()

    def _end(self, names: list[str]) -> None:
        """End workers: one at work is noticed at once, an idle one when it is sent something."""
        for name in names:
            worker = self._workers[name]
            worker.is_dead = True
            if worker.errand is not None:
                self._in(0.1, lambda name=name: self._die(name))

    def _in(self, seconds: float, happen: Callable[[], JobEvent | None]) -> None:
        heapq.heappush(self._agenda, (self.now + seconds, self._next(), happen))

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _note(self, what: str) -> None:
        self.happened[what] = self.happened.get(what, 0) + 1


class DriverDied(BaseException):
    """The driver's process ended: nothing of its memory is left, nor of its workers."""
