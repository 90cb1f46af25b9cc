"""Whole tasks, each in a process of its own: what comes of one, pools that do them, and the pool that is this process.

Unlike a job (`runs.workers.jobs`), a task answers with nothing but whether it could be done: what it made is on disk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from archive_store.errors import StoreError
from runs.errors import RAISED, PlasmodiaError, RunError, told

Work = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task."""

    name: str
    status: int = 0  # as an exit status: 0 where it was done, else that of the error
    sentence: str = ""  # of the error
    lost: bool = False  # with its process; another try may do it


class TaskPool(Protocol):
    """Processes that do tasks, each one at a time."""

    @property
    def free(self) -> int:
        """How many more tasks it can begin."""

    @property
    def busy(self) -> Sequence[str]:
        """Names of the tasks that were begun."""

    def submit(self, name: str, work: Work, *arguments: Any) -> None:
        """Begin a task; there must be a free process.

        Parameters
        ----------
        name
            Of the task.
        work, arguments
            A function of a module, and values for it.
        """

    def wait(self, seconds: float) -> list[Outcome]:
        """Wait until tasks end; return [] after `seconds`."""

    def ask_to_stop(self) -> None:
        """Ask the tasks that were begun to stop in such a way that they can be gone on with."""

    def close(self) -> None:
        """End all processes."""


class InlineTasks:
    """One process: this. A task runs when it is waited for; a request to stop reaches it by itself."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, Work, tuple[Any, ...]]] = []

    @property
    def free(self) -> int:
        """1, or 0 while a task waits to be run."""
        return 1 - len(self._waiting)

    @property
    def busy(self) -> Sequence[str]:
        """The name of the task that waits."""
        return [name for name, _, _ in self._waiting]

    def submit(self, name: str, work: Work, *arguments: Any) -> None:
        """Keep a task until it is waited for.

        Parameters
        ----------
        name
            Of the task.
        work, arguments
            What is called.
        """
        self._waiting.append((name, work, arguments))

    def wait(self, seconds: float) -> list[Outcome]:
        """Do the task, however long it takes."""
        if not self._waiting:
            return []
        name, work, arguments = self._waiting.pop()
        return [Outcome(name, *attempt(work, arguments))]

    def ask_to_stop(self) -> None:
        """Do nothing: the task had the signal, as it runs in this process."""

    def close(self) -> None:
        """Forget what waits."""
        self._waiting.clear()


def attempt(work: Work, arguments: Sequence[Any]) -> tuple[int, str]:
    """Call a function and return 0 and no sentence, or exit status and sentence of what it raised."""
    try:
        work(*arguments)
    except (PlasmodiaError, StoreError) as error:
        return error.exit_status, str(error)
    except RAISED as error:
        return RunError.exit_status, told(error)
    return 0, ""
