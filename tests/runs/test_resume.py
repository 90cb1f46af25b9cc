import json
import sqlite3

import pytest
import yaml

from archive_store.blobs import BlobStore
from archive_store.errors import BlobError, ChainError, JournalError, RunDirectoryError
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from runs.errors import RunError
from runs.launch import launch
from runs.replay import decisions, replay
from runs.resume import resume
from tests.faults.killed_drivers import (
    killed,
    launch_and_die,
    launch_and_die_before_the_commit,
    launch_and_die_before_the_manifest,
    launch_and_die_in_the_transaction,
    resume_and_die,
)
from tests.fixtures.small_runs import contents, copied, digests, files, older, small

ROUNDS = range(1, 5)


class TestKilled:
    @pytest.mark.parametrize(
        ("family", "round"),
        [
            *(("pseudopods", round) for round in ROUNDS),
            ("experts", 3),
            ("towers", 2),
            ("flow", 2),
            ("transformer", 3),
        ],
        indirect=["family"],
    )
    def test_in_any_round_the_end_is_the_same(self, family, round, finished, tmp_path):
        run = tmp_path / "run"
        killed(launch_and_die, run, round, f"organism.kind={family}")
        assert digests(run) == {number: digests(finished)[number] for number in range(round + 1)}
        resume(run, {})
        assert digests(run) == digests(finished)
        assert contents(run) == contents(finished)
        open_run(run).directory.check_manifest()

    @pytest.mark.long
    @pytest.mark.parametrize(
        ("death", "round"), [(launch_and_die_before_the_commit, 2), (launch_and_die_in_the_transaction, 3)]
    )
    def test_while_a_round_is_written_too(self, death, round, undisturbed, tmp_path):
        killed(death, tmp_path / "run", round)
        assert max(digests(tmp_path / "run")) == round - 1
        resume(tmp_path / "run", {})
        assert digests(tmp_path / "run") == digests(undisturbed)

    def test_again_and_again(self, undisturbed, tmp_path):
        killed(launch_and_die, tmp_path / "run", 1)
        for round in ROUNDS[1:]:
            killed(resume_and_die, tmp_path / "run", round)
        resume(tmp_path / "run", {})
        assert digests(tmp_path / "run") == digests(undisturbed)
        with open_run(tmp_path / "run").directory.journal() as journal:
            told = [json.loads(each.body)["what"] for each in journal.incidents() if each.kind == "resume"]
        assert told == [f"after round {round}" for round in (1, 2, 3, 4)]

    @pytest.mark.long
    @pytest.mark.parametrize("lag", [0, 2])
    def test_with_other_lags_too(self, lag, tmp_path):
        changes = (f"lag={lag}", "execution.checkpoint_every=4")  # so that rounds 1 and 2 are trained again
        launch(small(*changes), tmp_path / "whole")
        killed(launch_and_die, tmp_path / "run", 2, *changes)
        resume(tmp_path / "run", {})
        assert digests(tmp_path / "run") == digests(tmp_path / "whole")

    def test_before_round_0_nothing_has_the_runs_name(self, tmp_path):
        killed(launch_and_die_before_the_commit, tmp_path / "run", 0)
        assert not (tmp_path / "run").exists()

    def test_before_the_manifest_only_that_is_missing(self, undisturbed, tmp_path):
        killed(launch_and_die_before_the_manifest, tmp_path / "run")
        assert not RunDirectory.open(tmp_path / "run").finished()
        resume(tmp_path / "run", {})
        assert RunDirectory.open(tmp_path / "run").finished()
        assert digests(tmp_path / "run") == digests(undisturbed)


class TestResume:
    def test_a_finished_run_is_left_alone(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        before = files(run)
        assert resume(run, {"workers": 9}) == run
        assert files(run) == before

    def test_execution_may_differ_and_is_noted(self, cut_off, undisturbed, tmp_path):
        run = copied(cut_off, tmp_path)
        resume(run, {"checkpoint_every": 1, "attempts": 7})
        assert digests(run) == digests(undisturbed)
        assert open_run(run).config["execution"]["attempts"] == 7

    def test_lost_states_cost_only_time(self, cut_off, undisturbed, tmp_path):
        run = copied(cut_off, tmp_path)
        directory = RunDirectory.open(run)
        with directory.journal() as journal:
            first, *_, last = journal.states()
        directory.blobs.remove(first.digest)
        directory.blobs.remove(last.digest)
        resume(run, {})
        assert digests(run) == digests(undisturbed)

    def test_what_an_interrupted_write_left_is_swept_up(self, cut_off, undisturbed, tmp_path):
        run = copied(cut_off, tmp_path)
        folder = next((run / "blobs").iterdir())
        (folder / "half.partial").write_bytes(b"half")
        resume(run, {})
        assert not list(run.rglob("*.partial"))

    def test_the_progress_goes_on_from_where_the_run_was(self, cut_off, undisturbed, tmp_path):
        told = []
        resume(copied(cut_off, tmp_path), {}, told.append)
        assert [(progress.stage, progress.round) for progress in told] == [
            ("starting workers", 0),
            ("rounds", 4),
        ]
        happened = open_run(undisturbed).decisions().query("happens").kind.value_counts()
        assert (told[-1].births, told[-1].deaths) == (happened["birth"], happened["death"])


def stopped(run, error, match):
    """Check that a resume ends in one sentence."""
    with pytest.raises(error, match=match) as caught:
        resume(run, {"attempts": 5})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refused(run, error, match):
    """Check that a resume ends in one sentence before anything was written."""
    before = files(run)
    told = stopped(run, error, match)
    changed = {name for name, content in files(run).items() if content != before.get(name)}
    assert changed <= {"journal.sqlite", "journal.sqlite-shm", "journal.sqlite-wal"}  # SQLite's own recovery
    return told


class TestRefusals:
    def test_another_configuration_by_its_keys(self, cut_off, tmp_path):
        run = copied(cut_off, tmp_path)
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["rounds"], config["objective"]["maturity"] = 9, 2
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        told = refused(run, RunError, "was launched with other settings or data: ")
        assert "config.rounds: 4 against 9" in told
        assert "config.objective.maturity: 1 against 2" in told
        assert "config.seed" not in told

    def test_another_corpus(self, tmp_path):
        corpus = tmp_path / "corpus.txt"
        corpus.write_text("plasmodium " * 300)
        changes = (
            "task.name=text",
            f"task.path={corpus}",
            "task.length=4",
            "rounds=2",
            "calibration.steps=2",
        )
        killed(launch_and_die, tmp_path / "run", 1, *changes)
        corpus.write_text("physarum " * 400)
        assert "data: " in refused(tmp_path / "run", RunError, "launched with other settings or data")

    def test_another_environment(self, cut_off, tmp_path):
        run = copied(cut_off, tmp_path)
        found = json.loads((run / "environment.json").read_text())
        found["fingerprint"]["libraries"]["numpy"] = "1.0"
        (run / "environment.json").write_text(json.dumps(found))
        refused(run, RunError, r"made in another environment \(libraries\.numpy: 1\.0 against")

    def test_a_run_of_another_format(self, cut_off, tmp_path):
        """Said before its environment, which is another one for that reason alone."""
        run = older(copied(cut_off, tmp_path))
        path = run / "environment.json"
        path.write_text(path.read_text().replace('"MKL_NUM_THREADS": "1"', '"MKL_NUM_THREADS": "2"'))
        told = refused(run, RunError, "has the content of format 2 and this version works with format 4; use")
        for other in (lambda: replay(run, None, {}), lambda: decisions(run)):
            with pytest.raises(RunError) as caught:
                other()
            assert str(caught.value) == told

    @pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
    def test_a_damaged_environment(self, cut_off, tmp_path, content):
        run = copied(cut_off, tmp_path)
        path = run / "environment.json"
        path.unlink() if content is None else path.write_text(content)
        refused(run, (RunDirectoryError, RunError), r"environment\.json .*; restore it from a copy")

    @pytest.mark.parametrize("kind", ["interface", "host", "centroids"])
    @pytest.mark.parametrize("harm", ["missing", "damaged"])
    def test_a_missing_or_damaged_blob(self, cut_off, tmp_path, kind, harm):
        run = copied(cut_off, tmp_path)
        calibration = open_run(run).calibration()
        digest = calibration["hosts"][1] if kind == "host" else calibration[kind]
        harm_blob(run, digest, harm)
        refused(run, BlobError, rf"{digest}.* is {harm}")

    def test_a_journal_that_is_none(self, cut_off, tmp_path):
        run = copied(cut_off, tmp_path)
        for path in run.glob("journal.sqlite*"):
            path.unlink()
        refused(run, RunDirectoryError, "has no journal yet")
        (run / "journal.sqlite").write_bytes(b"no database" * 500)
        refused(run, JournalError, "restore it from a copy")

    def test_a_journal_that_is_cut_short(self, cut_off, tmp_path):
        run = copied(cut_off, tmp_path)
        journal = run / "journal.sqlite"
        with sqlite3.connect(journal) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        journal.write_bytes(journal.read_bytes()[: journal.stat().st_size // 2])
        refused(run, JournalError, "restore it from a copy")

    def test_a_journal_that_was_altered(self, cut_off, tmp_path):
        run = copied(cut_off, tmp_path)
        with sqlite3.connect(run / "journal.sqlite") as database:
            database.execute(
                "UPDATE event SET body = replace(body, '\"objective\":0.', '\"objective\":1.') "
                "WHERE rowid = (SELECT rowid FROM event WHERE kind = 'outcome' AND round = 2 ORDER BY seq LIMIT 1)"
            )
        database.close()
        refused(run, ChainError, r"round 2, event \d+ \(outcome\) is not as it was written")

    def test_a_run_without_calibration(self, cut_off, tmp_path):
        run = copied(cut_off, tmp_path)
        with sqlite3.connect(run / "journal.sqlite") as database:
            for table in ("event", "round", "state", "timing"):
                database.execute(f"DELETE FROM {table}")
        database.close()
        refused(run, RunError, "has no calibration in its journal; launch it again")

    def test_what_is_no_run(self, tmp_path):
        with pytest.raises(RunDirectoryError, match="there is no folder"):
            resume(tmp_path / "nowhere", {})
        with pytest.raises(RunDirectoryError, match="is no run"):
            resume(tmp_path, {})

    def test_other_arithmetic(self, cut_off, tmp_path, monkeypatch):
        """A machine that trains otherwise, for all its equal fingerprint, is found when a round is repeated."""
        run = copied(cut_off, tmp_path)
        monkeypatch.setattr("runs.trainer.learning_rate", lambda world, steps: lambda step: 1e-3)
        stopped(run, RunError, r"round 3 .*came out differently .*: state [0-9a-f]{64}")


def harm_blob(run, digest, harm):
    path = BlobStore(run / "blobs").path(digest)
    data = path.read_bytes()
    path.unlink() if harm == "missing" else path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
