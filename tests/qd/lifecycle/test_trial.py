import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from qd.lifecycle.trial import born, choose, chosen_again, died
from qd.records import ComponentId, Proposal, Trial
from tests.qd.lifecycle_cases import RULES, census, decided, happening, pool, record

GAINS = st.lists(st.one_of(st.floats(-1, 1), st.sampled_from([0.0, 0.5, math.nan])), min_size=1, max_size=8)
FULL = [record(slot, ablation=0.5 + slot / 10) for slot in range(12)]


def birth(draw=1.0, exploration=0.0):
    (made,) = decided(pool(3, 3), rules=replace(RULES, min_alive=6)).births
    return replace(made, exploration=exploration, exploration_draw=draw, happens=True)


def order(*births, deaths=()):
    return replace(decided(pool(3, 3)), births=tuple(births), deaths=tuple(deaths))


class TestChoose:
    @given(GAINS)
    def test_it_is_the_largest_gain_and_the_first_of_equals(self, gains):
        known = [gain for gain in gains if not math.isnan(gain)]
        expected = gains.index(max(known)) if known else None
        assert choose(birth(), gains, only_gains=False) == expected
        helps = expected is not None and gains[expected] > 0
        assert choose(birth(), gains, only_gains=True) == (expected if helps else None)

    @given(GAINS, st.floats(0, 1), st.floats(0, 1), st.booleans())
    def test_another_one_is_taken_by_the_draw_and_only_one_that_would_do(
        self, gains, exploration, draw, only
    ):
        best = choose(birth(), gains, only)
        found = choose(birth(draw, exploration), gains, only)
        would_do = [n for n, gain in enumerate(gains) if gain > (0 if only else -math.inf)]
        assert found in would_do or (found is None and not would_do)
        others = [number for number in would_do if number != best]
        assert (found != best) == (draw < exploration and bool(others))

    @pytest.mark.long
    def test_all_others_are_equally_likely(self):
        gains = [0.1, 0.4, 0.2, 0.3]
        found = [choose(birth((i + 0.5) / 1000, 0.3), gains, True) for i in range(1000)]
        assert found.count(1) == 700
        assert chisquare([found.count(number) for number in (0, 2, 3)]).pvalue > 0.9


class TestWhatCameTrue:
    def told(self, *trials, quarantine=None):
        return replace(census(pool(3, 3), round=40), trials=trials, quarantine=quarantine)

    def test_the_chosen_candidate_is_born(self):
        made = birth()
        found = born(order(made), self.told(Trial(made.slot, 1.0, (0.1, 0.3, 0.2), 1)))
        assert found == [(made, made.proposals[1])]

    def test_a_birth_without_a_choice_does_not_happen_nor_does_the_death_for_it(self):
        decision = decided(FULL, 41, rules=replace(RULES, room=True, min_alive=1))
        (made,), (death,) = decision.births, decision.deaths
        for chosen, count in ((None, 0), (2, 1)):
            told = self.told(Trial(made.slot, 1.0, (0.1, 0.3, 0.4), chosen))
            assert len(born(decision, told)) == len(died(decision, told)) == count
        assert died(replace(decision, deaths=(replace(death, reason="fitness"),)), self.told()) != []

    def test_one_that_is_not_tried_is_certain(self):
        made = replace(birth(), tried=False)
        assert born(order(made), self.told()) == [(made, made.proposals[0])]

    def test_a_quarantine_undoes_everything(self):
        made = replace(birth(), tried=False)
        told = self.told(quarantine="the loss became nan")
        assert born(order(made), told) == []
        assert died(order(made), told) == []


class TestRoom:
    def test_in_a_full_pool_the_weakest_old_enough_dies_for_the_birth_in_its_slot(self):
        records = [replace(FULL[0], age=1), *FULL[1:]]
        decision = decided(records, 41, rules=replace(RULES, room=True, min_alive=1))
        (death,), (made,) = decision.deaths, decision.births
        assert (death.component, death.reason, death.happens) == (ComponentId(0, 1, 1), "room", True)
        assert made.slot == 1

    @pytest.mark.parametrize(
        ("records", "round", "changes"),
        [
            (FULL[:11], 41, {}),  # there is room
            (FULL, 41, {"room": False}),
            (FULL, 41, {"min_alive": 6}),
            (FULL, 41, {"arm": "none"}),
            (FULL, 20, {}),  # the gentle phase
            (FULL, 81, {}),  # the quiet end
            ([replace(one, age=2) for one in FULL], 41, {}),
        ],
    )
    def test_otherwise_nobody_dies_for_room(self, records, round, changes):
        decision = decided(records, round, rules=replace(RULES, **({"room": True, "min_alive": 1} | changes)))
        assert [death for death in decision.deaths if death.reason == "room"] == []

    def test_without_a_birth_there_is_no_death(self):
        rules = replace(RULES, room=True, min_alive=1, temperature=lambda step: 1e-9)
        found = [decided(FULL, 41, rules=replace(rules, seed=seed)) for seed in range(40)]
        considered = [decision for decision in found if decision.births]
        happened = [decision for decision in considered if happening(decision.births)]
        assert 0 < len(happened) < len(considered)
        assert all(bool(decision.deaths) == bool(happening(decision.births)) for decision in found)


class TestAgain:
    def records(self, made, proposal):
        newborn = ComponentId(0, 40, made.slot)
        one = replace(
            record(made.slot, born=40), parents=proposal.parents, lineage=proposal.lineage or newborn
        )
        return [*pool(3, 3), one]

    def test_what_follows_from_the_gains_is_derived_and_a_forgery_is_not(self):
        made = birth()
        decision = order(made)
        trial = Trial(made.slot, 1.0, (0.1, 0.3, 0.2), 1)
        told = replace(census(self.records(made, made.proposals[1]), round=40), trials=(trial,))
        assert chosen_again(decision, told, True) == told
        other = replace(told, trials=(replace(trial, chosen=2),))
        assert chosen_again(decision, other, True) == told
        adopted = self.records(made, Proposal("gaussian", (ComponentId(9, 9, 9),), ("x",), None))
        assert chosen_again(decision, replace(told, records=tuple(adopted)), True) == told

    def test_a_census_without_its_trials_is_refused(self):
        with pytest.raises(ValueError, match=r"organism 0 was to try .* \[\(3, 3\)\] before round 40"):
            chosen_again(order(birth()), census(pool(3, 3), round=40), True)

    def test_strengths_are_of_all_candidates_or_none(self):
        made = birth()
        trial = Trial(made.slot, 1.0, (0.1, 0.3, 0.2), 1, (1.0, 0.5))
        told = replace(census(self.records(made, made.proposals[1]), round=40), trials=(trial,))
        with pytest.raises(ValueError, match=r"its census has other trials"):
            chosen_again(order(made), told, True)
        fitting = replace(told, trials=(replace(trial, strengths=(1.0, 0.5, 0.25)),))
        assert chosen_again(order(made), fitting, True) == fitting
