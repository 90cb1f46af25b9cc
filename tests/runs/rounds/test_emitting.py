"""The emitters' part of the ledger: what is asked for follows from what was closed; success is what was gained."""

import dataclasses
import math

import pytest

from qd.emitters.records import Emission, Emitted
from qd.records import Outcome
from runs.rounds.ledger import Ledger
from tests.faults.fake_trainers import Play, calibration, ledger_config


def of_kind(closed, kind):
    return [value for name, value in closed.items if name == kind]


@pytest.fixture(scope="module", params=[0, 1, 2])
def play(request):
    config = ledger_config(
        lag=request.param, rounds=7, **{"emitters.children": 15, "emitters.shares": "even"}
    )
    return Play(config).to_the_end()


def test_children_come_when_the_view_has_elites_and_compete_after_the_organisms(play):
    lag = play.config.lag
    for closed in play.rounds:
        asked, brought = of_kind(closed, "emission"), of_kind(closed, "emitted")
        assert [(one.round, one.chunk) for one in asked] == [(one.round, one.chunk) for one in brought]
        assert sum(len(one.children) for one in asked) == (15 if closed.round > 1 + lag else 0)
        order = [outcome.candidate.component for outcome in of_kind(closed, "outcome")]
        assert order == sorted(order)
        contenders = [child.component for one in brought for child in one.contenders]
        assert [name for name in order if name.organism >= play.config.organism.count] == contenders
    assert any(of_kind(closed, "emitted") for closed in play.rounds)


def test_parents_are_elites_of_the_view_before_the_lag(play):
    views = {closed.round: closed.view for closed in play.rounds}
    for closed in play.rounds:
        for asked in of_kind(closed, "emission"):
            begun = closed.round if asked.campaign is None else asked.campaign.round
            held = {elite.genome: elite for elite in views[begun - 1 - play.config.lag].elites}
            for parent in asked.parents:
                assert held[parent.genome].component == parent.component


def test_strategies_are_told_of_the_generations_before(play):
    brought = {(one.round, one.chunk): one for closed in play.rounds for one in of_kind(closed, "emitted")}
    asked = [one for closed in play.rounds for one in of_kind(closed, "emission") if one.campaign is not None]
    assert any(one.campaign.improvements for one in asked)
    for one in asked:
        tried = brought[one.round, one.chunk].tried
        assert len(tried) == len(one.children)
        before = [other for other in asked if _begun(other) == _begun(one) and other.round < one.round]
        assert len(before) == len(one.campaign.improvements)
        for earlier, improvements in zip(before, one.campaign.improvements, strict=True):
            known = brought[earlier.round, earlier.chunk].tried
            assert [each is None for each in known] == [each is None for each in improvements]


def _begun(emission: Emission) -> tuple[int, int]:
    return emission.campaign.round, emission.campaign.chunk


def test_what_everyone_gained_is_what_the_archive_gained(play):
    score = 0.0
    for closed in play.rounds:
        summary = of_kind(closed, "summary")[0]
        own = sum(_gain(one) for one in of_kind(closed, "outcome") if one.candidate.component.organism < 3)
        assert summary["qd_score"] == pytest.approx(score + own + summary["emitters_gain"])
        score = summary["qd_score"]
    assert sum(of_kind(closed, "summary")[0]["emitters_gain"] for closed in play.rounds) > 0.5


def _gain(outcome: Outcome) -> float:
    if outcome.status == "reject":
        return 0.0
    return outcome.candidate.objective - (outcome.incumbent_objective or 0.0)


def test_the_bandit_sees_what_is_closed_up_to_the_view_and_nothing_later():
    """Another success in a round changes who is asked from the round on that sees it."""
    config = ledger_config(lag=1, rounds=7, **{"emitters.children": 24, "emitters.exploration": 0.0})
    plain, other = Play(config), Play(config)
    changed = 4

    def dearer(emitted: Emitted) -> Emitted:
        name = other.ledger.emissions(emitted.round)[emitted.chunk].emitter
        return dataclasses.replace(emitted, flops=1e30 if name == "gradient" else emitted.flops)

    accept = other.ledger.accept_emitted
    other.ledger.accept_emitted = lambda one: accept(dearer(one) if one.round == changed else one)
    for run in (plain, other):
        run.to_the_end()
    asked = [
        {closed.round: [one.emitter for one in of_kind(closed, "emission")] for closed in run.rounds}
        for run in (plain, other)
    ]
    assert all(asked[0][round] == asked[1][round] for round in range(1, changed + 2))
    assert asked[0][changed + 2] != asked[1][changed + 2]


def test_what_was_not_asked_for_is_refused():
    play = Play(ledger_config(lag=0))
    play.arrive(play.send()[0])
    nothing = Emitted(1, 0, 0, 0, None, 0.0, ())
    with pytest.raises(ValueError, match="chunk 0 of round 1 was not asked for, or came before"):
        play.ledger.accept_emitted(nothing)


def test_a_round_waits_for_its_children():
    config = ledger_config(lag=0, rounds=4)
    play = Play(config)
    play.emit = lambda: None
    for _ in range(2):
        for organism in list(play.send()):
            play.arrive(organism)
    assert play.ledger.closed == 1
    asked: tuple[Emission, ...] = play.ledger.emissions(2)
    assert len(asked) == 2
    assert not play.ledger.complete()
    for order in asked:
        play.ledger.accept_emitted(Emitted(2, order.chunk, 0, 0, None, 0.0, ()))
    assert play.ledger.complete()
    with pytest.raises(ValueError, match="came before"):
        play.ledger.accept_emitted(Emitted(2, 0, 0, 0, None, 0.0, ()))
    summary = dict(play.ledger.close().items)["summary"]
    assert (summary["children"], summary["children_scored"], summary["emitters_gain"]) == (5, 0, 0.0)
    assert math.isclose(summary["flops_emitters"], 0.0)


def test_without_children_there_is_no_word_of_them():
    play = Play(ledger_config(**{"emitters.children": 0})).to_the_end()
    assert not any(of_kind(closed, kind) for closed in play.rounds for kind in ("emission", "emitted"))
    assert Ledger(play.config, calibration()).emissions(1) == ()
