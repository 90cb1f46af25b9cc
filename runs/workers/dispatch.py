"""The dispatcher: one queue of jobs by priority, one answer for each, and a limit on how often a job is tried."""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from runs.errors import RunError
from runs.machine.clock import Clock
from runs.observability.measured import NOBODY, Ordered, Recorder
from runs.training.answer import EmitReport, RoundReport
from runs.workers.jobs import Done, Failed, InputLost, Job, JobEvent, Key, Lost, Starved
from runs.workers.occupancy import Occupancy
from runs.workers.placement import home
from runs.workers.pool import WorkerPool

Priority = tuple[float, ...]
Incident = Callable[[str, Job, str], None]  # kind, job, what happened
Evidence = Callable[[Done], str]  # what two answers to one job must agree on

PATIENCE = 1.0  # seconds of waiting after which `Dispatcher.next` returns without an answer


@dataclass(slots=True)
class _Unanswered:
    """A job that waits for its first answer."""

    priority: Priority
    avoid: set[str]  # workers that shall not do it, if there is another
    error: str | None = None  # what it raised the last time


@dataclass(frozen=True, slots=True)
class _Errand:
    job: Job
    attempt: int
    sent: float
    deadline: float


class Dispatcher:
    """Keeps a pool's workers busy and returns each job's first answer exactly once.

    Parameters
    ----------
    pool
        Where jobs run.
    attempts
        How often a job may be lost before the run stops. One that raises stops it when it raises the same
        a second time, on another worker if there is one.
    timeout
        Seconds without an answer after which a worker is replaced and its job sent again.
    incident
        Called for every job that was lost, raised, or was answered twice.
    evidence
        Returns a digest of an answer; a late second answer with another digest is an error.
    clock
        Monotonic seconds.
    seed
        Of the run, by which jobs are placed.
    recorder
        Is told of every answer; nothing depends on it.
    """

    def __init__(
        self,
        pool: WorkerPool,
        attempts: int,
        timeout: float,
        incident: Incident,
        evidence: Evidence,
        clock: Clock,
        seed: int = 0,
        recorder: Recorder = NOBODY,
    ) -> None:
        self.pool = pool
        self.occupancy = Occupancy(clock)
        self._recorder = recorder
        self._seed = seed
        self._attempts = attempts
        self._timeout = timeout
        self._incident = incident
        self._evidence = evidence
        self._clock = clock
        self._queue: list[tuple[Priority, int, Job, int]] = []  # priority, order of arrival, job, attempt
        self._arrivals = 0
        self._unanswered: dict[Key, _Unanswered] = {}
        self._answered: dict[Key, str] = {}
        self._errands: dict[str, _Errand] = {}  # by worker
        self._ready: deque[Done | InputLost | Starved] = deque()

    @property
    def busy(self) -> bool:
        """Whether an answer is ready or a worker has a job."""
        return bool(self._ready or self._errands)

    @property
    def waiting(self) -> int:
        """How many jobs wait for a worker."""
        return len(self._queue)

    def submit(self, job: Job, priority: Priority, avoid: str | None = None) -> None:
        """Queue a job.

        Parameters
        ----------
        job
            What to do.
        priority
            Lower ones go first, equal ones in the order of submission.
        avoid
            A worker that shall not do it, unless there is no other.
        """
        self._unanswered[job.key] = _Unanswered(priority, set() if avoid is None else {avoid})
        self._push(job, 1)

    def next(self, send: bool = True) -> Done | InputLost | Starved | None:
        """Return the next answer, or None where there is none after `PATIENCE` seconds.

        A job whose answer is `InputLost` or `Starved` is forgotten: its submitter has to find other input, or something
        smaller to ask for, and submit it again.

        Parameters
        ----------
        send
            Whether queued jobs may be started.

        Raises
        ------
        RunError
            If a job raised the same twice, was lost too often, or was answered twice with different results.
        """
        if not self._ready:
            if send:
                self._send()
            for event in self.pool.wait(self._moment()):
                self._take(event)
            self._give_up_on_the_late()
        return self._ready.popleft() if self._ready else None

    def answer(self) -> Done:
        """Return the next answer, however long it takes.

        Raises
        ------
        RunError
            As `next`, and if a job's input was lost.
        """
        while True:
            event = self.next()
            if isinstance(event, Done):
                return event
            if isinstance(event, Starved):
                raise RunError(event.error)
            if event is not None:
                raise RunError(f"{event.job} could not begin: {event.reason}")

    def _send(self) -> None:
        """Send each idle worker the first job of the queue that it may do."""
        passed_over = []
        self.occupancy.see(self.pool.workers)
        while self._queue and self.pool.idle:
            entry = heapq.heappop(self._queue)
            _, _, job, attempt = entry
            if job.key not in self._unanswered:
                continue  # a late answer was faster than the next attempt
            worker = self._worker_for(job, attempt)
            if worker is None:
                passed_over.append(entry)
                continue
            now = self._clock()
            self._errands[worker] = _Errand(job, attempt, now, now + self._timeout)
            self.occupancy.begin(worker)
            self.pool.submit(job, attempt, worker)
        for entry in passed_over:
            heapq.heappush(self._queue, entry)

    def _worker_for(self, job: Job, attempt: int) -> str | None:
        """Return an idle worker for a job: the one it is for, unless it was lost or failed before; None: it waits."""
        if job.place is not None and attempt == 1:
            worker = home(job.place, self.pool.workers, self._seed)
            return worker if worker in self.pool.idle else None
        avoid = self._unanswered[job.key].avoid
        if all(worker in avoid for worker in self.pool.workers):
            return self.pool.idle[0]
        return next((worker for worker in self.pool.idle if worker not in avoid), None)

    def _moment(self) -> float:
        first = min((errand.deadline for errand in self._errands.values()), default=None)
        return PATIENCE if first is None else min(PATIENCE, max(0.0, first - self._clock()))

    def _give_up_on_the_late(self) -> None:
        now = self._clock()  # before the first replacement, whose time must not count against other workers
        for worker, errand in list(self._errands.items()):
            if now >= errand.deadline:
                self.pool.replace(worker)
                self._take(
                    Lost(errand.job, errand.attempt, worker, f"it gave no answer for {self._timeout:g} s")
                )

    def _push(self, job: Job, attempt: int) -> None:
        heapq.heappush(self._queue, (self._unanswered[job.key].priority, self._arrivals, job, attempt))
        self._arrivals += 1

    def _take(self, event: JobEvent) -> None:
        errand = self._errands.get(event.worker)
        is_current = errand is not None and (errand.job.key, errand.attempt) == (event.job.key, event.attempt)
        if errand is not None and is_current:
            del self._errands[event.worker]
            self.occupancy.end(event.worker)
            if isinstance(event, Done):
                event = replace(event, sent=errand.sent, answered=self._clock())
        if isinstance(event, Done):
            self._accept(event)
        elif not is_current:
            pass  # whatever becomes of an attempt that was given up
        elif event.job.key not in self._unanswered:
            self._incident("lost", event.job, f"attempt {event.attempt}, answered before by another")
        elif event.job.optional:
            self._forget(event, event.error if isinstance(event, Failed) else event.reason)
        elif isinstance(event, Lost):
            self._send_again(event)
        elif isinstance(event, Failed):
            self._try_elsewhere(event)
        else:
            self._forget(event, event.reason)

    def _forget(self, event: Lost | Failed | InputLost, reason: str) -> None:
        """Return a job to its submitter, unanswered."""
        self._incident("lost", event.job, reason)
        del self._unanswered[event.job.key]
        self._ready.append(InputLost(event.job, event.attempt, event.worker, reason))

    def _accept(self, done: Done) -> None:
        key = done.job.key
        if key in self._answered and key not in self._unanswered:
            self._check_duplicate(done)
            return
        self._unanswered.pop(key, None)  # a job that lost since is answered all the same
        self._answered[key] = self._evidence(done)
        if done.sent is not None and done.answered is not None:
            self._recorder.answered(_ordered(done, done.sent, done.answered))
        self._ready.append(done)

    def _send_again(self, lost: Lost) -> None:
        self._incident("lost", lost.job, lost.reason)
        if lost.attempt >= self._attempts:
            error = (
                f"{lost.job} was lost {_times(lost.attempt)}, the last time because {lost.reason}"
                f"{_resumable(lost.job)}"
            )
            if not lost.starved:
                raise RunError(error)
            del self._unanswered[lost.job.key]
            self._ready.append(Starved(lost.job, error))
            return
        self._push(lost.job, lost.attempt + 1)

    def _try_elsewhere(self, failed: Failed) -> None:
        unanswered = self._unanswered[failed.job.key]
        if failed.error == unanswered.error or failed.attempt >= self._attempts:
            raise RunError(
                f"{failed.job} failed {_times(failed.attempt)}: {failed.error}{_resumable(failed.job)}"
            )
        self._incident("failed", failed.job, failed.error)
        unanswered.error = failed.error
        unanswered.avoid.add(failed.worker)
        self._push(failed.job, failed.attempt + 1)

    def _check_duplicate(self, late: Done) -> None:
        first, second = self._answered[late.job.key], self._evidence(late)
        if first != second:
            raise RunError(
                f"two answers to {late.job} differ: digests {first} and {second}; a task, family or measure "
                "gives different results for equal input"
            )
        self._incident("duplicate", late.job, f"attempt {late.attempt} answered late")


def _ordered(done: Done, sent: float, answered: float) -> Ordered:
    job, report = done.job, done.report
    known = isinstance(report, (RoundReport, EmitReport))
    return Ordered(
        job=job.name,
        round=job.round,
        number=job.organism,
        worker=done.worker,
        attempt=done.attempt,
        sent=sent,
        answered=answered,
        parts=report.seconds if known else {},
        memory=report.memory if known else None,
    )


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _resumable(job: Job) -> str:
    return "; the run can be resumed" if job.round > 0 else ""
