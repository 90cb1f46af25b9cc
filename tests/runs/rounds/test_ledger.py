from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_store.journal.chain import numbered
from qd.canonical import canonical
from runs.errors import RunError
from runs.rounds.ledger import Ledger
from runs.session import restore
from tests.faults.fake_trainers import Play, altered, calibration, ledger_config

LAGS = (0, 1, 2)


def events(play, until=None):
    return [numbered(closed.round, closed.items) for closed in play.rounds[:until]]


@cache
def undisturbed(lag):
    return Play(ledger_config(lag=lag)).to_the_end()


@cache
def undisturbed_events(lag):
    return events(undisturbed(lag))


@pytest.mark.parametrize("lag", LAGS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_order_of_arrival_gives_the_same_events(lag, data):
    shuffled = Play(ledger_config(lag=lag)).to_the_end(lambda waiting: data.draw(st.sampled_from(waiting)))
    assert events(shuffled) == undisturbed_events(lag)


@pytest.mark.parametrize("lag", LAGS)
def test_the_fastest_organism_runs_ahead_as_far_as_the_lag_allows(lag):
    play = Play(ledger_config(lag=lag))
    furthest = 0
    while 0 in play.send():
        play.arrive(0)
        furthest += 1
    assert (furthest, play.ledger.closed) == (lag + 1, 0)
    assert not play.ledger.complete()


def test_the_plays_are_about_something():
    """Births, deaths and competitions of every kind happen, and other lags decide otherwise."""
    summaries = [dict(play.rounds[-1].items)["summary"] for play in map(undisturbed, LAGS)]
    for play in map(undisturbed, LAGS):
        assert play.ledger.births > 3
        assert play.ledger.deaths > 1
        statuses = {item.status for closed in play.rounds for kind, item in closed.items if kind == "outcome"}
        assert statuses == {"insert", "replace", "reject"}
    assert len({summary["qd_score"] for summary in summaries}) == len(LAGS)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), lag=st.sampled_from(LAGS))
def test_coverage_and_qd_score_never_fall(seed, lag):
    play = Play(ledger_config(lag=lag, seed=seed)).to_the_end()
    summaries = [dict(closed.items)["summary"] for closed in play.rounds]
    for name in ("coverage", "lineage_coverage", "qd_score", "visited_cells", "improvements"):
        values = [summary[name] for summary in summaries]
        if name != "lineage_coverage":  # an elite may be replaced by one of another line
            assert values == sorted(values), name
        assert values[-1] > 0


@pytest.mark.parametrize("lag", LAGS)
def test_a_decision_reads_its_own_censuses_and_the_view_before_the_lag_alone(lag):
    """What organism 1 does from round 2 on reaches organism 0 in round 3 + lag and not before."""
    config = ledger_config(lag=lag, rounds=6)
    plain = Play(config).to_the_end()
    other = Play(config, changes={1: altered(since=2, assay=0.5, assay_lower=0.5)}).to_the_end()
    own = [(plain.orders[0, round], other.orders[0, round]) for round in range(1, 7)]
    assert all(first == second for first, second in own[: 2 + lag])
    assert own[2 + lag][0] != own[2 + lag][1]


def test_a_decision_reads_its_own_last_census():
    config = ledger_config(lag=2)
    plain = Play(config).to_the_end()
    other = Play(config, changes={0: altered(since=1, ablation=-1.0)}).to_the_end()
    assert plain.orders[0, 1] == other.orders[0, 1]
    assert plain.orders[0, 2].deaths != other.orders[0, 2].deaths


def test_the_first_order_decides_nothing_and_the_lag_is_waited_for():
    ledger = Ledger(ledger_config(lag=1), calibration())
    first = ledger.decision(0, 1)
    assert (first.births, first.deaths, first.hunger) == ((), (), 1.0)
    assert first.temperature == 0.5
    assert ledger.may_decide(0, 1)
    assert not ledger.may_decide(0, 2)  # its census of round 1 is not there


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("last", range(6))
def test_a_restored_ledger_goes_on_as_if_it_had_been_there(lag, last):
    config, whole = ledger_config(lag=lag), undisturbed(lag)
    ledger = Ledger(config, calibration())
    restore(ledger, journal_of(whole, last))
    assert ledger.closed == last
    again = Play(config, ledger)
    for organism, trainer in again.trainers.items():
        for round in range(1, last + 1):
            assert trainer.census(ledger.decision(organism, round)) == ledger.census(organism, round)
    again.to_the_end()
    assert events(again) == undisturbed_events(lag)[last:]
    assert again.ledger.view == whole.ledger.view
    assert (again.ledger.births, again.ledger.deaths) == (whole.ledger.births, whole.ledger.deaths)


def journal_of(play, last):
    """Give what `restore` reads of a journal."""
    rounds = events(play, last)
    return SimpleNamespace(last_round=lambda: last, events=lambda round: iter(rounds[round - 1]))


def test_a_journal_whose_competitions_contradict_one_another_is_refused():
    whole = undisturbed(1)
    rounds = events(whole)
    first = next(event for event in rounds[0] if event.kind == "outcome")
    forged = first.value | {"cell": (first.value["cell"] + 1) % 24}
    rounds[0][first.seq] = numbered(1, [("outcome", forged)])[0]
    journal = SimpleNamespace(last_round=lambda: 5, events=lambda round: iter(rounds[round - 1]))
    with pytest.raises(
        RunError, match=r"round 1 of the journal cannot be restored: component .* is journaled as insert"
    ):
        restore(Ledger(ledger_config(), calibration()), journal)


@pytest.mark.parametrize("change", [{"round": 3}, {"organism": 99}])
def test_a_census_that_does_not_follow_is_refused(change):
    census = next(event for event in undisturbed(1).rounds[0].items if event[0] == "census")[1]
    with pytest.raises(ValueError, match=r"a census of organism \d+ and round \d does not follow"):
        Ledger(ledger_config(), calibration()).accept(replace(census, **change))


def test_genomes_to_be_kept_are_those_that_hold_a_cell_now():
    for closed in undisturbed(0).rounds:
        held = {elite.genome for elite in closed.view.elites if elite.round == closed.round}
        assert {digest for _, digest in closed.genomes} == held
        assert all(digest for _, digest in closed.genomes)


def test_summaries_agree_with_the_censuses_and_the_view():
    play = undisturbed(1)
    for closed in play.rounds:
        items = [item for kind, item in closed.items if kind == "census"]
        summary = dict(closed.items)["summary"]
        assert summary["alive"] == sum(len(census.records) for census in items)
        assert summary["mean_validation_score"] == pytest.approx(np.mean([c.validation_score for c in items]))
        assert summary["best_validation_score"] == max(census.validation_score for census in items)
        assert summary["coverage"] == len(set(closed.view.cells)) / 24
        assert summary["qd_score"] == pytest.approx(sum(elite.objective for elite in closed.view.elites))
        assert canonical(summary)  # has a form in the journal


def test_validity_is_checked_on_the_slow_clock_and_in_the_last_round():
    play = undisturbed(1)
    checked = [closed.round for closed in play.rounds if "validity" in dict(closed.items)]
    assert checked == [2, 4, 5]


@pytest.mark.parametrize("lag", LAGS)
def test_a_run_that_stops_early_ends_with_the_orders_that_see_it(lag):
    """The first round sets the mark, and the two after it bring no such rise."""
    rule = {"early_stopping.patience": 2, "early_stopping.min_delta": 1e9}
    play = Play(ledger_config(lag=lag, rounds=20, **rule)).to_the_end()
    assert len(play.rounds) == play.ledger.last == 3 + 1 + lag
    last = dict(play.rounds[-1].items)
    scores = [dict(closed.items)["summary"]["qd_score"] for closed in play.rounds]
    assert last["early_stop"] == {
        "round": 4 + lag,
        "seen": 3,
        "metric": "qd_score",
        "patience": 2,
        "best": max(scores[:-1]),
    }
    assert all("early_stop" not in dict(closed.items) for closed in play.rounds[:-1])
    assert [order.last for (_, round), order in play.orders.items() if round == 4 + lag] == [True] * 3
