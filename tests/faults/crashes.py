"""Runs in miniature that a fault strikes at one of their operations, and what has to come of them all the same."""

import multiprocessing
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from archive_store.errors import StoreError
from runs.errors import RunError
from tests.faults import killed_drivers
from tests.faults.faulty_files import CRASHED, FAILING, FULL, LATE, Disk, Operations, crash, error, watched
from tests.fixtures.miniature import launch, miniature, outcome, resume
from tests.fixtures.small_runs import digests

ADVICE = ("the run can be resumed when ", "nothing was left there", "choose another one")
Fork = Callable[..., int]
Fault = tuple[int, Disk, str]  # number of an operation, and how the disk fails there


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done while a fault strikes, and to what."""

    act: Callable[[Path], None]
    before: Path | None = None  # a run to copy; None: there is nothing yet

    def prepare(self, folder: Path) -> None:
        """Leave nothing in the way of a run of this name, and the run that it goes on with, if any."""
        for path in folder.parent.iterdir():
            shutil.rmtree(path)
        if self.before is not None:
            shutil.copytree(self.before, folder)

    def operations(self, folder: Path) -> list[str]:
        """Name the operations that it is made of."""
        self.prepare(folder)
        with watched(Operations()) as operations:
            self.act(folder)
        return operations.names


def start(folder: Path) -> None:
    launch(folder, miniature())


def go_on(folder: Path) -> None:
    """Do what a user does after a fault: resume what is there, or launch again."""
    if folder.exists():
        resume(folder)
    else:
        start(folder)


@contextmanager
def memory() -> Iterator[Path]:
    """Give a folder for a while, in memory if the system has such: disks take most of a run's time to sync."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


@contextmanager
def forks() -> Iterator[Fork]:
    """Give a function that calls another in a process of its own and tells how that ended.

    The processes are forked from one that has made a run before, since the first takes several times as long.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([killed_drivers.__name__, *killed_drivers.LATE])
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,))
    server.start()
    theirs.close()

    def fork(target: Callable[..., None], *arguments: Any) -> int:
        ours.send((target, arguments))
        return ours.recv()

    try:
        yield fork
    finally:
        ours.close()
        server.join()


def _serve(connection: Connection) -> None:
    with memory() as folder:
        start(folder / "run")
    while True:
        try:
            target, arguments = connection.recv()
        except EOFError:
            return
        child = os.fork()
        if child == 0:
            _finish(target, arguments)
        connection.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _finish(target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    try:
        target(*arguments)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def cut_off(folder: Path, round: int, fork: Fork) -> Path:
    """Make a run whose process ended when a round had just been journaled."""
    assert fork(_launch_until, folder, round) == CRASHED
    assert max(digests(folder)) == round
    return folder


def _launch_until(folder: Path, round: int) -> None:
    launch(folder, miniature(), lambda progress: os._exit(CRASHED) if progress.round == round else None)


def crashed(scenario: Scenario, folder: Path, at: int, fork: Fork) -> None:
    """Stop the process of a scenario at an operation."""
    scenario.prepare(folder)
    status = fork(_act_and_crash, scenario.act, folder, at)
    assert status == CRASHED, f"the process was to stop at operation {at}, but ended with {status}"


def _act_and_crash(act: Callable[[Path], None], folder: Path, at: int) -> None:
    with watched(crash(at)):
        act(folder)


def faults(operations: Sequence[str]) -> list[Fault]:
    """List every way in which a disk can fail these operations; closing a connection cannot."""
    return [
        (number, kind, mode)
        for number, name in enumerate(operations, 1)
        if name != "close"
        for kind in (FULL, FAILING)
        for mode in ("once", "lasting", *(["late"] if name in LATE else []))
    ]


def refused(scenario: Scenario, folder: Path, at: int, kind: Disk, mode: str) -> str:
    """Let the disk fail a scenario at an operation and give the sentence in which the run ends.

    A reader of a journal whose head cannot be read (a PRAGMA) takes a copy instead, and nothing ends.
    """
    scenario.prepare(folder)
    failing = error(at, kind, mode)
    try:
        with watched(failing):
            scenario.act(folder)
    except (RunError, StoreError) as caught:
        sentence, status = str(caught), caught.exit_status
    else:
        assert failing.names[at - 1] == "PRAGMA", f"nothing is said of a failing {failing.names[at - 1]}"
        return ""
    assert status == 1
    assert "\n" not in sentence
    assert str(folder.parent) in sentence, sentence
    assert any(advice in sentence for advice in ADVICE), sentence
    return sentence


def recovers(folder: Path, wanted: dict[str, Any]) -> None:
    """Go on without faults and see that the end is the same."""
    go_on(folder)
    found = outcome(folder)
    assert found == wanted, [name for name in wanted if found[name] != wanted[name]]
