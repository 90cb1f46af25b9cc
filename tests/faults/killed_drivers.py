"""Drivers that are killed half-way, as by ``kill -9``, or live on: real processes and a real signal."""

import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from archive_store.journal.journal import Journal
from archive_store.lock import held
from archive_store.run_directory import RunDirectory
from organisms.families import FAMILIES
from runs.experiments.folder import ExperimentFolder
from runs.experiments.running import Running
from runs.launch import launch, silent
from runs.machine.scratch import scratch
from runs.resume import resume
from runs.workers.tasks import InlineTasks
from tests.fixtures.small_runs import small

# What a run imports when it comes to need it.
LATE = (
    *("factor_analyzer", "sklearn.datasets"),
    *(f"organisms.{family}.species.family" for family in FAMILIES),
)


def killed(target: Callable[..., Any], *arguments: Any) -> None:
    """Call a function of this module in a fresh process and see that SIGKILL ended it.

    The process is forked from a server that has loaded all that a run needs, because loading takes several
    times as long as the run.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *LATE])
    process = context.Process(target=target, args=arguments)
    process.start()
    process.join()
    code = process.exitcode
    assert code == -signal.SIGKILL, f"the driver was to be killed, but ended with {code}"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in(round: int) -> Callable[[Any], None]:
    """Make a reporter that dies when a round has just been journaled."""

    def report(progress: Any) -> None:
        if (progress.stage, progress.round) == ("rounds", round):
            die()

    return report


def launch_and_die(out: Path, round: int, *overrides: str) -> None:
    launch(small(*overrides), out, die_in(round))


def carry_out_and_die(path: Path) -> None:
    """Die before the last round of the second run of an experiment is written."""
    write, ends = Journal.write_round, []

    def dying(self: Journal, number: int, *rest: Any) -> None:
        ends.extend([number] if number == 2 else [])
        if len(ends) == 2:
            die()
        write(self, number, *rest)

    Journal.write_round = dying
    folder = ExperimentFolder(path)
    Running(folder, folder.plan(), InlineTasks(), silent).run(lambda: False)


def resume_and_die(run: Path, round: int) -> None:
    resume(run, {}, die_in(round))


def launch_and_die_before_the_commit(out: Path, round: int) -> None:
    """Die with the blobs of a round on disk and its transaction not begun."""
    write = Journal.write_round

    def dying(self: Journal, number: int, *rest: Any) -> None:
        if number == round:
            die()
        write(self, number, *rest)

    Journal.write_round = dying
    launch(small(), out)


def launch_and_die_in_the_transaction(out: Path, round: int) -> None:
    """Die with half of a round's rows written."""
    check = Journal._check_continues

    def dying(self: Journal, number: int, events: Any, digest: str) -> None:
        check(self, number, events, digest)
        if number == round:
            self._database.execute("INSERT INTO round VALUES (?, ?)", (number, digest))
            die()

    Journal._check_continues = dying
    launch(small(), out)


def own_a_folder_and_die(place: str) -> None:
    """Die with a temporary folder that is in use."""
    with scratch(place) as folder:
        (folder / "sockets").touch()
        die()


def launch_and_die_before_the_manifest(out: Path) -> None:
    RunDirectory.write_manifest = lambda self, digest: die()
    launch(small(), out)


@contextmanager
def living(target: Callable[..., Any], *arguments: Any) -> Iterator[BaseProcess]:
    """Call a function of this module in a fresh process, wait until it stands still, and kill it in the end.

    The function gets a connection as its last argument and says over it that it stands still.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *LATE])
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(*arguments, theirs))
    process.start()
    theirs.close()
    try:
        ours.recv()
        yield process
    finally:
        process.kill()
        process.join()
        ours.close()


def stand_still(connection: Connection) -> None:
    connection.send("here")
    connection.recv()


def hold(folder: Path, connection: Connection) -> None:
    """Hold the lock of a folder."""
    with held(folder):
        stand_still(connection)


def launch_and_stand_still(out: Path, round: int, connection: Connection) -> None:
    """Launch a run and stop, alive, when a round has just been journaled."""

    def report(progress: Any) -> None:
        if (progress.stage, progress.round) == ("rounds", round):
            stand_still(connection)

    launch(small(), out, report)


def killed_at_random(out: Path, draw: random.Random, *overrides: str) -> None:
    """Start or go on with a run in a fresh process, and kill it a random moment after a round was journaled."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *LATE])
    told, tell = context.Pipe(duplex=False)
    process = context.Process(target=work_and_tell, args=(out, tell, *overrides))
    process.start()
    tell.close()
    told.poll(60)  # the process says when a round is journaled, or hangs up when it ends
    process.join(draw.uniform(0, 0.2))
    process.kill()
    process.join()


def work_and_tell(out: Path, tell: Any, *overrides: str) -> None:
    def report(progress: Any) -> None:
        if progress.stage == "rounds":
            tell.send(progress.round)

    if out.exists():
        resume(out, {}, report)
    else:
        launch(small(*overrides), out, report)
