"""A run that goes on in another environment: refused, or accepted and marked."""

import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from archive_store.verification import verify
from runs.cli import app
from runs.errors import RunError, Stopped
from runs.machine.migration import last_move
from runs.replay import decisions, replay
from runs.resume import resume
from tests.faults.killed_drivers import killed, launch_and_die
from tests.fixtures.small_runs import copied, digests


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """A small run whose driver was killed right after round 2, made with another NumPy."""
    run = tmp_path_factory.mktemp("cut-off") / "run"
    killed(launch_and_die, run, 2)
    path = run / "environment.json"
    made = json.loads(path.read_text())
    made["fingerprint"]["libraries"]["numpy"] = "1.0"
    path.write_text(json.dumps(made))
    return run


@pytest.fixture(scope="module")
def moved(cut_off, tmp_path_factory):
    run = copied(cut_off, tmp_path_factory.mktemp("moved"))
    resume(run, {}, accept_environment=True)
    return run


def test_without_acceptance_it_is_refused_with_the_differences(cut_off, tmp_path):
    with pytest.raises(
        RunError, match=r"another environment \(libraries\.numpy: 1\.0 against .*--accept-env"
    ):
        resume(copied(cut_off, tmp_path), {})


def test_later_digests_are_marked_and_earlier_ones_stay(moved, undisturbed):
    whole = digests(undisturbed)
    found = digests(moved)
    assert [found[round] == whole[round] for round in range(5)] == [True, True, True, False, False]
    with open_run(moved).directory.journal() as journal:
        ((round, differences),) = journal.moves().items()
        (event,) = journal.events(kind="environment")
    assert (round, event.seq, last_move(journal_of(moved))) == (3, 0, 3)
    assert differences[0].startswith("libraries.numpy: 1.0 against")
    open_run(moved).directory.check_manifest()


def journal_of(run):
    return RunDirectory.open(run).journal()


def test_the_move_is_accepted_once(cut_off, moved, tmp_path):
    """After a move the run belongs to its new environment: going on there needs no acceptance."""
    run = copied(cut_off, tmp_path)

    def interrupt(progress):
        if progress.round == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resume(run, {}, interrupt, accept_environment=True)
    resume(run, {})
    assert digests(run) == digests(moved)


@pytest.mark.long
def test_accepting_where_nothing_is_different_changes_nothing(undisturbed, tmp_path):
    killed(launch_and_die, tmp_path / "run", 2)
    resume(tmp_path / "run", {}, accept_environment=True)
    assert digests(tmp_path / "run") == digests(undisturbed)


def test_rounds_before_the_move_may_come_out_otherwise(cut_off, tmp_path, monkeypatch):
    """Round 1 is made again here, where arithmetic is other; what the journal says of it stays."""
    run = copied(cut_off, tmp_path)
    for path in (run / "blobs").rglob("*.safetensors"):
        with journal_of(run) as journal:
            if path.stem in {state.digest for state in journal.states()}:
                path.unlink()
    monkeypatch.setattr("runs.trainer.learning_rate", lambda world, steps: lambda step: 1e-3)
    resume(run, {"audit": 1.0}, accept_environment=True)
    with journal_of(run) as journal:
        journal.verify_chain()
        assert journal.last_round() == 4


@pytest.mark.long
def test_a_stop_before_the_first_new_round_leaves_nothing_of_the_other_environment(
    undisturbed, tmp_path, monkeypatch
):
    """Round 3, which has no checkpoint, is made again where arithmetic is other; then the run goes home."""
    run = tmp_path / "run"
    killed(launch_and_die, run, 3)
    home = (run / "environment.json").read_bytes()
    away = json.loads(home)
    away["fingerprint"]["libraries"]["numpy"] = "1.0"
    (run / "environment.json").write_text(json.dumps(away))
    with monkeypatch.context() as other:
        other.setattr("runs.trainer.learning_rate", lambda world, steps: lambda step: 1e-3)
        other.setattr("runs.resume.listening", stopping_at_once)
        with pytest.raises(Stopped):
            resume(run, {}, accept_environment=True)
    (run / "environment.json").write_bytes(home)
    assert verify(run).problems == ()
    resume(run, {})
    assert digests(run) == digests(undisturbed)


@contextmanager
def stopping_at_once(tell):
    """Ask to stop as soon as the orders of round 3 are done again."""
    asked = iter([False] * 3)
    yield SimpleNamespace(patiently=lambda: next(asked, True))


def test_only_rounds_of_the_first_environment_can_be_made_again(moved, undisturbed, tmp_path):
    with pytest.raises(RunError, match=r"moved to another environment before round 3; .*: --until 2"):
        replay(moved, None, {})
    with pytest.raises(RunError, match=r"another environment \(libraries\.numpy: 1\.0 .* can: --decisions"):
        replay(moved, 2, {})  # here is not where it was launched
    assert decisions(moved)[2] is None
    home = copied(moved, tmp_path)
    (home / "environment.json").write_bytes((undisturbed / "environment.json").read_bytes())
    assert replay(home, 2, {}) is None


def test_marked_digests_are_shown_as_such(moved, undisturbed):
    whole, found = digests(undisturbed), digests(moved)
    told = CliRunner().invoke(app, ["digest", str(moved), "--rounds"])
    marks = ["", "", "", " environment 2", " environment 2"]
    assert told.stdout.splitlines() == [f"{round} {found[round]}{mark}" for round, mark in enumerate(marks)]
    assert told.stderr.startswith(
        "plasmodia: from round 3 on in another environment: libraries.numpy: 1.0 against"
    )
    shown = CliRunner().invoke(app, ["show", str(moved)]).stdout
    assert f"{found[4]} (made in 2 environments)" in shown
    assert json.loads(CliRunner().invoke(app, ["show", str(moved), "--json"]).stdout)["environments"] == 2
    told = CliRunner().invoke(app, ["digest", str(undisturbed)])
    assert (told.stdout, told.stderr) == (f"{whole[4]}\n", "")
