"""Running an experiment: whatever can begin begins when a process is free, and no run waits for another seed's.

The folder says what is done, so that an experiment that was cut off, however that came about, goes on by the same
function. A run that cannot go on stops no other.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from archive_store.errors import StoreError
from archive_store.run_directory import RunDirectory
from runs.config.execution import ExecutionConfig
from runs.errors import Stopped, command
from runs.experiments.folder import ExperimentFolder
from runs.experiments.plan import Plan, Task, tasks
from runs.experiments.work import calibrate, carry_out
from runs.observability.progress import Progress, Reporter
from runs.workers.start import cores
from runs.workers.tasks import InlineTasks, Outcome, TaskPool

POLL = 1.0  # seconds between two looks at how far the runs are


@contextmanager
def pool_for(execution: ExecutionConfig, runs: int) -> Iterator[TaskPool]:
    """Start the processes that a section ``execution`` asks for, at most one a run, and end them afterwards."""
    pool: TaskPool
    if execution.executor == "inline":
        pool = InlineTasks()
    else:
        from runs.workers.ray_tasks import RayTasks

        workers = min(runs, cores()) if execution.workers == "auto" else execution.workers
        pool = RayTasks(workers, execution.num_gpus)
    try:
        yield pool
    finally:
        pool.close()


@dataclass(slots=True)
class Running:
    """An experiment under way.

    Parameters
    ----------
    folder, plan
        Where it lies, and what is to be done.
    pool
        Does the tasks.
    report
        Called with the progress.
    attempts
        How often a task is begun whose process is lost.
    accept_environment
        Whether runs are gone on with that another environment began.
    """

    folder: ExperimentFolder
    plan: Plan
    pool: TaskPool
    report: Reporter
    attempts: int = 3
    accept_environment: bool = False
    failures: dict[Task, str] = field(default_factory=dict)  # what cannot go on, and why
    _waiting: list[Task] = field(default_factory=list)
    _lost: dict[Task, int] = field(default_factory=dict)
    _calibrators: dict[str, str] = field(default_factory=dict)
    _yokes: dict[str, str | None] = field(default_factory=dict)

    def run(self, stop: Callable[[], bool]) -> None:
        """Do all that is not done yet; what fails is in `failures`.

        Raises
        ------
        Stopped
            If it was asked to stop.
        """
        self._calibrators = {arm.name: arm.calibrator for arm in self.plan.arms}
        self._yokes = {arm.name: arm.yoke for arm in self.plan.arms}
        self._waiting = [task for task in tasks(self.plan) if self._is_needed(task)]
        named = {str(task): task for task in self._waiting}
        stopping = False
        while self._waiting or self.pool.busy:
            if stop() and not stopping:
                stopping = True
                self.pool.ask_to_stop()
            if stopping and not self.pool.busy:
                break
            if not stopping:
                self._begin()
            for outcome in self.pool.wait(POLL):
                stopping |= outcome.status == Stopped.exit_status
                self._take(named[outcome.name], outcome, stopping)
            self._tell()
        if stopping:
            raise Stopped(
                f"stopped with {self._finished()} of {self._cells()} runs finished, as asked; go on with: "
                f"{command('experiment', 'resume', self.folder.path)}"
            )

    def _is_needed(self, task: Task) -> bool:
        if self.folder.done(task):
            return False
        cells = (Task("cell", arm.name, task.seed) for arm in self.plan.arms if arm.calibrator == task.arm)
        return task.kind == "cell" or not all(self.folder.done(cell) for cell in cells)

    def _begin(self) -> None:
        for task in list(self._waiting):
            if not self.pool.free:
                return
            missing = next((source for source in self._sources(task) if not self.folder.done(source)), None)
            if missing is not None:
                if missing in self.failures:
                    self._waiting.remove(task)
                    of_run = f"the run that it is yoked to, {missing}, failed"
                    self.failures[task] = of_run if missing.kind == "cell" else "its calibration failed"
                continue
            self._waiting.remove(task)
            self._submit(task)

    def _sources(self, task: Task) -> list[Task]:
        """Return what has to be done before a task: a cell's calibration, and the run that it is yoked to."""
        if task.kind == "calibration":
            return []
        yoke = self._yokes[task.arm]
        yoked = [] if yoke is None else [Task("cell", yoke, task.seed)]
        return [Task("calibration", self._calibrators[task.arm], task.seed), *yoked]

    def _submit(self, task: Task) -> None:
        folder = self.folder
        arm, calibrator = folder.arm_path(task.arm), self._calibrators[task.arm]
        calibration = folder.calibration(calibrator, task.seed)
        if task.kind == "calibration":
            self.pool.submit(str(task), calibrate, arm, task.seed, calibration)
        else:
            out = folder.cell(task.arm, task.seed)
            yoke = self._yokes[task.arm]
            other = None if yoke is None else folder.cell(yoke, task.seed)
            self.pool.submit(
                str(task), carry_out, arm, task.seed, calibration, out, self.accept_environment, other
            )

    def _take(self, task: Task, outcome: Outcome, stopping: bool) -> None:
        if outcome.status == 0:
            if task.kind == "cell":
                self._tell(f"{task}: finished ({self._finished()} of {self._cells()})")
        elif stopping:
            pass  # it can be gone on with
        elif outcome.lost and self._lost.get(task, 1) < self.attempts:
            self._lost[task] = self._lost.get(task, 1) + 1
            self._waiting.insert(0, task)
        else:
            self.failures[task] = outcome.sentence
            self._tell(f"{task}: {outcome.sentence}")

    def _cells(self) -> int:
        return len(self.plan.cells)

    def _finished(self) -> int:
        return sum(map(self.folder.done, self.plan.cells))

    def _tell(self, message: str = "") -> None:
        rounds = {arm.name: arm.config.rounds for arm in self.plan.arms}
        cells = self.plan.cells
        made = sum(min(self._rounds(task, rounds[task.arm]), rounds[task.arm]) for task in cells)
        whole = sum(rounds[task.arm] for task in cells)
        self.report(Progress("runs", done=made / whole, message=message))

    def _rounds(self, task: Task, planned: int) -> int:
        """Return how many rounds of a cell are made."""
        if self.folder.done(task):
            return planned
        try:
            with RunDirectory(self.folder.cell(task.arm, task.seed)).journal() as journal:
                return journal.last_round() or 0
        except (StoreError, OSError):  # none yet, or in the middle of being made
            return 0
