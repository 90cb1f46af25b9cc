"""Ledgers of organisms that are in quarantine in some rounds."""

import math
from dataclasses import replace
from functools import cache
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_store.journal.chain import numbered
from qd.canonical import canonical
from runs.rounds.ledger import Ledger
from runs.session import restore
from tests.faults.fake_trainers import FakeTrainer, Play, calibration, ledger_config


class Fragile(FakeTrainer):
    """A fake organism whose numbers are not finite in some rounds."""

    def __init__(self, config, organism, rounds):
        super().__init__(config, organism)
        self.rounds = rounds
        self.step = 0

    def census(self, order):
        before = self.pool
        self.pool = {} if order.reseed else dict(before)
        census = super().census(order)
        if order.round not in self.rounds:
            self.step += self.config.training.steps_per_round
            return replace(census, step=self.step)
        self.pool = before
        lost = dict.fromkeys(("loss", "probe_loss", "validation_loss", "validation_score"), math.nan)
        return replace(census, **lost, step=self.step, records=(), quarantine=f"round {order.round} is nan")


def fragile(lag=1, ledger=None, rounds=10, lost=((), (3, 4, 5, 6, 8), (1, 4))):
    """A play of three organisms of which two are in quarantine in some rounds, one for long enough."""
    config = ledger_config(lag=lag, rounds=rounds, **{"lifecycle.births_per_round": 2})
    play = Play(config, ledger)
    play.trainers |= {number: Fragile(config, number, bad) for number, bad in enumerate(lost)}
    return play


def events(play):
    return [numbered(closed.round, closed.items) for closed in play.rounds]


@cache
def finished(lag):
    return fragile(lag).to_the_end()


LAGS = (0, 1, 2)


class TestLedger:
    def test_each_quarantine_is_an_event_after_the_census(self):
        found = []
        for closed in finished(1).rounds:
            for (_, before), (kind, value) in pairwise(closed.items):
                if kind == "quarantine":
                    assert before.organism == value["organism"]
                    assert value["reason"] == before.quarantine == f"round {closed.round} is nan"
                    found.append((value["round"], value["organism"], value["in_a_row"]))
        assert found == [(1, 2, 1), (3, 1, 1), (4, 1, 2), (4, 2, 1), (5, 1, 3), (6, 1, 1), (8, 1, 1)]

    @pytest.mark.parametrize("lag", LAGS)
    def test_a_re_seed_takes_its_parents_from_the_view_before_the_lag(self, lag):
        play = finished(lag)
        reseeded = {key for key, order in play.orders.items() if order.reseed}
        assert reseeded == {(1, 6)}
        view = play.rounds[6 - 1 - lag - 1].view  # rounds count from 1
        parents = {parent for birth in play.orders[1, 6].births for parent in birth.parents}
        assert parents
        assert parents <= {elite.component for elite in view.elites}
        assert [birth.slot for birth in play.orders[1, 6].births] == list(range(4))

    @pytest.mark.parametrize("lag", LAGS)
    @settings(max_examples=8, deadline=None)
    @given(data=st.data())
    def test_any_order_of_arrival_gives_the_same_events(self, lag, data):
        shuffled = fragile(lag).to_the_end(lambda waiting: data.draw(st.sampled_from(waiting)))
        assert events(shuffled) == events(finished(lag))

    @pytest.mark.parametrize("last", range(10))
    def test_a_restored_ledger_goes_on_as_if_it_had_been_there(self, last):
        rounds = events(finished(1))
        ledger = Ledger(finished(1).config, calibration())
        restore(
            ledger, SimpleNamespace(last_round=lambda: last, events=lambda round: iter(rounds[round - 1]))
        )
        again = fragile(ledger=ledger)
        for organism, trainer in again.trainers.items():
            for round in range(1, last + 1):
                trainer.census(ledger.decision(organism, round))
        again.to_the_end()
        assert events(again) == rounds[last:]
        assert (ledger.births, ledger.deaths) == (finished(1).ledger.births, finished(1).ledger.deaths)

    def test_summaries_are_of_the_finite_and_births_that_were_undone_do_not_count(self):
        undone = 0
        for closed in finished(1).rounds:
            censuses = [item for kind, item in closed.items if kind == "census"]
            orders = [item for kind, item in closed.items if kind == "decision"]
            finite = [census.quarantine is None for census in censuses]
            summary = dict(closed.items)["summary"]
            assert summary["quarantined"] == finite.count(False)
            scores = [c.validation_score for c, good in zip(censuses, finite, strict=True) if good]
            assert summary["best_validation_score"] == max(scores)
            assert summary["mean_validation_score"] == pytest.approx(sum(scores) / len(scores))
            assert summary["mean_loss"] == 1.0
            newborn = [
                [record for record in census.records if record.component.born == census.round]
                for census in censuses
            ]
            assert summary["births"] == sum(map(len, newborn))
            born = [sum(birth.happens for birth in order.births) for order in orders]
            undone += sum(n for n, good in zip(born, finite, strict=True) if not good)
            assert summary["temperature"] == min(order.temperature for order in orders)
        assert undone > 0

    def test_a_run_of_which_nothing_is_finite_has_summaries_and_verdicts_without_numbers(self):
        play = fragile(lost=(range(99),) * 3).to_the_end()
        for closed in play.rounds:
            items = dict(closed.items)
            assert items["summary"]["quarantined"] == 3
            assert items["summary"]["alive"] == items["summary"]["births"] == 0
            for name in ("mean_loss", "best_validation_score", "mean_validation_score"):
                assert items["summary"][name] is None
            if "validity" in items:
                assert items["validity"]["verdict"]["status"] == "skipped"
            assert canonical(items["summary"])
        assert {key for key, order in play.orders.items() if order.reseed} == {
            (organism, round) for organism in range(3) for round in (4, 7, 10)
        }
