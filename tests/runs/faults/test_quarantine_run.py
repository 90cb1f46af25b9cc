"""Whole runs in which an organism, or every one, loses its finiteness on purpose."""

import json
import sqlite3

import pytest

from analysis import pictures
from archive_store.encoding import decode
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from runs.launch import launch
from runs.replay import decisions, replay
from runs.results.rows import table
from runs.results.summary import as_json, summarise
from runs.resume import resume
from tests.fixtures.small_runs import copied, digests, launched, small

ROUNDS = 7
EXPLODING = (f"rounds={ROUNDS}", "organism.kind=tests.faults.exploding:Hothead")


class Cut(Exception):
    """The power went."""


def cut_after(round):
    def report(progress):
        if (progress.stage, progress.round) == ("rounds", round):
            raise Cut

    return report


@pytest.fixture(scope="module")
def exploded(tmp_path_factory):
    return launched(tmp_path_factory.mktemp("exploded") / "run", *EXPLODING)


@pytest.fixture(scope="module")
def doomed(tmp_path_factory):
    place = tmp_path_factory.mktemp("doomed") / "run"
    return launched(place, "rounds=5", "organism.kind=tests.faults.exploding:Doomed")


def values(run, kind):
    with open_run(run).directory.journal() as journal:
        return [event.value for event in journal.events(kind=kind)]


class TestRun:
    @pytest.mark.long
    def test_the_organism_goes_back_three_times_is_re_seeded_and_explodes_again(self, exploded):
        found = [(v["organism"], v["round"], v["in_a_row"]) for v in values(exploded, "quarantine")]
        assert found == [(1, 2, 1), (1, 3, 2), (1, 4, 3), (1, 6, 1), (1, 7, 2)]
        census = open_run(exploded).census().query("organism == 1").set_index("round")
        assert census["step"].tolist() == [3, 3, 3, 3, 6, 6, 6]
        assert census["quarantine"].notna().tolist() == [False, True, True, True, False, True, True]
        assert census["quarantine"][2] == "training loss became nan at optimizer step 3"
        assert census["alive"].tolist() == [4, 0, 0, 0, 4, 0, 0]

    @pytest.mark.long
    def test_one_of_experts_does_too_and_is_replayed(self, exploded, tmp_path):
        run = launched(
            tmp_path / "run", EXPLODING[0], "organism.kind=tests.faults.exploding:HotheadedExperts"
        )
        for kind in ("organism", "round", "in_a_row"):
            assert [v[kind] for v in values(run, "quarantine")] == [
                v[kind] for v in values(exploded, "quarantine")
            ]
        assert replay(run, None, {}) is None
        assert decisions(run)[2] is None

    @pytest.mark.long
    def test_its_lifecycle_stands_still_and_the_re_seed_comes_from_the_view(self, exploded):
        orders = {v["round"]: v for v in values(exploded, "decision") if v["organism"] == 1}
        for round in (3, 4, 7):
            assert orders[round]["frozen"].startswith(f"round {round - 1} was quarantined: training loss")
            assert (orders[round]["births"], orders[round]["deaths"]) == ([], [])
        assert [round for round in orders if orders[round]["reseed"]] == [5]
        elites = open_run(exploded).elites(round=3)  # 5 - 1 - lag
        known = set(zip(elites["component"], elites["genome"], strict=True))
        for born in orders[5]["births"]:
            assert born["operator"] == "gaussian"
            parents = [".".join(map(str, parent)) for parent in born["parents"]]
            assert set(zip(parents, born["genomes"], strict=True)) <= known
        records = open_run(exploded).records().query("organism == 1 and round == 5")
        assert records["component"].tolist() == [f"1.5.{slot}" for slot in range(4)]

    @pytest.mark.long
    def test_states_carry_the_halved_rate(self, exploded):
        directory = RunDirectory.open(exploded)
        with directory.journal() as journal:
            newest = journal.states(1)[0]
        _, meta = decode(directory.blobs.get(newest.digest))
        assert (meta["rate_factor"], meta["quarantines"], meta["round"]) == (0.25, 2, ROUNDS)

    @pytest.mark.long
    def test_it_is_replayed_to_the_same_digest(self, exploded):
        assert replay(exploded, None, {}) is None
        assert decisions(exploded)[2] is None

    def test_a_tampered_quarantine_is_found(self, exploded, tmp_path):
        run = copied(exploded, tmp_path)
        with sqlite3.connect(run / "journal.sqlite") as database:
            database.execute(
                "UPDATE event SET body = replace(body, '\"in_a_row\":2', '\"in_a_row\":3') "
                "WHERE kind = 'quarantine' AND round = 3"
            )
        database.close()
        difference = decisions(run)[2]
        assert (difference.round, difference.kind, difference.organism) == (3, "quarantine", 1)

    @pytest.mark.long
    @pytest.mark.parametrize(("lag", "round"), [(1, 3), (1, 5), (0, 3), (2, 4)])
    def test_cut_off_in_a_quarantine_or_after_the_re_seed_it_comes_to_the_same(
        self, lag, round, exploded, tmp_path
    ):
        settings = (*EXPLODING, f"lag={lag}", "execution.checkpoint_every=3")
        whole = exploded if lag == 1 else launched(tmp_path / "whole", *settings)
        with pytest.raises(Cut):
            launch(small(*settings), tmp_path / "run", cut_after(round))
        resume(tmp_path / "run", {})
        assert digests(tmp_path / "run") == digests(whole)
        assert decisions(tmp_path / "run")[2] is None

    def test_the_summary_counts_them_and_the_best_organism_is_none_of_them(self, exploded):
        summary = summarise(exploded)
        assert summary.quarantines == 5
        assert summary.best_organism in (0, 2)
        assert "quarantines            5\n" in table(summary)
        frame = open_run(exploded).rounds()
        assert frame["quarantined"].tolist() == [0, 1, 1, 1, 0, 1, 1]
        assert (summary.births, summary.deaths) == (frame["births"].sum(), frame["deaths"].sum())


class TestARunWithoutAFiniteRound:
    def test_it_ends_and_has_a_summary(self, doomed):
        summary = summarise(doomed)
        assert (summary.rounds, summary.quarantines) == (5, 15)
        assert (summary.best_organism, summary.best_accuracy, summary.coverage) == (None, None, 0.0)
        assert (summary.births, summary.deaths) == (0, 0)
        assert json.loads(as_json(summary))["quarantines"] == 15
        frame = open_run(doomed).rounds()
        assert frame["mean_loss"].isna().all()

    def test_after_three_rounds_all_are_re_seeded_at_random_from_the_empty_view(self, doomed):
        orders = values(doomed, "decision")
        assert {v["round"] for v in orders if v["reseed"]} == {4}
        births = [birth for v in orders for birth in v["births"]]
        assert {birth["operator"] for birth in births} == {"random"}
        assert len(births) == 3 * 4
        assert open_run(doomed).decisions()["objective"].isna().all()

    def test_it_is_replayed_to_the_same_digest(self, doomed):
        assert replay(doomed, None, {}) is None
        assert decisions(doomed)[2] is None

    @pytest.mark.long
    def test_every_picture_can_be_drawn(self, doomed, tmp_path):
        drawn = {path.stem for path in pictures.draw(copied(doomed, tmp_path))}
        assert drawn == set(pictures.KINDS) - {
            "utilisation",
            "trials",
            "emitters",
        }  # of experts, and of an archive with elites
