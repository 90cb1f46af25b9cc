"""An engine in a thread of its own: requests come in from others, and events go back to them."""

import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from runs.serving.engine import Engine, Growing
from runs.serving.generation import Generation, Listener, Refused

Answer = TypeVar("Answer")

STOPPED = "the server was stopped before the request was answered; send it again to another, or later"
BROKEN = "the server failed to answer; its own messages say why"


class Ticket:
    """A request that was taken on; `Service.cancel` takes it back."""

    __slots__ = ("growing", "is_cancelled")

    def __init__(self) -> None:
        self.growing: Growing | None = None
        self.is_cancelled = False


class Service:
    """The thread of an engine.

    Parameters
    ----------
    engine
        Only the thread touches it, once it runs.
    report
        Called with the trace of an error that no request is to blame for.
    """

    def __init__(self, engine: Engine, report: Callable[[str], None]) -> None:
        self.engine, self._report = engine, report
        self._inbox: deque[Callable[[], None]] = deque()
        self._coming = 0  # generations in the inbox
        self._changed = threading.Condition()
        self._visits = 0  # requests of several jobs
        self._draining = self._given_up = self._stopping = False
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name="plasmodia-engine", daemon=True)

    @property
    def draining(self) -> bool:
        """Whether no new requests are taken on."""
        return self._draining

    @property
    def idle(self) -> bool:
        """Whether nothing waits or runs."""
        return self._idle.is_set() and not self._visits

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def drain(self) -> None:
        """Take on nothing more; what was taken on is answered."""
        with self._changed:
            self._draining = True

    def give_up(self) -> None:
        """End all requests that were taken on, with a sentence for each (503), and take on nothing more."""
        with self._changed:
            self._draining = self._given_up = True
            self._put(lambda: self.engine.fail_all(503, STOPPED))

    def stop(self) -> None:
        """End the thread after the step that it is in; requests under way are dropped."""
        with self._changed:
            self._draining = self._stopping = True
            self._changed.notify()
        self._thread.join()

    def submit(self, generation: Generation, listener: Listener) -> Ticket:
        """Take on a request; the listener is called in the engine's thread.

        Raises
        ------
        Refused
            If the server is being stopped, or too many requests wait.
        """
        ticket = Ticket()

        def enter() -> None:
            with self._changed:
                self._coming -= 1
            if not ticket.is_cancelled:
                ticket.growing = self.engine.submit(generation, listener)

        with self._changed:
            self._admit()
            most = self.engine.limits.max_waiting
            # Those who have their turn in the next step do not wait.
            free = self.engine.limits.max_batch_size - len(self.engine.running)
            if self._coming + len(self.engine.waiting) >= most + max(0, free):
                raise Refused(429, f"{most} requests are waiting already; come back later", retry_after=1)
            self._coming += 1
            self._put(enter)
        return ticket

    @contextmanager
    def visit(self) -> Iterator[None]:
        """Take on a request of several jobs, each by `call`; those after the first are run though it is drained.

        Raises
        ------
        Refused
            If the server is being stopped.
        """
        with self._changed:
            self._admit()
            self._visits += 1
        try:
            yield
        finally:
            with self._changed:
                self._visits -= 1

    def call(self, job: Callable[[], Answer]) -> "Future[Answer]":
        """Run something that uses the model between two steps, for a `visit`.

        Raises
        ------
        Refused
            If the server has given up what was under way, or too many requests wait.
        """
        future: Future[Answer] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(job())
            except Exception as error:  # whatever it is, the caller shall know
                future.set_exception(error)

        with self._changed:
            if self._given_up:
                raise Refused(503, STOPPED)
            if len(self._inbox) >= self.engine.limits.max_waiting:
                raise Refused(429, f"{len(self._inbox)} requests are waiting already; come back later", 1)
            self._put(run)
        return future

    def cancel(self, ticket: Ticket) -> None:
        """Drop a request, whether it waits, runs or has ended."""

        def leave() -> None:
            ticket.is_cancelled = True
            if ticket.growing is not None:
                self.engine.cancel(ticket.growing)

        with self._changed:
            self._put(leave)

    def _admit(self) -> None:
        if self._draining:
            raise Refused(503, "the server is being stopped and takes on no more requests")

    def _put(self, action: Callable[[], None]) -> None:
        self._inbox.append(action)
        self._idle.clear()
        self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._inbox or self.engine.busy or self._stopping):
                    self._idle.set()
                    self._changed.wait()
                if self._stopping:
                    return
                actions, self._inbox = self._inbox, deque()
            try:
                while actions:
                    actions.popleft()()
                self.engine.step()
            except Exception:
                self._report(traceback.format_exc())
                with self._changed:
                    self._inbox.extendleft(reversed(actions))
                self.engine.fail_all(500, BROKEN)
