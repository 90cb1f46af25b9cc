"""Runs that go on with other settings: extended in place, or branched off a round of another."""

import json

import pytest

from archive_store import durable
from archive_store.errors import ChainError, JournalError
from archive_store.journal.segments import segments
from archive_store.journal.values import checked
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from archive_store.verification import verify
from runs import branching
from runs.branching import extend, fork
from runs.errors import ConfigError, RunError
from runs.replay import decisions, replay
from runs.resume import resume
from tests.fixtures.small_runs import copied, digests, launched

SETTINGS = ("training.learning_rate=0.01", "lifecycle.births_per_round=2", "seed=5")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return launched(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def extended(whole, tmp_path_factory):
    return extend(copied(whole, tmp_path_factory.mktemp("extended")), 6, {})


@pytest.fixture(scope="module")
def forked(whole, tmp_path_factory):
    return fork(whole, 2, tmp_path_factory.mktemp("forked") / "fork", SETTINGS, {})


def events(run, kind, since=0):
    with RunDirectory.open(run).journal() as journal:
        return [event for event in journal.events(kind=kind) if event.round >= since]


def censuses(run):
    return [event.body for event in events(run, "census")]


def is_sound(run):
    """Whether every byte, every draw and every bit of training is as the run says."""
    assert verify(run).problems == ()
    assert decisions(run)[2] is None
    assert replay(run, None, {"executor": "inline"}) is None
    return True


class TestExtending:
    def test_old_digests_stay_and_the_new_rounds_say_what_is_different(self, whole, extended):
        before, after = digests(whole), digests(extended)
        assert list(after) == [0, 1, 2, 3, 4, 5, 6]
        assert {round: after[round] for round in before} == before
        (event,) = events(extended, "segment")
        assert event.round == 5
        assert checked(event)["differences"] == ["rounds: 4 against 6"]
        assert is_sound(extended)

    def test_it_is_a_run_of_its_own_and_not_that_of_a_longer_launch(self, extended, tmp_path):
        longer = launched(tmp_path / "run", "rounds=6")
        assert digests(longer)[6] != digests(extended)[6]

    def test_the_schedules_are_those_of_the_whole(self, extended):
        temperatures = list(open_run(extended).rounds()["temperature"])
        start, floor = 0.5, 0.01
        assert temperatures[:4] == pytest.approx([max(floor, start * (1 - r / 4)) for r in range(4)])
        assert temperatures[4:] == pytest.approx([max(floor, start * (1 - r / 6)) for r in (4, 5)])

    def test_again_and_again(self, extended, tmp_path):
        run = extend(copied(extended, tmp_path), 7, {})
        with RunDirectory.open(run).journal() as journal:
            assert [each.since for each in segments(journal)] == [1, 5, 7]
        assert is_sound(run)

    def test_it_tells_how_the_schedules_go_on(self, whole, tmp_path):
        told = []
        extend(copied(whole, tmp_path), 8, {}, told.append)
        (message,) = [progress.message for progress in told if progress.message]
        assert "the temperature is 0.25 (it was to be 0.01)" in message

    @pytest.mark.parametrize("name", ["remove_manifest", "write_config"])
    def test_wherever_it_is_cut_off_it_goes_on(self, name, whole, extended, tmp_path, monkeypatch):
        run, done = copied(whole, tmp_path), getattr(RunDirectory, name)

        def cut(*arguments):
            done(*arguments) if name == "remove_manifest" else None
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(RunDirectory, name, cut)
            with pytest.raises(KeyboardInterrupt):
                extend(run, 6, {})
        resume(run, {})
        if name == "remove_manifest":  # nothing was written yet, and the run is what it was
            assert digests(run) == digests(whole)
            extend(run, 6, {})
        assert digests(run) == digests(extended)
        assert open_run(run).config["rounds"] == 6

    def test_between_journal_and_configuration_everybody_knows_how_it_goes_on(
        self, whole, tmp_path, monkeypatch
    ):
        run = copied(whole, tmp_path)

        def cut(*arguments):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(RunDirectory, "write_config", cut)
            with pytest.raises(KeyboardInterrupt):
                extend(run, 6, {})
        assert decisions(run)[2] is None
        assert replay(run, None, {"executor": "inline"}) is None
        assert verify(run).problems == ()
        assert fork(run, 2, tmp_path / "fork", (), {}).is_dir()
        assert censuses(tmp_path / "fork") == censuses(whole)

    @pytest.mark.long
    def test_a_run_on_other_workers_has_the_same_bits(self, whole, extended, tmp_path):
        run = extend(copied(whole, tmp_path), 6, {"executor": "ray", "workers": 2})
        assert digests(run) == digests(extended)

    def test_lost_genomes_and_states_of_before_are_made_again(self, whole, tmp_path):
        run = extend(copied(whole, tmp_path), 5, {})
        before, directory = digests(run), RunDirectory.open(run)
        elites = open_run(run).elites()
        genome = elites.loc[elites["round"].idxmin(), "genome"]
        assert elites["round"].min() <= 4
        directory.blobs.remove(genome)
        with directory.journal() as journal:
            for state in journal.states():
                directory.blobs.remove(state.digest)
        resume(run, {})
        assert digests(run) == before
        assert directory.blobs.intact(genome)

    def test_only_what_has_ended_and_only_to_more_rounds(self, whole, tmp_path):
        run = copied(whole, tmp_path)
        with pytest.raises(
            ConfigError, match="rounds must be more than the 4 that the run has by then, not 4"
        ):
            extend(run, 4, {})
        assert digests(run) == digests(whole)
        assert RunDirectory.open(run).finished()
        RunDirectory.open(run).remove_manifest()
        with pytest.raises(RunError, match="has not ended; go on with: plasmodia resume"):
            extend(run, 6, {})

    def test_an_altered_run_is_not_extended(self, whole, tmp_path):
        run = copied(whole, tmp_path)
        config = RunDirectory.open(run).config_path
        config.write_text(config.read_text().replace("seed: 0", "seed: 1"))
        with pytest.raises(
            RunError, match=r"seed: 0 against 1; it has ended: restore .*, or with other settings"
        ):
            extend(run, 6, {})

    def test_settings_that_were_altered_afterwards_are_noticed(self, extended, tmp_path):
        run = copied(extended, tmp_path)
        with RunDirectory.open(run).journal(readonly=False) as journal:
            (event,) = journal.events(kind="segment")
            body = event.body.replace('"rounds":6', '"rounds":5')
            journal._database.execute("UPDATE event SET body = ? WHERE kind = 'segment'", (body,))
        with RunDirectory.open(run).journal() as journal, pytest.raises(ChainError, match="round 5"):
            journal.verify_chain()


class TestForking:
    def test_the_first_rounds_are_shared(self, whole, forked):
        before, after = digests(whole), digests(forked)
        assert [after[round] == before[round] for round in range(5)] == [True, True, True, False, False]
        assert is_sound(forked)
        assert digests(whole) == before

    def test_the_settings_are_in_the_journal(self, forked):
        (event,) = events(forked, "segment")
        assert event.round == 3
        assert checked(event)["differences"] == [
            "lifecycle.births_per_round: 1 against 2",
            "seed: 0 against 5",
            "training.learning_rate: 0.003 against 0.01",
        ]
        assert open_run(forked).config["seed"] == 5

    @pytest.mark.parametrize("at", [1, 3])
    def test_with_the_same_settings_it_becomes_the_same_population(self, at, whole, tmp_path):
        run = fork(whole, at, tmp_path / "fork", (), {})
        assert censuses(run) == censuses(whole)
        assert digests(run)[4] != digests(whole)[4]  # it says that it was forked

    def test_a_fork_of_a_fork(self, forked, tmp_path):
        run = fork(forked, 3, tmp_path / "fork", ("rounds=5", "births=clone"), {})
        assert [event.round for event in events(run, "segment")] == [3, 4]
        assert is_sound(run)

    def test_before_the_other_settings_they_are_the_first(self, forked, tmp_path):
        run = fork(forked, 1, tmp_path / "fork", (), {})
        assert open_run(run).config["seed"] == 0
        assert events(run, "segment")[0].round == 2

    def test_where_the_other_run_was_extended_it_goes_on_as_that_did(self, extended, tmp_path):
        run = fork(extended, 4, tmp_path / "fork", (), {})
        assert censuses(run) == censuses(extended)

    def test_a_run_that_has_not_ended(self, whole, tmp_path):
        run = copied(whole, tmp_path)
        RunDirectory.open(run).remove_manifest()
        assert censuses(fork(run, 2, tmp_path / "fork", (), {})) == censuses(whole)

    def test_cut_off_it_is_resumed(self, whole, forked, tmp_path, monkeypatch):
        def cut(*arguments, **options):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(branching, "carry_on", cut)
            with pytest.raises(KeyboardInterrupt):
                fork(whole, 2, tmp_path / "fork", SETTINGS, {})
        resume(tmp_path / "fork", {})
        assert digests(tmp_path / "fork") == digests(forked)

    @pytest.mark.parametrize("files", range(1, 12, 5))
    def test_cut_off_before_it_is_there_nothing_is_left(self, files, whole, tmp_path, monkeypatch):
        count, write = [0], durable.write

        def cut(*arguments, **options):
            count[0] += 1
            if count[0] > files:
                raise KeyboardInterrupt
            return write(*arguments, **options)

        monkeypatch.setattr(durable, "write", cut)
        monkeypatch.setattr(branching, "carry_on", lambda *arguments, **options: None)
        try:
            fork(whole, 2, tmp_path / "fork", SETTINGS, {})
        except KeyboardInterrupt:
            assert list(tmp_path.iterdir()) == []
        else:
            assert verify(tmp_path / "fork").problems == ()

    @pytest.mark.parametrize(
        ("setting", "told"),
        [
            ("organism.dim=8", "organism.dim: 16 against 8"),
            ("task.examples=64", "task.examples: 128 against 64"),
            ("archive.cells=16", "archive.cells: 32 against 16"),
            ("objective.maturity=3", "objective.maturity: 1 against 3"),
            ("lag=0", "lag: 1 against 0"),
            ("emitters.kinds=[iso_line, tests.mine:Mine]", "the user's own code"),
            ("rounds=2", "rounds must be more than the 2 that the run has by then, not 2"),
            ("training.batch=0", "training.batch"),
            ("raunds=9", "did you mean rounds"),
        ],
    )
    def test_what_cannot_change_is_refused_and_nothing_is_written(self, setting, told, whole, tmp_path):
        with pytest.raises(ConfigError, match=told):
            fork(whole, 2, tmp_path / "fork", (setting,), {})
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("at", [0, 5])
    def test_only_after_a_round_that_there_is(self, at, whole, tmp_path):
        with pytest.raises(ConfigError, match=f"has rounds 1 to 4 to branch off after, not {at}"):
            fork(whole, at, tmp_path / "fork", (), {})

    def test_not_into_a_run(self, whole, tmp_path):
        run = copied(whole, tmp_path)
        with pytest.raises(ConfigError, match=r"lies in the folder of the run .*; choose another --out"):
            fork(run, 2, run / "inner", (), {})
        assert verify(run).problems == ()

    def test_not_over_something_that_is_there(self, whole, forked):
        with pytest.raises(ConfigError, match="exists already"):
            fork(whole, 2, forked, (), {})

    def test_what_is_said_of_the_next_round_must_be_readable(self, whole, tmp_path):
        run = copied(whole, tmp_path)
        with RunDirectory.open(run).journal(readonly=False) as journal:
            journal.put_meta("segment", json.dumps({"since": 5}))
        RunDirectory.open(run).remove_manifest()
        (problem,) = verify(run).problems
        assert "does not say with which settings the run goes on" in problem.problem
        with pytest.raises(JournalError, match="does not say with which settings the run goes on"):
            resume(run, {})


STOPPING = (
    "rounds=20",
    "early_stopping.patience=2",
    "early_stopping.metric=best_validation_score",
    "early_stopping.min_delta=0.5",  # a rise that small runs do not have
)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    return launched(tmp_path_factory.mktemp("stopped") / "run", *STOPPING)


class TestEarlyStopping:
    def test_it_ends_with_the_first_orders_that_see_it(self, stopped):
        assert list(digests(stopped)) == [0, 1, 2, 3, 4, 5]  # seen after round 3, and a lag of 1
        (event,) = events(stopped, "early_stop")
        assert (event.round, checked(event)["seen"]) == (5, 3)
        assert is_sound(stopped)

    def test_its_last_round_is_tested_as_any_last_round(self, stopped):
        last = open_run(stopped).census().query("round == 5")
        assert last["test_score"].notna().all()
        assert len(open_run(stopped).held_out())
        assert list(open_run(stopped).validity()["round"])[-1] == 5

    def test_resumed_it_ends_there_too(self, stopped, tmp_path):
        run = fork(stopped, 3, tmp_path / "fork", (), {})
        assert list(digests(run))[-1] == 8  # the rule counts anew from the fork on
        RunDirectory.open(run).remove_manifest()
        before = digests(run)
        resume(run, {})
        assert digests(run) == before

    @pytest.mark.parametrize("lag", [0, 2])
    def test_with_another_lag(self, lag, tmp_path):
        run = launched(tmp_path / "run", *STOPPING, f"lag={lag}")
        assert list(digests(run))[-1] == 4 + lag

    def test_extended_it_goes_on(self, stopped, tmp_path):
        run = extend(copied(stopped, tmp_path), 20, {})
        assert list(digests(run))[-1] == 10
        assert is_sound(run)

    def test_without_a_rule_nothing_is_different(self, whole):
        assert events(whole, "early_stop") == []
        assert "early_stopping" not in json.loads(RunDirectory.open(whole).journal().meta("base"))["config"]
