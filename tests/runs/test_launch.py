import json
import os
import random
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from analysis import pictures
from archive_store.errors import LockError, WriteError
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from runs.cli import app
from runs.config.reader import changed, load
from runs.errors import ConfigError, RunError
from runs.launch import launch, placed
from runs.observability.progress import Progress
from runs.replay import decisions, replay
from runs.resume import resume
from runs.training.build import build
from runs.workers.jobs import Done
from runs.workers.pool import perform
from runs.workers.start import workers
from tests.faults.killed_drivers import launch_and_stand_still, living
from tests.fixtures.small_runs import contents, copied, digests, files, launched, small
from tests.fixtures.small_worlds import calibrated_world

ROOT = Path(__file__).parents[2]


class ShuffledPool:
    """Workers in this process; which of those at work answers next is drawn."""

    def __init__(self, workers):
        self.workers = [f"worker {number}" for number in range(workers)]
        self._draw = random.Random(workers)
        self._waiting = {}

    @property
    def idle(self):
        return [worker for worker in self.workers if worker not in self._waiting]

    def configure(self, spec):
        self._world = build(spec)

    def submit(self, job, attempt, worker):
        self._waiting[worker] = job, attempt

    def wait(self, seconds):
        worker = self._draw.choice(sorted(self._waiting))
        job, attempt = self._waiting.pop(worker)
        return [Done(job, attempt, *perform(self._world, job.name, job.arguments, time.perf_counter), worker)]

    def fetch(self, handle):
        return handle


def smoke():
    return load("smoke", ["execution.executor=inline"])


@pytest.mark.calibrates_anew
class TestDigest:
    @pytest.mark.long
    def test_the_preset_smoke_gives_the_same_twice_also_under_another_hash_seed(self, tmp_path):
        launch(smoke(), tmp_path / "here")
        code = (
            "from runs.machine.settings import prepare\nprepare()\n"
            "import sys\nfrom pathlib import Path\nfrom runs.config.reader import load\n"
            "from runs.launch import launch\n"
            "launch(load('smoke', ['execution.executor=inline']), Path(sys.argv[1]))\n"
        )
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code, str(tmp_path / "there")],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "4242"},
            check=True,
        )
        assert digests(tmp_path / "here") == digests(tmp_path / "there")
        assert contents(tmp_path / "here") == contents(tmp_path / "there")

    def test_a_second_run_of_the_same_process_gives_the_same(self, finished, family, tmp_path):
        assert digests(launched(tmp_path / "again", f"organism.kind={family}")) == digests(finished)

    def test_how_many_work_and_who_answers_first_does_not_count(
        self, finished, family, tmp_path, monkeypatch
    ):
        @contextmanager
        def shuffled(prepared):
            yield ShuffledPool(5)

        monkeypatch.setattr("runs.launch.pool_of", shuffled)
        run = launched(tmp_path / "run", f"organism.kind={family}")
        assert digests(run) == digests(finished)
        assert contents(run) == contents(finished)

    @pytest.mark.parametrize("override", ["seed=1", "lag=0", "lag=2", "emitters.children=0"])
    def test_another_seed_lag_or_arm_gives_another_archive(self, undisturbed, tmp_path, override):
        other = launched(tmp_path / "other", override)
        assert contents(other) != contents(undisturbed)
        assert digests(other)[4] != digests(undisturbed)[4]

    @pytest.mark.long
    def test_how_it_is_executed_does_not_count(self, undisturbed, tmp_path):
        other = launched(tmp_path / "other", "execution.checkpoint_every=1", "execution.attempts=9")
        assert digests(other) == digests(undisturbed)

    def test_the_name_of_a_run_is_part_of_its_digest_but_not_of_what_it_does(self, undisturbed, tmp_path):
        other = launched(tmp_path / "other", "name=other", "rounds=4")
        assert contents(other) == contents(undisturbed)
        assert set(digests(other).values()).isdisjoint(digests(undisturbed).values())


class TestWhatItLeaves:
    def test_a_finished_run_has_every_part_and_its_manifest_holds(self, undisturbed):
        run = open_run(undisturbed)
        run.directory.check_manifest()
        assert {path.name for path in undisturbed.iterdir()} == {
            "config.yaml",
            "environment.json",
            "journal.sqlite",
            "blobs",
            "manifest.json",
        }
        assert json.loads((undisturbed / "manifest.json").read_text())["digest"] == digests(undisturbed)[4]
        assert list(undisturbed.parent.iterdir()) == [undisturbed]

    def test_births_deaths_and_all_elites_genomes_are_there(self, finished, family):
        run = open_run(finished)
        happened = run.decisions().query("happens").kind.value_counts()
        assert (happened["birth"] > 0, happened["death"] > 0) == (True, True)
        pool = calibrated_world(family).species.organism({}).pool
        for round in range(1, 5):
            elites = run.elites(round)
            assert len(elites)
            for elite in elites.itertuples():
                genome = run.genome(elite.genome)
                assert (genome.family, set(genome.arrays)) == (family, set(pool.stacks))
                assert all(getattr(elite, f"gene_{name}") == value for name, value in genome.genes)

    @pytest.mark.long
    def test_the_space_has_a_verdict_and_every_picture_can_be_drawn(self, finished, family, tmp_path):
        verdicts = open_run(finished).validity()
        assert verdicts["round"].tolist() == [0, 2, 4]
        assert set(verdicts["status"]) <= {"ok", "warn"}
        assert verdicts["kmo"].between(0, 1).all()
        drawn = {path.stem for path in pictures.draw(copied(finished, tmp_path))}
        without = set() if family in ("experts", "flow") else {"utilisation"}
        assert drawn == set(pictures.KINDS) - without - {"trials"}

    def test_coverage_and_qd_score_never_fall(self, finished):
        rounds = open_run(finished).rounds()
        for name in ("coverage", "qd_score"):
            assert rounds[name].is_monotonic_increasing
            assert rounds[name].iloc[-1] > 0

    @pytest.mark.long
    def test_states_older_than_two_checkpoints_are_removed(self, tmp_path):
        run = open_run(launched(tmp_path / "run", "execution.checkpoint_every=1"))
        with run.directory.journal() as journal:
            kept = {state.round for state in journal.states() if run.directory.blobs.has(state.digest)}
            assert {state.round for state in journal.states()} == {1, 2, 3, 4}
        assert kept == {3, 4}

    def test_the_test_split_is_read_in_the_last_round_alone(self, undisturbed):
        with open_run(undisturbed).directory.journal() as journal:
            tested = {
                (event.round, event.value["test_score"] is not None)
                for event in journal.events(kind="census")
            }
        assert tested == {(1, False), (2, False), (3, False), (4, True)}

    def test_progress_is_told_of_calibration_and_every_round(self, tmp_path):
        told: list[Progress] = []
        launch(small(), tmp_path / "run", told.append)
        calibration = [progress.done for progress in told if progress.stage == "calibration"]
        assert (calibration, calibration[-1]) == (sorted(calibration), 1.0)
        rounds = [progress for progress in told if progress.stage == "rounds"]
        assert [progress.round for progress in rounds] == [1, 2, 3, 4]
        assert rounds[-1].done == 1.0
        happened = open_run(tmp_path / "run").decisions().query("happens").kind.value_counts()
        assert (rounds[-1].births, rounds[-1].deaths) == (happened["birth"], happened["death"])


class TestArms:
    @pytest.mark.parametrize("arm", ["random", "genes", "clone", "none"])
    def test_every_arm_runs_and_brings_its_own_kind(self, arm, family, tmp_path):
        run = open_run(launched(tmp_path / arm, f"births={arm}", f"organism.kind={family}"))
        births = run.decisions().query("kind == 'birth' and happens")
        if arm == "none":
            assert births.empty
            return
        assert set(births.operator) == {arm}
        newborns = run.records().query("born > 0")
        parents = {len(ids) for ids in newborns.parents}
        assert parents == ({0} if arm == "random" else {1})

    def test_the_archive_arm_varies_elites(self, finished):
        births = open_run(finished).decisions().query("kind == 'birth' and happens")
        assert set(births.operator) <= {"gaussian", "line"}

    @pytest.mark.parametrize("task", ["text", "signals", "trajectories", "sine", "xor", "parity"])
    def test_other_tasks_run_too_and_deeper(self, task, family, tmp_path):
        lengths = {"text": 4, "signals": 8, "trajectories": 8}
        size = [f"organism.kind={family}"]
        if task in lengths:
            size.append(f"task.length={lengths[task]}")
        changes = ["organism.depth=2", "rounds=1", "calibration.steps=2", "objective.maturity=0"]
        run = launched(tmp_path / task, f"task.name={task}", *size, *changes)
        assert set(open_run(run).records().depth) == {0, 1}

    @pytest.mark.parametrize(
        "task", [("recall", 3), ("text", 4, "task.stream=true", "task.chunks=2")], ids=str
    )
    @pytest.mark.parametrize("memory", ["none", "tubes"])
    def test_streams_run_too_with_and_without_a_memory(self, task, memory, tmp_path):
        name, length, *stream = task
        changes = ["organism.depth=2", "rounds=1", "calibration.steps=2", "objective.maturity=0"]
        kept = f"organism.pseudopods.memory={memory}"
        run = launched(
            tmp_path / "run", f"task.name={name}", f"task.length={length}", *stream, kept, *changes
        )
        assert set(open_run(run).records()["depth"]) == {0, 1}

    @pytest.mark.long
    def test_a_task_reports_its_own_metrics_at_the_end_and_replays_them(self, tmp_path):
        kinds = "task.kinds=[spiral, sine]"
        run = launched(tmp_path / "run", "rounds=2", "task.name=signals", "task.length=8", kinds)
        shown = CliRunner().invoke(app, ["show", str(run), "--json"])
        found = json.loads(shown.stdout)
        names = ["sine_mse", "sine_correlation", "spiral_mse", "spiral_correlation"]
        assert list(found["test_metrics"]) == names
        assert found["score_name"] == "R2"
        census = open_run(run).census()
        assert census.query("round == 1").test_metrics.tolist() == [()] * 3
        best = census.query("round == 2").set_index("organism").loc[found["best_organism"]]
        assert dict(best.test_metrics) == found["test_metrics"]
        assert best.test_loss == pytest.approx(np.mean([found["test_metrics"][name] for name in names[::2]]))
        assert replay(run, None, {}) is None
        assert decisions(run)[2] is None


class TestRefusals:
    @pytest.mark.parametrize("content", [None, b"mine"])
    def test_what_exists_already_is_refused_and_not_touched(self, tmp_path, content):
        out = tmp_path / "mine"
        out.mkdir() if content is None else out.write_bytes(content)
        with pytest.raises(
            ConfigError, match=r"mine exists already and is (empty|no folder); choose another --out"
        ):
            launched(out)
        assert list(tmp_path.iterdir()) == [out]
        assert content is None or out.read_bytes() == content

    def test_a_failing_calibration_leaves_nothing_behind(self, tmp_path):
        with pytest.raises(RunError, match="training loss of organism -1 became"):
            launched(tmp_path / "below" / "run", "training.learning_rate=1e30", "training.clip=1e30")
        assert list(tmp_path.iterdir()) == []

    def test_a_failure_while_round_0_is_written_leaves_nothing_behind(self, tmp_path, monkeypatch):
        def full(self, *arguments):
            raise WriteError(self.path, "No space left on device", full=True)

        monkeypatch.setattr("archive_store.journal.journal.Journal.write_round", full)
        with pytest.raises(
            RunError, match="run cannot be written: No space left on device; nothing was left there"
        ):
            launched(tmp_path / "run")
        assert list(tmp_path.iterdir()) == []

    def test_the_slower_of_two_launches_is_told_and_touches_nothing(self, tmp_path):
        out = tmp_path / "run"

        def overtaken():
            with placed(out) as partial:
                for folder in (partial, out):
                    folder.mkdir()
                    (folder / "config.yaml").touch()

        with pytest.raises(
            ConfigError, match=r"run exists already: another launch was faster; choose another"
        ):
            overtaken()
        assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
            "run",
            "run/config.yaml",
        ]

    def test_another_seeds_run_can_be_made_beside_it(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        before = files(run)
        launched(tmp_path / "second", "rounds=1")
        assert files(run) == before


class TestOneDriver:
    @pytest.mark.long
    def test_a_second_one_is_refused_while_the_first_lives_and_readers_are_not(self, undisturbed, tmp_path):
        run = tmp_path / "run"
        with living(launch_and_stand_still, run, 2) as process:
            named = rf"run is being written by process {process.pid} on \S+; wait until it has ended"
            with pytest.raises(LockError, match=named):
                resume(run, {})
            with pytest.raises(LockError, match=named):
                launched(run)
            for command in (["resume", str(run)], ["launch", "smoke", "--out", str(run)]):
                refused = CliRunner().invoke(app, command)
                assert (refused.exit_code, len(refused.stderr.splitlines())) == (1, 1)
                assert re.search(named, refused.stderr)
            assert max(digests(run)) == 2
            assert decisions(run)[2] is None
        assert (run / "lock").exists()
        resume(run, {})
        assert digests(run) == digests(undisturbed)
        assert not (run / "lock").exists()

    @pytest.mark.long
    def test_of_two_launches_the_slower_one_is_told_who_was_faster(self, tmp_path, monkeypatch):
        out = tmp_path / "run"
        with living(launch_and_stand_still, out, 1) as process:
            monkeypatch.setattr("runs.launch.check_place", lambda out: None)  # the other was not there yet
            with pytest.raises(LockError, match=f"by process {process.pid} on "):
                launched(out)
        assert list(tmp_path.iterdir()) == [out]

    def test_a_resume_that_waited_for_the_end_finds_a_finished_run(self, undisturbed, tmp_path, monkeypatch):
        run = copied(undisturbed, tmp_path)
        before = files(run)
        answers = iter([False, True])
        monkeypatch.setattr(RunDirectory, "finished", lambda self: next(answers))
        resume(run, {})
        assert files(run) == before


def test_there_is_a_trainer_for_each_core_but_no_more_than_organisms(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    assert workers(small()) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5})
    assert workers(small()) == 2
    assert workers(small("execution.workers=7")) == 7


def test_execution_can_be_changed_and_nothing_else():
    config = changed(small(), {"executor": "ray", "workers": 3})
    assert (config.execution.executor, config.execution.workers) == ("ray", 3)
    assert config.model_copy(update={"execution": small().execution}) == small()


def test_execution_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"execution\.num_gpus: must be more than 0 for device cuda"):
        changed(small("execution.device=cuda"), {"executor": "ray"})
