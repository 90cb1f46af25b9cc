"""Sending jobs: one queue by priority, one answer per job, and a limit to how often a job is tried."""

import heapq
from collections import deque
from collections.abc import Callable

from runs.errors import RunError
from runs.pools import Done, Event, Failed, Job, Key, Lost, Pool

Priority = tuple[float, ...]
Incident = Callable[[str, Job, str], None]  # kind, job, what happened
Evidence = Callable[[Done], str]  # what two answers to one job must agree on


class Dispatcher:
    """Keeps a pool's workers busy and gives each job's first answer exactly once.

    Parameters
    ----------
    pool
        Where jobs run.
    attempts
        How often a job may be sent before the run stops.
    incident
        Told about every job that was lost or answered twice.
    evidence
        Digest of an answer; a late second answer with another one is an error.
    """

    def __init__(self, pool: Pool, attempts: int, incident: Incident, evidence: Evidence) -> None:
        self.pool = pool
        self._attempts = attempts
        self._incident = incident
        self._evidence = evidence
        self._queue: list[tuple[Priority, int, Job, int]] = []  # priority, order of arrival, job, attempt
        self._arrivals = 0
        self._priorities: dict[Key, Priority] = {}  # of unanswered jobs
        self._answered: dict[Key, str] = {}
        self._ready: deque[Done] = deque()

    def submit(self, job: Job, priority: Priority) -> None:
        """Queue a job; lower priorities go first, equal ones in the order of submission."""
        self._priorities[job.key] = priority
        self._push(job, 1)

    def next(self) -> Done:
        """Wait for the next answer.

        Raises
        ------
        RunError
            If a job failed, was lost too often, or was answered twice with different results.
        """
        while not self._ready:
            while self._queue and self.pool.idle > 0:
                _, _, job, attempt = heapq.heappop(self._queue)
                self.pool.submit(job, attempt)
            for event in self.pool.wait():
                self._take(event)
        return self._ready.popleft()

    def _push(self, job: Job, attempt: int) -> None:
        heapq.heappush(self._queue, (self._priorities[job.key], self._arrivals, job, attempt))
        self._arrivals += 1

    def _take(self, event: Event) -> None:
        if isinstance(event, Failed):
            raise RunError(f"{event.job} failed: {event.error}")
        if isinstance(event, Lost):
            self._send_again(event)
        elif event.job.key in self._priorities:
            del self._priorities[event.job.key]
            self._answered[event.job.key] = self._evidence(event)
            self._ready.append(event)
        else:
            self._check_duplicate(event)

    def _send_again(self, lost: Lost) -> None:
        self._incident("lost", lost.job, lost.reason)
        if lost.job.key not in self._priorities:
            return
        if lost.attempt >= self._attempts:
            raise RunError(
                f"{lost.job} was lost {lost.attempt} times, the last time because {lost.reason}; "
                "the run can be resumed"
            )
        self._push(lost.job, lost.attempt + 1)

    def _check_duplicate(self, late: Done) -> None:
        first, second = self._answered[late.job.key], self._evidence(late)
        if first != second:
            raise RunError(
                f"two answers to {late.job} differ: digests {first} and {second}; a task, family or measure "
                "gives different results for equal input"
            )
        self._incident("duplicate", late.job, f"attempt {late.attempt} answered late")
