import sqlite3
from pathlib import Path

import pytest

from archive_store.errors import ChainError, StoreError
from archive_store.journal.chain import Event, numbered, round_digest
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from qd.canonical import canonical
from runs.errors import RunError
from runs.replay import decisions, first_difference, replay
from runs.rounds.differences import Difference, named
from tests.faults.killed_drivers import killed, launch_and_die
from tests.fixtures.small_runs import copied, digests, files, launched, rechained


def tampered(run, round, kind, change, thorough=False):
    """Change the first event of a kind for which `change` does not give False, and say where it is.

    A thorough tamperer also corrects marks, digests and manifest, so that nothing shows from within.
    """
    directory = RunDirectory.open(run)
    with directory.journal() as journal:
        events = list(journal.events(round, kind))
    seq, body = next((event.seq, new) for event in events if (new := changed(event, change)) is not None)
    forged = Event(round, seq, None, kind, body)
    with sqlite3.connect(run / "journal.sqlite") as database:
        database.execute("UPDATE event SET body = ? WHERE round = ? AND seq = ?", (body, round, seq))
        if thorough:
            database.execute(
                "UPDATE event SET mark = ? WHERE round = ? AND seq = ?", (forged.mark, round, seq)
            )
    database.close()
    if thorough:
        rechain(directory)
    return round, seq, kind


def changed(event, change):
    value = event.value
    return canonical(value) if change(value) is not False else None


def rechain(directory):
    directory.write_manifest(rechained(directory.path))
    directory.check_manifest()
    with directory.journal() as journal:
        journal.verify_chain()


def born(run):
    """The first round in which a trial chose a newborn among several."""
    trials = open_run(run).trials()
    several = trials.query("candidate > 0").merge(trials.query("chosen"), on=["organism", "round", "slot"])
    return int(several["round"].min())


def prefer(census):
    """Say that another candidate was chosen."""
    for trial in census.get("trials", ()):
        if trial["chosen"] is not None and len(trial["gains"]) > 1:
            trial["chosen"] = (trial["chosen"] + 1) % len(trial["gains"])
            return True
    return False


def deny(census):
    """Say that a candidate that was born had no gain."""
    for trial in census.get("trials", ()):
        if trial["chosen"] is not None:
            trial["gains"] = [-1.0 for _ in trial["gains"]]
            return True
    return False


def adopt(census):
    """Give a newborn of a trial another founder."""
    slots = [trial["slot"] for trial in census.get("trials", ()) if trial["chosen"] is not None]
    for record in census["records"]:
        if record["component"][1] == census["round"] and record["component"][2] in slots:
            record["lineage"] = [census["organism"], 0, 0]
            return True
    return False


def flatter(outcome):
    outcome["candidate"]["objective"] += 0.01


def spare(decision):
    """Undo a death that happened."""
    happened = [death for death in decision["deaths"] if death["happens"]]
    return happened[0].update(happens=False) if happened else False


def invent(decision):
    """Let a birth happen that did not, or the reverse."""
    births = decision["births"]
    return births[0].update(happens=not births[0]["happens"]) if births else False


def redraw(decision):
    births = decision["births"]
    return births[0].update(draw=births[0]["draw"] / 2) if births else False


def warm(decision):
    decision["temperature"] *= 1.0000001


def freeze(decision):
    decision["frozen"] = "loss 9 is over 1"


def reject(outcome):
    return False if outcome["status"] == "reject" else outcome.update(status="reject")


def move(outcome):
    outcome["cell"] ^= 1


def place(difference):
    return difference.round, difference.seq, difference.kind


class TestReplay:
    @pytest.mark.calibrates_anew
    def test_a_finished_run_ends_with_equality_and_is_not_touched(self, finished):
        before = files(finished)
        told = []
        assert replay(finished, None, {}, told.append) is None
        assert [progress.round for progress in told if progress.stage == "rounds"] == [1, 2, 3, 4]
        assert files(finished) == before

    @pytest.mark.long
    def test_until_a_round(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        where = tampered(run, 3, "outcome", flatter)
        told = []
        assert replay(run, 2, {}, told.append) is None
        assert told[-1].round == 2
        assert place(replay(run, 3, {})) == where
        assert replay(run, 0, {}) is None

    @pytest.mark.long
    def test_a_run_that_was_cut_off(self, tmp_path):
        killed(launch_and_die, tmp_path / "run", 1)
        assert replay(tmp_path / "run", None, {}) is None
        assert replay(tmp_path / "run", 99, {"attempts": 1}) is None

    @pytest.mark.parametrize("thorough", [False, True])
    def test_one_changed_objective_is_named_by_round_and_event(self, undisturbed, tmp_path, thorough):
        run = copied(undisturbed, tmp_path)
        where = tampered(run, 2, "outcome", flatter, thorough)
        difference = replay(run, None, {})
        assert place(difference) == where
        assert named(difference) == f"round 2, event {where[1]} (outcome of organism {difference.organism})"
        assert difference.journaled != difference.replayed
        if not thorough:
            with open_run(undisturbed).directory.journal() as journal:
                genuine = next(event for event in journal.events(2) if event.seq == where[1])
            assert difference.replayed == genuine.body
            with pytest.raises(
                ChainError, match=rf"round 2, event {where[1]} \(outcome\) is not as it was written"
            ):
                digests(run)

    @pytest.mark.parametrize(
        ("round", "kind"), [(0, "calibration"), (1, "census"), (3, "decision"), (4, "summary")]
    )
    def test_every_kind_of_event_is_compared(self, undisturbed, tmp_path, round, kind):
        run = copied(undisturbed, tmp_path)
        where = tampered(run, round, kind, lambda value: value.update(extra=1), thorough=True)
        assert place(replay(run, None, {})) == where

    def test_a_changed_digest_alone_is_found(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        with sqlite3.connect(run / "journal.sqlite") as database:
            database.execute("UPDATE round SET digest = ? WHERE round = 3", ("0" * 64,))
        database.close()
        with pytest.raises(
            RunError, match=r"in round 3, but journaled their digest as 0{64}, not [0-9a-f]{64};"
        ):
            replay(run, None, {})

    def test_rounds_after_the_last_are_found(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        directory = RunDirectory.open(run)
        with directory.journal(readonly=False) as journal:
            (last,) = journal.events(4, "summary")
            (event,) = numbered(5, [("summary", last.value | {"round": 5})])
            journal.write_round(5, [event], {}, [], round_digest(journal.digest(), [event]))
        assert replay(run, None, {}) == Difference(5, 0, "summary", None, event.body, None)

    def test_other_settings_are_named_before_anything_is_trained(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        text = (run / "config.yaml").read_text()
        (run / "config.yaml").write_text(text.replace("seed: 0", "seed: 1"))
        for call in (lambda: replay(run, None, {}), lambda: decisions(run)):
            with pytest.raises(
                RunError, match=r"launched with other settings.*: (config\.)?seed: 0 against 1$"
            ):
                call()

    @pytest.mark.parametrize("change", [{"hosts": None}, {"interface": 1}, {"hosts": "ab"}])
    def test_a_calibration_of_another_form_is_one_sentence(self, undisturbed, tmp_path, change):
        run = copied(undisturbed, tmp_path)
        tampered(run, 0, "calibration", lambda value: value.update(change), thorough=True)
        with pytest.raises(
            StoreError, match=r"event 0 of round 0 is no calibration of this version: (hosts|int)"
        ):
            replay(run, None, {})

    def test_another_environment_is_refused(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        path = run / "environment.json"
        path.write_text(path.read_text().replace('"MKL_NUM_THREADS": "1"', '"MKL_NUM_THREADS": "2"'))
        with pytest.raises(RunError, match=r"settings\.MKL_NUM_THREADS: 2 against 1"):
            replay(run, None, {})


class TestDecisions:
    def test_all_are_derived_and_counted(self, finished):
        run = open_run(finished)
        count, seconds, difference = decisions(finished)
        freezes = 3 * 4  # one for each organism and round
        children = run.emitters()["children"].sum()
        assert count == freezes + len(run.decisions()) + children + len(run.outcomes())
        assert (difference, seconds > 0) == (None, True)

    def test_nothing_is_trained(self, undisturbed, monkeypatch):
        monkeypatch.setattr("runs.trainer.advance", None)
        monkeypatch.setattr("runs.training.build.build", None)
        assert decisions(undisturbed)[2] is None

    def test_until_a_round(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        where = tampered(run, 4, "outcome", flatter, thorough=True)
        assert decisions(run, 3)[2] is None
        assert place(decisions(run)[2]) == where
        assert decisions(run, 3)[0] < decisions(run)[0]

    @pytest.mark.long
    def test_the_lag_is_kept(self, tmp_path):
        for lag in (0, 2):
            assert decisions(launched(tmp_path / str(lag), f"lag={lag}"))[2] is None

    @pytest.mark.parametrize("thorough", [False, True])
    @pytest.mark.parametrize("change", [spare, invent, redraw, warm, freeze])
    def test_a_tampered_birth_death_or_freeze(self, undisturbed, tmp_path, change, thorough):
        run = copied(undisturbed, tmp_path)
        round = open_run(run).decisions().query("kind == 'death' and happens")["round"].min()
        where = tampered(run, int(round) if change is spare else 3, "decision", change, thorough)
        difference = decisions(run)[2]
        assert place(difference) == where
        assert difference.organism is not None

    @pytest.mark.parametrize("change", [prefer, deny, adopt])
    def test_a_tampered_trial_or_a_newborn_of_others(self, undisturbed, tmp_path, change):
        run = copied(undisturbed, tmp_path)
        where = tampered(run, born(run), "census", change, thorough=True)
        assert place(decisions(run)[2]) == where

    def test_a_lost_trial_is_one_sentence(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        round = born(run)
        tampered(
            run, round, "census", lambda census: [census.pop("trials")] if "trials" in census else False, True
        )
        with pytest.raises(
            RunError, match=rf"round {round} of the journal .* was to try \(slot, candidates\)"
        ):
            decisions(run)

    @pytest.mark.parametrize("change", [flatter, reject, move])
    def test_a_tampered_competition(self, undisturbed, tmp_path, change):
        run = copied(undisturbed, tmp_path)
        where = tampered(run, 2, "outcome", change, thorough=True)
        assert place(decisions(run)[2]) == where

    def test_a_tampered_measurement_is_found_by_what_follows_from_it(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        with RunDirectory.open(run).journal() as journal:
            first = next(journal.events(2, "outcome"))

        def cheapen(census):
            if census["organism"] != first.organism:
                return False
            return [record.update(flops=record["flops"] / 2) for record in census["records"]]

        tampered(run, 2, "census", cheapen, thorough=True)
        assert place(decisions(run)[2]) == (2, first.seq, "outcome")

    def test_a_lost_census_is_one_sentence(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        with sqlite3.connect(run / "journal.sqlite") as database:
            database.execute("DELETE FROM event WHERE round = 3 AND kind = 'census' AND organism = 1")
        database.close()
        with pytest.raises(
            RunError, match="round 3 has not one census of each organism; the journal was altered"
        ):
            decisions(run)

    def test_a_census_without_its_parts_is_one_sentence(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        tampered(run, 3, "census", lambda value: value.pop("records") and None)
        with pytest.raises(StoreError, match="of round 3 is no census of this version: records is missing"):
            decisions(run)

    @pytest.mark.parametrize("name", ["ranges", "centroids"])
    def test_a_calibration_without_its_parts_is_one_sentence(self, undisturbed, tmp_path, name):
        run = copied(undisturbed, tmp_path)
        tampered(run, 0, "calibration", lambda value: value.pop(name) and None, thorough=True)
        with pytest.raises(StoreError, match=f"0 is no calibration of this version: {name} is missing"):
            decisions(run)

    @pytest.mark.parametrize("base", ["[]", "{", '{"config": 1}'])
    def test_a_beginning_that_is_none_is_one_sentence(self, undisturbed, tmp_path, base):
        run = copied(undisturbed, tmp_path)
        with sqlite3.connect(run / "journal.sqlite") as database:
            database.execute("UPDATE meta SET value = ? WHERE key = 'base'", (base,))
        database.close()
        with pytest.raises(
            RunError, match=r"what the journal.* begins with cannot be read|config.*: .* against "
        ):
            decisions(run)

    def test_a_run_without_a_round_is_refused(self, undisturbed, tmp_path):
        run = copied(undisturbed, tmp_path)
        with sqlite3.connect(run / "journal.sqlite") as database:
            database.execute("DELETE FROM round")
        database.close()
        with pytest.raises(RunError, match="has no committed round yet; look again later"):
            decisions(run)


def test_the_first_difference_of_two_lists():
    first = [Event(1, seq, 0, "census", body) for seq, body in enumerate("abc")]
    second = [Event(1, seq, 0, "census", body) for seq, body in enumerate("axc")]
    assert first_difference(first, first) is None
    assert first_difference(first, second) == Difference(1, 1, "census", 0, "b", "x")
    assert first_difference(first, first[:2]) == Difference(1, 2, "census", 0, "c", None)
    assert first_difference(first[:2], first) == Difference(1, 2, "census", 0, None, "c")


def test_no_run_is_one_sentence():
    with pytest.raises(Exception, match="there is no folder nowhere"):
        replay(Path("nowhere"), None, {})
