"""Births that search among sources read nothing but the journal: what was tried up to the round of their view."""

from functools import cache
from types import SimpleNamespace

import pytest

from archive_store.journal.chain import numbered
from qd.chemotaxis.tries import tried
from runs.replay import decisions, replay
from runs.rounds.ledger import Ledger
from runs.session import restore
from tests.faults.fake_trainers import Play, calibration, ledger_config
from tests.fixtures.small_runs import launched

KINDS = ("rule", "sources", "uniform")


def config(kind, lag=1):
    return (
        ledger_config(lag=lag, rounds=8)
        if kind == "rule"
        else ledger_config(**{"lag": lag, "rounds": 8, "chemotaxis.kind": kind, "chemotaxis.patience": 1})
    )


@cache
def played(kind, lag=1):
    return Play(config(kind, lag)).to_the_end()


def events(play):
    return [numbered(closed.round, closed.items) for closed in play.rounds]


def test_the_kinds_choose_other_parents():
    births = [
        [birth.proposals for order in played(kind).orders.values() for birth in order.births]
        for kind in KINDS
    ]
    assert all(births)
    assert births[0] != births[1] != births[2] != births[0]


@pytest.mark.parametrize("lag", [0, 2])
def test_a_view_counts_what_was_tried_up_to_its_round(lag):
    play = played("sources", lag)
    counts = tried({}, [item for closed in play.rounds for kind, item in closed.items if kind == "decision"])
    view = play.ledger.view
    assert view.tries == tuple(counts.get(elite.genome, 0) for elite in view.elites)
    assert max(view.tries) > 1
    assert max(play.rounds[0].view.tries) == 0


@pytest.mark.parametrize("last", [1, 4, 7])
def test_a_restored_ledger_goes_on_with_the_same_counts(last):
    whole = played("sources")
    rounds = events(whole)
    journal = SimpleNamespace(last_round=lambda: last, events=lambda round: iter(rounds[round - 1]))
    ledger = Ledger(config("sources"), calibration())
    restore(ledger, journal)
    assert ledger.view == whole.rounds[last - 1].view
    again = Play(config("sources"), ledger)
    for organism, trainer in again.trainers.items():
        for round in range(1, last + 1):
            trainer.census(ledger.decision(organism, round))
    again.to_the_end()
    assert events(again) == rounds[last:]


def test_a_run_among_sources_is_replayed(tmp_path):
    scent = "[{behavior: [0.9, 0.9, 0.1, 0.1, 0.5], concentration: 2}]"
    early = ("lifecycle.warmup=0", "lifecycle.gentle=0", "rounds=5")
    run = launched(tmp_path / "run", "chemotaxis.kind=sources", f"chemotaxis.sources={scent}", *early)
    count, _, difference = decisions(run)
    assert (count > 0, difference) == (True, None)
    assert replay(run, None, {}) is None
