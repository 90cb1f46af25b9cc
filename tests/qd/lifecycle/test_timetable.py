"""Timetables: what is decided by them, and what they are of another run."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qd.lifecycle.timetable import YOKED, Turn, timetable, turns
from qd.records import Trial
from tests.qd.lifecycle_cases import CULL, EMPTY, RULES, census, decided, pool


def on_time(births, deaths, round=CULL, records=None, sight=None, **changes):
    rules = replace(RULES, timetable=timetable([Turn(round, 0, births, deaths)]), **changes)
    given_view = {} if sight is None else {"sight": sight}
    return decided(pool(4, 4) if records is None else records, round, rules=rules, **given_view)


@given(
    births=st.integers(0, 4),
    deaths=st.integers(0, 4),
    round=st.integers(2, 100),
    arm=st.sampled_from(["archive", "random", "genes", "clone"]),
)
def test_as_many_are_born_and_die_as_the_turn_says_in_any_phase(births, deaths, round, arm):
    decision = on_time(births, deaths, round, arm=arm)
    assert [birth.happens for birth in decision.births] == [True] * births
    assert [death.happens for death in decision.deaths] == [True] * deaths
    assert {death.reason for death in decision.deaths} <= {YOKED}
    assert {birth.arm for birth in decision.births} <= {arm}
    slots = [birth.slot for birth in decision.births]
    assert len(set(slots)) == births


def test_the_weakest_die_and_leave_their_slots_to_newborns():
    records = [replace(each, ablation=number / 10) for number, each in enumerate(pool(6, 6))]
    decision = on_time(2, 2, records=records)
    assert [death.component for death in decision.deaths] == [each.component for each in records[:2]]
    assert {birth.slot for birth in decision.births} == {death.component.slot for death in decision.deaths}


def test_no_layer_is_left_with_fewer_than_it_needs():
    decision = on_time(0, 9)
    assert len(decision.deaths) == 4  # two of four in each of two layers
    layers = [death.component.slot // RULES.capacity for death in decision.deaths]
    assert sorted(layers) == [0, 0, 1, 1]


def test_at_other_times_and_without_elites_nothing_happens():
    rules = replace(RULES, timetable=timetable([Turn(CULL + 1, 0, 1, 1), Turn(CULL, 1, 1, 1)]))
    quiet = decided(pool(4, 4), CULL, rules=rules)
    assert (quiet.births, quiet.deaths) == ((), ())
    assert on_time(2, 0, sight=EMPTY).births == ()


def test_a_diverging_organism_stands_still():
    rules = replace(RULES, timetable=timetable([Turn(CULL, 0, 1, 1)]))
    decision = decided(pool(4, 4), rules=rules, loss=21.0, ema=2.0)
    assert decision.frozen is not None
    assert (decision.births, decision.deaths) == ((), ())


def test_the_turns_of_a_run_are_what_came_true():
    """A birth that the trial refused, one that it took, and a new organism, which is no birth of the lifecycle."""
    order = on_time(2, 1)
    before = census(pool(4, 4), round=CULL)
    first, second = (birth.slot for birth in order.births)
    trials = (Trial(first, 1.0, (0.1, 0.2, 0.3), 2), Trial(second, 1.0, (-0.1, -0.2, -0.3), None))
    tried = replace(before, trials=trials)
    assert turns([(order, tried)]) == (Turn(CULL, 0, 1, 1),)
    assert turns([(replace(order, reseed=True), tried)]) == ()
    assert turns([(order, replace(tried, quarantine="it exploded"))]) == ()
    assert turns([(on_time(0, 0), before)]) == ()


def test_two_turns_of_one_organism_and_round_are_refused():
    with pytest.raises(ValueError, match="round 3 of organism 1 has two turns; join them"):
        timetable([Turn(3, 1, 1, 0), Turn(3, 1, 0, 1)])
