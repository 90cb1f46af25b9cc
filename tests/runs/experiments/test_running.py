"""Experiments of runs in miniature, in this process; one of them on real Ray, whose driver is killed."""

import shutil

import pytest

from archive_store.errors import LockError
from archive_store.lock import held
from runs.config.reader import load
from runs.errors import ConfigError, Stopped
from runs.experiments import work
from runs.experiments.folder import ExperimentFolder, agreed
from runs.experiments.running import Running
from runs.launch import launch, silent
from runs.workers.tasks import InlineTasks, Outcome
from tests.faults.killed_drivers import carry_out_and_die, killed
from tests.fixtures.experiments import SHORTER, planned_small
from tests.fixtures.small_runs import digests, files


def all_digests(folder, plan):
    return {str(task): digests(folder.cell(task.arm, task.seed)) for task in plan.cells}


def going_on(folder, plan, pool=None, **options):
    return Running(folder, plan, InlineTasks() if pool is None else pool, silent, **options)


@pytest.fixture
def copied(done, tmp_path):
    """A copy of the finished experiment."""
    return ExperimentFolder(shutil.copytree(done.path, tmp_path / "copy"))


def blobs(run):
    return {path.name for path in run.glob("blobs/**/*") if path.is_file()}


class Noting(InlineTasks):
    """A pool that keeps the names of what it began."""

    def __init__(self):
        super().__init__()
        self.begun = []

    def submit(self, name, work, *arguments):
        self.begun.append(name)
        super().submit(name, work, *arguments)


class Losing(Noting):
    """A pool whose processes die, as often as it is told to let them."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    def wait(self, seconds):
        if self.times and self._waiting:
            self.times -= 1
            return [Outcome(self._waiting.pop()[0], 1, "its process died", lost=True)]
        return super().wait(seconds)


def test_a_cells_digest_is_that_of_its_configuration_launched_alone(done, tmp_path):
    """Once from the preset that the experiment began with, once from the file of the arm that it keeps."""
    calibration = f"calibration.from={done.calibration('archive', 1)}"
    static = ("births=none", "lifecycle.enabled=false")
    alone = launch(load("smoke", [*SHORTER, *static, "seed=1", calibration]), tmp_path / "alone")
    assert digests(alone) == digests(done.cell("static", 1))
    kept = load(str(done.arm_path("static")), ["seed=1", calibration])
    assert kept == load("smoke", [*SHORTER, *static, "seed=1", calibration])


def test_the_arms_of_a_seed_have_one_calibration(done):
    rounds = [digests(done.cell(arm, seed))[0] for seed in (0, 1) for arm in ("archive", "static")]
    assert len(set(rounds)) == 4  # each covers its configuration ...
    shared = blobs(done.calibration("archive", 0))
    assert len(shared) > 3
    for arm in ("archive", "static"):
        assert shared <= blobs(done.cell(arm, 0))  # ... and takes interface, hosts and centroids


def test_what_is_finished_is_not_touched_and_nothing_is_begun(copied):
    before = files(copied.path)
    pool = Noting()
    going_on(copied, copied.plan(), pool).run(lambda: False)
    assert (pool.begun, files(copied.path)) == ([], before)


def test_further_seeds_are_added_and_only_they_are_run(copied):
    plan = agreed(copied, planned_small(seeds=[0, 5]))
    assert plan.seeds == (0, 1, 5)
    copied.write(plan)
    pool = Noting()
    going_on(copied, copied.plan(), pool).run(lambda: False)
    assert pool.begun == ["calibration of archive, seed 5", "archive, seed 5", "static, seed 5"]


def test_other_arms_are_refused_by_what_differs(done):
    with pytest.raises(
        ConfigError, match="with other arms: in arm archive rounds: 2 against 3; in arm static"
    ):
        agreed(done, planned_small("rounds=3"))
    with pytest.raises(
        ConfigError, match="with other arms: arms archive, static against archive; choose another --out"
    ):
        agreed(done, planned_small(arms={"archive": {}}))


def test_a_run_that_cannot_go_on_stops_no_other(copied, done):
    """A cell that lies there without a configuration is no run."""
    shutil.rmtree(copied.cell("archive", 0))
    copied.cell("archive", 0).mkdir()
    shutil.rmtree(copied.cell("static", 1))
    said = []
    running = Running(copied, copied.plan(), InlineTasks(), said.append)
    running.run(lambda: False)
    assert {str(task): "is no run" in sentence for task, sentence in running.failures.items()} == {
        "archive, seed 0": True
    }
    assert digests(copied.cell("static", 1)) == digests(done.cell("static", 1))
    assert any(report.message.startswith("archive, seed 0: ") for report in said)
    assert "static, seed 1: finished (3 of 4)" in [report.message for report in said]


def test_where_calibration_fails_the_runs_that_need_it_are_named_and_others_go_on(tmp_path):
    arms = {"a": {}, "b": {"births": "none"}, "wild": {"training": {"learning_rate": 1e9}}}
    plan = planned_small(arms=arms, seeds=[0])
    folder = ExperimentFolder(tmp_path / "experiment")
    folder.create(plan)
    running = going_on(folder, plan)
    running.run(lambda: False)
    assert {str(task) for task in running.failures} == {"calibration of wild, seed 0", "wild, seed 0"}
    assert [folder.done(task) for task in plan.cells] == [True, True, False]


@pytest.mark.parametrize(("times", "attempts", "failed"), [(2, 3, False), (2, 2, True)])
def test_a_task_whose_process_dies_is_tried_again_a_few_times(copied, times, attempts, failed):
    shutil.rmtree(copied.cell("static", 0))
    running = going_on(copied, copied.plan(), Losing(times), attempts=attempts)
    running.run(lambda: False)
    assert bool(running.failures) == failed


def test_no_cell_waits_for_another_seeds(tmp_path):
    """Two processes begin both calibrations; whose ends first has its cells begun, though the other's still runs."""

    class Two:
        def __init__(self):
            self.under_way, self.begun = [], []

        busy = property(lambda self: [name for name, _, _ in self.under_way])
        free = property(lambda self: 2 - len(self.under_way))

        def submit(self, name, work, *arguments):
            self.begun.append(name)
            self.under_way.append((name, work, arguments))

        def wait(self, seconds):
            name, _, arguments = self.under_way.pop()  # the last that was begun is the first to end
            arguments[-1 if name.startswith("calibration") else 3].mkdir(parents=True)
            if not name.startswith("calibration"):
                (arguments[3] / "manifest.json").touch()
            return [Outcome(name)]

    plan, pool = planned_small(), Two()
    folder = ExperimentFolder(tmp_path / "experiment")
    folder.create(plan)
    going_on(folder, plan, pool).run(lambda: False)
    assert pool.begun[:4] == [
        *("calibration of archive, seed 0", "calibration of archive, seed 1"),
        *("archive, seed 1", "static, seed 1"),
    ]


def test_a_request_to_stop_leaves_what_can_be_gone_on_with(tmp_path):
    plan = planned_small()
    folder = ExperimentFolder(tmp_path / "experiment")
    folder.create(plan)
    asked = iter([False, False, True])  # after a calibration and a run
    told = (
        f"stopped with 1 of 4 runs finished, as asked; go on with: plasmodia experiment resume {folder.path}"
    )
    with pytest.raises(Stopped, match=told):
        going_on(folder, plan).run(lambda: next(asked))
    assert [folder.done(task) for task in plan.cells] == [True, False, False, False]


def test_a_process_that_is_about_to_end_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(work.time, "sleep", lambda seconds: waits.append(seconds))
    waits = []

    def locked():
        if len(waits) < 3:
            raise LockError("x is being written")

    work._patiently(locked, tmp_path / "run")
    assert len(waits) == 3


def test_one_process_at_a_time_writes_an_experiment(done):
    with held(done.path), pytest.raises(LockError, match="is being written by process"), held(done.path):
        pass


def test_what_a_killed_process_had_not_finished_is_removed(copied):
    left = [
        copied.cell("archive", 7).with_name(".7.123.partial"),
        copied.path / "calibrations/archive/.7.1.partial",
    ]
    for place in left:
        place.mkdir()
    copied.sweep()
    assert not any(place.exists() for place in left)
    assert copied.cell("archive", 0).is_dir()


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:.*accelerator visible devices:FutureWarning")
def test_a_killed_driver_costs_no_bit_and_neither_does_ray(done, tmp_path):
    """Killed in the middle of its second run; what is left is done by Ray's workers, to the same digests."""
    ray_tasks = pytest.importorskip("runs.workers.ray_tasks")
    plan = planned_small()
    folder = ExperimentFolder(tmp_path / "experiment")
    folder.create(plan)
    killed(carry_out_and_die, folder.path)
    assert [folder.done(task) for task in plan.cells] == [True, False, False, False]
    assert set(digests(folder.cell("static", 0))) == {0, 1}
    first = (folder.cell("archive", 0) / "manifest.json").stat()
    pool = ray_tasks.RayTasks(1)
    try:
        again = going_on(folder, plan, pool)
        again.run(lambda: False)
    finally:
        pool.close()
    assert again.failures == {}
    assert all_digests(folder, plan) == all_digests(done, plan)
    assert (folder.cell("archive", 0) / "manifest.json").stat() == first
