"""Runs whose steps take more memory than they may, or than there is."""

import pytest

from archive_store.journal.values import values
from archive_store.reading import open_run
from archive_store.run_directory import RunDirectory
from qd.records import Decision
from runs.errors import RunError
from runs.launch import launch
from runs.replay import decisions, replay
from runs.results.rows import table
from runs.results.summary import summarise
from runs.resume import resume
from tests.fixtures.small_runs import digests, launched, small

NARROW, WALLED, CRAMPED = (f"tests.faults.starving:{name}" for name in ("Narrow", "Walled", "Cramped"))


BUDGET = ("organism.pseudopods.compact=true",)


class Cut(Exception):
    """The power went."""


def orders(run) -> list[Decision]:
    with RunDirectory.open(run).journal() as journal:
        return list(values(journal.events(kind="decision"), Decision))


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    return launched(tmp_path_factory.mktemp("narrow") / "run", f"organism.kind={NARROW}")


class TestTooLittle:
    def test_a_round_is_tried_once_more_with_a_fifth_fewer_and_without_births(self, narrow):
        starved = [order for order in orders(narrow) if order.starved]
        assert starved
        for order in starved:
            assert {death.reason for death in order.deaths} == {"memory"}
            assert [death.happens for death in order.deaths] == [True]  # of four
            assert order.births == ()
        living = open_run(narrow).census().set_index(["organism", "round"])["alive"]
        assert {living[order.organism, order.round] for order in starved} == {3}
        assert living.max() == 4

    def test_what_was_short_is_told_as_often_as_it_was_tried(self, narrow):
        with RunDirectory.open(narrow).journal() as journal:
            told = [incident.body for incident in journal.incidents() if "too little memory" in incident.body]
        assert len(told) == 3 * sum(order.starved for order in orders(narrow))  # execution.attempts
        assert all("out of memory" in text or "allocate memory" in text for text in told)

    def test_a_replay_comes_to_the_same(self, narrow):
        assert replay(narrow, None, {}) is None
        assert decisions(narrow)[2] is None

    @pytest.mark.ray
    @pytest.mark.long
    def test_workers_do_not_change_it(self, narrow, tmp_path):
        ray = ("execution.executor=ray", "execution.workers=2")
        assert digests(launched(tmp_path / "run", f"organism.kind={NARROW}", *ray)) == digests(narrow)

    def test_so_does_a_replay_where_there_is_room(self, narrow, monkeypatch):
        monkeypatch.setattr("tests.faults.starving.MOST", 99)
        assert replay(narrow, None, {}) is None

    def test_and_a_resume(self, narrow, tmp_path):
        first = min(order.round for order in orders(narrow) if order.starved)

        def cut(progress):
            if (progress.stage, progress.round) == ("rounds", first):
                raise Cut

        with pytest.raises(Cut):
            launch(small(f"organism.kind={NARROW}"), tmp_path / "run", cut)
        resume(tmp_path / "run", {})
        assert digests(tmp_path / "run") == digests(narrow)

    @pytest.mark.parametrize(("family", "round"), [(WALLED, 2), (CRAMPED, 1)])
    def test_where_fewer_do_not_help_or_nobody_is_known_yet_the_run_ends_in_a_sentence(
        self, family, round, tmp_path
    ):
        wanted = rf"^advance( again)? of organism \d, round {round}, was lost 3 times, the last time because .* memory"
        with pytest.raises(RunError, match=wanted) as caught:
            launched(tmp_path / "run", f"organism.kind={family}")
        assert str(caught.value).endswith("the run can be resumed")


class TestTheBudget:
    def test_over_it_the_weakest_die_in_any_phase_until_the_least_is_left(self, tmp_path):
        run = launched(tmp_path / "run", *BUDGET, "lifecycle.memory_budget=1", "lifecycle.gentle=0.5")
        frame = open_run(run)
        dead, census = frame.decisions().query("kind == 'death'"), frame.census()
        assert set(dead["reason"]) == {"memory"}
        assert {"gentle", "full"} <= set(dead.query("happens")["phase"])
        assert (census["memory"] > 1).all()
        assert census.query("round == 4")["alive"].tolist() == [2, 2, 2]  # lifecycle.min_alive
        largest = int(census.query("round == 4")["memory"].max())
        assert f"largest step           {largest:,} bytes, counted\n" in table(summarise(run))
        assert replay(run, None, {}) is None
        assert decisions(run)[2] is None

    def test_one_that_is_never_reached_changes_nothing_but_what_is_counted(self, tmp_path):
        plain = launched(tmp_path / "plain", *BUDGET)
        wide = launched(tmp_path / "wide", *BUDGET, "lifecycle.memory_budget=1000000000")
        assert [order.deaths for order in orders(plain)] == [order.deaths for order in orders(wide)]
